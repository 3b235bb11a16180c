"""Attribute inference, linkability and singling out: 1 on a copy, about 0 on fresh data."""

import numpy as np
import pandas as pd
import pytest

from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.metrics.reidentification import guessed_right, linked, mean_by_patient, nearest_records, singling_out

NUMBER = ColumnSchema("clinical", "numeric", bounds=(0, 100), decimals=1, states=["missing"])
CATEGORY = ColumnSchema("clinical", "categorical", categories=["a", "b", "c"], states=["missing"])
SCHEMA = RecordSchema(
    {"image": ColumnSchema("image"), **{f"n{i}": NUMBER for i in range(4)}, **{f"c{i}": CATEGORY for i in range(3)}}
)


def draw(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    columns = {f"n{i}": rng.uniform(0, 100, count).round(1) for i in range(4)}
    columns["n0"][::6] = np.nan
    columns |= {f"c{i}": pd.Series(rng.choice(["a", "b", "c", None], count), dtype=object) for i in range(3)}
    return pd.DataFrame(columns)


def test_nearest_records_are_those_of_a_full_search(monkeypatch):
    rng = np.random.default_rng(0)
    records, synthetic = rng.random((20, 4)), rng.random((30, 4))
    distances = np.abs(records[:, None] - synthetic[None]).sum(axis=2)
    monkeypatch.setattr("hf_hybrid.metrics.reidentification._BLOCK_CELLS", 50)
    found = nearest_records(records, synthetic, 3)
    np.testing.assert_array_equal(np.sort(found), np.sort(np.argsort(distances)[:, :3]))
    assert nearest_records(records, synthetic[:2], 5).shape == (20, 2)


class TestGuesses:
    def test_a_number_is_right_within_a_twentieth_of_its_bounds(self):
        truth, guess = pd.Series([50.0, 50.0, np.nan, 50.0]), pd.Series([54.9, 55.2, 50.0, np.nan])
        right, known = guessed_right(NUMBER, truth, guess)
        assert right.tolist() == [True, False, False, False] and known.tolist() == [True, True, False, True]

    def test_a_category_is_right_when_it_is_the_same(self):
        truth = pd.Series(["a", "a", None, "b"], dtype=object)
        right, known = guessed_right(CATEGORY, truth, pd.Series(["a", "b", "a", None], dtype=object))
        assert right.tolist() == [True, False, False, False] and known.tolist() == [True, True, False, True]

    def test_success_is_counted_by_patient(self):
        assert mean_by_patient([True, False, True], np.array([7, 7, 3])).tolist() == [1.0, 0.5]


def test_a_link_is_one_synthetic_record_near_both_halves():
    one, other = np.array([[1, 2], [3, 4], [5, 6]]), np.array([[2, 9], [5, 6], [6, 5]])
    assert linked(one, other).tolist() == [True, False, True]


class TestSinglingOut:
    """The control is a draw of the same distribution."""

    @pytest.mark.parametrize(("training", "held_out"), [(60, 600), (200, 200), (600, 60)])
    def test_the_risk_grows_with_the_share_of_copies_from_0_to_1(self, training, held_out):
        train, control = draw(training, 0), draw(600, 1)
        sides = (train, np.arange(training)), (draw(held_out, 2), np.arange(held_out))
        risks = []
        for copies in (0, 0.5, 1):
            count = round(copies * training)
            release = pd.concat([train[:count], draw(training - count, 3)], ignore_index=True)
            risk, (own, _, others) = singling_out(release, control, *sides, SCHEMA, num_bootstraps=100)
            risks.append(risk)
        low, high = np.percentile(risks[0].replicates, [0.5, 99.5])
        assert abs(risks[0].value) < 0.12 and low < 0.05 and high > -0.05
        assert 0.3 < risks[1].value < 0.7
        assert own == risks[2].value == 1 and others < 0.6

    def test_two_records_of_a_patient_are_one_person(self):
        """Every predicate of a copy meets both records of its patient, which is still one patient."""
        train = pd.concat([draw(80, 0)] * 2, ignore_index=True)
        sides = (train, np.tile(np.arange(80), 2)), (draw(80, 1), np.arange(80))
        risk, rates = singling_out(draw(80, 0), draw(80, 4), *sides, SCHEMA)
        assert rates[0] == risk.value == 1

    def test_nobody_is_singled_out_by_a_release_of_one_kind(self):
        same = pd.concat([draw(1, 0)] * 50, ignore_index=True)
        sides = (draw(50, 1), np.arange(50)), (draw(50, 2), np.arange(50))
        risk, rates = singling_out(same, same, *sides, SCHEMA)
        assert risk.value == 0 and rates == (0, 0, 0)
