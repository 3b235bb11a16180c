"""Pairing: does the image belong to its row?"""

import numpy as np

_STRENGTHS = np.logspace(0, 5, 11)


def explained_variance(synthetic: tuple[np.ndarray, np.ndarray], real: tuple[np.ndarray, np.ndarray]) -> float:
    """Share of real row features' variance that latents explain by a ridge regression learned on synthetic records.

    Args:
        synthetic: latents `(m, latent_dim)` and row features `(m, d)`.
        real: the same of held-out records.

    Returns:
        1 is perfect, 0 no better than the mean of the real features; features count by their variance.
    """
    from sklearn.linear_model import RidgeCV

    predicted = RidgeCV(_STRENGTHS).fit(*synthetic).predict(real[0])
    total = np.square(real[1] - real[1].mean(axis=0)).sum()
    return float(1 - np.square(real[1] - predicted).sum() / total) if total else 0.0
