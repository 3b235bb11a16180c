"""Pairing: rows that latents tell are told from rows that they do not."""

import numpy as np
import pytest

from hf_hybrid.metrics.pairing import explained_variance
from hf_hybrid.models.pair_encoder import PairEncoder


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


class TestPairEncoder:
    @pytest.fixture(scope="class")
    @classmethod
    def sides(cls):
        rng = np.random.default_rng(0)
        hidden = rng.normal(size=(900, 3))
        images = hidden @ rng.normal(size=(3, 20)) + 0.5 * rng.normal(size=(900, 20))
        return images, hidden @ rng.normal(size=(3, 8)) + 0.5 * rng.normal(size=(900, 8))

    @pytest.fixture(scope="class")
    @classmethod
    def encoder(cls, sides):
        return PairEncoder().fit(*(side[:600] for side in sides))

    def test_own_rows_are_nearer_than_others(self, encoder, sides):
        gaps = encoder.gaps(*(side[600:] for side in sides))
        assert gaps.shape == (300,) and gaps.mean() > 0.3

    def test_shuffled_pairs_have_no_gap(self, encoder, sides):
        images, rows = (side[600:] for side in sides)
        gaps = encoder.gaps(images[np.random.default_rng(0).permutation(300)], rows)
        assert abs(gaps.mean()) < 0.1

    def test_is_the_same_for_a_seed(self, encoder, sides):
        again = PairEncoder().fit(*(side[:600] for side in sides))
        held_out = [side[600:] for side in sides]
        np.testing.assert_array_equal(again.gaps(*held_out), encoder.gaps(*held_out))
