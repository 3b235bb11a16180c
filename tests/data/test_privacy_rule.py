import logging

import numpy as np
import pandas as pd
import pytest

from hf_hybrid.core.errors import InputError
from hf_hybrid.data import privacy_rule
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema


def read(columns, overrides=None):
    raw = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
    schema = RecordSchema.infer(raw, "image", overrides)
    return schema, schema.read(raw)[0]


def protect(columns, groups=None, overrides=None):
    schema, frame = read(columns, overrides)
    groups = np.arange(len(frame)) if groups is None else np.asarray(groups)
    return privacy_rule.protect(schema, frame, groups), frame


def test_patients_are_counted_once():
    groups = np.array([0, 0, 1, 2])
    assert privacy_rule.count_patients(groups, [True, True, False, True]) == 2
    assert privacy_rule.count_patients(groups, pd.Series([False] * 4)) == 0


def test_bounds_hide_the_extremes():
    rng = np.random.default_rng(0)
    values = rng.normal(100, 10, 400).round(2)
    values[0], values[1] = 987.65, -654.32
    protected, frame = protect({"crp": values})
    low, high = protected.columns["crp"].bounds
    assert np.sort(values)[4] <= low <= 90 and 110 <= high <= np.sort(values)[-5]
    restricted = privacy_rule.restrict(protected, frame)["crp"]
    assert restricted.min() == low and restricted.max() == high


def test_five_patients_reach_every_bound_and_none_is_the_extreme_of_fewer():
    """Issue 13, point 9: fewer than five reached 364 of 1,000 bounds, and 60 were a true extreme."""
    rng, too_few, extremes, count = np.random.default_rng(0), 0, 0, 0
    shapes = (lambda n: rng.normal(100, 15, n).round(1), lambda n: rng.integers(20, 90, n).astype(float))
    shapes += (lambda n: rng.lognormal(2, 1, n).round(2), lambda n: rng.gamma(2, 3, n), lambda n: rng.poisson(9, n))
    for number in range(500):
        size = int(rng.integers(20, 400))
        values = shapes[number % 5](size).astype(float)
        groups = rng.integers(0, max(20, size // 2), size) if number % 2 else np.arange(size)
        frame = pd.DataFrame({"x": values})
        asked = {"columns": {"x": {"role": "clinical", "kind": "numeric"}}}
        schema = privacy_rule.protect(RecordSchema.infer(frame, "image", asked), frame, groups, warn=False)
        if not schema.table:  # too few patients
            continue
        for bound, beyond, extreme in zip(
            schema.columns["x"].bounds, (np.less_equal, np.greater_equal), (values.min(), values.max()), strict=True
        ):
            count += 1
            too_few += privacy_rule.count_patients(groups, beyond(values, bound)) < 5
            extremes += bound == extreme and privacy_rule.count_patients(groups, values == extreme) < 5
    assert count > 900 and (too_few, extremes) == (0, 0)


def test_a_skewed_column_is_cut_at_few_patients():
    """On a grid of a fiftieth of its range, one value in ten was cut at the lower bound."""
    values = np.random.default_rng(0).lognormal(2, 1, 300).round(1)
    low, high = protect({"crp": values})[0].columns["crp"].bounds
    assert (values < low).sum() <= 10 and (values > high).sum() <= 10


def test_numbers_below_a_millionth_keep_their_digits():
    """Issue 13, point 10: values of 1e-7 mol/L became 0."""
    values = np.random.default_rng(0).lognormal(0, 0.5, 300) * 1e-7
    protected, frame = protect({"cortisol (mol/L)": [f"{value:.4g}" for value in values]})
    column = protected.columns["cortisol (mol/L)"]
    low, high = column.bounds
    assert 0 < low < np.quantile(values, 0.05) and np.quantile(values, 0.95) < high < values.max()
    restricted = privacy_rule.restrict(protected, frame)["cortisol (mol/L)"]
    np.testing.assert_allclose(restricted.round(column.decimals), restricted, rtol=1e-5)


def test_one_patient_with_many_images_decides_no_bound():
    values = np.r_[np.full(50, 9000.0), np.linspace(1, 9, 60)]
    groups = np.r_[np.zeros(50, dtype=int), np.arange(1, 61)]
    assert protect({"crp": values}, groups)[0].columns["crp"].bounds[1] <= 10


def test_bounds_of_the_schema_are_kept():
    overrides = {"columns": {"age": {"bounds": [18, 90]}}}
    protected, frame = protect({"age": np.arange(100) % 80 + 15}, overrides=overrides)
    assert protected.columns["age"].bounds == (18, 90)
    assert set(privacy_rule.restrict(protected, frame)["age"]) == set(range(18, 91))


def test_rare_categories_are_merged():
    cells = ["a"] * 40 + ["b"] * 30 + ["rare one"] * 3 + ["rare two"] * 2
    protected, frame = protect({"finding": cells})
    assert protected.columns["finding"].categories == ["a", "b", "other"]
    assert list(privacy_rule.restrict(protected, frame)["finding"][-5:]) == ["other"] * 5


def test_a_category_of_one_patient_with_many_images_is_rare():
    groups = np.r_[np.arange(40), np.full(10, 40)]
    protected, _ = protect({"finding": ["a"] * 20 + ["b"] * 20 + ["own"] * 10}, groups)
    assert protected.columns["finding"].categories == ["a", "b"]


def test_rare_categories_too_few_to_merge_become_missing():
    cells = ["a"] * 40 + ["b"] * 30 + ["rare"] * 2
    protected, frame = protect({"finding": cells})
    assert protected.columns["finding"].categories == ["a", "b"]
    assert protected.columns["finding"].states == []
    assert list(privacy_rule.restrict(protected, frame)["finding"][-2:]) == [None, None]
    assert privacy_rule.expressible(protected, frame).tolist() == [True] * 70 + [False] * 2
    protected, frame = protect({"finding": [*cells, *[""] * 5]})
    assert protected.columns["finding"].states == ["missing"]
    assert list(privacy_rule.restrict(protected, frame)["finding"][-7:]) == [None] * 7


def test_a_boolean_value_of_few_patients_does_not_stay():
    cells = ["no"] * 50 + ["yes"] * 2
    protected, frame = protect({"icu": cells})
    assert protected.columns["icu"].categories == ["false"]
    assert list(privacy_rule.restrict(protected, frame)["icu"]) == [False] * 50 + [None] * 2
    protected, frame = protect({"icu": [*cells, *[""] * 6]})
    assert list(privacy_rule.restrict(protected, frame)["icu"][50:]) == [None] * 8


def test_multi_label_columns_lose_rare_labels():
    cells = ["a|b"] * 20 + ["b"] * 20 + ["a|rare"] + [""] * 6 + ["a"] * 5
    protected, frame = protect({"signs": cells})
    assert protected.columns["signs"].categories == ["a", "b"]
    restricted = privacy_rule.restrict(protected, frame)["signs"]
    assert restricted[40] == ["a"] and restricted[0] == ["a", "b"] and restricted[41] is None


def test_a_label_that_all_but_a_few_have_is_dropped():
    protected, frame = protect({"signs": ["a|b"] * 20 + ["b"] * 20 + ["a"]})
    assert protected.columns["signs"].categories == ["a"], "the one without b could be told"
    assert privacy_rule.restrict(protected, frame)["signs"][0] == ["a"]


def test_a_rule_that_protects_nobody_is_refused():
    for number in (1, 4, "five", 5.5):
        with pytest.raises(InputError, match="expected `min_patients` as a whole number from 5, found"):
            RecordSchema({}, min_patients=number)


def test_a_stricter_rule_asks_for_more_patients():
    values = pd.DataFrame({"crp": np.arange(45) / 2})
    strict = RecordSchema.infer(values, "image", {"min_patients": 25})
    assert not privacy_rule.protect(strict, values, np.arange(45)).columns["crp"].is_released


def test_rounding_stays_within_the_users_bounds():
    frame = pd.DataFrame({"age": np.linspace(10, 90, 50).round()})
    asked = {"role": "clinical", "kind": "integer", "bounds": [18.4, 80.6]}
    schema = RecordSchema.infer(frame, "image", {"columns": {"age": asked}})
    assert privacy_rule.protect(schema, frame, np.arange(50)).columns["age"].bounds == (19, 80)


def test_states_need_enough_patients():
    values = [*range(40), *["inf"] * 6, *["-inf"] * 2, *[""] * 7]
    protected, frame = protect({"crp": values})
    column = protected.columns["crp"]
    assert column.kind == "numeric" and column.states == ["missing", "inf"]
    restricted = privacy_rule.restrict(protected, frame)["crp"].to_numpy()
    assert np.isinf(restricted).sum() == 6
    assert np.isnan(restricted).sum() == 9  # the two values below the limit are missing now


def test_states_that_are_dropped_without_missing_leave_their_records_out():
    protected, frame = protect({"crp": [*np.arange(40) / 2, "inf", "-inf", ""]})
    assert protected.columns["crp"].states == []
    restricted = privacy_rule.restrict(protected, frame)["crp"].to_numpy()
    assert np.isfinite(restricted[:40]).all() and np.isnan(restricted[40:]).all()
    assert privacy_rule.expressible(protected, frame).tolist() == [True] * 40 + [False] * 3


def test_dropped_states_count_as_missing():
    protected, frame = protect({"crp": [*np.arange(40) / 2, *["inf"] * 3, "", ""]})
    assert protected.columns["crp"].states == ["missing"]
    assert privacy_rule.expressible(protected, frame).all()


@pytest.mark.parametrize("words", [("alive", "dead"), ("no", "yes")])
def test_no_answer_is_invented(words, caplog):
    """Issue 13, point 22: two `dead` became `alive`."""
    common, rare = words
    columns = {"patient_id": range(60), "outcome": [common] * 58 + [rare] * 2, "age": range(20, 80)}
    with caplog.at_level(logging.WARNING):
        protected, frame = protect(columns, overrides={"columns": {"outcome": {"role": "target"}}})
    restricted = privacy_rule.restrict(protected, frame)
    kept = privacy_rule.expressible(protected, frame)
    assert list(restricted["outcome"][-2:]) == [None, None] and kept.sum() == 58
    assert restricted["outcome"][kept].equals(frame["outcome"][kept])
    assert caplog.messages == [
        "target `outcome` loses a class: 2 patients hold answers that fewer than 5 share, and no release can hold "
        "them: merge classes, add patients, or choose another target",
        "2 of 60 records are left out, because fewer than 5 patients are missing, or share the answer, in `outcome` "
        "(2): fill in these cells, merge rare answers, or leave the column out",
    ]


def test_leaving_records_out_leaves_no_rare_answer():
    """Of five patients with `c`, one has no weight and is left out; the others are too few then."""
    columns = {"finding": ["a"] * 40 + ["c"] * 5, "weight": [*(np.arange(44) / 2 + 50), ""]}
    protected, frame = protect(columns)
    kept = privacy_rule.expressible(protected, frame)
    assert protected.columns["finding"].categories == ["a"]
    assert kept.tolist() == [True] * 40 + [False] * 5


def test_losing_more_than_a_tenth_of_the_records_is_said(caplog):
    columns = {f"lab {column}": list(np.arange(40) / 2) for column in range(3)}
    for column, cells in enumerate(columns.values()):
        cells[3 * column : 3 * column + 3] = [""] * 3
    with caplog.at_level(logging.WARNING):
        protected, frame = protect(columns)
    assert (~privacy_rule.expressible(protected, frame)).sum() == 9
    assert caplog.messages[-1] == (
        "9 of 40 records are left out, because fewer than 5 patients are missing, or share the answer, in `lab 0` "
        "(3), `lab 1` (3), `lab 2` (3): fill in these cells, merge rare answers, or leave the column out, since this "
        "is more than a tenth of the records"
    )


def test_columns_with_too_few_values_are_left_out_with_a_warning(caplog):
    columns = {
        "crp": [*range(19), *[""] * 30],
        "word": [f"w{i % 15}" for i in range(49)],
        "sex": ["F", "M"] * 24 + ["F"],
    }
    with caplog.at_level(logging.WARNING):
        protected, frame = protect(columns, overrides={"columns": {"word": {"kind": "categorical"}}})
    assert protected.columns["crp"] == ColumnSchema("ignore", note="fewer than 20 patients have a value")
    assert list(protected.table) == ["word", "sex"]
    nobody, left_out = caplog.messages
    assert nobody.startswith("no column identifies patients, so every record counts as a separate patient")
    assert left_out == "column `crp` is left out: fewer than 20 patients have a value"
    assert list(privacy_rule.restrict(protected, frame)) == ["word", "sex"]


def test_correlations_of_few_patients_are_not_told():
    features = np.zeros((60, 4))  # two numbers, two answers
    features[:, 0], features[:20, 1], features[20:, 1] = np.arange(60), np.arange(20), np.nan
    features[:12, 2] = features[3:30, 3] = 1  # 12 and 27 yes; both of 9
    told = privacy_rule.enough_for_correlations(features, np.array([False, False, True, True]), np.arange(60))
    assert told.diagonal().all() and told[0, 1:].all() and not told[2, 3]
    assert not told[1, 2]  # of the 20 whose number is there, 8 say no
    assert told[1, 3] == told[3, 1] == False  # noqa: E712 - 3 say no
    halves = privacy_rule.enough_for_correlations(features, np.array([False, False, True, True]), np.arange(60) // 2)
    assert halves[0, 3] and not halves[0, 2]  # two records of each: 6 patients say yes


def test_a_column_without_a_common_category_is_left_out():
    overrides = {"columns": {"word": {"kind": "categorical"}}}
    protected, _ = protect({"word": ["a", "b", "c"], "sex": ["F"] * 3}, overrides=overrides)
    assert protected.columns["word"].note == "no category is held by 5 patients"
    assert protected.table == {}


def test_protecting_leaves_the_given_schema_alone_and_keeps_the_rest():
    overrides = {"missing_values": ["-99"], "min_patients": 6, "columns": {"sex": {"role": "target"}}}
    schema, frame = read(
        {"age": ["-99", *range(40, 80)], "sex": ["F"] * 39 + ["M"] * 2, "exam_id": range(41)}, overrides
    )
    before = schema.to_dict()
    protected = privacy_rule.protect(schema, frame, np.arange(41))
    assert schema.to_dict() == before
    assert (protected.min_patients, protected.missing_values) == (6, ["-99"])
    assert protected.targets == ["sex"] and protected.columns["exam_id"].role == "id"
    assert RecordSchema.from_dict(protected.to_dict()) == protected


def test_a_protected_schema_reads_and_restricts_other_records():
    protected, _ = protect({"age": [30, *range(30, 69)], "sex": ["F", "M"] * 20, "icu": ["yes", "no"] * 20})
    other = pd.DataFrame({"age": ["", "200"], "sex": ["", "X"], "icu": ["", ""]})
    frame, unread = protected.read(other)
    restricted = privacy_rule.restrict(protected, frame)
    assert unread == {"sex": ["X"]}
    assert restricted["age"][1] == protected.columns["age"].bounds[1]
    assert np.isnan(restricted["age"][0]) and list(restricted["sex"]) == list(restricted["icu"]) == [None, None]
    assert not privacy_rule.expressible(protected, frame).any()
    assert privacy_rule.expressible(RecordSchema.infer(other, "image"), frame).all()  # it is not protected


@pytest.mark.parametrize("canary", ["SECRET-STREET 7", "zz9"])
def test_no_canary_is_left(canary):
    cells = {
        "place": ["a", "b"] * 30 + [canary],
        "signs": ["a|b", "a"] * 30 + [f"a|{canary}"],
        "crp": [*np.linspace(0.5, 30, 60).round(2), 31415.92],
    }
    protected, frame = protect(cells)
    text = str(protected.to_dict()) + privacy_rule.restrict(protected, frame).to_csv()
    assert canary not in text and "31415" not in text
