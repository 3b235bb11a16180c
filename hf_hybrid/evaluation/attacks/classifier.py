"""Membership by classifier."""

from hf_hybrid.evaluation.attacks.membership import MembershipAttack


class ClassifierAttack(MembershipAttack):
    """How confidently a classifier assigns a record to the release rather than to a reference population."""

    name = "classifier"
    citation = "Hayes et al. 2019, LOGAN, arXiv:1705.07663"
