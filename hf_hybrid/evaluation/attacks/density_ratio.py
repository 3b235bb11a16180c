"""Membership by density ratio."""

from hf_hybrid.evaluation.attacks.membership import MembershipAttack


class DensityRatioAttack(MembershipAttack):
    """Density of synthetic records around a record, relative to records of a reference population."""

    name = "density ratio"
    citation = "van Breugel et al. 2023, DOMIAS, arXiv:2302.12580"
