"""Mean and covariance of a latent table: what a network learns first, in closed form."""

import numpy as np

from hf_hybrid.samplers.transform import TableTransform

_MIN_EIGENVALUE = 1e-3


def shrunk_moments(transform: TableTransform, matrix: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all positions, correlations between questions shrunk towards 0.

    A question is a scalar or a one-hot block. The share by which correlations shrink is the estimate of Schäfer and
    Strimmer 2005 (doi:10.2202/1544-6115.1175, target D).

    Args:
        transform: that made the matrix.
        matrix: rows, `(n, width)`; a number that is missing or infinite does not count.
        groups: the patient of each, `(n,)`.

    Returns:
        Mean `(width,)` and covariance `(width, width)`, positive definite.
    """
    known = np.ones(matrix.shape)
    known[:, : transform.num_scalars_] = transform.has_value(matrix)
    count = known.sum(axis=0).clip(min=1)
    mean = (matrix * known).sum(axis=0) / count
    deviations = (matrix - mean) * known
    scale = np.sqrt((deviations**2).sum(axis=0) / count).clip(min=1e-3)
    standard = deviations / scale
    pairs = (known.T @ known).clip(min=2)
    correlation = standard.T @ standard / pairs
    variance = ((standard**2).T @ standard**2 / pairs - correlation**2).clip(min=0) / pairs
    variance *= len(matrix) / len(np.unique(groups))
    # The choices of one block exclude each other: nothing is estimated there.
    sizes = [1] * transform.num_scalars_ + [len(block.choices) for block in transform.blocks_]
    question_of = np.repeat(np.arange(len(sizes)), sizes)
    apart = question_of[:, None] != question_of
    share = min(1.0, variance[apart].sum() / max((correlation[apart] ** 2).sum(), 1e-12))
    values, axes = np.linalg.eigh(np.where(apart, (1 - share) * correlation, correlation))
    correlation = axes * values.clip(min=_MIN_EIGENVALUE) @ axes.T
    return mean, scale[:, None] * correlation * scale
