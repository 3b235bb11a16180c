"""Fidelity: does the synthetic table look like the real one?

The two table scores are those of SDMetrics (docs.sdv.dev/sdmetrics, "Column Shapes" and "Column Pair Trends") with two
differences: missing and infinite cells count, and numbers are correlated by rank. All columns and pairs are counted at
once, by matrix products. They take typed frames (`RecordSchema.read`); a column of floats is a number, any other is
discrete; latents may be among the columns.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist, pdist
from scipy.stats import rankdata

from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.metrics.base import HIGHER, LOWER, FidelityMetric, MetricFacts

NUM_BINS = 10
SHARE_DRAWS = 40  # of held-out patients, for the spread of a share of a range: each takes several scores
NO_RANGE = "the columns of training patients are not significantly more associated than shuffled ones"


def column_shapes(synthetic: pd.DataFrame, real: pd.DataFrame) -> float:
    """Mean over columns of the similarity of their distributions; from 0 to 1, higher is better.

    A number scores 1 minus the larger of the Kolmogorov-Smirnov distance of finite values and the total variation of
    the states (value, missing, -inf, inf); any other column 1 minus the total variation, missing being a category.
    """
    scores = []
    for name in real:
        distance = 0.5 * np.abs(np.subtract(*_shares(*(_words(side[name]) for side in (synthetic, real))))).sum()
        if _is_number(real[name]):
            values = [side[name].to_numpy(np.float64) for side in (synthetic, real)]
            distance = max(distance, _ks_distance(*(one[np.isfinite(one)] for one in values)))
        scores.append(1 - distance)
    return float(np.mean(scores))


def pair_trends(synthetic: pd.DataFrame, real: pd.DataFrame) -> float:
    """Mean over pairs of columns of the similarity of their relations; from 0 to 1, higher is better.

    Two numbers score 1 minus half the difference of their rank correlations, where both are finite; a pair with
    another column 1 minus the total variation of the contingency tables, numbers cut at the real deciles.
    """
    numbers = [name for name in real if _is_number(real[name])]
    scores = []
    if len(numbers) > 1:
        sides = (rank_correlations(side[numbers].to_numpy(np.float64)) for side in (synthetic, real))
        scores += list((1 - np.abs(np.subtract(*sides)) / 2)[np.triu_indices(len(numbers), 1)])
    others = [name for name in real if name not in numbers]
    if others:
        tables, starts = [], None
        coded = [_codes(synthetic[name], real[name]) for name in real]
        starts = np.cumsum([0, *(size for _, _, size in coded)])
        for side in (0, 1):
            flags = np.zeros((len((synthetic, real)[side]), starts[-1]), dtype=np.float32)
            for start, codes in zip(starts, coded, strict=False):
                flags[np.arange(len(flags)), start + codes[side]] = 1
            tables.append(flags.T @ flags / len(flags))
        difference = np.abs(np.subtract(*tables))
        apart = np.add.reduceat(np.add.reduceat(difference, starts[:-1], axis=0), starts[:-1], axis=1) / 2
        is_other = np.array([name in others for name in real])
        first, second = np.triu_indices(len(is_other), 1)
        scores += list(1 - apart[first, second][is_other[first] | is_other[second]])
    return float(np.mean(scores)) if scores else 1.0


def shuffled_columns(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The same columns, each in an order of its own: no two of them go together any more."""
    rng = numpy_generator(seed, "fidelity: shuffled columns")
    return pd.DataFrame({name: frame[name].to_numpy()[rng.permutation(len(frame))] for name in frame})


def share_of_range(value: float, shuffled: float, real: float) -> float:
    """How much of the way from shuffled columns (0) to real records (1) a score is; NaN where there is no way."""
    return (value - shuffled) / (real - shuffled) if real != shuffled else float("nan")


def is_range(ends: Sequence[float] | np.ndarray, draws: np.ndarray) -> bool:
    """Whether real records surely differ from shuffled columns; a share of a range that is noise says nothing.

    Args:
        ends: scores of shuffled columns and of real records, `(2,)`.
        draws: the same in draws of the patients that they are compared with, `(n, 2)`.
    """
    return bool(abs(ends[1] - ends[0]) > 1.96 * np.std(draws[:, 1] - draws[:, 0]))


def significant_range(
    metric: Callable[[pd.DataFrame, pd.DataFrame], float],
    sides: Sequence[pd.DataFrame],
    real: pd.DataFrame,
    draws: Sequence[np.ndarray],
) -> tuple[float, float]:
    """Scores of both ends of a range, or NaN twice where they do not surely differ.

    Args:
        metric: a score of dependence.
        sides: shuffled columns, and real records.
        real: the records that both are compared with.
        draws: rows of these, see `draws_of_patients`.
    """
    ends, *drawn = (
        [metric(one, other) for one in sides]
        for other in (real, *(real.iloc[rows].reset_index(drop=True) for rows in draws))
    )
    return (ends[0], ends[1]) if is_range(ends, np.array(drawn)) else (np.nan, np.nan)


def draws_of_patients(groups: np.ndarray, num_draws: int) -> list[np.ndarray]:
    """Rows of the records of as many patients as there are, drawn with replacement, `num_draws` times."""
    patients, of_record = np.unique(groups, return_inverse=True)
    rows = [np.flatnonzero(of_record == patient) for patient in range(len(patients))]
    rng = numpy_generator(0, "fidelity: held-out patients")
    drawn = (rng.integers(len(patients), size=len(patients)) for _ in range(num_draws))
    return [np.concatenate([rows[patient] for patient in draw]) for draw in drawn]


def missing_shares(synthetic: pd.DataFrame, real: pd.DataFrame) -> float:
    """Largest difference of a column's share of missing cells; from 0 (equal) to 1, lower is better."""
    return float(max(abs(synthetic[name].isna().mean() - real[name].isna().mean()) for name in real))


def three_way_shares(synthetic: pd.DataFrame, real: pd.DataFrame, num_triples: int = 100, seed: int = 0) -> float:
    """Mean total variation of the joint distribution of three columns; from 0 (equal) to 1, lower is better.

    Numbers are cut at the real quartiles; of many triples `num_triples` are drawn.
    """
    coded = [_codes(synthetic[name], real[name], num_bins=4) for name in real]
    triples = list(combinations(range(len(coded)), 3)) or [tuple(range(len(coded)))]
    chosen = numpy_generator(seed, "fidelity: triples of columns").permutation(len(triples))[:num_triples]
    distances = []
    for triple in (triples[place] for place in chosen):
        cells = [np.zeros(len(side), dtype=np.int64) for side in (synthetic, real)]
        size = 1
        for column in triple:
            *codes, count = coded[column]
            cells = [before * count + one for before, one in zip(cells, codes, strict=True)]
            size *= count
        shares = [np.bincount(one, minlength=size) / len(one) for one in cells]
        distances.append(0.5 * np.abs(np.subtract(*shares)).sum())
    return float(np.mean(distances))


def rank_correlations(values: np.ndarray) -> np.ndarray:
    """Spearman correlations `(d, d)` over the rows where both are finite; 0 if one does not vary."""
    known = np.isfinite(values)
    ranks = np.zeros_like(values)
    for column, (cells, has) in enumerate(zip(values.T, known.T, strict=True)):
        ranks[has, column] = rankdata(cells[has]) / max(has.sum(), 1) - 0.5
    weights = known.astype(np.float64)
    count = np.maximum(weights.T @ weights, 1)
    mean = ranks.T @ weights / count
    variance = (ranks**2).T @ weights / count - mean**2
    spread = np.sqrt(np.maximum(variance * variance.T, 0))
    return np.where(spread > 1e-9, (ranks.T @ ranks / count - mean * mean.T) / np.maximum(spread, 1e-9), 0)


def energy_distance(synthetic: np.ndarray, real: np.ndarray) -> float:
    """Energy distance between two samples `(m, d)` and `(n, d)`, as a share of their mean distance.

    Székely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018; 0 if they have the same distribution (estimates may be
    slightly below), at most 1.
    """
    between = cdist(synthetic, real).mean()
    within = pdist(synthetic).mean() + pdist(real).mean()
    return float((2 * between - within) / (2 * between)) if between else 0.0


def _is_number(cells: pd.Series) -> bool:
    return pd.api.types.is_float_dtype(cells)


def _words(cells: pd.Series) -> pd.Series:
    """Every cell as text; a number as its state."""
    if _is_number(cells):
        values = cells.to_numpy(np.float64)
        states = [np.isnan(values), values == np.inf, values == -np.inf]
        return pd.Series(np.select(states, ["missing", "inf", "-inf"], "value"))
    return cells.map(str).reset_index(drop=True)


def _bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each number, and a number below 0 for each other state."""
    states = [np.isnan(values), values == np.inf, values == -np.inf]
    return np.select(states, [-1, -2, -3], np.searchsorted(edges, values, side="right"))


def _shares(*sides: pd.Series) -> Iterable[np.ndarray]:
    """Share of each word on each side, the words in one order."""
    words = sorted(set().union(*(side.unique() for side in sides)))
    return [side.value_counts(normalize=True).reindex(words, fill_value=0).to_numpy() for side in sides]


def _ks_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Largest difference of the two distribution functions; 0 where one side has no value."""
    if not len(first) or not len(second):
        return 0.0
    every = np.concatenate([first, second])
    ranks = (np.searchsorted(np.sort(side), every, side="right") / len(side) for side in (first, second))
    return float(np.abs(np.subtract(*ranks)).max())


def _codes(synthetic: pd.Series, real: pd.Series, num_bins: int = NUM_BINS) -> tuple[np.ndarray, np.ndarray, int]:
    """Cells as whole numbers on both sides, and how many there are; numbers are cut at the real quantiles."""
    if _is_number(real):
        finite = real[np.isfinite(real)]
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, num_bins + 1)[1:-1])) if len(finite) else []
        words = [_bins(side.to_numpy(np.float64), edges) for side in (synthetic, real)]
    else:
        words = [_words(side).to_numpy() for side in (synthetic, real)]
    codes, found = pd.factorize(np.concatenate(words))
    return codes[: len(synthetic)], codes[len(synthetic) :], len(found)


# --- the same as metrics of a report ---------------------------------------------------------------------------------

_SDMETRICS = "SDMetrics, docs.sdv.dev/sdmetrics; missing and infinite cells count, numbers are correlated by rank"


class ColumnShapes(FidelityMetric):
    """See `column_shapes`."""

    facts = {
        "column shapes": MetricFacts(HIGHER, (0.0, 1.0), "how alike each column is distributed", _SDMETRICS),
    }

    def scores(self, synthetic: pd.DataFrame, real: pd.DataFrame) -> dict[str, float]:
        """The number by its name."""
        return {"column shapes": column_shapes(synthetic, real)}


class PairTrends(FidelityMetric):
    """See `pair_trends`."""

    facts = {
        "pair trends": MetricFacts(HIGHER, (0.0, 1.0), "how alike each two columns go together", _SDMETRICS),
    }

    def scores(self, synthetic: pd.DataFrame, real: pd.DataFrame) -> dict[str, float]:
        """The number by its name."""
        return {"pair trends": pair_trends(synthetic, real)}


class ThreeWayShares(FidelityMetric):
    """See `three_way_shares`."""

    facts = {
        "three-way shares": MetricFacts(
            *(LOWER, (0.0, 1.0), "share by which the joint distributions of three columns differ"),
            "McKenna et al. 2021, arXiv:2108.04978 (three-way marginals)",
        ),
    }

    def scores(self, synthetic: pd.DataFrame, real: pd.DataFrame) -> dict[str, float]:
        """The number by its name."""
        return {"three-way shares": three_way_shares(synthetic, real)}


class MissingShares(FidelityMetric):
    """See `missing_shares`."""

    facts = {
        "missing shares": MetricFacts(
            *(LOWER, (0.0, 1.0), "the largest difference of a column's missing share"),
            "SDMetrics, docs.sdv.dev/sdmetrics (missing value similarity)",
        ),
    }

    def scores(self, synthetic: pd.DataFrame, real: pd.DataFrame) -> dict[str, float]:
        """The number by its name."""
        return {"missing shares": missing_shares(synthetic, real)}
