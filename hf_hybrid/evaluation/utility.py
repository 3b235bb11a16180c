"""Train on synthetic, test on real: every model that a utility score needs, and its outputs for test records.

Synthetic records are compared with real ones and with two controls: real records repeated to the same count, and
synthetic records whose images were shuffled. All scores share one patient bootstrap, so their differences are paired.
"""

from collections.abc import Callable, Collection
from functools import partial

import numpy as np
import pandas as pd

from hf_hybrid.core.report import Utility
from hf_hybrid.core.scores import REAL
from hf_hybrid.evaluation.comparison import Comparison
from hf_hybrid.evaluation.image_models import choose_image_models, images_of
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.target import INPUTS, Target
from hf_hybrid.evaluation.training_sets import CONSTANT, TrainingSet, training_sets
from hf_hybrid.metrics import predictors
from hf_hybrid.metrics.estimates import bootstrap_weights
from hf_hybrid.models.image_predictor import predict_cnn

Features = dict[str, tuple[np.ndarray, np.ndarray]]  # of each part, of training and of test records


def measure_utility(comparison: Comparison) -> Utility:
    """The part `utility` of a report."""
    targets, options = score_targets(comparison), comparison.options
    choices = tuple(target.choice for target in targets if target.choice)
    return Utility(
        f"95 % of {options.bootstraps} patient-cluster bootstraps of the mean over {options.seeds} seeds",
        tuple(row for target in targets for row in target.score_rows()),
        tuple(row for target in targets for row in target.headline_rows()),
        choices or None,
    )


def score_targets(
    comparison: Comparison,
    keep: Callable[[list[TrainingSet]], list[TrainingSet]] = list,
    inputs: Collection[str] = tuple(INPUTS),
) -> list[Target]:
    """Fits every model and passes its outputs for the test records to its target.

    Args:
        comparison: each target of its schema is predicted from the image and from all other columns.
        keep: selects the `training_sets` that models are trained on.
        inputs: the `INPUTS` of the models.
    """
    synthetic, train, test, options = comparison.synthetic, comparison.train, comparison.test, comparison.options
    weights = bootstrap_weights(test.groups, options.bootstraps, seed=0)
    targets = [Target(name, comparison, weights) for name in comparison.schema.targets]
    if options.image_model == "auto" and {"image", "both"} & set(inputs):
        comparison.tell("choosing image models")
        choose_image_models(comparison, targets)
    used = {model for one in targets for part, model in one.image_models.items() if part == "image" or part in inputs}
    pool = _Pool(comparison, used)
    for seed in range(options.seeds):
        rows = None
        for training_set in keep(training_sets(len(train), len(synthetic), seed)):
            comparison.tell(f"seed {seed + 1} of {options.seeds}: training on {training_set.name}")
            if training_set.rows is not rows:  # the shuffled control shares its features with the set before it
                rows = training_set.rows
                images, columns = pool.images(rows), pool.columns(rows)
            for target in targets:
                features = _features_of(target, training_set, images, columns)
                for seen in (one for one in inputs if _is_needed(one, training_set, features)):
                    predictor = _predictor(options, seen, seed, int(target.known[: len(train)].sum()))
                    _predict(target, training_set, seen, features, predictor)
    return targets


def _is_needed(seen: str, training_set: TrainingSet, features: Features) -> bool:
    """Whether a model is trained: on shuffled images none of the table; of the other image model the main ones."""
    if seen == "table" and _is_shuffled(training_set):
        return False
    if seen == "other" and training_set.compared_with not in (CONSTANT, REAL):
        return False
    return set(INPUTS[seen]) <= set(features)


class _Pool:
    """Images as models see them and table features, of real training records, then synthetic ones, and of test."""

    def __init__(self, comparison: Comparison, models: Collection[str]) -> None:
        train, synthetic, self.test = comparison.train, comparison.synthetic, comparison.test
        self.seen = {}
        for model in models:
            real, release, test = (
                images_of(model, one, comparison.extractor) for one in (train, synthetic, self.test)
            )
            self.seen[model] = np.concatenate([real, release]), test
        frame = pd.concat([train.frame, synthetic.frame], ignore_index=True)
        self.table = predictors.table_features(comparison.schema, frame)
        self.test_table = predictors.table_features(comparison.schema, self.test.frame)

    def images(self, rows: np.ndarray) -> Features:
        """What each model sees of the images of `rows` and of the test records: components, or a network's pixels."""
        sides = {model: (one[rows], test) for model, (one, test) in self.seen.items()}
        return {model: one if model == "cnn" else predictors.image_components(*one) for model, one in sides.items()}

    def columns(self, rows: np.ndarray) -> Features:
        """Scaled features of every column."""
        return {name: predictors.scale_table(self.table[name][rows], self.test_table[name]) for name in self.table}


def _is_shuffled(training_set: TrainingSet) -> bool:
    return training_set.image_order is not None


def _features_of(target: Target, training_set: TrainingSet, images: Features, columns: Features) -> Features:
    """The possible inputs of a model of this target; no table if there is no other column."""
    order = training_set.image_order if _is_shuffled(training_set) else slice(None)
    seen = {part: images[model] for part, model in target.image_models.items() if model in images}
    features = {part: (learned[order], tested) for part, (learned, tested) in seen.items()}
    if others := [columns[name] for name in columns if name != target.name]:
        features["table"] = tuple(np.concatenate(side, axis=1) for side in zip(*others, strict=True))
    return features


def _predictor(options: EvaluationOptions, seen: str, seed: int, num_real: int) -> Callable[..., np.ndarray]:
    """The model; a linear one weighs every training set as much as the real records, so that none is shrunk less."""
    if options.image_model == "cnn" and "image" in INPUTS[seen]:
        return partial(predict_cnn, seed=seed)
    return partial(predictors.predict_linear, count_as=num_real)


def _predict(
    target: Target, training_set: TrainingSet, seen: str, features: Features, predictor: Callable[..., np.ndarray]
) -> None:
    """Trains one model and passes its outputs for the test records to the target."""
    known = target.known[training_set.rows]
    values, outputs = target.values[training_set.rows][known], None
    if target.reason is None and predictors.varies(values):
        learned = [features[part][0][known] for part in INPUTS[seen]]
        tested = [features[part][1][target.test_known] for part in INPUTS[seen]]
        first = int(known[: training_set.num_first].sum())
        outputs = predictor(learned, values, tested, target.num_classes, num_first=first)
    target.add(seen, training_set, values, outputs)
