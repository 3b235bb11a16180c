"""Train on synthetic, test on real: the utility part of a release's report, as JSON, as text and as charts.

Every score is of real test patients whom no model was trained or chosen on. Beside the synthetic records stand the
real ones, and the controls without which a gain means nothing: real records repeated to the same count, and synthetic
records whose images were shuffled. All scores share one patient bootstrap, so their differences are paired.
"""

import logging
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from hf_hybrid.cells import is_missing, to_category
from hf_hybrid.disclosure import count_patients
from hf_hybrid.errors import InputError
from hf_hybrid.metrics.utility import CHANCE, METRICS, Estimate, Recovery, bootstrap_weights, recover
from hf_hybrid.schema import RecordSchema

logger = logging.getLogger(__name__)

RESOLUTION = 32  # of the pixels that predict: fixed, so that scores of different codecs can be compared
MULTIPLES = (1, 2, 5)  # synthetic records per real training record
INPUTS = ("image", "table", "both")
NUM_COMPONENTS = 50
OUTLIER = 5.0  # standard deviations at which a feature is cut: one typing error in a test row must not decide a score
# Fixed, because choosing a strength needs records of its own; one value suits all tables: features are standardised.
# On 419 radiographs it was the best or near it among 0.01, 0.1 and 1. The logistic loss curves at most a quarter as
# much as the squared one: hence the 4 for equal shrinkage.
LOGISTIC_C = 0.1
RIDGE_ALPHA = 4 / LOGISTIC_C
CNN_STEPS, CNN_BATCH = 250, 64  # of every network, however many records: more data must not mean more training
REAL, REPEATED, CONSTANT = "real", "real repeated", "a constant"


@dataclass
class EvaluationSet:
    """Records as the scores need them.

    Args:
        pixels: uint8 `(n, 32, 32)`.
        frame: typed cells as `RecordSchema.read` returns them.
        groups: the patient of each record, int `(n,)`.
    """

    pixels: np.ndarray
    frame: pd.DataFrame
    groups: np.ndarray

    def __len__(self) -> int:
        """Number of records."""
        return len(self.groups)


@dataclass
class EvaluationOptions:
    """How a release is scored.

    Args:
        seeds: number of repetitions (choice of synthetic records, components, start of the network).
        bootstraps: number of patient bootstrap replicates behind every interval.
        image_model: "linear" (principal components of the pixels) or "cnn" (a small convolutional network).
    """

    seeds: int = 3
    bootstraps: int = 500
    image_model: str = "linear"

    def __post_init__(self) -> None:
        """Checks the values."""
        if self.image_model not in ("linear", "cnn"):
            raise InputError(f"expected `image_model` linear or cnn, found {self.image_model!r}")
        for name in ("seeds", "bootstraps"):
            if getattr(self, name) < 1:
                raise InputError(f"expected `{name}` of at least 1, found {getattr(self, name)}")


def _not_measured() -> dict:
    return {"status": "not measured", "reason": "this version of hf_hybrid does not measure it"}


@dataclass
class Report:
    """The evidence about a release; every part says in `status` whether it was measured, or else its `reason`."""

    utility: dict = field(default_factory=_not_measured)
    fidelity: dict = field(default_factory=_not_measured)
    pairing: dict = field(default_factory=_not_measured)
    privacy: dict = field(default_factory=_not_measured)
    provenance: dict = field(default_factory=dict)

    def to_dict(self) -> dict:
        """The content of `report.json`: the same for the same records, options and versions."""
        return asdict(self)


def evaluate_release(
    release: str | Path,
    train: str | Path,
    test: str | Path,
    options: EvaluationOptions | None = None,
    schema: str | Path | None = None,
    targets: list[str] | None = None,
) -> Report:
    """Scores a release folder against real records.

    Args:
        release: folder that `hf-hybrid generate` wrote.
        train: `DATASET[:split]` of the real records that the release was learned from; split "train" if not said.
        test: `DATASET[:split]` of real records of other patients; split "test" if not said.
        options: how to score.
        schema: schema file to read all records with; the release's own when None.
        targets: columns to predict; the schema's when None.

    Raises:
        InputError: a dataset cannot be read, or train and test share patients.
    """
    from hf_hybrid.records import load_records

    schema = RecordSchema.load(schema or Path(release) / "schema.json").with_targets(targets)
    spellings = {spelling.strip().lower() for spelling in schema.missing_values}
    sets, patients = [], []
    for dataset, split in ((release, "train"), (train, "train"), (test, "test")):
        records = load_records(dataset, schema=schema, split=split)
        sets.append(EvaluationSet(records.pixel_values(RESOLUTION), records.frame, records.groups))
        cells = records.raw[schema.group_column] if schema.group_column in records.raw else ()
        patients.append({to_category(cell) for cell in cells if not is_missing(cell, spellings)})
    advice = "divide the records with `hf-hybrid split` first"
    if shared := patients[1] & patients[2]:
        found = f"{len(shared)} of {len(patients[2])} in both"
        raise InputError(f"expected other patients in `test` than in `train`, found {found}: {advice}")
    images = [{image.tobytes() for image in one.pixels} for one in sets[1:]]
    if images[1] <= images[0]:
        raise InputError(f"expected other images in `test` than in `train`, found the same: {advice}")
    return evaluate_sets(*sets, schema, options)


def evaluate_sets(
    synthetic: EvaluationSet,
    train: EvaluationSet,
    test: EvaluationSet,
    schema: RecordSchema,
    options: EvaluationOptions | None = None,
) -> Report:
    """Scores synthetic records against real ones that are already in memory.

    Args:
        synthetic: the release.
        train: real records that the release was learned from.
        test: real records of other patients.
        schema: of the release; each of its targets is predicted from the image and from all other columns.
        options: how to score.
    """
    options = options or EvaluationOptions()
    packages = ("numpy", "scikit-learn", *(("torch",) if options.image_model == "cnn" else ()))
    facts = {"configuration": asdict(options), "versions": {name: version(name) for name in packages}}
    if not schema.targets:
        reason = "the schema names no target: name columns to predict with `targets`"
        return Report(utility={"status": "not measured", "reason": reason}, provenance=facts)
    weights = bootstrap_weights(test.groups, options.bootstraps, seed=0)
    targets = [_Target(name, schema, train, synthetic, test, weights) for name in schema.targets]
    _train_and_score(targets, train, synthetic, test, schema, options)
    utility = {
        "status": "measured",
        "interval": f"95 % of {options.bootstraps} patient-cluster bootstraps of the mean over {options.seeds} seeds",
        "scores": [row for target in targets for row in target.score_rows()],
        "headline": [row for target in targets for row in target.headline_rows()],
    }
    return Report(utility=utility, provenance=facts)


# --- what is trained on ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _TrainingSet:
    """Rows of the pool (real training records, then synthetic ones) that a model learns from.

    Args:
        name: as in the report.
        compared_with: name of the set whose scores are subtracted.
        rows: `(n_train,)`.
        image_order: which of `rows` lends its image to each row; None for each its own.
    """

    name: str
    compared_with: str
    rows: np.ndarray
    image_order: np.ndarray | None = None


def _training_sets(num_real: int, num_synthetic: int, seed: int) -> list[_TrainingSet]:
    """Real, synthetic in nested subsets, both, and the controls; a release smaller than the real set is used whole."""
    rng = np.random.default_rng(seed)
    real, synthetic = np.arange(num_real), num_real + rng.permutation(num_synthetic)
    counts = {f"{multiple}x": multiple * num_real for multiple in MULTIPLES if multiple * num_real <= num_synthetic}
    counts = counts or {f"{num_synthetic / num_real:.2g}x": num_synthetic}
    sets = [_TrainingSet(f"synthetic {name}", REAL, synthetic[:count]) for name, count in counts.items()]
    most, count = sets[-1], len(sets[-1].rows)
    repeats = np.concatenate([np.tile(real, 1 + count // num_real), rng.permutation(real)[: count % num_real]])
    return [
        _TrainingSet(REAL, CONSTANT, real),
        *sets,
        _TrainingSet(f"{most.name}, images shuffled", most.name, most.rows, rng.permutation(count)),
        _TrainingSet(REPEATED, REAL, repeats),
        _TrainingSet(f"real + {most.name}", REPEATED, np.concatenate([real, most.rows])),
    ]


def _train_and_score(
    targets: list["_Target"],
    train: EvaluationSet,
    synthetic: EvaluationSet,
    test: EvaluationSet,
    schema: RecordSchema,
    options: EvaluationOptions,
) -> None:
    """Fits every model and hands what it says of the test records to its target."""
    pixels = np.concatenate([train.pixels, synthetic.pixels])
    table = _table_columns(schema, pd.concat([train.frame, synthetic.frame], ignore_index=True))
    test_table = _table_columns(schema, test.frame)
    for seed in range(options.seeds):
        rows = None
        for training_set in _training_sets(len(train), len(synthetic), seed):
            logger.info("utility, seed %d of %d: training on %s", seed + 1, options.seeds, training_set.name)
            if training_set.rows is not rows:  # the shuffled control shares its features with the set before it
                rows = training_set.rows
                images = (pixels[rows], test.pixels)
                if options.image_model == "linear":
                    images = _components(*images, seed)
                columns = {name: _standardise(*_impute(table[name][rows], test_table[name])) for name in table}
            order = slice(None) if training_set.image_order is None else training_set.image_order
            for target in targets:
                others = [columns[name] for name in columns if name != target.name]
                features = {"image": (images[0][order], images[1])}
                if others:
                    features["table"] = tuple(np.concatenate(side, axis=1) for side in zip(*others, strict=True))
                known = target.known[rows]
                values = target.values[rows][known]
                for inputs in INPUTS:
                    parts = ("image", "table") if inputs == "both" else (inputs,)
                    if not set(parts) <= set(features) or (inputs == "table" and training_set.image_order is not None):
                        continue  # there is no other column, or no image that could be shuffled
                    outputs = None
                    if target.reason is None and _varies(values):
                        fit = _fit_cnn if options.image_model == "cnn" and "image" in parts else _fit_linear
                        learned = [features[part][0][known] for part in parts]
                        tested = [features[part][1][target.test_known] for part in parts]
                        outputs = fit(learned, values, tested, target.num_classes, seed)
                    target.add(inputs, training_set, values, outputs)


class _Target:
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
        self.name, self.metrics = name, ("r2", "mae") if column.is_number else ("auc", "balanced_accuracy")
        names = ["false", "true"] if column.kind == "boolean" else column.categories
        self.num_classes = None if column.is_number else len(names)
        read = [_target_values(one.frame[name], column.kind, names) for one in (train, synthetic, test)]
        self.values, self.known = (np.concatenate(both) for both in zip(*read[:2], strict=True))
        test_values, self.test_known = read[2]
        self.test_values, self.weights = test_values[self.test_known], weights[:, self.test_known]
        groups = test.groups[self.test_known]
        self.num_patients = len(np.unique(groups))
        self.results: dict[tuple[str, str], _Result] = {}

        train_values = read[0][0][read[0][1]]
        self.scored, self.reason, enough = [], None, schema.min_patients
        if not _varies(train_values):
            self.reason = "the training records (real) hold one value only"
        elif column.is_number:
            if self.num_patients < enough or not _varies(self.test_values):
                self.reason = f"fewer than {enough} test patients have a value, or all have the same"
            constant = np.full(len(self.test_values), train_values.mean())
        else:
            # A class of fewer patients would say more about them than about the model.
            in_train, in_test = (_indicators(side, self.num_classes).T for side in (train_values, self.test_values))
            self.scored = [
                number
                for number, held in enumerate(in_test)
                if min(count_patients(groups, held), count_patients(groups, ~held)) >= enough
                and _varies(in_train[number])
            ]
            if len(self.scored) < (1 if column.kind == "multi-label" else 2):
                self.reason = f"too few classes are held by {enough} test patients, and in training too, to tell apart"
            constant = np.tile(in_train.mean(axis=1), (len(self.test_values), 1))
        self.constant = None if self.reason else self._estimates(constant, train_values)

    def add(self, inputs: str, training_set: _TrainingSet, values: np.ndarray, outputs: np.ndarray | None) -> None:
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
        references = _indicators(self.test_values, self.num_classes)[:, self.scored]
        outputs = outputs[:, self.scored]
        frequencies = _indicators(values, self.num_classes)[:, self.scored].mean(axis=0)
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

    def _mean(self, metric: str, inputs: str, trained_on: str) -> Estimate | None:
        """The mean over seeds, None where a seed could not be trained."""
        if trained_on == CONSTANT:
            return self.constant and self.constant[metric]
        result = self.results[inputs, trained_on]
        return None if result.reason else Estimate.mean(result.estimates[metric])

    def _ordered(self) -> list[tuple[str, str]]:
        return sorted(self.results, key=lambda key: INPUTS.index(key[0]))

    def score_rows(self) -> Iterator[dict]:
        """The rows of `scores` in the report."""
        for metric in self.metrics:
            for inputs, trained_on in self._ordered():
                result = self.results[inputs, trained_on]
                estimate = self._mean(metric, inputs, trained_on)
                reference = self._mean(metric, inputs, result.compared_with)
                difference = estimate.minus(reference) if estimate and reference else None
                yield {
                    "target": self.name,
                    "metric": metric,
                    "direction": METRICS[metric].direction,
                    "range": list(METRICS[metric].range),
                    "inputs": inputs,
                    "trained_on": trained_on,
                    "n_train": round(float(np.mean(result.num_train))),  # seeds draw a few more or fewer known values
                    "n_test": len(self.test_values),
                    "n_test_patients": self.num_patients,
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
            real, synthetic = (self._mean(main, inputs, name) for name in (REAL, trained_on))
            if real and synthetic:
                recovery = recover(main, real, synthetic)
            else:
                reasons = [self.results[inputs, name].reason for name in (REAL, trained_on)]
                recovery = Recovery(None, None, next(reason for reason in reasons if reason))
            yield self._headline_row(main, inputs, trained_on, recovery)
            if main == "r2":
                if recovery.gap:
                    real, synthetic = (self._mean("mae", inputs, name) for name in (REAL, trained_on))
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


# --- what is learned from --------------------------------------------------------------------------------------------


def _target_values(cells: pd.Series, kind: str, names: list[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """Numbers, class numbers `(n,)` or 0/1 labels `(n, num_labels)`, and which records have one."""
    if kind in ("numeric", "integer"):
        values = cells.to_numpy(np.float64)
        return values, np.isfinite(values)
    known = cells.notna().to_numpy()
    if kind == "multi-label":
        labels = [cell if has else () for cell, has in zip(cells, known, strict=True)]
        return np.array([[name in cell for name in names] for cell in labels]), known
    numbers = {name: number for number, name in enumerate(names)}
    spelled = cells.map(lambda cell: str(bool(cell)).lower(), na_action="ignore") if kind == "boolean" else cells
    return np.array([numbers[cell] if has else -1 for cell, has in zip(spelled, known, strict=True)]), known


def _indicators(values: np.ndarray, num_classes: int) -> np.ndarray:
    """0/1 columns of class numbers; labels are such columns already."""
    return values if values.ndim == 2 else values[:, None] == np.arange(num_classes)


def _varies(values: np.ndarray) -> bool:
    return len(values) > 0 and bool((values != values[0]).any())


def _table_columns(schema: RecordSchema, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Features of every column, float64 `(n, num_features)`.

    A number (NaN where it is none) with one indicator each for missing, -inf and inf; one indicator each for the names
    of the other kinds and for missing.
    """
    features = {}
    for name, column in schema.table.items():
        cells = frame[name]
        if column.is_number:
            values = cells.to_numpy(np.float64)
            finite = np.isfinite(values)
            columns = [np.where(finite, values, np.nan), np.isnan(values), values == -np.inf, values == np.inf]
        else:
            names = ["false", "true"] if column.kind == "boolean" else column.categories
            values, known = _target_values(cells, column.kind, names)
            columns = [*_indicators(values, len(names)).T, ~known]
        features[name] = np.stack(columns, axis=1).astype(np.float64)
    return features


def _impute(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fills NaN with the training side's median, 0 where it has no value at all."""
    has_value = np.isfinite(train).any(axis=0)
    medians = np.zeros(train.shape[1])
    medians[has_value] = np.nanmedian(train[:, has_value], axis=0)
    return tuple(np.where(np.isnan(side), medians, side) for side in (train, test))


def _standardise(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 features of mean 0 and sd 1 on the training side, cut at `OUTLIER`."""
    mean, scale = train.mean(axis=0), np.where(train.max(axis=0) > train.min(axis=0), train.std(axis=0), 1)
    return tuple(np.clip((side - mean) / scale, -OUTLIER, OUTLIER).astype(np.float32) for side in (train, test))


def _components(train: np.ndarray, test: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of standardised pixels, found on the training side.

    All are divided by one number. Each by its own would blow up the weak ones, and those are what a codec blurs away.
    """
    from sklearn.decomposition import PCA

    train, test = _standardise(*(side.reshape(len(side), -1).astype(np.float32) for side in (train, test)))
    num_components = min(NUM_COMPONENTS, *train.shape)
    pca = PCA(num_components, svd_solver="randomized", iterated_power=3, random_state=seed).fit(train)
    scale = np.sqrt(pca.explained_variance_.mean()) or 1
    return tuple(pca.transform(side) / scale for side in (train, test))


# --- models ----------------------------------------------------------------------------------------------------------


def _fit_linear(
    train: list[np.ndarray], values: np.ndarray, test: list[np.ndarray], num_classes: int | None, seed: int
) -> np.ndarray:
    """Ridge or logistic regression, without class weights.

    Args:
        train: features, each `(n_train, num_features)`.
        values: numbers, class numbers or labels to learn.
        test: the same features of the test records.
        num_classes: number of classes or labels, None for numbers.
        seed: not needed: both have one solution.

    Returns:
        Numbers `(n_test,)`, or probabilities `(n_test, num_classes)`.
    """
    from sklearn.linear_model import LogisticRegression, Ridge

    train, test = np.concatenate(train, axis=1), np.concatenate(test, axis=1)
    if num_classes is None:
        mean, scale = values.mean(), values.std()
        return Ridge(RIDGE_ALPHA).fit(train, (values - mean) / scale).predict(test) * scale + mean
    outputs = np.zeros((len(test), num_classes))
    if values.ndim == 1:
        model = LogisticRegression(C=LOGISTIC_C, max_iter=500).fit(train, values)
        outputs[:, model.classes_] = model.predict_proba(test)
        return outputs
    for label, held in enumerate(values.T):
        outputs[:, label] = held[0]
        if _varies(held):
            model = LogisticRegression(C=LOGISTIC_C, max_iter=500).fit(train, held)
            outputs[:, label] = model.predict_proba(test)[:, 1]
    return outputs


def _fit_cnn(
    train: list[np.ndarray], values: np.ndarray, test: list[np.ndarray], num_classes: int | None, seed: int
) -> np.ndarray:
    """A small convolutional network on uint8 pixels `(n, 32, 32)`, other features joining before its last layers.

    Arguments and result are those of `_fit_linear`; the pixels come first.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    pixel_mean, pixel_scale = float(train[0].mean()), float(train[0].std()) or 1.0
    mean, scale = (values.mean(), values.std()) if num_classes is None else (0, 1)
    goals = torch.from_numpy(((values - mean) / scale).astype(np.float32) if num_classes is None else values)
    train, test = (
        [
            torch.from_numpy((side[0].astype(np.float32) - pixel_mean) / pixel_scale)[:, None],
            *map(torch.from_numpy, side[1:]),
        ]
        for side in (train, test)
    )
    draws = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [
            (nn.Conv2d(wide, wider, 3, stride=2, padding=1), nn.ReLU())
            for wide, wider in ((1, 16), (16, 32), (32, 64))
        ]
        convolutions = nn.Sequential(*sum(layers, ()), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        num_features = 256 + sum(side.shape[1] for side in train[1:])
        head = nn.Sequential(nn.Linear(num_features, 64), nn.ReLU(), nn.Linear(64, num_classes or 1))
    optimizer = torch.optim.AdamW([*convolutions.parameters(), *head.parameters()], lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=CNN_STEPS)
    for _ in range(CNN_STEPS):
        rows = torch.randint(len(goals), (CNN_BATCH,), generator=draws)
        found = head(torch.cat([convolutions(train[0][rows]), *(side[rows] for side in train[1:])], dim=1))
        if num_classes is None:
            loss = functional.mse_loss(found[:, 0], goals[rows])
        elif goals.ndim == 1:
            loss = functional.cross_entropy(found, goals[rows])
        else:
            loss = functional.binary_cross_entropy_with_logits(found, goals[rows].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        blocks = zip(*(side.split(1024) for side in test), strict=True)
        found = torch.cat([head(torch.cat([convolutions(block[0]), *block[1:]], dim=1)) for block in blocks]).double()
    if num_classes is None:
        return found[:, 0].numpy() * scale + mean
    return (found.softmax(dim=1) if goals.ndim == 1 else found.sigmoid()).numpy()


# --- text and charts -------------------------------------------------------------------------------------------------


def format_report(report: Report) -> str:
    """The utility scores as a table for the terminal, then what synthetic records keep in one line each."""
    utility = report.utility
    if utility["status"] != "measured":
        return f"utility: not measured ({utility['reason']})\n"
    lines = []
    for (target, metric), scores in _by_target_and_metric(utility["scores"]).items():
        tested = f"tested on {scores[0]['n_test']} real records of {scores[0]['n_test_patients']} patients"
        lines.append(f"{target}: {metric}, {scores[0]['direction']}, {tested}")
        names = list(dict.fromkeys(score["trained_on"] for score in scores))
        heads = [textwrap.wrap(name, 13) for name in names]
        for level in zip_longest(*heads, fillvalue=""):
            lines.append(" " * 8 + "".join(f"{word:>15}" for word in level))
        for inputs in dict.fromkeys(score["inputs"] for score in scores):
            values, intervals = dict.fromkeys(names, ""), dict.fromkeys(names, "")
            for score in scores:
                if score["inputs"] == inputs:
                    values[score["trained_on"]] = "-" if score["value"] is None else f"{score['value']:.3f}"
                    ends = [f"{end:.2f}" if abs(end) < 10 else f"{end:.1f}" for end in score["interval"] or ()]
                    intervals[score["trained_on"]] = " to ".join(ends)
            lines.append(f"  {inputs:6}" + "".join(f"{value:>15}" for value in values.values()))
            lines.append(" " * 8 + "".join(f"{interval:>15}" for interval in intervals.values()))
        lines.append("")
    lines.append(f"Below each score: {utility['interval']}.")
    shares = []
    for row in utility["headline"]:
        what = f"{row['target']}, {row['inputs']}"
        if row["recovered_share"] is not None:
            gap = "{:.3f} ({:.3f} to {:.3f})".format(row["gap"], *row["gap_interval"])
            share = f"{row['recovered_share']:.0%} of the {row['metric']} above chance"
            shares.append(f"{what}: {row['trained_on']} recovers {share}, gap {gap}")
        elif row["metric"] in CHANCE:
            shares.append(f"{what}: no share ({row['reason']})")
    return "\n".join([*lines, *dict.fromkeys(shares)]) + "\n"


def draw_charts(report: Report, directory: str | Path) -> list[Path]:
    """Bar charts of the AUC or R2 of every target, `utility_<target>.png`; charts of an earlier report are removed.

    Args:
        report: nothing is drawn where it has no utility scores.
        directory: made where it does not exist.

    Returns:
        The files written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("utility_*.png"):
        old.unlink()
    paths = []
    for (target, metric), scores in _by_target_and_metric(report.utility.get("scores", [])).items():
        if metric not in CHANCE or not any(score["interval"] for score in scores):
            continue
        names = list(dict.fromkeys(score["trained_on"] for score in scores))[::-1]  # the first one on top
        panels = list(dict.fromkeys(score["inputs"] for score in scores))
        figure = Figure(figsize=(2.4 + 2.6 * len(panels), 1.3 + 0.33 * len(names)), layout="constrained")
        all_axes = dict(
            zip(panels, figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0], strict=True)
        )
        for score in scores:
            if score["interval"]:
                axis, row = all_axes[score["inputs"]], names.index(score["trained_on"])
                axis.barh(row, score["value"], height=0.7, color=_colour(score["trained_on"]))
                axis.hlines(row, *score["interval"], color="black", linewidth=1.2)
                axis.text(
                    1.02,
                    row,
                    f"{score['value']:.2f}".replace("-0.00", "0.00"),
                    transform=axis.get_yaxis_transform(),
                    va="center",
                )
        lowest = min(score["interval"][0] for score in scores if score["interval"])
        for inputs, axis in all_axes.items():
            axis.axvline(CHANCE[metric], color="black", linestyle=":", linewidth=1)
            axis.set_xlim(max(min(lowest, 0), -1), 1)
            axis.set_title(
                {"image": "image only", "table": "table only", "both": "image and table"}[inputs], fontsize=10
            )
            axis.set_yticks(range(len(names)), names)
            axis.spines[["top", "right"]].set_visible(False)
        label = {"auc": "AUC (dotted: chance)", "r2": "R2 (dotted: no better than the mean)"}[metric]
        figure.suptitle(target.replace("$", r"\$"))
        figure.supxlabel(f"{label}, tested on real patients, 95 % intervals", fontsize=9)
        stem = "utility_" + (re.sub(r"[^0-9A-Za-z-]+", "_", target).strip("_") or "target")
        taken = [path.stem for path in paths]
        path = directory / f"{stem if stem not in taken else f'{stem}_{len(paths) + 1}'}.png"
        FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})
        paths.append(path)
    return paths


def _colour(trained_on: str) -> str:
    if trained_on in (REAL, REPEATED):
        return "0.45" if trained_on == REAL else "0.75"
    if trained_on.startswith(REAL):
        return "#3b8c5a"
    return "#b5cfe4" if trained_on.endswith("shuffled") else "#2f6f9f"


def _by_target_and_metric(scores: list[dict]) -> dict[tuple[str, str], list[dict]]:
    groups = defaultdict(list)
    for score in scores:
        groups[score["target"], score["metric"]].append(score)
    return groups
