"""Membership by distance."""

import numpy as np

from hf_hybrid.evaluation.attacks.membership import MembershipAttack
from hf_hybrid.metrics.membership import nearest_distances


class DistanceAttack(MembershipAttack):
    """How near the nearest synthetic record, image or row is."""

    name = "distance"
    citation = "Chen et al. 2020, GAN-Leaks, arXiv:1909.03935"
    parts = ("record", "image", "row")
    needs_reference = False

    @staticmethod
    def score(records: np.ndarray, synthetic: np.ndarray, reference: np.ndarray, seed: int) -> np.ndarray:
        """The negative distance to the nearest synthetic record."""
        return -nearest_distances(records, synthetic)
