"""Utility: how well a model does on real patients, with an interval over patients, and what share synthetic data keep.

The plain functions score many bootstrap replicates at once: `weights` has one row per replicate and says how often
each record was drawn; the result has one number per replicate, NaN if not defined. The classes below them are the same
scores as `evaluate.Metric`s, which work alone and without a network:

    RocAuc().compute(predictions=[0.1, 0.8, 0.4], references=[0, 1, 1], groups=["a", "b", "b"])
"""

from collections.abc import Callable

import evaluate
import numpy as np
from datasets import Features, List, Value

from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights, recover
from hf_hybrid.metrics.predictions import auc, balanced_accuracy, mae, r2

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
    Without `groups` every record is a separate patient.

    Attributes:
        score: the scoring function.
        direction: which way is better.
        range: lowest and highest value, None if unbounded.
        inputs: the supported kinds of predictions and references.
    """

    score: Callable
    direction = "higher is better"
    range: tuple[float | None, float | None] = (0.0, 1.0)
    inputs: list[dict] = [_NUMBERS]

    def __init__(self, config_name: str | None = None, keep_in_memory: bool = True, **kwargs):
        """Arguments as of `evaluate.Metric`, but kept in memory by default."""
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
    records. The result also has the paired `gap` (real - synthetic), and a `reason` if neither is given.
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
