"""Rules that tie columns together are found, and none where there is none."""

import numpy as np
import pandas as pd
import pytest

from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.metrics.dependencies import Dependency, find_dependencies
from hf_hybrid.phantom.cohort import sample_cohort
from hf_hybrid.phantom.variables import phantom_schema


@pytest.fixture
def raw():
    rng = np.random.default_rng(0)
    height, age = rng.normal(1.7, 0.1, 300).round(3), rng.integers(18, 95, 300)
    weight = rng.normal(80, 15, 300).round(1)
    ventilated, ward = rng.random(300) < 0.3, rng.choice(["A", "B", "C"], 300)
    return pd.DataFrame(
        {
            "height": height,
            "weight": weight,
            "bmi": (weight / height**2).round(2),
            "age": age,
            "age_group": np.select([age < 40, age < 65], ["young", "middle"], "old"),
            "ward": ward,
            "building": np.where(ward == "C", "north", "south"),
            "ventilated": np.where(ventilated, "yes", "no"),
            "severe": np.where(ventilated & (ward == "A"), "yes", "no"),
            "systolic": rng.normal(130, 15, 300).round(),
        }
    )


def dependencies(raw, **columns):
    schema = RecordSchema.infer(raw.assign(image="a.png"), "image", {"columns": columns})
    frame, _ = schema.read(raw.assign(image="a.png"))
    return find_dependencies(schema, frame)


def test_every_kind_of_rule_is_found_once(raw):
    found = {(one.column, one.sources, one.how) for one in dependencies(raw)}
    numbers = [one for one in found if one[2] == "product"]
    assert len(numbers) == 1 and {numbers[0][0], *numbers[0][1]} == {"height", "weight", "bmi"}
    assert {one for one in found if one[2] != "product"} == {
        ("age_group", ("age",), "ranges"),
        ("building", ("ward",), "cells"),
        ("severe", ("ward", "ventilated"), "cells"),
    }


def test_a_sum_is_found(raw):
    raw["score"] = 2 * raw["age"] + 3 * raw["systolic"]
    assert [one for one in dependencies(raw) if one.how == "sum"] != []


def test_noise_breaks_a_rule(raw):
    rng = np.random.default_rng(1)
    raw["bmi"] = raw["bmi"] + rng.normal(0, 1, 300)
    for name, other in (("age_group", "old"), ("building", "south"), ("severe", "yes")):
        raw.loc[rng.integers(300, size=40), name] = other
    assert dependencies(raw) == []


def test_missing_cells_do_not_hide_a_rule(raw):
    raw.loc[::7, "bmi"] = None
    raw.loc[::5, "age"] = None
    assert Dependency("age_group", ("age",), "ranges") in dependencies(raw)
    assert [one for one in dependencies(raw) if one.how == "product"] != []


def test_few_records_tell_nothing(raw):
    assert dependencies(raw[:30]) == []


def test_the_built_in_cohort_has_none():
    table = sample_cohort(600, 0).table
    schema = RecordSchema.infer(table, "image", phantom_schema())
    assert find_dependencies(schema, schema.read(table)[0]) == []
