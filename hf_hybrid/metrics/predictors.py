"""Predictors of a target from images and table cells: features scaled on the training side, and two models.

The features are fixed pixels and cells, never a codec's latents, so that scores of different codecs can be compared.
Functions that take a training and a test side learn from the training side alone.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import linalg
from scipy.special import logit

from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema

RESOLUTION = 32  # of the images
NUM_COMPONENTS = 50
OUTLIER = 5.0  # standard deviations at which a feature is cut: limits the effect of a typing error in a test row
# Fixed, because choosing a strength needs records of its own; one value suits all tables: features are standardised.
# On 419 radiographs it was the best or near it among 0.01, 0.1 and 1. The logistic loss curves at most a quarter as
# much as the squared one: hence the 4 for equal shrinkage. It is a strength against the information of the real
# records: a set of k times as many records weighs as much as one of them (`count_as`), or copies would be shrunk less.
LOGISTIC_C = 0.1
RIDGE_ALPHA = 4 / LOGISTIC_C
_FREE = 10.0  # scale of a feature whose weight is barely shrunk


def class_names(column: ColumnSchema) -> list[str] | None:
    """Names of the classes or labels of a column, None for numbers."""
    if column.is_number:
        return None
    return ["false", "true"] if column.kind == "boolean" else column.categories


def target_values(cells: pd.Series, column: ColumnSchema) -> tuple[np.ndarray, np.ndarray]:
    """Numbers, class numbers `(n,)` or 0/1 labels `(n, num_labels)`, and which records have one."""
    if column.is_number:
        values = cells.to_numpy(np.float64)
        return values, np.isfinite(values)
    names, known = class_names(column), cells.notna().to_numpy()
    if column.kind == "multi-label":
        labels = [cell if has else () for cell, has in zip(cells, known, strict=True)]
        return np.array([[name in cell for name in names] for cell in labels]), known
    numbers = {name: number for number, name in enumerate(names)}
    if column.kind == "boolean":
        cells = cells.map(lambda cell: str(bool(cell)).lower(), na_action="ignore")
    return np.array([numbers[cell] if has else -1 for cell, has in zip(cells, known, strict=True)]), known


def indicators(values: np.ndarray, num_classes: int) -> np.ndarray:
    """0/1 columns `(n, num_classes)` of class numbers; labels are such columns already."""
    return values if values.ndim == 2 else values[:, None] == np.arange(num_classes)


def varies(values: np.ndarray) -> bool:
    """Whether there are two different values, or rows of labels."""
    return len(values) > 0 and bool((values != values[0]).any())


def table_features(schema: RecordSchema, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Features of every column, float64 `(n, num_features)`, not scaled yet.

    A number (NaN where it is none) with one indicator each for missing, -inf and inf; one indicator each for the names
    of the other kinds and for missing.
    """
    features = {}
    for name, column in schema.table.items():
        values, known = target_values(frame[name], column)
        if column.is_number:
            columns = [np.where(known, values, np.nan), np.isnan(values), values == -np.inf, values == np.inf]
        else:
            columns = [*indicators(values, len(class_names(column))).T, ~known]
        features[name] = np.stack(columns, axis=1).astype(np.float64)
    return features


def named_features(schema: RecordSchema, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Numbers and yes-or-no questions by name, float64 `(n,)` each: one question where there are two answers."""
    found = {}
    for name, cells in table_features(schema, frame).items():
        classes = class_names(schema.table[name])
        if classes is None:
            found[name] = cells[:, 0]
        is_either = schema.table[name].kind != "multi-label" and classes is not None and len(classes) == 2
        for place, one in enumerate(classes or ()):
            if not is_either or place == 1:
                found[f"{name}: {one}"] = cells[:, place]
    return found


def are_answers(schema: RecordSchema, names: Iterable[str]) -> np.ndarray:
    """Which of the names of `named_features` are questions and not numbers, bool `(d,)`."""
    return np.array([not (name in schema.table and schema.table[name].is_number) for name in names], dtype=bool)


def scale_table(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardised table features; NaN becomes the training side's median, 0 where that has no value at all."""
    has_value = np.isfinite(train).any(axis=0)
    medians = np.zeros(train.shape[1])
    medians[has_value] = np.nanmedian(train[:, has_value], axis=0)
    return _standardise(*(np.where(np.isnan(side), medians, side) for side in (train, test)))


def image_components(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal components `(n, num_components)` of standardised pixels, found on the training side.

    All are divided by one number: each by its own scale would amplify the weak ones, which a codec blurs away. They
    are exact, so that images that are repeated have the components of the images themselves.
    """
    train, test = _standardise(*(side.reshape(len(side), -1).astype(np.float32) for side in (train, test)))
    num_components, width = min(NUM_COMPONENTS, *train.shape), train.shape[1]
    centre = train.mean(axis=0)
    away = train - centre
    covariance = (away.T @ away).astype(np.float64) / len(train)
    variances, components = linalg.eigh(covariance, subset_by_index=[width - num_components, width - 1])
    largest = components[np.abs(components).argmax(axis=0), np.arange(num_components)]
    components = (components * np.sign(largest))[:, ::-1].astype(np.float32)  # the sign of each is arbitrary
    scale = np.float32(np.sqrt(max(variances.mean(), 0)) or 1)
    return tuple((side - centre) @ components / scale for side in (train, test))


def _standardise(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 features of mean 0 and sd 1 on the training side, cut at `OUTLIER`."""
    mean, scale = train.mean(axis=0), np.where(train.max(axis=0) > train.min(axis=0), train.std(axis=0), 1)
    return tuple(np.clip((side - mean) / scale, -OUTLIER, OUTLIER).astype(np.float32) for side in (train, test))


def predict_linear(
    train: Sequence[np.ndarray],
    values: np.ndarray,
    test: Sequence[np.ndarray],
    num_classes: int | None,
    num_first: int = 0,
    count_as: int | None = None,
) -> np.ndarray:
    """Ridge or logistic regression, without class weights.

    With `num_first`, the model also sees the outputs of an earlier model, whose weight is barely shrunk: the weights
    of the other features are then shrunk towards those of the earlier model instead of 0.

    Args:
        train: features, each `(n_train, num_features)`.
        values: numbers, class numbers or labels to learn.
        test: the same features of the test records.
        num_classes: number of classes or labels, None for numbers.
        num_first: how many records of `train` an earlier model learns from; it is then fine-tuned on the rest.
        count_as: how many records all those of a model weigh as much as, whatever their number, so that a set and
            the same set repeated give the same model; None: each weighs 1.

    Returns:
        Numbers `(n_test,)`, or probabilities `(n_test, num_classes)`.
    """
    if num_first:
        if varies(values[:num_first]):
            train, test = _add_earlier_outputs(train, values, test, num_classes, num_first, count_as)
        else:  # an earlier model would have nothing to learn
            train = [side[num_first:] for side in train]
        values = values[num_first:]
    train, test = np.concatenate(train, axis=1), np.concatenate(test, axis=1)
    weight = (count_as or len(values)) / len(values)
    if num_classes is None:
        return _predict_ridge(train, values, test, weight)
    return _predict_logistic(train, values, test, num_classes, weight)


def _add_earlier_outputs(
    train: Sequence[np.ndarray],
    values: np.ndarray,
    test: Sequence[np.ndarray],
    num_classes: int | None,
    num_first: int,
    count_as: int | None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Features of the records after the first and of the test records, with an earlier model's outputs added.

    The earlier model learns from the first records; arguments as of `predict_linear`.
    """
    first, train = ([side[part] for side in train] for part in (slice(num_first), slice(num_first, None)))
    both = [np.concatenate(sides) for sides in zip(train, test, strict=True)]
    outputs = predict_linear(first, values[:num_first], both, num_classes, count_as=count_as)
    if num_classes is None:
        outputs = (outputs[:, None] - values.mean()) / values.std()
    else:
        outputs = logit(outputs.clip(0.001, 0.999))
    count = len(train[0])
    return [*train, _FREE * outputs[:count]], [*test, _FREE * outputs[count:]]


def _predict_ridge(train: np.ndarray, values: np.ndarray, test: np.ndarray, weight: float) -> np.ndarray:
    """Predictions of a ridge regression in which every record weighs `weight`."""
    from sklearn.linear_model import Ridge

    mean, scale = values.mean(), values.std()
    return Ridge(RIDGE_ALPHA / weight).fit(train, (values - mean) / scale).predict(test) * scale + mean


def _predict_logistic(
    train: np.ndarray, values: np.ndarray, test: np.ndarray, num_classes: int, weight: float
) -> np.ndarray:
    """Probabilities of logistic regressions in which every record weighs `weight`."""
    from sklearn.linear_model import LogisticRegression

    logistic = LogisticRegression(C=LOGISTIC_C * weight, max_iter=500)
    outputs = np.zeros((len(test), num_classes))
    if values.ndim == 1:
        logistic.fit(train, values)
        outputs[:, logistic.classes_] = logistic.predict_proba(test)
        return outputs
    for label, held in enumerate(values.T):
        outputs[:, label] = logistic.fit(train, held).predict_proba(test)[:, 1] if varies(held) else held[0]
    return outputs
