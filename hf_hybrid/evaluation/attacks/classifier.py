"""Membership by classifier."""

from hf_hybrid.evaluation.attacks.membership import MembershipAttack


class ClassifierAttack(MembershipAttack):
    """How surely a classifier takes a record for synthetic rather than for one of a reference population."""

    name = "classifier"
    citation = "Hayes et al. 2019, LOGAN, arXiv:1705.07663"
