"""Pairing: does the image belong to its row?"""

from collections.abc import Iterator

import numpy as np

_STRENGTHS = np.logspace(0, 5, 11)


def explained_variance(
    synthetic: tuple[np.ndarray, np.ndarray],
    real: tuple[np.ndarray, np.ndarray],
    groups: np.ndarray | None = None,
) -> float:
    """Share of real row features' variance that latents explain by a ridge regression learned on synthetic records.

    The strength of the ridge is chosen by leaving out one group of the synthetic records after the other. Equal
    records are one group too: a record that is left out and stays in as a copy would ask for the weakest ridge.

    Args:
        synthetic: latents `(m, latent_dim)` and row features `(m, d)`.
        real: the same of held-out records.
        groups: the patient of each synthetic record, `(m,)`, where records were drawn from patients; None: records
            of their own.

    Returns:
        1 is perfect, 0 no better than the mean of the real features; features count by their variance.
    """
    latents, rows = (np.asarray(side, dtype=np.float64) for side in synthetic)
    groups = _groups_of_equal(latents, rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    centre, mean = latents.mean(axis=0), rows.mean(axis=0)
    left, scale, right = np.linalg.svd(latents - centre, full_matrices=False)
    errors = [_left_out_error(left, scale**2 / (scale**2 + one), rows - mean, groups) for one in _STRENGTHS]
    strength = _STRENGTHS[int(np.argmin(errors))]
    weights = right.T @ ((scale / (scale**2 + strength))[:, None] * (left.T @ (rows - mean)))
    predicted = (real[0] - centre) @ weights + mean
    total = np.square(real[1] - real[1].mean(axis=0)).sum()
    return float(1 - np.square(real[1] - predicted).sum() / total) if total else 0.0


def _groups_of_equal(latents: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A number for each different record, `(m,)`."""
    return np.unique(np.concatenate([latents, rows], axis=1), axis=0, return_inverse=True)[1].ravel()


def _left_out_error(left: np.ndarray, kept: np.ndarray, rows: np.ndarray, groups: np.ndarray) -> float:
    """Sum of squared errors when each group is predicted from all others.

    With the hat matrix H of a linear smoother, the error of a group that is left out is (I - H_GG)^-1 times its
    residuals (Hastie, Tibshirani and Friedman 2009, section 7.10, for groups of one).

    Args:
        left: left singular vectors of the centred latents, `(m, k)`.
        kept: what the ridge leaves of each, `(k,)`, from 0 to 1.
        rows: centred row features, `(m, d)`.
        groups: number of each record's group, `(m,)`.
    """
    residuals = rows - left @ (kept[:, None] * (left.T @ rows))
    total = 0.0
    for members in _of_one_size(groups):  # (num_groups, size)
        own = left[members]
        hat = np.einsum("gik,k,gjk->gij", own, kept, own, optimize=True) + 1 / len(rows)  # 1 / m: the intercept
        apart = np.eye(members.shape[1]) - hat
        apart += 1e-9 * np.eye(members.shape[1])  # a record that alone decides its own prediction
        total += float(np.square(np.linalg.solve(apart, residuals[members])).sum())
    return total


def _of_one_size(groups: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of the members of all groups of one size, `(num_groups, size)`, size after size."""
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes[sizes > 0]):
        yield order[starts[sizes == size][:, None] + np.arange(size)]
