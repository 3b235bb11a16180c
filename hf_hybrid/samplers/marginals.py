"""The distribution of one number, stored so that no part of it depends on a single patient."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy.special import ndtri

from hf_hybrid.data.privacy_rule import MIN_PATIENTS_A_COMPONENT

MAX_QUANTILES = 32
_MASS, _TIMES_NEAR = 0.05, 5  # share of the patients, and of the holders of a value near by
_TAIL, _END = 3.2, 4.0  # scores to which the outermost slope is continued, and scores of the bounds


@dataclass
class Quantiles:
    """At most 32 smoothed quantiles: a piecewise linear map between values and normal scores.

    A knot is the mean of the values of at least ten patients, at the normal score of the middle of their ranks. All
    records of a patient together count as one. Beyond
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
        weights = patient_weights(groups)
        ends = weights.cumsum()  # how many patients lie at or below a record, a part for each of their records
        met_last = np.sort(len(groups) - 1 - np.unique(groups[::-1], return_index=True)[1])
        wanted = min(MAX_QUANTILES, len(met_last) // MIN_PATIENTS_A_COMPONENT)
        latest = met_last[-min(MIN_PATIENTS_A_COMPONENT, len(met_last))]  # from here on there are ten patients
        starts = [0]
        for place in np.linspace(0, len(met_last), max(wanted, 1), endpoint=False)[1:]:
            start = int(np.searchsorted(ends, place + 1e-9))
            if start <= latest and len(np.unique(groups[starts[-1] : start])) >= MIN_PATIENTS_A_COMPONENT:
                starts.append(start)
        held = np.add.reduceat(weights, starts)
        knots = np.add.reduceat(weights * values, starts) / held
        scores = ndtri((held.cumsum() - held / 2) / held.sum())
        (low, high), slope = bounds, np.diff(knots) / np.diff(scores)
        inner = (slope[0], slope[-1]) if len(slope) else 2 * (_deviation(values, weights),)
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


def point_masses(values: np.ndarray, groups: np.ndarray, bounds: tuple[float, float]) -> list[float]:
    """Values too frequent for a continuous distribution, such as 0 in a column of cigarettes a day.

    At least `MIN_PATIENTS_A_COMPONENT` patients and one in twenty hold such a value, and five times as many as hold a
    value near by (the next two on either side): in a column of whole numbers neighbours are alike, and none is a mass.

    Args:
        values: finite values, `(n,)`.
        groups: the patient of each, `(n,)`.
        bounds: of the column; values were cut there, so that a mass needs twice as many patients.
    """
    if not len(values):
        return []
    distinct, which = np.unique(values, return_inverse=True)
    held = np.bincount(which, patient_weights(groups))
    patients = pd.Series(groups).groupby(which).nunique().to_numpy()
    near = pd.Series(held).rolling(5, center=True, min_periods=1)
    typical = (near.sum() - held) / (near.count() - 1).clip(lower=1)
    least = np.maximum(_MASS * held.sum(), _TIMES_NEAR * typical)
    needed = MIN_PATIENTS_A_COMPONENT * (1 + np.isin(distinct, bounds))
    found = distinct[(held > least) & (patients >= needed)]
    others = ~np.isin(values, found)
    return found.tolist() if len(np.unique(groups[others])) >= MIN_PATIENTS_A_COMPONENT else []


def patient_weights(groups: np.ndarray) -> np.ndarray:
    """The weight of each record, `(n,)`: together, the records of a patient weigh 1."""
    _, patient, records = np.unique(groups, return_inverse=True, return_counts=True)
    return 1 / records[patient]


def _deviation(values: np.ndarray, weights: np.ndarray) -> float:
    mean = np.average(values, weights=weights)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
