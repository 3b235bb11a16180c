"""What an image model sees of an image, and which model a target is shown of: validation patients decide.

`linear` and `features` are linear models on principal components, of 32 px images or of features at the resolution of
the release. Pixels at 32 px do for what changes the whole image, such as the view; what is finer needs features that
know such images. Neither is better for all targets.
"""

from collections.abc import Sequence

import numpy as np

from hf_hybrid.core.scores import ImageModelChoice
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.target import Target
from hf_hybrid.metrics import predictors
from hf_hybrid.metrics.utility import METRICS
from hf_hybrid.models.image_features import extractor_name

LINEAR, FEATURES = "linear", "features"
NUM_FOLDS = 4  # of training patients, each validation patients once


def images_of(model: str, one: EvaluationSet, extractor: str) -> np.ndarray:
    """What a model sees of each image: features `(n, d)`, or pixels `(n, side, side)` at 32 px."""
    return one.features(extractor) if model == FEATURES else one.pixels


def choose_image_models(comparison: Comparison, targets: Sequence[Target]) -> None:
    """Sets for each target the model that predicts validation patients better, by the first metric of the target.

    Validation patients are taken from the training patients, a fold at a time; no held-out patient has a part in it.
    Where neither can be scored, or both score the same, 32 px images are shown.
    """
    from sklearn.model_selection import GroupKFold

    train, extractor = comparison.train, comparison.extractor
    images = {model: images_of(model, train, extractor) for model in (LINEAR, FEATURES)}
    folds, num_patients = [], train.num_patients
    if num_patients >= NUM_FOLDS:
        folds = list(GroupKFold(NUM_FOLDS).split(np.zeros(len(train)), groups=train.groups))
    components = {
        model: [predictors.image_components(one[learned], one[scored]) for learned, scored in folds]
        for model, one in images.items()
    }
    side = next(train.images_at(np.arange(1))).shape[1]
    words = {
        LINEAR: f"components of {predictors.RESOLUTION} px images",
        FEATURES: f"features by the {extractor_name(extractor)} at {side} px",
    }
    for target in targets:
        found = {model: _validation_score(target, folds, components[model], len(train)) for model in images}
        is_features = None not in found.values() and found[FEATURES] > found[LINEAR]
        shown, beside = (FEATURES, LINEAR) if is_features else (LINEAR, FEATURES)
        target.choice = ImageModelChoice(
            *(target.name, target.metrics[0], words[shown], words[beside], found[shown], found[beside])
        )
        target.image_models = {"image": shown, "other": beside}


def _validation_score(
    target: Target, folds: list[tuple[np.ndarray, np.ndarray]], components: list, num_train: int
) -> float | None:
    """The score of predictions for every training record by a model of other training patients; None if not known."""
    known, values = target.known[:num_train], target.values[:num_train]
    if target.reason or not folds:
        return None
    shape = (num_train,) if target.num_classes is None else (num_train, target.num_classes)
    outputs, is_scored = np.zeros(shape), np.zeros(num_train, dtype=bool)
    for (learned, scored), (train, other) in zip(folds, components, strict=True):
        usable = known[learned]
        if predictors.varies(values[learned][usable]):
            outputs[scored] = predictors.predict_linear(
                [train[usable]], values[learned][usable], [other], target.num_classes
            )
            is_scored[scored] = known[scored]
    references, outputs = values[is_scored], outputs[is_scored]
    if target.num_classes is not None:
        references = predictors.indicators(references, target.num_classes)[:, target.scored]
        outputs = outputs[:, target.scored]
    if not len(references):
        return None
    score = float(METRICS[target.metrics[0]].score(references, outputs, np.ones((1, len(references))))[0])
    return score if np.isfinite(score) else None
