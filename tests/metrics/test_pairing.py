"""Pairing: rows that latents tell are told from rows that they do not."""

import numpy as np
import pytest

from hf_hybrid.metrics.pairing import _left_out_error as left_out_error
from hf_hybrid.metrics.pairing import explained_variance
from hf_hybrid.models.pair_encoder import PairEncoder


def records(count, seed):
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(count, 5))
    rows = np.column_stack([latents[:, 0] + rng.normal(size=count), rng.normal(size=count)])
    return latents, rows


def test_what_latents_tell_is_explained():
    assert explained_variance(records(4000, 0), records(2000, 1)) == pytest.approx(1 / 3, abs=0.03)


def test_repeated_records_choose_the_strength_of_the_records_themselves():
    """A bootstrap that copies records would leave copies in when it leaves one out, and take the weakest ridge."""
    own, drawn = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        (latents, rows), test = wide_records(150, rng), wide_records(2000, rng)
        chosen = rng.integers(150, size=300)
        own.append(explained_variance((latents, rows), test))
        drawn.append(explained_variance((latents[chosen], rows[chosen]), test))
        nearly = rows[chosen] + 1e-9 * rng.normal(size=(300, 20))
        by_patient = explained_variance((latents[chosen], nearly), test, groups=chosen)
        assert by_patient == pytest.approx(drawn[-1], abs=0.01)

    error = np.std(np.subtract(own, drawn)) / np.sqrt(6)
    assert np.mean(own) - np.mean(drawn) < 0.02 + 2 * error  # by single records: 0.35


def wide_records(count, rng):
    latents = rng.normal(size=(count, 64))
    return latents, np.column_stack([0.3 * latents[:, :1] + rng.normal(size=(count, 1)), rng.normal(size=(count, 19))])


def test_leaving_out_groups_is_what_fitting_without_them_is():
    rng = np.random.default_rng(0)
    latents, rows, groups = rng.normal(size=(60, 5)), rng.normal(size=(60, 2)), rng.integers(20, size=60)
    expected, strength = 0.0, 10.0
    for group in np.unique(groups):
        out = groups == group
        # The intercept and the centre are those of all records, as in the closed form.
        centred = latents - latents.mean(axis=0), rows - rows.mean(axis=0)
        wide = [np.column_stack([np.ones(60), centred[0]]), centred[1]]
        penalty = strength * np.eye(6)
        penalty[0, 0] = 0
        solved = np.linalg.solve(wide[0][~out].T @ wide[0][~out] + penalty, wide[0][~out].T @ wide[1][~out])
        expected += np.square(wide[1][out] - wide[0][out] @ solved).sum()
    left, scale, _ = np.linalg.svd(latents - latents.mean(axis=0), full_matrices=False)
    kept = scale**2 / (scale**2 + strength)
    numbers = np.unique(groups, return_inverse=True)[1]
    assert left_out_error(left, kept, rows - rows.mean(axis=0), numbers) == pytest.approx(expected)


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
