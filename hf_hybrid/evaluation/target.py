"""A column to predict: its values, which of its classes can be scored, and the estimates so far."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hf_hybrid.core.scores import REAL, REPEATED, ImageModelChoice, Recovered, UtilityScore
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.privacy_rule import count_patients
from hf_hybrid.evaluation.comparison import Comparison
from hf_hybrid.evaluation.training_sets import CONSTANT, TrainingSet
from hf_hybrid.metrics import predictors
from hf_hybrid.metrics.estimates import Estimate, Recovery, recover
from hf_hybrid.metrics.utility import METRICS

# `other`: the image again, by the image model that was not chosen.
INPUTS = {"image": ("image",), "table": ("table",), "both": ("image", "table"), "other": ("other",)}


class Target:
    """Collects the outputs of every model for the test records; the arguments are those of `score_targets`.

    Attributes:
        name: name of the column.
        metrics: the main one first.
        num_classes: classes or labels, None for numbers.
        values: of training records, then of synthetic ones.
        known: which of these records have a value.
        test_values: of the test records that have a value.
        test_known: which test records have a value.
        num_patients: number of patients of the test records.
        num_told: the same, None if too few to be disclosed.
        scored: classes that enough test patients have.
        image_models: which model sees the image of the inputs `image` and `both`, and of `other`.
        choice: how they were chosen, if they were.
        reason: why nothing can be scored, else None.
    """

    def __init__(self, name: str, comparison: Comparison, weights: np.ndarray) -> None:
        schema, test = comparison.schema, comparison.test
        column = schema.table[name]
        self.name = name
        self.metrics = ("r2", "mae") if column.is_number else ("auc", "balanced_accuracy")
        self.num_classes = None if column.is_number else len(predictors.class_names(column))
        (train_values, train_known), (synthetic_values, synthetic_known), (test_values, self.test_known) = (
            predictors.target_values(one.frame[name], column) for one in (comparison.train, comparison.synthetic, test)
        )
        self.values = np.concatenate([train_values, synthetic_values])
        self.known = np.concatenate([train_known, synthetic_known])
        self.test_values, self.weights = test_values[self.test_known], weights[:, self.test_known]
        groups = test.groups[self.test_known]
        self.num_patients = len(np.unique(groups))
        self.num_told = (
            self.num_patients if self.num_patients >= schema.min_patients else None
        )  # too few to be disclosed
        self.results: dict[tuple[str, str], _Result] = {}
        train_values = train_values[train_known]
        self.image_models = {"image": comparison.options.image_model}
        self.choice: ImageModelChoice | None = None
        self.scored, self.reason = self._what_can_be_scored(column, train_values, groups, schema.min_patients)
        self.constant = None if self.reason else self._estimates(self._constant(train_values), train_values)

    def _what_can_be_scored(
        self, column: ColumnSchema, train_values: np.ndarray, groups: np.ndarray, enough: int
    ) -> tuple[list[int], str | None]:
        """The classes that enough test patients have, and why nothing can be scored."""
        if not predictors.varies(train_values):
            return [], f"the training records ({REAL}) hold one value only"
        if column.is_number:
            if self.num_patients < enough or not predictors.varies(self.test_values):
                return [], f"fewer than {enough} test patients have a value, or all have the same"
            return [], None
        # A class of fewer patients would say more about them than about the model.
        in_train, in_test = (
            predictors.indicators(side, self.num_classes).T for side in (train_values, self.test_values)
        )
        scored = [
            number
            for number, held in enumerate(in_test)
            if min(count_patients(groups, held), count_patients(groups, ~held)) >= enough
            and predictors.varies(in_train[number])
        ]
        if len(scored) < (1 if column.kind == "multi-label" else 2):
            return scored, f"too few classes are held by {enough} test patients, and in training too, to tell apart"
        return scored, None

    def _constant(self, train_values: np.ndarray) -> np.ndarray:
        """The output of a constant model: the training mean, or the shares of the classes."""
        if self.num_classes is None:
            return np.full(len(self.test_values), train_values.mean())
        shares = predictors.indicators(train_values, self.num_classes).T.mean(axis=1)
        return np.tile(shares, (len(self.test_values), 1))

    def add(self, inputs: str, training_set: TrainingSet, values: np.ndarray, outputs: np.ndarray | None) -> None:
        """Adds the outputs of one model for the known test records; None if it could not be trained."""
        result = self.results.setdefault((inputs, training_set.name), _Result(training_set.compared_with))
        result.num_train.append(len(values))
        if outputs is not None:
            for metric, estimate in self._estimates(outputs, values).items():
                result.estimates[metric].append(estimate)
        else:
            result.reason = self.reason or f"the training records ({training_set.name}) hold one value only"

    def _estimates(self, outputs: np.ndarray, values: np.ndarray) -> dict[str, Estimate]:
        """Scores outputs; the class frequencies of the training `values` decide between classes.

        The chosen class has the largest ratio of its probability to its training frequency: with a cut at 0.5 a rare
        class would never be chosen, and balanced accuracy would be at chance.
        """
        if self.num_classes is None:
            return {metric: self._estimate(metric, self.test_values, outputs) for metric in self.metrics}
        references = predictors.indicators(self.test_values, self.num_classes)[:, self.scored]
        outputs = outputs[:, self.scored]
        frequencies = predictors.indicators(values, self.num_classes)[:, self.scored].mean(axis=0)
        likelier = outputs / np.maximum(frequencies, 1e-9)
        if self.test_values.ndim == 2:
            decided, decisions = references, likelier > 1
        else:
            decided = np.where(references.any(axis=1), references.argmax(axis=1), -1)
            decisions = likelier.argmax(axis=1)
        return {
            "auc": self._estimate("auc", references, outputs),
            "balanced_accuracy": self._estimate("balanced_accuracy", decided, decisions),
        }

    def _estimate(self, metric: str, references: np.ndarray, predictions: np.ndarray) -> Estimate:
        return Estimate.of(METRICS[metric].score, references, predictions, self.weights)

    def mean(self, metric: str, inputs: str, trained_on: str) -> Estimate | None:
        """The mean over seeds, None where a seed could not be trained."""
        if trained_on == CONSTANT:
            return self.constant and self.constant[metric]
        result = self.results[inputs, trained_on]
        return None if result.reason else Estimate.mean(result.estimates[metric])

    def _ordered(self) -> list[tuple[str, str]]:
        return sorted(self.results, key=lambda key: list(INPUTS).index(key[0]))

    def score_rows(self) -> Iterator[UtilityScore]:
        """The rows of `scores` in the report."""
        for metric in self.metrics:
            for inputs, trained_on in self._ordered():
                result = self.results[inputs, trained_on]
                estimate = self.mean(metric, inputs, trained_on)
                reference = self.mean(metric, inputs, result.compared_with)
                difference = estimate.minus(reference) if estimate and reference else None
                yield UtilityScore(
                    target=self.name,
                    metric=metric,
                    direction=METRICS[metric].direction,
                    range=METRICS[metric].range,
                    inputs=inputs,
                    trained_on=trained_on,
                    n_train=round(float(np.mean(result.num_train))),  # seeds draw a few more or fewer known values
                    n_test=self.num_told and len(self.test_values),
                    n_test_patients=self.num_told,
                    classes_scored=len(self.scored) if self.num_classes else None,
                    seeds=len(result.num_train),
                    **_numbers("value", "interval", estimate),
                    compared_with=result.compared_with,
                    **_numbers("difference", "difference_interval", difference),
                    reason=result.reason,
                )

    def headline_rows(self) -> Iterator[Recovered]:
        """The rows of `headline`: recovered shares of the AUC or R2 of real records."""
        for inputs, trained_on in self._ordered():
            if self.results[inputs, trained_on].compared_with != REAL or trained_on == REPEATED:
                continue
            main = self.metrics[0]
            real, synthetic = (self.mean(main, inputs, name) for name in (REAL, trained_on))
            if real and synthetic:
                recovery = recover(main, real, synthetic)
            else:
                reasons = [self.results[inputs, name].reason for name in (REAL, trained_on)]
                recovery = Recovery(None, None, next(reason for reason in reasons if reason))
            yield self._recovered(main, inputs, trained_on, recovery)
            if main == "r2":
                if recovery.gap:
                    real, synthetic = (self.mean("mae", inputs, name) for name in (REAL, trained_on))
                    recovery = Recovery(None, real.minus(synthetic), "the share is one of r2")
                yield self._recovered("mae", inputs, trained_on, recovery)

    def _recovered(self, metric: str, inputs: str, trained_on: str, recovery: Recovery) -> Recovered:
        return Recovered(
            target=self.name,
            metric=metric,
            inputs=inputs,
            trained_on=trained_on,
            compared_with=REAL,
            **_numbers("recovered_share", "recovered_share_interval", recovery.share),
            **_numbers("gap", "gap_interval", recovery.gap),
            reason=recovery.reason,
            repeated_share=self._repeated_share(metric, inputs) if recovery.share else None,
        )

    def _repeated_share(self, metric: str, inputs: str) -> float | None:
        """The share that repeated real records reach; None where they were not trained on."""
        if (inputs, REPEATED) not in self.results:
            return None
        real, repeated = (self.mean(metric, inputs, name) for name in (REAL, REPEATED))
        return _numbers("share", "interval", real and repeated and recover(metric, real, repeated).share)["share"]


@dataclass
class _Result:
    """The results of all seeds for one training set, target and kind of inputs."""

    compared_with: str
    num_train: list[int] = field(default_factory=list)
    estimates: dict[str, list[Estimate]] = field(default_factory=lambda: defaultdict(list))
    reason: str | None = None


def _numbers(value: str, interval: str, estimate: Estimate | None) -> dict:
    """An estimate under two names, rounded; null where it is not defined."""
    rounded = [None]
    if estimate and np.isfinite(estimate.value):
        rounded = [round(number, 4) + 0.0 for number in (estimate.value, *(estimate.interval or ()))]  # no -0.0
    return {value: rounded[0], interval: tuple(rounded[1:]) or None}
