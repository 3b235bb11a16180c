"""Scores of the table: what they are on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from hf_hybrid.metrics.fidelity import (
    column_shapes,
    energy_distance,
    missing_shares,
    pair_trends,
    share_of_range,
    shuffled_columns,
    three_way_shares,
)


def table(count=4000, seed=0, link=0.8):
    rng = np.random.default_rng(seed)
    age = rng.normal(60, 10, count)
    crp = link * (age - 60) / 10 + np.sqrt(1 - link**2) * rng.normal(size=count)
    crp[rng.random(count) < 0.2] = np.nan
    sick = np.where(rng.random(count) < np.where(age > 60, 0.8, 0.2), "yes", "no").astype(object)
    sick[rng.random(count) < 0.1] = None
    return pd.DataFrame({"age": age, "crp": crp, "sick": sick})


def test_a_table_is_like_itself_and_like_another_draw():
    real = table()

    assert column_shapes(real, real) == pair_trends(real, real) == 1
    assert column_shapes(table(seed=1), real) > 0.97
    assert pair_trends(table(seed=1), real) > 0.97


def test_each_column_counts_by_its_distance():
    real = pd.DataFrame({"a": np.arange(100.0), "b": ["x", "y"] * 50})
    moved = pd.DataFrame({"a": np.arange(100.0) + 25, "b": ["x"] * 100})

    assert column_shapes(moved, real) == pytest.approx((0.75 + 0.5) / 2)


@pytest.mark.parametrize("state", [np.nan, np.inf, -np.inf])
def test_a_state_that_is_lost_counts(state):
    real = pd.DataFrame({"a": np.where(np.arange(100) < 40, state, np.arange(100.0))})
    synthetic = pd.DataFrame({"a": np.tile(np.arange(40, 100.0), 2)})

    assert column_shapes(synthetic, real) == pytest.approx(0.6)


def test_marginals_alone_do_not_make_pairs():
    real, shuffled = table(), table()
    for seed, name in enumerate(shuffled):
        shuffled[name] = shuffled[name].sample(frac=1, random_state=seed).to_numpy()

    assert column_shapes(shuffled, real) == pytest.approx(1)
    assert pair_trends(shuffled[["age", "crp"]], real[["age", "crp"]]) == pytest.approx(1 - 0.79 / 2, abs=0.02)
    # Of those above and below 60, 80 and 20 % of 90 % are sick; half of both when shuffled: 0.27 of all move.
    assert pair_trends(shuffled[["age", "sick"]], real[["age", "sick"]]) == pytest.approx(1 - 0.27, abs=0.03)


def test_shuffled_columns_are_the_zero_and_real_ones_the_one_of_the_way():
    """Half of the records of a mixture of both come half of the way, whatever the score of shuffled columns is."""
    train, real, fresh = table(6000, seed=1), table(6000), table(6000, seed=2)
    shuffled = shuffled_columns(train)
    half = pd.concat([fresh[:3000], shuffled_columns(fresh, seed=5)[3000:]], ignore_index=True)
    assert column_shapes(shuffled, train) == 1
    for metric, error in ((pair_trends, 0.06), (three_way_shares, 0.12)):
        ends = metric(shuffled, real), metric(train, real)
        assert share_of_range(metric(fresh, real), *ends) == pytest.approx(1, abs=error)
        assert share_of_range(metric(half, real), *ends) == pytest.approx(0.5, abs=error)
        assert share_of_range(metric(shuffled_columns(fresh, 3), real), *ends) == pytest.approx(0, abs=error)
    assert np.isnan(share_of_range(0.5, 0.9, 0.9))


def test_pairs_are_those_of_pandas_and_scipy():
    from scipy.stats import spearmanr

    real, synthetic = table(), table(seed=1, link=0.2)
    expected = [spearmanr(side["age"], side["crp"], nan_policy="omit").statistic for side in (real, synthetic)]

    assert pair_trends(synthetic[["age", "crp"]], real[["age", "crp"]]) == pytest.approx(
        1 - abs(expected[0] - expected[1]) / 2, abs=0.01
    )
    real, synthetic = ({"a": ["x", "x", "y", "y"], "b": one} for one in (["u", "u", "v", "v"], ["u", "v", "u", "v"]))
    assert pair_trends(pd.DataFrame(synthetic), pd.DataFrame(real)) == pytest.approx(0.5)


def test_a_column_without_any_value_or_variation_does_not_break():
    real = pd.DataFrame({"a": np.full(10, np.nan), "b": np.ones(10), "c": ["x"] * 10})

    assert column_shapes(real, real) == pair_trends(real, real) == 1
    assert pair_trends(real[["b"]], real[["b"]]) == 1


def test_energy_distance_tells_distributions_apart():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 500, 3))

    assert abs(energy_distance(first, second)) < 0.01
    assert 0.2 < energy_distance(first, second + 2) < 1
    assert energy_distance(np.zeros((5, 2)), np.zeros((4, 2))) == 0


def test_missing_shares_are_those_of_the_worst_column():
    real = pd.DataFrame({"a": [1.0, np.nan, 2.0, 3.0], "b": pd.Series(["x", None, None, "y"], dtype=object)})
    other = pd.DataFrame({"a": [1.0, 1.0, 2.0, 3.0], "b": pd.Series(["x", "x", "x", "y"], dtype=object)})

    assert missing_shares(other, real) == 0.5
    assert missing_shares(real, real) == 0


def test_three_columns_can_differ_where_no_two_do():
    """The third is true where exactly one of the first two is: every pair is independent."""
    rng = np.random.default_rng(0)
    bits = rng.random((20_000, 3)) < 0.5
    linked = bits.copy()
    linked[:, 2] = linked[:, 0] ^ linked[:, 1]
    real, free = (pd.DataFrame(side.astype(str), columns=list("abc"), dtype=object) for side in (linked, bits))

    assert pair_trends(free, real) > 0.98
    assert three_way_shares(free, real) == pytest.approx(0.5, abs=0.02)
    assert three_way_shares(real, real) == 0


def test_a_table_of_two_columns_has_its_pair_for_a_triple():
    two = table()[["age", "sick"]]

    assert three_way_shares(two, two) == 0
    assert three_way_shares(table(seed=1)[["age", "sick"]], two) < 0.05
