"""Attribute inference, linkability and singling out: what a release reveals about a person.

The three risks of the European data-protection authorities (Article 29 Working Party, opinion 05/2014), attacked as
anonymeter does (Giomi et al. 2023, arXiv 2211.10459): the same attack on training and on held-out patients, since what
works on both is knowledge, not a leak. Success is counted by patient.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from hf_hybrid.core.cores import num_cores
from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights
from hf_hybrid.metrics.predictors import target_values

TOLERANCE = 0.05  # of a number's bounds: a guess within it is right
NUM_LINKED = 5  # number of neighbours in which a link may be found
NUM_PREDICATES, COLUMNS_A_PREDICATE = 500, 4
_TRIES = 40  # for each
_BLOCK_CELLS = 4_000_000  # distances held at once


def nearest_records(records: np.ndarray, synthetic: np.ndarray, count: int = 1) -> np.ndarray:
    """Which synthetic records are nearest, `(n, count)`, by city-block distance of `(n, d)` and `(m, d)`."""
    count, threads = min(count, len(synthetic)), num_cores()

    def nearest(block: np.ndarray) -> np.ndarray:
        return np.argpartition(cdist(block, synthetic, "cityblock"), count - 1, axis=1)[:, :count]

    blocks = np.array_split(records, max(threads, -(-len(records) * len(synthetic) // _BLOCK_CELLS)))
    with ThreadPoolExecutor(threads) as pool:  # scipy computes distances without Python's lock
        return np.concatenate(list(pool.map(nearest, blocks)))


def guessed_right(column: ColumnSchema, truth: pd.Series, guess: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Whether each guess of a cell is right, and which cells have a value to guess, both bool `(n,)`.

    Args:
        column: a column of the release's schema; its bounds define the tolerance for a number.
        truth: typed cells of real records.
        guess: typed cells of the synthetic records that were taken for them.
    """
    (values, known), (guessed, has_guess) = (target_values(cells, column) for cells in (truth, guess))
    if column.is_number:
        near = np.zeros(len(values), dtype=bool)
        both = known & has_guess
        low, high = column.bounds
        near[both] = np.abs(values[both] - guessed[both]) <= TOLERANCE * (high - low)
        return near, known
    same = (values == guessed).all(axis=1) if values.ndim == 2 else values == guessed
    return same & has_guess, known


def linked(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether some synthetic record is among the nearest of both halves of a record, bool `(n,)`.

    Args:
        one: `nearest_records` of what one source knows of the records, `(n, count)`.
        other: of what another source knows of the same records.
    """
    return (one[:, :, None] == other[:, None, :]).any(axis=(1, 2))


def mean_by_patient(success: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Share of successes of each patient, in the order of patients."""
    return pd.Series(success, dtype=float).groupby(np.asarray(groups)).mean().to_numpy()


def singling_out(
    synthetic: pd.DataFrame,
    baseline: pd.DataFrame,
    training: tuple[pd.DataFrame, np.ndarray],
    held_out: tuple[pd.DataFrame, np.ndarray],
    schema: RecordSchema,
    num_bootstraps: int = 500,
    seed: int = 0,
) -> tuple[Estimate, tuple[float, float, float]]:
    """Predicates that are true of one synthetic record only: how many are true of exactly one training patient?

    A predicate joins `COLUMNS_A_PREDICATE` columns of a synthetic record: at least or at most its number (whichever is
    rarer), its category, that it is missing. The chance level depends on the number of patients, so training
    and held-out patients can be compared only if they are equally many; a baseline release always can: its predicates
    are tested on the same training patients.

    Args:
        synthetic: typed cells of the release.
        baseline: typed cells of a release that remembers no single patient.
        training: typed cells of the training records, and the patient of each.
        held_out: the same of held-out patients.
        schema: of the release.
        num_bootstraps: replicates, drawn over patients and over predicates.
        seed: seed of the predicates.

    Returns:
        The risk, (release - baseline) / (1 - baseline), and the success rates of the release, of the baseline, and of
        the release among held-out patients.
    """
    rng = numpy_generator(seed, "attack: predicates")
    release, other_release, *sides = _coded([synthetic, baseline, training[0], held_out[0]], schema)
    asked = [_predicates(one, rng) for one in (release, other_release)]
    own, by_baseline = (
        _alone(sides[0], training[1], predicates, num_bootstraps, draw) for draw, predicates in enumerate(asked)
    )
    others, _ = _alone(sides[1], held_out[1], asked[0], num_bootstraps)
    value, replicates = (
        (one - other) / np.maximum(1 - other, 1e-9) for one, other in zip(own, by_baseline, strict=True)
    )
    return Estimate(float(value), replicates), (own[0], by_baseline[0], others)


def _alone(
    cells: dict[str, np.ndarray], groups: np.ndarray, predicates: list[dict], num_bootstraps: int, seed: int = 0
) -> tuple[float, np.ndarray]:
    """Share of predicates that exactly one patient meets, and the same in draws of patients and of predicates.

    The patients drawn are the same for every `seed`, which draws the predicates.
    """
    if not predicates:
        return 0.0, np.zeros(num_bootstraps)
    met = _by_patient(np.stack([_meets(cells, predicate) for predicate in predicates]), groups)
    drawn = bootstrap_weights(np.arange(met.shape[1]), num_bootstraps, 0) > 0  # a patient drawn twice counts once
    weights = bootstrap_weights(np.arange(len(met)), num_bootstraps, seed + 1) / len(met)
    return float((met.sum(axis=1) == 1).mean()), ((drawn.astype(np.float32) @ met.T == 1) * weights).sum(axis=1)


def _by_patient(met: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Whether a record of each patient meets each predicate, float32 `(num_predicates, num_patients)`."""
    names, patient = np.unique(groups, return_inverse=True)
    found = np.zeros((len(met), len(names)), dtype=np.float32)
    predicate, record = np.nonzero(met)
    found[predicate, patient[record]] = 1
    return found


def _coded(frames: list[pd.DataFrame], schema: RecordSchema) -> list[dict[str, np.ndarray]]:
    """Cells as numbers: floats as they are, any other cell as the number of its value, the same in all frames."""
    coded = [{} for _ in frames]
    ends = np.cumsum([len(frame) for frame in frames])[:-1]
    for name, column in schema.table.items():
        cells = pd.concat([frame[name] for frame in frames])
        values = cells.to_numpy(np.float64) if column.is_number else pd.factorize(cells.map(str))[0]
        for side, part in zip(coded, np.split(values, ends), strict=True):
            side[name] = part
    return coded


def _predicates(release: dict[str, np.ndarray], rng: np.random.Generator) -> list[dict]:
    """Predicates that exactly one synthetic record meets, at most `NUM_PREDICATES`: column -> (relation, value)."""
    names, found = list(release), []
    finite = {name: values[np.isfinite(values)] for name, values in release.items() if values.dtype == np.float64}
    medians = {name: np.median(values) if len(values) else 0.0 for name, values in finite.items()}
    for _ in range(_TRIES * NUM_PREDICATES):  # with few columns, few combinations are met by one record only
        row = int(rng.integers(len(release[names[0]])))
        predicate = {}
        for place in rng.permutation(len(names))[:COLUMNS_A_PREDICATE]:
            name = names[place]
            value = release[name][row]
            if name not in medians or np.isnan(value):
                predicate[name] = np.equal if name not in medians else _both_missing, value
            else:
                predicate[name] = np.greater_equal if value > medians[name] else np.less_equal, value
        if _meets(release, predicate).sum() == 1:
            found.append(predicate)
        if len(found) == NUM_PREDICATES:
            break
    return found


def _both_missing(cells: np.ndarray, value: float) -> np.ndarray:
    return np.isnan(cells) & np.isnan(value)


def _meets(cells: dict[str, np.ndarray], predicate: dict[str, tuple[Callable, float]]) -> np.ndarray:
    return np.logical_and.reduce([holds(cells[name], value) for name, (holds, value) in predicate.items()])
