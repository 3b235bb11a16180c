"""Scores of predictions: many bootstrap replicates at once."""

import numpy as np


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
    return divide(won, positives.sum(axis=1) * negatives.sum(axis=1))


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
    recalls = divide(weights @ recognised, weights @ held)
    return np.where(np.isfinite(recalls).sum(axis=1) >= 2, _mean_of_defined(list(recalls.T)), np.nan)


def r2(references: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the variance explained, `(num_replicates,)`: 1 is perfect, 0 the replicate's own mean, no lower end."""
    weights = weights.astype(np.float64)
    total = weights.sum(axis=1)
    centred = references - references.mean()  # keeps the difference of squares below exact
    squares = weights @ centred**2
    variance = squares - (weights @ centred) ** 2 / total
    variance = np.where(variance > 1e-9 * squares, variance, 0)  # equal values leave only rounding
    return 1 - divide(weights @ (references - predictions) ** 2, variance)


def mae(references: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean absolute error in the target's unit, `(num_replicates,)`."""
    weights = weights.astype(np.float64)
    return divide(weights @ np.abs(references - predictions), weights.sum(axis=1))


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, NaN where the denominator is 0."""
    defined = denominator != 0
    return np.where(defined, numerator / np.where(defined, denominator, 1), np.nan)


def _mean_of_defined(scores: list[np.ndarray]) -> np.ndarray:
    stacked = np.stack(scores)
    return divide(np.nansum(stacked, axis=0), np.isfinite(stacked).sum(axis=0).astype(np.float64))
