"""Correlation of the two normal variables behind two yes-or-no answers: the tetrachoric correlation.

An answer is yes where a standard normal variable lies above a threshold. Pearson 1900 (doi:10.1098/rsta.1900.0022);
the probability of both by Plackett's formula (Drezner and Wesolowsky 1990, doi:10.1080/00949659008811236).
"""

import numpy as np
from scipy.special import ndtr

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_STEPS = 40


def both_above(first: np.ndarray, second: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """Probability that two standard normal variables of a correlation lie above their thresholds; all `(n,)`."""
    angle = np.arcsin(correlation)
    nodes = (angle[:, None] / 2) * (_NODES + 1)
    together = (_density(first[:, None], second[:, None], nodes) * _WEIGHTS).sum(axis=1) * angle / 2
    return ndtr(-first) * ndtr(-second) + together


def tetrachoric(first: np.ndarray, second: np.ndarray, both: np.ndarray, largest: float) -> np.ndarray:
    """The correlation with which both variables lie above their thresholds with a given probability.

    Args:
        first: thresholds of the first variables, `(n,)`.
        second: thresholds of the second variables, `(n,)`.
        both: probabilities that both lie above, `(n,)`; beyond what `largest` allows, the result is `largest`.
        largest: largest absolute correlation, below 1.

    Returns:
        Correlations `(n,)`.
    """
    low, high = np.full(len(first), -largest), np.full(len(first), largest)
    found = np.zeros(len(first))
    for _ in range(_STEPS):
        excess = both_above(first, second, found) - both
        low, high = np.where(excess < 0, found, low), np.where(excess > 0, found, high)
        newton = found - excess / np.maximum(slope(first, second, found), 1e-12)
        before, found = found, np.where((newton > low) & (newton < high), newton, (low + high) / 2)
        if np.abs(found - before).max(initial=0) < 1e-9:
            break
    return found


def slope(first: np.ndarray, second: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """Derivative of `both_above` with respect to the correlation: the bivariate normal density at the thresholds."""
    return _density(first, second, np.arcsin(correlation)) / np.sqrt(1 - correlation**2)


def _density(first: np.ndarray, second: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Derivative of the probability of both with respect to the arc sine of the correlation."""
    sine, cosine = np.sin(angle), np.cos(angle)
    distance = first**2 + second**2 - 2 * first * second * sine
    return np.exp(-distance / (2 * cosine**2)) / (2 * np.pi)
