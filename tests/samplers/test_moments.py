"""Correlations that samplers save: right where many stand behind them, and silent about few."""

import numpy as np
import pytest
from tiny import made_up_rows

from hf_hybrid.samplers.moments import correlations, shrink, shrunk_moments
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


def test_they_are_pearson_correlations_of_what_is_there():
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
            assert found[first, second] == pytest.approx(np.corrcoef(columns[both][:, [first, second]].T)[0, 1])
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
