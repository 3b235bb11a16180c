"""Membership by density ratio."""

import numpy as np

from hf_hybrid.evaluation.attacks.membership import MembershipAttack
from hf_hybrid.metrics.membership import nearest_distances

_NUM_NEIGHBOURS = 5


class DensityRatioAttack(MembershipAttack):
    """Density of synthetic records around a record, relative to records of a reference population."""

    name = "density ratio"
    citation = "van Breugel et al. 2023, DOMIAS, arXiv:2302.12580"

    @staticmethod
    def score(records: np.ndarray, synthetic: np.ndarray, reference: np.ndarray, seed: int) -> np.ndarray:
        """Log ratio of the distances to a near record of the reference and to a near synthetic record."""
        # As many neighbours among each side's own number as make the same share of it, at least the nearest one.
        share = _NUM_NEIGHBOURS / max(len(synthetic), len(reference))
        distances = [
            nearest_distances(records, side, max(1, round(share * len(side)))) for side in (reference, synthetic)
        ]
        return np.log(distances[0] + 1e-9) - np.log(distances[1] + 1e-9)
