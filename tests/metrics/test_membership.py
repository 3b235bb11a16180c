"""Membership: a release of copies is told from fresh draws, and patients count once."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import norm

from hf_hybrid.evaluation.attacks.density_ratio import DensityRatioAttack
from hf_hybrid.metrics.membership import (
    attack_auc,
    membership,
    nearest_distances,
    random_label_auc,
    scores_against_reference,
    true_positives,
)


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(200, 6)) for _ in range(3)]


def test_distances_are_those_of_scipy(draws, monkeypatch):
    expected = cdist(draws[0], draws[1]).min(axis=1)

    np.testing.assert_allclose(nearest_distances(draws[0], draws[1]), expected, atol=1e-9)
    monkeypatch.setattr("hf_hybrid.metrics.membership._BLOCK_CELLS", 1000)
    np.testing.assert_allclose(nearest_distances(draws[0], draws[1]), expected, atol=1e-9)


def test_copies_give_training_patients_away_and_fresh_draws_do_not(draws):
    training, others, fresh = draws
    groups = np.arange(200)

    copied = membership(training, groups, others, groups, training + 1e-3)
    honest = membership(training, groups, others, groups, fresh)
    assert copied.value == 1
    assert honest.interval[0] < 0.5 < honest.interval[1]
    assert copied.minus(honest).interval[0] > 0.3


def test_a_patient_counts_once_by_the_nearest_record(draws):
    training, others, _ = draws
    pairs = np.repeat(np.arange(100), 2)
    release = training[::2]  # one record of every training patient

    assert membership(training, pairs, others, pairs, release).value == 1
    assert membership(training, np.arange(200), others, np.arange(200), release).value < 0.9


def test_true_positives_are_those_at_the_false_positives_that_were_asked_for():
    rng = np.random.default_rng(0)
    training, others = rng.normal(1, 1, 20_000), rng.normal(0, 1, 20_000)
    for rate in (0.1, 0.01):  # of normal scores that are one apart
        expected = norm.sf(norm.isf(rate) - 1)
        found = true_positives(training, others, rate)
        assert found == pytest.approx(expected, abs=3 * np.sqrt(expected / 20_000) + 0.01)
    assert true_positives(training, others[:99], 0.1) is None and true_positives(training, others[:999], 0.01) is None
    assert true_positives(others[:100], others[:100], 0.1) == pytest.approx(0.1)


def test_random_labels_are_at_chance_up_to_the_number_of_patients():
    rng = np.random.default_rng(0)
    ends = [random_label_auc(rng.normal(size=600), count, 200) for count in (20, 200)]
    for count, end in zip((20, 200), ends, strict=True):
        sd = np.sqrt(601 / (12 * count * (600 - count)))  # of a Mann-Whitney statistic under the null
        assert end == pytest.approx(0.5 + 1.96 * sd, abs=0.5 * sd)
    assert random_label_auc(np.ones(1), 5, 10) == 1.0


@pytest.mark.parametrize("copied", [0, 100])
def test_intervals_of_an_attack_with_a_reference_cover_its_mean(copied):
    """Everything is drawn anew each time. With halves that serve each other as reference, 90 and 91 % cover it."""
    rng, found, draws = np.random.default_rng(0), [], 300
    for _ in range(draws):
        training, others, release = (rng.normal(size=(count, 4)) for count in (100, 40, 200))
        release[:copied] = training[rng.integers(100, size=copied)] + 0.1 * rng.normal(size=(copied, 4))
        sides = (training, np.arange(100), others, np.arange(40), release)
        estimate = attack_auc(*scores_against_reference(DensityRatioAttack.score, *sides), 100)
        found.append((estimate.value, np.std(estimate.replicates)))
    values, spreads = np.array(found).T
    covered = np.mean(np.abs(values - values.mean()) < norm.isf(0.025) * spreads)
    assert covered > 0.95 - 3 * np.sqrt(0.95 * 0.05 / draws)
    assert np.sqrt(np.mean(spreads**2)) == pytest.approx(values.std(), rel=3 / np.sqrt(2 * draws))


def test_no_patient_is_its_own_reference_and_no_two_are_each_others():
    pairs, groups = set(), np.arange(31) // 2  # 16 patients, the last with one record

    def score(records, synthetic, reference, seed):
        pairs.update((one // 2, other // 2) for one in records[records < 100] for other in reference)
        return records * 1.0

    training = 100 + np.arange(8)
    found = scores_against_reference(score, training, np.arange(8), np.arange(31), groups, np.zeros(1))
    assert (found[0] == training).all() and (found[1] == np.arange(31)).all()
    assert not any((other, one) in pairs for one, other in pairs) and len({one for one, _ in pairs}) == 16
    assert scores_against_reference(score, training, np.arange(8), np.arange(4), np.arange(4) // 2, training) is None
