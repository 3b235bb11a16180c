"""Membership by distance in features of images at the resolution of the release."""

import numpy as np

from hf_hybrid.evaluation.attacks.distance import DistanceAttack
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces


class FeatureDistanceAttack(DistanceAttack):
    """How near the nearest synthetic image is, in components of the extractor's features; no image is shrunk."""

    name = "distance in features"
    citation = "Chen et al. 2020, GAN-Leaks, arXiv:1909.03935"
    parts = ("image",)
    refuses_exchanged = False  # contrast alone moves features far: pixels and cells say which set is which

    @staticmethod
    def records(spaces: AttackSpaces) -> list[np.ndarray]:
        """Components of features and cells; the baseline is a copula of the same components."""
        return spaces.feature_records
