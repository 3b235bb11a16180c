"""Masks of a denoising training: which columns are given, which are drawn, and which are absent."""

import numpy as np


def draw_masks(
    rng: np.random.Generator, num_columns: int, num_patterns: int, table_first: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the combinations of columns to train; the first column stands for all latents.

    Args:
        rng: of the masks.
        num_columns: with the latents as one.
        num_patterns: how many combinations.
        table_first: train for drawing the row first and then the latents given the row; else every second pattern
            draws all columns at once.

    Returns:
        Which columns are given and which are drawn, both `(num_patterns, num_columns)` bool; the others are absent.
    """
    # Shares of given and drawn columns vary from pattern to pattern: some patterns have few given ones, others many.
    shares = rng.dirichlet(np.ones(3), num_patterns).cumsum(axis=1)[:, None]
    state = (rng.random((num_patterns, num_columns, 1)) > shares).sum(axis=2)  # 0 given, 1 drawn, 2 absent
    if table_first:
        kinds = np.arange(num_patterns) % 5
        state[kinds < 2, 0] = 1  # the latents given the row
        state[kinds < 2, 1:] = 0
        state[kinds == 2, 0] = 2  # the row
        state[kinds == 2, 1:] = 1
        state[kinds == 3, 0] = 2  # part of the row given part of it
        state[kinds == 4, 0] = 0  # and given the latents
    else:
        state[::2] = 1
    for pattern in np.flatnonzero(~(state == 1).any(axis=1)):
        state[pattern, rng.integers(1, num_columns)] = 1
    return state == 0, state == 1
