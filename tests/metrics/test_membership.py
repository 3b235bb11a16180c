"""Membership: a release of copies is told from fresh draws, and patients count once."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import norm

from hf_hybrid.metrics.membership import membership, nearest_distances, random_label_auc, true_positives


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(200, 6)) for _ in range(3)]


def test_distances_are_those_of_scipy(draws, monkeypatch):
    expected = cdist(draws[0], draws[1]).min(axis=1)

    np.testing.assert_allclose(nearest_distances(draws[0], draws[1]), expected, atol=1e-9)
    monkeypatch.setattr("hf_hybrid.metrics.membership._BLOCK_CELLS", 1000)
    np.testing.assert_allclose(nearest_distances(draws[0], draws[1]), expected, atol=1e-9)


def test_copies_give_members_away_and_fresh_draws_do_not(draws):
    members, others, fresh = draws
    groups = np.arange(200)

    copied = membership(members, groups, others, groups, members + 1e-3)
    honest = membership(members, groups, others, groups, fresh)
    assert copied.value == 1
    assert honest.interval[0] < 0.5 < honest.interval[1]
    assert copied.minus(honest).interval[0] > 0.3


def test_a_patient_counts_once_by_the_nearest_record(draws):
    members, others, _ = draws
    pairs = np.repeat(np.arange(100), 2)
    release = members[::2]  # one record of every member

    assert membership(members, pairs, others, pairs, release).value == 1
    assert membership(members, np.arange(200), others, np.arange(200), release).value < 0.9


def test_true_positives_are_those_at_the_false_positives_that_were_asked_for():
    rng = np.random.default_rng(0)
    members, others = rng.normal(1, 1, 20_000), rng.normal(0, 1, 20_000)
    for rate in (0.1, 0.01):  # of normal scores that are one apart
        expected = norm.sf(norm.isf(rate) - 1)
        found = true_positives(members, others, rate)
        assert found == pytest.approx(expected, abs=3 * np.sqrt(expected / 20_000) + 0.01)
    assert true_positives(members, others[:99], 0.1) is None and true_positives(members, others[:999], 0.01) is None
    assert true_positives(others[:100], others[:100], 0.1) == pytest.approx(0.1)


def test_random_labels_are_at_chance_up_to_the_number_of_patients():
    rng = np.random.default_rng(0)
    ends = [random_label_auc(rng.normal(size=600), count, 200) for count in (20, 200)]
    for count, end in zip((20, 200), ends, strict=True):
        sd = np.sqrt(601 / (12 * count * (600 - count)))  # of a Mann-Whitney statistic under the null
        assert end == pytest.approx(0.5 + 1.96 * sd, abs=0.5 * sd)
    assert random_label_auc(np.ones(1), 5, 10) == 1.0
