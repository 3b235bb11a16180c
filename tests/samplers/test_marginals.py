"""Smoothed quantiles: what they write they read back, and no patient decides any of them alone."""

import numpy as np
import pytest
from scipy.special import ndtr

from hf_hybrid.samplers.marginals import MAX_QUANTILES, Quantiles


def fit(values, groups=None, bounds=None):
    values = np.asarray(values, dtype=np.float64)
    groups = np.arange(len(values)) if groups is None else groups
    return Quantiles.fit(values, groups, bounds or (values.min(), values.max()))


@pytest.fixture(scope="module")
def skewed():
    return np.exp(np.random.default_rng(0).normal(2, 1, 2000))


def test_values_come_back(skewed):
    quantiles = fit(skewed)

    np.testing.assert_allclose(quantiles.to_values(quantiles.to_scores(skewed)), skewed, rtol=1e-9)


def test_values_that_many_records_hold_come_back_exactly():
    values = np.random.default_rng(0).choice([0, 1, 1, 1, 2, 7], 500).astype(float)
    quantiles = fit(values)

    np.testing.assert_allclose(quantiles.to_values(quantiles.to_scores(values)), values, atol=1e-9)


def test_scores_are_normal_and_keep_the_order(skewed):
    scores = fit(skewed).to_scores(skewed)

    assert abs(scores.mean()) < 0.02 and scores.std() == pytest.approx(1, abs=0.03)
    assert (np.diff(scores[np.argsort(skewed)]) >= 0).all()
    np.testing.assert_allclose(ndtr(np.quantile(scores, [0.1, 0.5, 0.9])), [0.1, 0.5, 0.9], atol=0.01)


def test_normal_draws_have_the_distribution(skewed):
    drawn = fit(skewed).to_values(np.random.default_rng(1).normal(size=20000))

    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert np.mean(drawn < np.quantile(skewed, share)) == pytest.approx(share, abs=0.015)


def test_no_knot_is_a_value_and_each_is_of_ten_patients(skewed):
    quantiles = fit(skewed, bounds=(0, 300))
    inner = quantiles.values[2:-2]

    assert len(inner) == MAX_QUANTILES and not set(inner) & set(skewed)
    assert quantiles.values[0] == 0 and quantiles.values[-1] == 300
    assert len(fit(skewed[:45]).values) == 4 + 4
    # Forty-five records of nine patients: one knot, the mean of all.
    few = fit(skewed[:45], groups=np.arange(45) % 9)
    assert len(few.values) == 4 + 1 and few.values[2] == pytest.approx(skewed[:45].mean())


def test_one_patient_does_not_move_the_ends():
    values = np.random.default_rng(0).normal(50, 5, 400)
    other = values.copy()
    other[values.argmax()] = 1000
    one, two = (Quantiles.fit(v.clip(30, 70), np.arange(400), (30, 70)) for v in (values, other))

    np.testing.assert_allclose(one.values, two.values, atol=1.5)
    assert max(two.values) <= 70


def test_far_bounds_are_hardly_ever_met():
    values = np.random.default_rng(0).normal(50, 5, 400)
    drawn = fit(values, bounds=(-1e6, 1e6)).to_values(np.random.default_rng(1).normal(size=100_000))

    assert np.mean((drawn < 20) | (drawn > 80)) < 0.002


def test_a_constant_stays_one():
    quantiles = fit(np.full(30, 2.5))

    assert (quantiles.to_values(np.random.default_rng(0).normal(size=50)) == 2.5).all()
    assert (quantiles.to_scores(np.full(3, 2.5)) == 0).all()
