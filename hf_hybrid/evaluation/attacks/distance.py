"""Membership by distance."""

from hf_hybrid.evaluation.attacks.membership import MembershipAttack


class DistanceAttack(MembershipAttack):
    """How near the nearest synthetic record, image or row is."""

    name = "distance"
    citation = "Chen et al. 2020, GAN-Leaks, arXiv:1909.03935"
    parts = ("record", "image", "row")
