"""Correlations of a latent table that disclose nothing about small groups, and the moments made of them."""

from dataclasses import dataclass

import numpy as np

from hf_hybrid.data.columns import MIN_PATIENTS
from hf_hybrid.data.privacy_rule import MIN_PATIENTS_A_COMPONENT, count_patients
from hf_hybrid.samplers.marginals import patient_weights
from hf_hybrid.samplers.transform import TableTransform

_MIN_EIGENVALUE, _REPAIRS = 1e-3, 30


def correlations(
    scalars: np.ndarray, known: np.ndarray, yes: np.ndarray, asked: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Correlations of scalars and of answers: the covariance of the rows that have both, in units of all rows' spread.

    A sampler draws a value, or asks a question, independently of whether another one is there. So the covariance among
    the rows that have both is what has to match, while the spread of each is that of all rows that have it.

    What rests on fewer than ten patients is not disclosed: a scalar and an answer correlate by 0 unless ten patients
    whose scalar is known answer yes, and ten no; a combination of two answers that fewer than ten patients give counts
    as if five did, and where fewer than twenty give one of the answers, the two correlate by 0.

    Args:
        scalars: `(n, s)`.
        known: where the scalars are known, `(n, s)` bool.
        yes: answers to questions, `(n, q)` bool.
        asked: where the questions were asked, `(n, q)` bool.
        groups: the patient of each row, `(n,)`.

    Returns:
        Correlations and the patients that each rests on, both `(s + q, s + q)`; 0 for what is not disclosed.
    """
    s, weights = scalars.shape[1], patient_weights(groups)[:, None]
    present = np.concatenate([known, asked], axis=1).astype(np.float64)
    values = np.concatenate([np.where(known, scalars, 0), yes], axis=1)
    patients = (present * weights).T @ present
    divisor, weighted = patients.clip(min=1e-12), values * weights
    mean = weighted.T @ present / divisor  # [i, j]: of i, where j is present too
    variance = (weighted * values).T @ present / divisor - mean**2
    covariance = weighted.T @ values / divisor - mean * mean.T
    no = (asked & ~yes).astype(np.float64)
    pairs = _AnswerPairs(*((a * weights).T @ b for a, b in ((yes, yes), (yes, no), (no, no))))
    covariance[s:, s:] = _patients_with_both(pairs) / divisor[s:, s:] - mean[s:, s:] * mean[s:, s:].T
    spread = np.sqrt(np.diag(variance).clip(min=1e-9))
    disclosed = _enough_patients(patients, pairs, [(known * weights).T @ answer for answer in (yes, no)])
    disclosed &= np.minimum(spread, spread[:, None]) ** 2 > 1.1e-9
    np.fill_diagonal(disclosed, True)
    found = np.where(disclosed, (covariance + covariance.T) / 2 / np.outer(spread, spread), 0)
    np.fill_diagonal(found, 1)
    return found, np.where(disclosed, patients, 0)


@dataclass
class _AnswerPairs:
    """How many patients give each combination of two answers, `(q, q)` each.

    Attributes:
        both: yes to the first and to the second question.
        only: yes to the first, no to the second.
        neither: no to both.
    """

    both: np.ndarray
    only: np.ndarray
    neither: np.ndarray


def _patients_with_both(pairs: _AnswerPairs) -> np.ndarray:
    """How many patients say yes to both of two questions `(q, q)`, as if no combination had fewer than five."""
    few, five = MIN_PATIENTS_A_COMPONENT - 1e-9, MIN_PATIENTS_A_COMPONENT / 2
    first, together = pairs.both + pairs.only, pairs.both  # [i, j]: who say yes to i, and are asked j too
    neither_least = first + first.T - (first + pairs.only.T + pairs.neither)
    for cell, replacement in (
        (pairs.both, five),
        (pairs.only, first - five),
        (pairs.only.T, first.T - five),
        (pairs.neither, neither_least + five),
    ):
        together = np.where(cell < few, replacement, together)
    return np.clip(together, neither_least.clip(min=0), np.minimum(first, first.T))


def _enough_patients(patients: np.ndarray, pairs: _AnswerPairs, with_scalar: list[np.ndarray]) -> np.ndarray:
    """Which correlations rest on enough patients to be disclosed, `(s + q, s + q)` bool.

    Args:
        patients: who have both, `(s + q, s + q)`.
        pairs: who give each combination of two answers.
        with_scalar: who have a scalar and say yes, and who have it and say no, `(s, q)` each.
    """
    few, s = MIN_PATIENTS_A_COMPONENT, len(with_scalar[0])
    both, only, neither = pairs.both, pairs.only, pairs.neither
    enough = patients >= few
    of_answers = np.minimum(np.minimum(both + only, only.T + neither), np.minimum(both + only.T, only + neither))
    enough[s:, s:] &= of_answers >= 2 * few
    enough[:s, s:] &= np.minimum(*with_scalar) >= few
    enough[s:, :s] = enough[:s, s:].T
    return enough


def shrink(correlation: np.ndarray, variance: np.ndarray, apart: np.ndarray, share: float | None = None) -> np.ndarray:
    """Correlations drawn towards 0 where `apart`, made positive definite again; all `(d, d)`.

    Args:
        correlation: the estimates.
        variance: of the estimates.
        apart: which of them shrink.
        share: by how much; None for the estimate of Schäfer and Strimmer 2005 (doi:10.2202/1544-6115.1175, target D).
    """
    if share is None:
        share = min(1.0, variance[apart].sum() / max((correlation[apart] ** 2).sum(), 1e-12))
    return nearest_correlation(np.where(apart, (1 - share) * correlation, correlation))


def nearest_correlation(matrix: np.ndarray) -> np.ndarray:
    """The nearest positive definite correlation matrix `(d, d)` (Higham 2002, doi:10.1093/imanum/22.3.329)."""

    def positive(one: np.ndarray) -> np.ndarray:
        values, axes = np.linalg.eigh(one)
        return one if values[0] >= _MIN_EIGENVALUE else axes * values.clip(min=_MIN_EIGENVALUE) @ axes.T

    found, correction = matrix, np.zeros_like(matrix)
    for _ in range(_REPAIRS):
        before, shifted = found, found - correction
        repaired = positive(shifted)
        correction, found = repaired - shifted, repaired.copy()
        np.fill_diagonal(found, 1)
        if np.abs(found - before).max() < 1e-4:
            break
    repaired = positive(found)
    scale = np.sqrt(np.diag(repaired))
    return repaired / scale / scale[:, None]


def shrunk_moments(transform: TableTransform, matrix: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all positions of a transform's matrix, made of `correlations`.

    Args:
        transform: that made the matrix.
        matrix: rows, `(n, width)`; a number that is missing or infinite does not count.
        groups: the patient of each, `(n,)`.

    Returns:
        Mean `(width,)` and covariance `(width, width)`, positive definite.
    """
    s, known = transform.num_scalars_, transform.has_value(matrix)
    scalars, yes = matrix[:, :s], matrix[:, s:] == 1
    found, patients = correlations(scalars, known, yes, np.ones_like(yes), groups)
    weights = patient_weights(groups)[:, None]
    count = (known * weights).sum(axis=0).clip(min=1e-12)
    mean = (scalars * known * weights).sum(axis=0) / count
    deviation = np.sqrt((((scalars - mean) * known) ** 2 * weights).sum(axis=0) / count)
    # A number that few of these patients have keeps its moments among all patients, which the transform holds.
    enough = np.diag(patients)[:s] >= MIN_PATIENTS_A_COMPONENT
    mean, deviation = np.where(enough, mean, 0), np.where(enough, deviation, 1)
    share = (yes * weights).mean(axis=0) / weights.mean()
    # Where fewer than five of these patients (who may be a part of all) make a choice, or do not: as if five did.
    least = min(MIN_PATIENTS / len(np.unique(groups)), 0.5)
    holders, others = ([count_patients(groups, column) for column in answer.T] for answer in (yes, ~yes))
    share = np.where(np.less(holders, MIN_PATIENTS), least, share)
    share = np.where(np.less(others, MIN_PATIENTS), 1 - least, share)
    # The choices of one block exclude each other: their correlations follow from their shares.
    sizes = [len(block.choices) for block in transform.blocks_]
    block_of = np.concatenate([np.arange(s), np.repeat(np.arange(s, s + len(sizes)), sizes)])
    apart = block_of[:, None] != block_of
    spread = np.sqrt(share * (1 - share))
    exclusive = -np.outer(share, share) / np.outer(spread, spread).clip(min=1e-12)
    same = ~apart[s:, s:] & ~np.eye(len(share), dtype=bool)
    found[s:, s:] = np.where(same, exclusive.clip(min=-1), found[s:, s:])
    variance = np.where(patients > 0, (1 - found**2) ** 2 / patients.clip(min=1), 0)
    correlation = shrink(found, variance, apart)
    scale = np.concatenate([deviation, spread]).clip(min=1e-3)
    return np.concatenate([mean, share]), scale[:, None] * correlation * scale
