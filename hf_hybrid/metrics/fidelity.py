"""Fidelity: does the synthetic table look like the real one."""

import numpy as np
from scipy.spatial.distance import cdist, pdist


def energy_distance(synthetic: np.ndarray, real: np.ndarray) -> float:
    """Energy distance between two samples `(m, d)` and `(n, d)`, as a share of their mean distance.

    Székely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018; 0 where they have one distribution, near 0 or below it by
    chance, at most 1.
    """
    between = cdist(synthetic, real).mean()
    within = pdist(synthetic).mean() + pdist(real).mean()
    return float((2 * between - within) / (2 * between)) if between else 0.0
