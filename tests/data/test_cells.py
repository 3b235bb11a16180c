import datetime
import decimal

import numpy as np
import pandas as pd
import pytest

from hf_hybrid.data import cells


@pytest.mark.parametrize(
    "cell", [None, float("nan"), pd.NA, pd.NaT, "", "  ", "NA", "n/a", "NaN", "null", "Unknown", "not done", "?", "-"]
)
def test_usual_spellings_of_missing(cell):
    assert cells.is_missing(cell)


@pytest.mark.parametrize("cell", ["0", 0, 0.0, False, "no", "inf", np.inf, "none", "nano", [], "negative"])
def test_values_are_not_missing(cell):
    assert not cells.is_missing(cell)


def test_further_spellings_of_missing_hold_for_text_and_numbers():
    spellings = {"not visible", "-99"}
    assert all(cells.is_missing(cell, spellings) for cell in ("Not visible ", "-99", -99, -99.0, np.int64(-99)))
    assert not any(cells.is_missing(cell, spellings) for cell in ("visible", 99, -99.5, np.inf, True))


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        (" 3.50 ", 3.5),
        ("−2", -2.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("36,6", 36.6),
        ("0,123", 0.123),
        (7, 7.0),
        (np.float32(0.5), 0.5),
        (decimal.Decimal("1.25"), 1.25),
        ("inf", np.inf),
        ("-inf", -np.inf),
        (-np.inf, -np.inf),
        ("<0.1", -np.inf),
        ("> 100", np.inf),
        (">=5,5", np.inf),
    ],
)
def test_numbers(cell, number):
    assert cells.to_number(cell) == number


@pytest.mark.parametrize("cell", ["pending", "1,234", "12 mg", "3-4", "<low", "", True, "1.2.3"])
def test_words_are_no_numbers(cell):
    assert cells.to_number(cell) is None


def test_booleans():
    assert [cells.to_boolean(cell) for cell in ("Yes", "no ", "T", "0", 1, 0, 1.0, np.float64(0), "1.0", True)] == [
        *(True, False, True, False, True, False, True, False, True),
        True,
    ]
    assert cells.to_boolean("maybe") is None
    assert cells.to_boolean("yes", ("y", "n")) is None
    assert cells.to_boolean(1.0, ("1", "0")) is True


def test_a_whole_number_is_one_category_in_all_its_forms():
    assert {cells.to_category(cell) for cell in (1, 1.0, "1", " 1 ", np.int64(1), np.float64(1))} == {"1"}
    assert cells.to_category(1.5) == "1.5"
    assert cells.to_category("01") == "01"


def test_labels_are_sorted_and_unique():
    assert cells.to_labels("Effusion|Atelectasis; Effusion") == ["Atelectasis", "Effusion"]
    assert cells.to_labels(np.array([2, 1, 1])) == ["1", "2"]
    assert cells.to_labels(["b", None, "a"]) == ["a", "b"]


@pytest.mark.parametrize(
    "cell",
    [
        "2020-03-15",
        "15.3.2020",
        "3/15/20",
        "2020-03-15 12:30:00",
        "January 22, 2020",
        "22 Jan 2020",
        "Mar 2020",
        "20200315",
        20200315,
        datetime.date(2020, 3, 15),
        pd.Timestamp("2020-03-15"),
        np.datetime64("2020-03-15"),
    ],
)
def test_dates(cell):
    assert cells.is_date(cell)


@pytest.mark.parametrize("cell", ["3.5", "12/80", "120/80", "marked", "may be 3", "1.2.3", 2020, "20201315", "90210"])
def test_no_dates(cell):
    assert not cells.is_date(cell)


def test_decimals_are_those_of_nearly_all_values():
    assert cells.decimals(np.array([36.5, 37.0, np.nan, np.inf])) == 1
    assert cells.decimals(np.array([1.0, 2.0])) == 0
    assert cells.decimals(np.array([1 / 3])) == 6
    assert cells.decimals(np.array([np.inf])) == 0
    assert cells.decimals(np.append(np.full(999, 0.5), 1 / 3)) == 1


def test_small_numbers_have_decimals_for_seven_digits():
    assert cells.decimals(np.array([1e-7, 2.5e-7, 0.0])) == 8
    assert cells.decimals(np.array([1e-7 / 3])) == 14 and round(1e-7 / 3, 14) == 3.333333e-08
    assert cells.decimals(np.array([0.0, 0.0])) == 0 and cells.decimals(np.array([1e-20 / 3])) == 22
    assert cells.decimals(np.array([0.1 / 3, 100 / 3, 200 / 3])) == 6
