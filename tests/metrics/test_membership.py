"""Membership: a release of copies is told from fresh draws, and patients count once."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from hf_hybrid.metrics.membership import membership, nearest_distances


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
