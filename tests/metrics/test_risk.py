"""Risks: intervals that hold, and verdicts that follow from them."""

import numpy as np
import pytest
from scipy.stats import norm

from hf_hybrid.core.families import Limit, Verdict
from hf_hybrid.metrics.estimates import Estimate
from hf_hybrid.metrics.membership import attack_auc
from hf_hybrid.metrics.risk import (
    UNKNOWN,
    CoincidenceRisk,
    EstimatedRisk,
    ObservedRisk,
    RateRisk,
    Risk,
    interval,
    judge,
    wilson,
)

LIMIT = Limit(0.09, 0.09)


def rates(training_hits: int, training: int, held_out_hits: int, held_out: int) -> RateRisk:
    sides = ((training_hits, training), (held_out_hits, held_out))
    return RateRisk(*(np.repeat([1.0, 0.0], [hits, count - hits]) for hits, count in sides))


def decide(risks: list[Risk], limit: Limit, details: list[Risk] = ()) -> Verdict:
    """The verdict on risks that are named by their places, details behind the others."""
    names = map(str, range(len(risks) + len(details)))
    return judge(*({next(names): one for one in risks}, limit, {next(names): one for one in details}))


def estimated(value: float, spread: float, num_held_out: int = 100) -> EstimatedRisk:
    replicates = value + spread * norm.ppf((np.arange(999) + 0.5) / 999)
    return EstimatedRisk(Estimate(value, replicates), num_held_out, training_spread=0.0)


class TestRateRisk:
    def test_bounds_are_those_of_newcombe(self):
        """Example (a) of Newcombe 1998, table II: 56/70 - 48/80, method 10."""
        risk = rates(56, 70, 48, 80)
        left = 1 - 48 / 80
        assert np.multiply(interval(risk), left) == pytest.approx([0.0524, 0.3339], abs=5e-5)
        assert risk.value == pytest.approx(0.2 / left)

    def test_a_copy_is_1_and_fresh_data_0(self):
        assert rates(50, 50, 0, 50).value == 1
        assert rates(10, 50, 10, 50).value == 0
        assert rates(50, 50, 50, 50).value == 0

    def test_what_works_on_all_unseen_patients_tells_nothing(self):
        for hits in (0, 60, 100):
            assert interval(rates(hits, 100, 40, 40)) == UNKNOWN
            assert decide([rates(hits, 100, 40, 40)], LIMIT) == Verdict("inconclusive")

    def test_none_hit_among_few_is_not_known_to_be_none(self):
        low, high = interval(rates(0, 20, 0, 20))
        assert low < -0.1 and high > 0.1

    @pytest.mark.parametrize(("training", "held_out"), [(0.05, 0.05), (0.3, 0.2), (0.02, 0.0)])
    def test_intervals_cover_the_truth(self, training, held_out):
        rng = np.random.default_rng(0)
        truth, covered = (training - held_out) / (1 - held_out), 0
        for hits, other in zip(rng.binomial(300, training, 400), rng.binomial(100, held_out, 400), strict=True):
            low, high = interval(rates(hits, 300, other, 100))
            covered += low <= truth <= high
        assert covered / 400 > 0.92

    def test_shares_are_known_better_than_yes_and_no(self):
        rng = np.random.default_rng(0)
        risk = RateRisk(rng.normal(0.4, 0.05, 300), rng.normal(0.4, 0.05, 100))
        resampled = risk.resampled(500)
        assert resampled.value == risk.value
        spread = np.std(
            [np.mean(rng.normal(0.4, 0.05, 300)) - np.mean(rng.normal(0.4, 0.05, 100)) for _ in range(500)]
        )
        assert np.ptp(interval(resampled)) == pytest.approx(2 * 1.96 * spread / 0.6, rel=0.2)
        assert np.ptp(interval(resampled)) < np.ptp(interval(risk)) / 3


def test_wilson_is_that_of_the_literature():
    assert wilson(81 / 263, 263, 1.959964) == pytest.approx((0.2553, 0.3662), abs=5e-5)


class TestJudge:
    def test_words(self):
        assert decide([estimated(0.0, 0.02)], LIMIT).word == "pass"
        assert decide([estimated(0.3, 0.02)], LIMIT).word == "fail"
        assert decide([estimated(0.08, 0.02)], LIMIT).word == "inconclusive"

    def test_all_must_pass_and_the_failed_are_named(self):
        assert decide([estimated(0.0, 0.02), estimated(0.08, 0.02)], LIMIT).word == "inconclusive"
        verdict = decide([estimated(0.0, 0.02), estimated(0.5, 0.02), estimated(0.4, 0.02)], LIMIT)
        assert (verdict.word, verdict.failed) == ("fail", ("1", "2"))

    def test_many_tests_do_not_fail_by_chance(self):
        """Holm: a risk that fails alone does not among forty."""
        borderline = estimated(0.09 + 3.3 * 0.02, 0.02)
        assert decide([borderline], LIMIT).word == "fail"
        assert decide([borderline, *[estimated(0.0, 0.02)] * 39], LIMIT).word == "inconclusive"
        rng = np.random.default_rng(0)
        failed = [decide([estimated(v, 0.02) for v in rng.normal(0.09, 0.02, 20)], LIMIT).word for _ in range(200)]
        assert failed.count("fail") <= 2

    def test_a_detail_may_fail_the_family_and_keeps_none_from_passing(self):
        uncertain, certain = estimated(0.0, 0.2), estimated(0.9, 0.02)
        assert decide([estimated(0.0, 0.02)], LIMIT, [uncertain]).word == "pass"
        assert decide([estimated(0.0, 0.02)], LIMIT, [uncertain, certain]).failed == ("2",)

    @pytest.mark.parametrize("value", [0.0, 0.5])
    def test_few_patients_or_replicates_settle_nothing(self, value):
        assert decide([estimated(value, 0.001, num_held_out=9)], LIMIT) == Verdict("inconclusive")
        few = EstimatedRisk(Estimate(value, np.full(10, value)), 100)
        assert decide([few], LIMIT) == Verdict("inconclusive")

    def test_what_is_no_number_does_not_pass(self):
        assert decide([EstimatedRisk(Estimate(np.nan, np.full(100, np.nan)), 100)], LIMIT).word == "inconclusive"

    def test_what_is_counted_has_no_spread(self):
        assert decide([ObservedRisk(0.0, 50)], Limit(0.0, 0.05)).word == "pass"
        assert decide([ObservedRisk(0.003, 50)], Limit(0.0, 0.05)).word == "fail"

    @pytest.mark.parametrize("value", [0.05, 0.12])
    def test_as_many_patients_as_it_says_would_settle_it(self, value):
        verdict = decide([estimated(value, 0.03, num_held_out=100)], LIMIT)
        assert verdict.word == "inconclusive"
        narrower = 0.03 * np.sqrt(100 / verdict.patients_needed)
        assert decide([estimated(value, 0.98 * narrower)], LIMIT).word == ("pass" if value < 0.09 else "fail")
        assert decide([estimated(value, 1.05 * narrower)], LIMIT).word == "inconclusive"

    def test_more_held_out_patients_do_not_make_up_for_few_training_patients(self):
        """70 training patients: their own spread reaches the limit, and 100,000 held-out ones would leave it open."""
        rng = np.random.default_rng(0)
        few, many = rng.normal(0.2, 1, 70), rng.normal(0.2, 1, 7000)
        for training, is_settled in ((few, False), (many, True)):
            others = rng.normal(0, 1, 60)
            found, of_training = (attack_auc(training, others, 400, draws_held_out=one) for one in (True, False))
            spread = float(np.std(of_training.replicates))
            risk = EstimatedRisk(Estimate(0.06, found.replicates - found.value + 0.06), 60, spread)
            verdict = decide([risk], Limit(0.1, 0.1))
            assert verdict.word == "inconclusive" and verdict.is_settled_by_patients is is_settled
            if not is_settled:  # with so many others the spread is that of the training patients alone
                large = attack_auc(training, rng.normal(0, 1, 20_000), 400)
                assert risk.bounds(1.96, 20_000)[1] - risk.value == pytest.approx(
                    1.96 * np.std(large.replicates), rel=0.15
                )
                assert verdict.patients_needed is None and risk.bounds(1.96, 10_000_000)[1] > 0.1
            else:
                needed = verdict.patients_needed
                assert risk.bounds(1.96, needed)[1] < 0.1 <= risk.bounds(1.96, needed - 10)[1]

    def test_rates_are_settled_with_the_training_patients_that_there_are(self):
        assert decide([rates(9, 60, 5, 40)], LIMIT) == Verdict("inconclusive", is_settled_by_patients=False)
        verdict = decide([rates(140, 1000, 4, 40)], LIMIT)
        needed = verdict.patients_needed
        assert 40 < needed < 1000
        assert decide([rates(140, 1000, needed // 10, needed // 10 * 10)], LIMIT).word == "inconclusive"
        assert decide([rates(140, 1000, needed // 10 + 2, needed // 10 * 10 + 20)], LIMIT).word == "pass"

    def test_a_risk_of_training_patients_alone_is_not_settled_by_others(self):
        alone = EstimatedRisk(estimated(0.08, 0.02).estimate, None)
        assert decide([alone], LIMIT) == Verdict("inconclusive", is_settled_by_patients=False)
        unknown = EstimatedRisk(estimated(0.08, 0.02).estimate, 100)
        assert decide([unknown], LIMIT) == Verdict("inconclusive")

    def test_a_risk_may_have_a_limit_of_its_own(self):
        risks = {"a": estimated(0.0, 0.02), "b": estimated(0.2, 0.02)}
        assert judge(risks, LIMIT).failed == ("b",)
        assert judge(risks, LIMIT, own_limits={"b": Limit(0.3, 0.3)}).word == "pass"
        assert judge(risks, LIMIT, own_limits={"a": Limit(-0.2, -0.1), "b": Limit(0.3, 0.3)}).failed == ("a",)


class TestCoincidenceRisk:
    def test_a_release_that_copies_nobody_is_above_zero_as_rarely_as_it_says(self):
        """Rows of a long-tailed population: training, held-out and released ones are draws of it."""
        rng, above = np.random.default_rng(0), 0
        shares = rng.dirichlet(np.full(4000, 0.5))
        for _ in range(400):
            train, held_out, release = (rng.choice(4000, count, p=shares) for count in (300, 60, 600))
            above += coincidences(train, held_out, release).bounds(1.96)[0] > 0
        assert above / 400 <= 0.025 + 2 * np.sqrt(0.025 * 0.975 / 400)

    def test_copies_are_above_zero_where_people_are_not_equal(self):
        train, held_out, release = np.arange(180), np.arange(180, 240), np.append(np.arange(17), np.arange(300, 643))
        risk = coincidences(train, held_out, release)
        assert risk.bounds(norm.isf(0.001 / 5))[0] > 0 and risk.value == pytest.approx(17 / 180)
        assert coincidences(train, held_out, release[10:]).bounds(norm.isf(0.001))[0] <= 0


def coincidences(train: np.ndarray, held_out: np.ndarray, release: np.ndarray) -> CoincidenceRisk:
    kinds, counts = np.unique(np.append(train, held_out), return_counts=True)
    own = set(kinds[counts == 1]) & set(release)
    hits = [np.array([one in own for one in side], float) for side in (train, held_out)]
    total, drawn = len(train) + len(held_out), 2 * len(release)
    share = drawn * len(train) / (total * (drawn + total))
    return CoincidenceRisk(*hits, int((counts == 2).sum()) + int(hits[1].sum()), share)
