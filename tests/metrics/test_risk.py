"""Risks: intervals that hold, and verdicts that follow from them."""

import numpy as np
import pytest
from scipy.stats import norm

from hf_hybrid.core.families import Limit, Verdict
from hf_hybrid.metrics.estimates import Estimate
from hf_hybrid.metrics.risk import UNKNOWN, EstimatedRisk, ObservedRisk, RateRisk, Risk, interval, judge, wilson

LIMIT = Limit(0.09, 0.09)


def rates(member_hits: int, members: int, unseen_hits: int, unseen: int) -> RateRisk:
    sides = ((member_hits, members), (unseen_hits, unseen))
    return RateRisk(*(np.repeat([1.0, 0.0], [hits, count - hits]) for hits, count in sides))


def decide(risks: list[Risk], limit: Limit, details: list[Risk] = ()) -> Verdict:
    """The verdict on risks that are named by their places, details behind the others."""
    names = map(str, range(len(risks) + len(details)))
    return judge(*({next(names): one for one in risks}, limit, {next(names): one for one in details}))


def estimated(value: float, spread: float, num_unseen: int = 100) -> EstimatedRisk:
    return EstimatedRisk(Estimate(value, value + spread * norm.ppf((np.arange(999) + 0.5) / 999)), num_unseen)


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

    @pytest.mark.parametrize(("member", "unseen"), [(0.05, 0.05), (0.3, 0.2), (0.02, 0.0)])
    def test_intervals_cover_the_truth(self, member, unseen):
        rng = np.random.default_rng(0)
        truth, covered = (member - unseen) / (1 - unseen), 0
        for hits, other in zip(rng.binomial(300, member, 400), rng.binomial(100, unseen, 400), strict=True):
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
        assert decide([estimated(value, 0.001, num_unseen=9)], LIMIT) == Verdict("inconclusive")
        few = EstimatedRisk(Estimate(value, np.full(10, value)), 100)
        assert decide([few], LIMIT) == Verdict("inconclusive")

    def test_what_is_no_number_does_not_pass(self):
        assert decide([EstimatedRisk(Estimate(np.nan, np.full(100, np.nan)), 100)], LIMIT).word == "inconclusive"

    def test_what_is_counted_has_no_spread(self):
        assert decide([ObservedRisk(0.0, 50)], Limit(0.0, 0.05)).word == "pass"
        assert decide([ObservedRisk(0.003, 50)], Limit(0.0, 0.05)).word == "fail"

    @pytest.mark.parametrize("value", [0.05, 0.12])
    def test_as_many_patients_as_it_says_would_settle_it(self, value):
        verdict = decide([estimated(value, 0.03, num_unseen=100)], LIMIT)
        assert verdict.word == "inconclusive"
        narrower = 0.03 * np.sqrt(100 / verdict.patients_needed)
        assert decide([estimated(value, 0.98 * narrower)], LIMIT).word == ("pass" if value < 0.09 else "fail")
        assert decide([estimated(value, 1.05 * narrower)], LIMIT).word == "inconclusive"
