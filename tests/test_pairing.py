"""Pairing: rows that latents tell are told from rows that they do not."""

import numpy as np
import pytest

from hf_hybrid.metrics.pairing import explained_variance


def records(count, seed):
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(count, 5))
    rows = np.column_stack([latents[:, 0] + rng.normal(size=count), rng.normal(size=count)])
    return latents, rows


def test_what_latents_tell_is_explained():
    assert explained_variance(records(4000, 0), records(2000, 1)) == pytest.approx(1 / 3, abs=0.03)


def test_shuffled_pairs_explain_nothing():
    latents, rows = records(4000, 0)
    shuffled = latents, np.random.default_rng(2).permutation(rows)

    assert explained_variance(shuffled, records(2000, 1)) == pytest.approx(0, abs=0.01)


def test_rows_that_are_all_the_same_explain_nothing():
    latents, _ = records(50, 0)

    assert explained_variance((latents, np.ones((50, 2))), (latents, np.ones((50, 2)))) == 0
