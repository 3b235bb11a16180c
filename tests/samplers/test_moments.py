"""Correlations that samplers save: right where many stand behind them, and silent about few."""

import numpy as np
import pytest
from tiny import made_up_rows, sampled_rows

from hf_hybrid.samplers.copula import GaussianCopulaSampler
from hf_hybrid.samplers.moments import correlations, nearest_correlation, shrink, shrunk_moments
from hf_hybrid.samplers.transform import TableTransform

N = 400


def answers(together, first=100, second=120):
    """Two questions, answered yes by `first` and `second` of 400 patients, and by `together` to both."""
    yes = np.zeros((N, 2), dtype=bool)
    yes[:first, 0] = True
    yes[first - together : first - together + second, 1] = True
    return yes


def of_answers(yes, asked=None, groups=None):
    asked = np.ones_like(yes) if asked is None else asked
    nothing = np.zeros((len(yes), 0))
    groups = np.arange(len(yes)) if groups is None else groups
    return correlations(nothing, nothing.astype(bool), yes, asked, groups)[0][0, 1]


def test_they_are_covariances_of_the_rows_with_both_in_units_of_all():
    rng = np.random.default_rng(0)
    scalars = rng.normal(size=(N, 2))
    scalars[:, 1] += scalars[:, 0]
    yes = rng.normal(size=(N, 2)) + scalars[:, :1] > 0
    known, asked = rng.random((N, 2)) < 0.8, rng.random((N, 2)) < 0.9
    found, patients = correlations(scalars, known, yes & asked, asked, np.arange(N))
    columns, there = np.column_stack([scalars, yes]), np.column_stack([known, asked])

    for first in range(4):
        for second in range(first):
            both = there[:, first] & there[:, second]
            assert patients[first, second] == both.sum()
            covariance = np.cov(columns[both][:, [first, second]].T, ddof=0)[0, 1]
            spread = [columns[there[:, one], one].std() for one in (first, second)]
            assert found[first, second] == pytest.approx(covariance / np.prod(spread))
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize("few", [0, 1, 3, 9])
def test_a_combination_of_few_patients_counts_as_five(few):
    assert of_answers(answers(few)) == of_answers(answers(5))
    assert of_answers(answers(100 - few)) == of_answers(answers(95))
    assert of_answers(answers(20)) != of_answers(answers(21))


def test_many_records_of_few_patients_are_few():
    yes = np.concatenate([answers(20), np.repeat([[True, True]], 60, axis=0)])
    groups = np.concatenate([np.arange(N), np.full(60, N)])
    only_twenty = of_answers(answers(20))
    few = np.concatenate([answers(2), np.repeat([[True, True]], 60, axis=0)])

    assert of_answers(yes, groups=groups) > only_twenty
    assert of_answers(few, groups=groups) < only_twenty, "sixty records of one patient, and two more"


def test_an_answer_of_few_patients_correlates_with_nothing():
    assert of_answers(answers(10, first=19)) == 0
    assert of_answers(answers(15, first=20)) != 0


@pytest.mark.parametrize("holders, told", [(9, False), (10, True)])
def test_a_number_of_few_holders_of_an_answer_is_not_told(holders, told):
    """Thirty patients hold the answer; few of them have the number, which is extreme in one."""
    rng = np.random.default_rng(0)
    scalars, yes = rng.normal(size=(N, 1)), np.zeros((N, 1), dtype=bool)
    yes[:30] = True
    known = np.ones((N, 1), dtype=bool)
    known[holders:30] = False
    everyone = np.arange(N)
    numbers = (np.where(everyone[:, None] == 0, extreme, scalars) for extreme in (5.0, 50.0))
    found = [correlations(one, known, yes, np.ones_like(yes), everyone)[0][0, 1] for one in numbers]

    assert bool(found[0] != 0) is told
    assert bool(found[0] != found[1]) is told


def test_shrinking_is_towards_nothing_and_leaves_a_correlation_matrix():
    rng = np.random.default_rng(0)
    correlation = np.corrcoef(rng.normal(size=(20, 30)), rowvar=False)  # of 20 rows: not of full rank
    variance = (1 - correlation**2) ** 2 / 20
    apart = ~np.eye(30, dtype=bool)
    found = shrink(correlation, variance, apart)

    assert np.linalg.eigvalsh(found).min() > 0
    np.testing.assert_allclose(np.diag(found), 1)
    assert np.abs(found[apart]).mean() < 0.2 * np.abs(correlation[apart]).mean()
    np.testing.assert_allclose(shrink(correlation, variance, apart, 1.0), np.eye(30), atol=1e-9)


def test_moments_are_those_of_the_rows_but_of_a_number_that_few_have():
    table, schema = made_up_rows(N)
    everyone = np.arange(N)
    transform = TableTransform(schema).fit(table.latents, table.frame, everyone)
    matrix = transform.transform(table.latents, table.frame)
    mean, covariance = shrunk_moments(transform, matrix, everyone)
    latents, sick = slice(0, 3), [block.start for block in transform.blocks_ if block.column == "group"][0]

    np.testing.assert_allclose(mean[latents], 0, atol=1e-6)
    np.testing.assert_allclose(covariance[latents, latents], np.cov(matrix[:, latents].T), atol=0.05)
    assert mean[sick] == pytest.approx((table.frame["group"] == "sick").mean())
    assert covariance[sick, sick + 1] == pytest.approx(-covariance[sick, sick], rel=0.02)
    assert covariance[0, sick] == pytest.approx(np.cov(matrix[:, 0], matrix[:, sick])[0, 1], rel=0.1)

    few = np.concatenate([np.flatnonzero(matrix[:, sick] == 0), np.flatnonzero(matrix[:, sick] == 1)[:3]])
    assert shrunk_moments(transform, matrix[few], few)[0][sick] == pytest.approx(5 / len(few))

    has_crp = np.flatnonzero(np.isfinite(table.frame["crp"]))
    kept = np.sort(np.concatenate([np.setdiff1d(everyone, has_crp), has_crp[:9]]))
    mean, covariance = shrunk_moments(transform, matrix[kept], kept)
    crp = 3
    assert mean[crp] == 0 and covariance[crp, crp] == pytest.approx(1)
    assert np.abs(np.delete(covariance[crp], crp)).max() < 1e-9


# --- what a copula draws from simulated truth -----------------------------------------------------------------------


@pytest.mark.parametrize("noise", [1.5, 2.5])
def test_a_question_that_some_are_asked_keeps_the_means_of_its_categories(noise):
    """Divided by the subset's own spread, as before, they were off by .030 and .014 here."""
    rng, names = np.random.default_rng(0), np.array(["none", "low", "mid", "high"])
    normal = rng.normal(size=20_000)
    severity = (normal + rng.normal(0, noise, 20_000)) / np.sqrt(1 + noise**2)
    cells = {"severity": names[np.digitize(severity, [-0.5, 0.5, 1.2])]}
    latents = np.column_stack([normal, rng.normal(size=20_000)])
    drawn = sampled_rows(GaussianCopulaSampler(shrinkage=0), cells, 40_000, latents)
    means = [
        [side[cell == name].mean() for name in names]
        for side, cell in ((normal, cells["severity"]), (drawn.latents[:, 0], drawn.frame["severity"].to_numpy()))
    ]
    assert np.abs(np.subtract(*means)).mean() < 0.012


def test_values_missing_where_another_is_high_keep_the_slope():
    """Divided by the spread of those who have both, as before, the slope was .74 for .60."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=6000)
    other = 0.6 * one + 0.8 * rng.normal(size=6000)
    missing = rng.random(6000) < 1 / (1 + np.exp(-2 * one))
    cells = {"one": (50 + 10 * one).round(2), "other": np.where(missing, np.nan, (50 + 10 * other).round(2))}
    drawn = sampled_rows(GaussianCopulaSampler(shrinkage=0), cells, 40_000).frame
    slopes = []
    for table in (cells, drawn):
        x, y = (np.asarray(table[name], dtype=np.float64) for name in ("one", "other"))
        known = np.isfinite(x) & np.isfinite(y)
        slopes.append(np.polyfit(x[known], y[known], 1)[0])
    assert slopes[1] == pytest.approx(slopes[0], abs=0.05)


def test_zeros_stay_zeros_and_nothing_comes_between():
    """5.2 % of the values lay between 0 and the smallest positive one before."""
    rng = np.random.default_rng(0)
    packs = np.where(rng.random(2000) < 0.3, 0, 5 + rng.gamma(2, 5, 2000)).round(1)
    drawn = sampled_rows(GaussianCopulaSampler(), {"packs": packs}, 40_000).frame["packs"]
    assert (drawn == 0).mean() == pytest.approx((packs == 0).mean(), abs=0.02)
    assert ((drawn > 0) & (drawn < packs[packs > 0].min())).mean() < 0.006


def test_a_patient_with_most_records_counts_once():
    """Before, the mean was 70.6 and the standard deviation 2.5."""
    rng = np.random.default_rng(0)
    groups = np.concatenate([np.zeros(900, dtype=int), np.arange(1, 101)])
    weights = np.concatenate([70 + rng.normal(0, 0.5, 900), rng.normal(75, 13, 100)]).round(1)
    drawn = sampled_rows(GaussianCopulaSampler(), {"weight": weights}, 20_000, groups=groups).frame["weight"]
    others = weights[900:]
    assert drawn.mean() == pytest.approx(others.mean(), abs=0.5)
    assert drawn.std() == pytest.approx(others.std(), rel=0.2)  # five patients at either end are cut


def test_the_nearest_correlation_bends_less_than_clipped_eigenvalues():
    rng = np.random.default_rng(0)
    wanted = np.corrcoef(rng.normal(size=(6, 40)).T) * 0.9  # of few rows: far from positive definite
    wanted[rng.random(wanted.shape) < 0.3] = 0
    wanted = np.triu(wanted, 1) + np.triu(wanted, 1).T + np.eye(len(wanted))
    values, axes = np.linalg.eigh(wanted)
    clipped = axes * values.clip(min=1e-3) @ axes.T
    clipped /= np.sqrt(np.outer(np.diag(clipped), np.diag(clipped)))
    found = nearest_correlation(wanted)
    assert np.linalg.eigvalsh(found)[0] > 0 and np.diag(found) == pytest.approx(np.ones(len(found)))
    assert np.linalg.norm(found - wanted) < 0.98 * np.linalg.norm(clipped - wanted)
