"""Train on synthetic, test on real: every model that a utility score needs, and what it says of real test records.

Beside the synthetic records stand the real ones, and the controls without which a gain means nothing: real records
repeated to the same count, and synthetic records whose images were shuffled. All scores share one patient bootstrap,
so their differences are paired.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from hf_hybrid.core.report import REAL, REPEATED
from hf_hybrid.data.privacy_rule import count_patients
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.metrics import predictors
from hf_hybrid.metrics.estimates import Estimate, Recovery, bootstrap_weights, recover
from hf_hybrid.metrics.utility import METRICS

MULTIPLES = (1, 2, 5)  # synthetic records per real training record
INPUTS = {"image": ("image",), "table": ("table",), "both": ("image", "table")}
CONSTANT = "a constant"


@dataclass(frozen=True)
class TrainingSet:
    """Rows of the pool (real training records, then synthetic ones) that a model learns from.

    Args:
        name: as in the report.
        compared_with: name of the set whose scores are subtracted.
        rows: `(n_train,)`.
        image_order: which of `rows` lends its image to each row; None for each its own.
        num_first: how many of `rows` a model is trained on before it is fine-tuned on the rest, 0 for all at once.
    """

    name: str
    compared_with: str
    rows: np.ndarray
    image_order: np.ndarray | None = None
    num_first: int = 0


def training_sets(num_real: int, num_synthetic: int, seed: int) -> list[TrainingSet]:
    """Real, synthetic in nested subsets up to the whole release, both, and the controls."""
    rng = np.random.default_rng(seed)
    real, synthetic = np.arange(num_real), num_real + rng.permutation(num_synthetic)
    counts = {f"{multiple}x": multiple * num_real for multiple in MULTIPLES if multiple * num_real <= num_synthetic}
    counts.setdefault(f"{num_synthetic / num_real:.2g}x", num_synthetic)  # all of it, whatever its size
    sets = [TrainingSet(f"synthetic {name}", REAL, synthetic[:count]) for name, count in counts.items()]
    most, count = sets[-1], len(sets[-1].rows)
    repeats = np.concatenate([np.tile(real, 1 + count // num_real), rng.permutation(real)[: count % num_real]])
    return [
        TrainingSet(REAL, CONSTANT, real),
        *sets,
        TrainingSet(f"{most.name}, images shuffled", most.name, most.rows, rng.permutation(count)),
        TrainingSet(REPEATED, REAL, repeats),
        TrainingSet(f"real + {most.name}", REPEATED, np.concatenate([real, most.rows])),
        TrainingSet(f"{most.name}, then real", REPEATED, np.concatenate([most.rows, real]), num_first=count),
    ]


def score_targets(
    comparison: Comparison,
    keep: Callable[[list[TrainingSet]], list[TrainingSet]] = list,
    inputs: Collection[str] = tuple(INPUTS),
) -> list["Target"]:
    """Fits every model and hands what it says of the test records to its target.

    Args:
        comparison: each target of its schema is predicted from the image and from all other columns.
        keep: picks those of `training_sets` that models are trained on.
        inputs: which of `INPUTS` they see.
    """
    synthetic, train, test = comparison.synthetic, comparison.train, comparison.test
    schema, options = comparison.schema, comparison.options
    weights = bootstrap_weights(test.groups, options.bootstraps, seed=0)
    targets = [Target(name, schema, train, synthetic, test, weights) for name in schema.targets]
    pixels = np.concatenate([train.pixels, synthetic.pixels])
    table = predictors.table_features(schema, pd.concat([train.frame, synthetic.frame], ignore_index=True))
    test_table = predictors.table_features(schema, test.frame)
    for seed in range(options.seeds):
        rows = None
        sets = training_sets(len(train), len(synthetic), seed)
        for training_set in keep(sets):
            comparison.tell(f"seed {seed + 1} of {options.seeds}: training on {training_set.name}")
            if training_set.rows is not rows:  # the shuffled control shares its features with the set before it
                rows = training_set.rows
                images = (pixels[rows], test.pixels)
                if options.image_model == "linear":
                    images = predictors.image_components(*images, seed)
                columns = {name: predictors.scale_table(table[name][rows], test_table[name]) for name in table}
            shuffled = training_set.image_order is not None
            order = training_set.image_order if shuffled else slice(None)
            for target in targets:
                features = {"image": (images[0][order], images[1])}
                if others := [columns[name] for name in columns if name != target.name]:
                    features["table"] = tuple(np.concatenate(side, axis=1) for side in zip(*others, strict=True))
                known = target.known[rows]
                values = target.values[rows][known]
                for seen in inputs:
                    parts = INPUTS[seen]
                    if not set(parts) <= set(features) or (shuffled and seen == "table"):
                        continue  # there is no other column, or no image that could be shuffled
                    outputs = None
                    if target.reason is None and predictors.varies(values):
                        learned = [features[part][0][known] for part in parts]
                        tested = [features[part][1][target.test_known] for part in parts]
                        network = options.image_model == "cnn" and "image" in parts
                        predict = partial(predictors.predict_cnn, seed=seed) if network else predictors.predict_linear
                        first = int(known[: training_set.num_first].sum())
                        outputs = predict(learned, values, tested, target.num_classes, num_first=first)
                    target.add(seen, training_set, values, outputs)
    return targets


def real_and_whole(sets: list[TrainingSet]) -> list[TrainingSet]:
    """The real records and the whole release."""
    return [sets[0], whole_release(sets)]


def shuffled_release(sets: list[TrainingSet]) -> TrainingSet:
    """The whole release with its images shuffled."""
    return next(one for one in sets if one.image_order is not None)


def whole_release(sets: list[TrainingSet]) -> TrainingSet:
    """The largest of the synthetic training sets."""
    return [one for one in sets if one.compared_with == REAL and one.name != REPEATED][-1]


class Target:
    """A column to predict: its values, which of its classes can be scored, and the estimates so far."""

    def __init__(
        self,
        name: str,
        schema: RecordSchema,
        train: EvaluationSet,
        synthetic: EvaluationSet,
        test: EvaluationSet,
        weights: np.ndarray,
    ):
        column = schema.table[name]
        self.name = name
        self.metrics = ("r2", "mae") if column.is_number else ("auc", "balanced_accuracy")
        self.num_classes = None if column.is_number else len(predictors.class_names(column))
        (train_values, train_known), (synthetic_values, synthetic_known), (test_values, self.test_known) = (
            predictors.target_values(one.frame[name], column) for one in (train, synthetic, test)
        )
        self.values = np.concatenate([train_values, synthetic_values])
        self.known = np.concatenate([train_known, synthetic_known])
        self.test_values, self.weights = test_values[self.test_known], weights[:, self.test_known]
        groups = test.groups[self.test_known]
        self.num_patients = len(np.unique(groups))
        self.results: dict[tuple[str, str], _Result] = {}

        self.scored, self.reason = [], None
        enough = schema.min_patients
        self.num_told = self.num_patients if self.num_patients >= enough else None  # so few are not counted
        train_values = train_values[train_known]
        if not predictors.varies(train_values):
            self.reason = f"the training records ({REAL}) hold one value only"
        elif column.is_number:
            if self.num_patients < enough or not predictors.varies(self.test_values):
                self.reason = f"fewer than {enough} test patients have a value, or all have the same"
            constant = np.full(len(self.test_values), train_values.mean())
        else:
            # A class of fewer patients would say more about them than about the model.
            in_train, in_test = (
                predictors.indicators(side, self.num_classes).T for side in (train_values, self.test_values)
            )
            self.scored = [
                number
                for number, held in enumerate(in_test)
                if min(count_patients(groups, held), count_patients(groups, ~held)) >= enough
                and predictors.varies(in_train[number])
            ]
            if len(self.scored) < (1 if column.kind == "multi-label" else 2):
                self.reason = f"too few classes are held by {enough} test patients, and in training too, to tell apart"
            constant = np.tile(in_train.mean(axis=1), (len(self.test_values), 1))
        self.constant = None if self.reason else self._estimates(constant, train_values)

    def add(self, inputs: str, training_set: TrainingSet, values: np.ndarray, outputs: np.ndarray | None) -> None:
        """Takes the outputs of one model for the known test records; None where it could not be trained."""
        result = self.results.setdefault((inputs, training_set.name), _Result(training_set.compared_with))
        result.num_train.append(len(values))
        if outputs is not None:
            for metric, estimate in self._estimates(outputs, values).items():
                result.estimates[metric].append(estimate)
        else:
            result.reason = self.reason or f"the training records ({training_set.name}) hold one value only"

    def _estimates(self, outputs: np.ndarray, values: np.ndarray) -> dict[str, Estimate]:
        """Scores outputs; `values` are those learned from, whose frequencies decide between classes.

        A class is chosen where it became more likely than it was in training by the largest factor: cutting at 0.5
        would never name a rare class and make every balanced accuracy one of chance.
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

    def score_rows(self) -> Iterator[dict]:
        """The rows of `scores` in the report."""
        for metric in self.metrics:
            for inputs, trained_on in self._ordered():
                result = self.results[inputs, trained_on]
                estimate = self.mean(metric, inputs, trained_on)
                reference = self.mean(metric, inputs, result.compared_with)
                difference = estimate.minus(reference) if estimate and reference else None
                yield {
                    "target": self.name,
                    "metric": metric,
                    "direction": METRICS[metric].direction,
                    "range": list(METRICS[metric].range),
                    "inputs": inputs,
                    "trained_on": trained_on,
                    "n_train": round(float(np.mean(result.num_train))),  # seeds draw a few more or fewer known values
                    "n_test": self.num_told and len(self.test_values),
                    "n_test_patients": self.num_told,
                    "classes_scored": len(self.scored) if self.num_classes else None,
                    "seeds": len(result.num_train),
                    **_numbers("value", "interval", estimate),
                    "compared_with": result.compared_with,
                    **_numbers("difference", "difference_interval", difference),
                    "reason": result.reason,
                }

    def headline_rows(self) -> Iterator[dict]:
        """The rows of `headline`: what synthetic records keep, by the AUC or R2 of real ones."""
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
            yield self._headline_row(main, inputs, trained_on, recovery)
            if main == "r2":
                if recovery.gap:
                    real, synthetic = (self.mean("mae", inputs, name) for name in (REAL, trained_on))
                    recovery = Recovery(None, real.minus(synthetic), "the share is one of r2")
                yield self._headline_row("mae", inputs, trained_on, recovery)

    def _headline_row(self, metric: str, inputs: str, trained_on: str, recovery: Recovery) -> dict:
        return {
            "target": self.name,
            "metric": metric,
            "inputs": inputs,
            "trained_on": trained_on,
            "compared_with": REAL,
            **_numbers("recovered_share", "recovered_share_interval", recovery.share),
            **_numbers("gap", "gap_interval", recovery.gap),
            "reason": recovery.reason,
        }


@dataclass
class _Result:
    """What the seeds of one training set gave for one target and kind of inputs."""

    compared_with: str
    num_train: list[int] = field(default_factory=list)
    estimates: dict[str, list[Estimate]] = field(default_factory=lambda: defaultdict(list))
    reason: str | None = None


def _numbers(value: str, interval: str, estimate: Estimate | None) -> dict:
    """An estimate under two names, rounded; null where it is not defined."""
    rounded = [None]
    if estimate and np.isfinite(estimate.value):
        rounded = [round(number, 4) + 0.0 for number in (estimate.value, *(estimate.interval or ()))]  # no -0.0
    return {value: rounded[0], interval: rounded[1:] or None}
