"""Utility: how well a model does on real patients, with an interval over patients, and what share synthetic data keep.

The plain functions score many bootstrap replicates at once: `weights` has one row a replicate and says how often each
record was drawn; the result has one number a replicate, NaN where it is not defined. The classes below them are the
same scores as `evaluate.Metric`s, which work alone and without a network:

    RocAuc().compute(predictions=[0.1, 0.8, 0.4], references=[0, 1, 1], groups=["a", "b", "b"])
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import evaluate
import numpy as np
from datasets import Features, List, Value

from hf_hybrid.errors import InputError

CHANCE = {"auc": 0.5, "r2": 0.0}
SHARE_FLOORS = {"auc": 0.6, "r2": 0.1}  # real data must do surely better than this before a share of it says anything
_BLOCK_CELLS = 2_000_000  # weights scored at once: keeps memory flat for large test sets


def auc(references: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, ties counted half; never flipped, so a model that is reversed scores below 0.5.

    Args:
        references: class numbers `(n,)`, or 0/1 labels `(n, num_labels)`. A class number of -1 is no class of its own
            and a negative for all others.
        scores: of class 1 `(n,)`, of every class `(n, num_classes)` (macro one-vs-rest), or of every label
            `(n, num_labels)` (mean over labels).
        weights: `(num_replicates, n)`.

    Returns:
        `(num_replicates,)`; a class that a replicate does not hold is left out of that replicate's mean.
    """
    if references.ndim == 1 and scores.ndim == 1:
        positive, scores = references[:, None] == 1, scores[:, None]
    elif references.ndim == 1:
        positive = references[:, None] == np.arange(scores.shape[1])
    else:
        positive = references.astype(bool)
    return _mean_of_defined([_binary_auc(*columns, weights) for columns in zip(positive.T, scores.T, strict=True)])


def _binary_auc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """P(score of a positive > score of a negative) + half of P(equal), for every row of `weights`."""
    order = np.argsort(scores, kind="stable")
    tie_starts = np.flatnonzero(np.append(True, scores[order][1:] != scores[order][:-1]))
    weights = weights[:, order].astype(np.float64)
    positives = np.add.reduceat(weights * positive[order], tie_starts, axis=1)
    negatives = np.add.reduceat(weights * ~positive[order], tie_starts, axis=1)
    won = (positives * (np.cumsum(negatives, axis=1) - negatives / 2)).sum(axis=1)
    return _divide(won, positives.sum(axis=1) * negatives.sum(axis=1))


def balanced_accuracy(references: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over classes of the share of their records that is recognised; mean over labels for multi-label.

    Args:
        references: class numbers `(n,)` (-1: no class), or 0/1 labels `(n, num_labels)`.
        predictions: decisions of the same shape.
        weights: `(num_replicates, n)`.

    Returns:
        `(num_replicates,)`; a class that a replicate does not hold is left out of that replicate's mean, and a
        replicate with fewer than two classes is NaN.
    """
    if references.ndim == 2:
        columns = zip(references.T, predictions.T, strict=True)
        return _mean_of_defined([balanced_accuracy(*column, weights) for column in columns])
    held = references[:, None] == np.unique(references[references >= 0])
    recognised = held & (references == predictions)[:, None]
    weights = weights.astype(np.float64)
    recalls = _divide(weights @ recognised, weights @ held)
    return np.where(np.isfinite(recalls).sum(axis=1) >= 2, _mean_of_defined(list(recalls.T)), np.nan)


def r2(references: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the variance explained, `(num_replicates,)`: 1 is perfect, 0 the replicate's own mean, no lower end."""
    weights = weights.astype(np.float64)
    total = weights.sum(axis=1)
    centred = references - references.mean()  # keeps the difference of squares below exact
    squares = weights @ centred**2
    variance = squares - (weights @ centred) ** 2 / total
    variance = np.where(variance > 1e-9 * squares, variance, 0)  # equal values leave only rounding
    return 1 - _divide(weights @ (references - predictions) ** 2, variance)


def mae(references: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean absolute error in the target's unit, `(num_replicates,)`."""
    weights = weights.astype(np.float64)
    return _divide(weights @ np.abs(references - predictions), weights.sum(axis=1))


def bootstrap_weights(groups: Sequence, num_bootstraps: int, seed: int) -> np.ndarray:
    """How often each record is drawn when whole patients are drawn with replacement.

    Args:
        groups: the patient of each record, `(n,)`.
        num_bootstraps: number of replicates.
        seed: of the draws.

    Returns:
        float32 `(num_bootstraps, n)`.
    """
    _, patients = np.unique(np.asarray(groups), return_inverse=True)
    num_patients = patients.max() + 1
    equal = np.full(num_patients, 1 / num_patients)
    draws = np.random.default_rng(seed).multinomial(num_patients, equal, num_bootstraps)
    return draws[:, patients].astype(np.float32)


@dataclass(frozen=True)
class Estimate:
    """A number and what it was in every bootstrap replicate; estimates that share their weights are paired.

    Args:
        value: on all records, NaN where it is not defined.
        replicates: `(num_bootstraps,)`.
    """

    value: float
    replicates: np.ndarray

    @classmethod
    def of(cls, score: Callable, references: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Self:
        """Scores predictions on all records and on every replicate; `score` is one of the functions above.

        Raises:
            InputError: a prediction is not finite.
        """
        if not np.isfinite(predictions).all():
            found = np.sum(~np.isfinite(predictions))
            raise InputError(f"expected finite `predictions`, found {found} that are not: leave those records out")
        value = score(references, predictions, np.ones((1, len(references))))[0]
        num_blocks = -(-weights.size // _BLOCK_CELLS)
        blocks = [score(references, predictions, block) for block in np.array_split(weights, max(num_blocks, 1))]
        return cls(float(value), np.concatenate(blocks))

    @classmethod
    def mean(cls, estimates: Sequence[Self]) -> Self:
        """The mean over seeds, replicate by replicate."""
        return cls(
            float(np.mean([estimate.value for estimate in estimates])),
            np.mean([estimate.replicates for estimate in estimates], axis=0),
        )

    @property
    def interval(self) -> tuple[float, float] | None:
        """The middle 95 % of the replicates that are defined; None where none is."""
        defined = self.replicates[np.isfinite(self.replicates)]
        return tuple(np.percentile(defined, [2.5, 97.5]).tolist()) if defined.size else None

    def minus(self, other: Self) -> Self:
        """The paired difference."""
        return type(self)(self.value - other.value, self.replicates - other.replicates)


@dataclass(frozen=True)
class Recovery:
    """What synthetic data keep of what real data give; `reason` says why where it is not said.

    Args:
        share: (synthetic - chance) / (real - chance); above 1 where synthetic data do better. None without a reason
            is a score that has no chance level.
        gap: real - synthetic, paired.
        reason: why neither is given.
    """

    share: Estimate | None
    gap: Estimate | None
    reason: str | None = None


def recover(metric: str, real: Estimate, synthetic: Estimate) -> Recovery:
    """The recovered share and the paired gap, where real data do surely better than `SHARE_FLOORS`.

    Without that a small denominator would turn noise into a large share.

    Args:
        metric: "auc" (chance 0.5) or "r2" (chance 0).
        real: of the model trained on real records.
        synthetic: of the model trained on synthetic records, with the same bootstrap weights.
    """
    floor, chance = SHARE_FLOORS[metric], CHANCE[metric]
    interval = real.interval
    if interval is None or not interval[0] > floor:
        found = "is not known" if interval is None else f"({interval[0]:.2f}) is not above {floor}"
        return Recovery(None, None, f"the lower bound of {metric} with real data {found}")
    share = Estimate(
        (synthetic.value - chance) / (real.value - chance),
        _divide(synthetic.replicates - chance, real.replicates - chance),
    )
    return Recovery(share, real.minus(synthetic))


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, NaN where the denominator is 0."""
    defined = denominator != 0
    return np.where(defined, numerator / np.where(defined, denominator, 1), np.nan)


def _mean_of_defined(scores: list[np.ndarray]) -> np.ndarray:
    stacked = np.stack(scores)
    return _divide(np.nansum(stacked, axis=0), np.isfinite(stacked).sum(axis=0).astype(np.float64))


# --- the same scores as metrics --------------------------------------------------------------------------------------

_NUMBERS = {"predictions": Value("float64"), "references": Value("float64")}
_BINARY_SCORES = {"predictions": Value("float64"), "references": Value("int64")}
_CLASS_SCORES = {"predictions": List(Value("float64")), "references": Value("int64")}
_LABEL_SCORES = {"predictions": List(Value("float64")), "references": List(Value("int64"))}
_CLASSES = {"predictions": Value("int64"), "references": Value("int64")}
_LABELS = {"predictions": List(Value("int64")), "references": List(Value("int64"))}


class UtilityMetric(evaluate.Metric):
    """A score with its interval over patients.

    `compute(predictions=..., references=..., groups=None, num_bootstraps=500, seed=0)` returns the score under its own
    name, its 95 % `interval`, `direction`, `range`, and the numbers of records `n` and of patients `n_patients`.
    Without `groups` every record is a patient of its own.

    Attributes:
        score: the function that scores.
        direction: which way is better.
        range: lowest and highest value, None where there is no end.
        inputs: the kinds of predictions and references that are understood.
    """

    score: Callable
    direction = "higher is better"
    range: tuple[float | None, float | None] = (0.0, 1.0)
    inputs: list[dict] = [_NUMBERS]

    def __init__(self, config_name: str | None = None, keep_in_memory: bool = True, **kwargs):
        """Arguments as of `evaluate.Metric`, but kept in memory unless told otherwise."""
        super().__init__(config_name, keep_in_memory, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=UtilityMetric.__doc__,
            features=[Features(kind) for kind in self.inputs],
        )

    def _compute(self, predictions, references, groups=None, num_bootstraps: int = 500, seed: int = 0) -> dict:
        references = np.asarray(references)
        groups = np.arange(len(references)) if groups is None else groups
        weights = bootstrap_weights(groups, num_bootstraps, seed)
        estimate = Estimate.of(self.score, references, np.asarray(predictions), weights)
        return {
            self.score.__name__: estimate.value,
            "interval": estimate.interval,
            "direction": self.direction,
            "range": self.range,
            "n": len(references),
            "n_patients": len(np.unique(groups)),
        }


class RocAuc(UtilityMetric):
    """Area under the ROC curve: of class 1, macro one-vs-rest, or mean over labels; chance is 0.5, never flipped."""

    score = staticmethod(auc)
    inputs = [_BINARY_SCORES, _CLASS_SCORES, _LABEL_SCORES]


class BalancedAccuracy(UtilityMetric):
    """Mean over classes of the share recognised (mean over labels for multi-label); chance is 1 / classes."""

    score = staticmethod(balanced_accuracy)
    inputs = [_CLASSES, _LABELS]


class R2(UtilityMetric):
    """Share of the variance explained; 0 is no better than the mean."""

    score = staticmethod(r2)
    range = (None, 1.0)


class MeanAbsoluteError(UtilityMetric):
    """Mean absolute error in the unit of the target."""

    score = staticmethod(mae)
    direction = "lower is better"
    range = (0.0, None)


class RecoveredShare(UtilityMetric):
    """Share of real data's gain over chance that synthetic data keep: of AUC, or of R2 with config "regression".

    `predictions` come from the model trained on synthetic records, `real_predictions` from the one trained on real
    records. The result also has the paired `gap` (real - synthetic), and a `reason` where neither is given.
    """

    range = (None, None)

    @property
    def inputs(self) -> list[dict]:
        """Numbers for regression, scores of classes or labels otherwise."""
        kinds = R2.inputs if self.config_name == "regression" else RocAuc.inputs
        return [kind | {"real_predictions": kind["predictions"]} for kind in kinds]

    def _compute(
        self, predictions, real_predictions, references, groups=None, num_bootstraps: int = 500, seed: int = 0
    ) -> dict:
        references = np.asarray(references)
        groups = np.arange(len(references)) if groups is None else groups
        weights = bootstrap_weights(groups, num_bootstraps, seed)
        score = r2 if self.config_name == "regression" else auc
        real, synthetic = (
            Estimate.of(score, references, np.asarray(scores), weights) for scores in (real_predictions, predictions)
        )
        recovery = recover(score.__name__, real, synthetic)
        return {
            "recovered_share": recovery.share and recovery.share.value,
            "interval": recovery.share and recovery.share.interval,
            "gap": recovery.gap and recovery.gap.value,
            "gap_interval": recovery.gap and recovery.gap.interval,
            "reason": recovery.reason,
            "direction": self.direction,
            "range": self.range,
            "n": len(references),
            "n_patients": len(np.unique(groups)),
        }


METRICS = {metric.score.__name__: metric for metric in (RocAuc, BalancedAccuracy, R2, MeanAbsoluteError)}
