"""The distribution of one number, stored so that no part of it depends on a single patient."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import ndtri

from hf_hybrid.data.privacy_rule import MIN_PATIENTS_A_COMPONENT

MAX_QUANTILES = 32
_TAIL, _END = 3.2, 4.0  # scores to which the outermost slope is continued, and scores of the bounds


@dataclass
class Quantiles:
    """At most 32 smoothed quantiles: a piecewise linear map between values and normal scores.

    A knot is the mean of the values of at least ten patients, at the normal score of the middle of their ranks. Beyond
    the outermost knots the slope goes on, and the last stretch, which a draw in a thousand meets, ends at the schema's
    bounds.

    Args:
        values: knots in the column's unit, not falling.
        scores: their normal scores, rising, from -4 to 4.
    """

    values: list[float]
    scores: list[float]

    @classmethod
    def fit(cls, values: np.ndarray, groups: np.ndarray, bounds: tuple[float, float]) -> Self:
        """Learns from finite values within bounds.

        Args:
            values: `(n,)`, of at least ten patients.
            groups: the patient of each, `(n,)`.
            bounds: lowest and highest value that a release may hold.
        """
        if not len(values):  # all values of the column were held out
            values, groups = np.array([sum(bounds) / 2]), np.zeros(1)
        order = np.argsort(values, kind="stable")
        values, groups = values[order], groups[order]
        met_last = np.sort(len(groups) - 1 - np.unique(groups[::-1], return_index=True)[1])
        wanted = min(MAX_QUANTILES, len(met_last) // MIN_PATIENTS_A_COMPONENT)
        latest = met_last[-min(MIN_PATIENTS_A_COMPONENT, len(met_last))]  # from here on there are ten patients
        starts = [0]
        for start in np.linspace(0, len(values), max(wanted, 1), endpoint=False).astype(int)[1:]:
            if start <= latest and len(np.unique(groups[starts[-1] : start])) >= MIN_PATIENTS_A_COMPONENT:
                starts.append(start)
        edges = np.array([*starts, len(values)])
        knots = np.add.reduceat(values, edges[:-1]) / np.diff(edges)
        scores = ndtri((edges[:-1] + edges[1:]) / 2 / len(values))
        (low, high), slope = bounds, np.diff(knots) / np.diff(scores)
        inner = (slope[0], slope[-1]) if len(slope) else (values.std(), values.std())
        tails = knots[0] - inner[0] * (scores[0] + _TAIL), knots[-1] + inner[1] * (_TAIL - scores[-1])
        all_values = [low, tails[0], *knots, tails[1], high]
        all_scores = [-_END, -_TAIL, *scores, _TAIL, _END]
        return cls(np.clip(all_values, low, high).tolist(), [float(score) for score in all_scores])

    def to_scores(self, values: np.ndarray) -> np.ndarray:
        """Normal scores from -4 to 4; a value that many records hold gets the middle of its scores."""
        knots, scores = np.array(self.values), np.array(self.scores)
        return (np.interp(values, knots, scores) - np.interp(-values, -knots[::-1], -scores[::-1])) / 2

    def to_values(self, scores: np.ndarray) -> np.ndarray:
        """Inverse of `to_scores`."""
        return np.interp(scores, self.scores, self.values)
