"""Bounds of a number that no patient alone decides."""

import numpy as np
import pandas as pd

TRIMMED_SHARE = 0.01


def trimmed_bounds(values: np.ndarray, groups: np.ndarray, decimals: int, min_patients: int) -> tuple[float, float]:
    """Bounds on a coarse grid that at least `min_patients` patients reach or exceed: rounded inward.

    A bound is an extreme of the column only if that many patients share it. Where a fiftieth of the range is too
    coarse (most values of a skewed column lie at one end), the grid is made finer, until a bound cuts off at most
    twice as many patients as it needs.

    Args:
        values: finite values, `(n,)`.
        groups: the patient of each, `(n,)`.
        decimals: of the column.
        min_patients: how many have to lie at or beyond a bound.
    """
    by_patient = pd.Series(values).groupby(groups)
    lowest, highest = np.sort(by_patient.min()), np.sort(by_patient.max())[::-1]
    rank = max(min_patients, int(np.ceil(TRIMMED_SHARE * lowest.size))) - 1
    low, high = float(lowest[rank]), float(highest[rank])
    if low == high:
        return low, high
    # As 1, 2 or 5 times a power of ten: coarse against one value, fine against the range.
    exponent = int(np.floor(np.log10((high - low) / 50)))
    step = next(step for step in (1, 2, 5, 10) if step * 10.0**exponent >= (high - low) / 50)
    while True:
        if exponent < -decimals:
            exponent, step = -decimals, 1
        bounds = _inward(low, high, step * 10.0**exponent, -exponent)
        cut = max((lowest < bounds[0]).sum(), (highest > bounds[1]).sum())
        if bounds[0] <= bounds[1] and (cut <= 2 * (rank + 1) or exponent == -decimals):
            return bounds
        if exponent == -decimals:  # all that lies between is less than the last decimal
            return 2 * (round(float(np.median(values)), decimals),)
        exponent, step = exponent - 1, 5


def _inward(low: float, high: float, grid: float, places: int) -> tuple[float, float]:
    """The first and the last point of a grid between two values."""
    first, last = int(np.ceil(low / grid - 1e-9)), int(np.floor(high / grid + 1e-9))
    first += round(first * grid, places) < low  # the division was rounded
    last -= round(last * grid, places) > high
    return round(first * grid, places), round(last * grid, places)
