"""Tables that break samplers elsewhere: each is learned and sampled sensibly, by every sampler."""

import numpy as np
import pandas as pd
import pytest
from tiny import tiny_samplers

from hf_hybrid.core.errors import InputError
from hf_hybrid.data import privacy_rule
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.samplers.conditions import check_request, conditions_met
from hf_hybrid.samplers.registry import SAMPLERS
from hf_hybrid.samplers.rows import LatentRows

ROWS = 60


def usual(count=ROWS, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "age": rng.integers(20, 90, count).astype(float),
        "sex": rng.choice(["F", "M"], count),
    }


def once(count=ROWS):
    return {"ward": ["rare", *["a", "b"] * (count // 2)][:count]}


CASES = {
    "constant columns": usual() | {"dose": np.full(ROWS, 2.5), "site": ["here"] * ROWS},
    "a category seen once": usual() | once(),
    "an all-missing column": usual() | {"lab": [None] * ROWS},
    "twenty rows": usual(20),
    "two hundred categories": usual(2400) | {"code": [f"c{index % 200:03d}" for index in range(2400)]},
    "infinite and huge values": usual()
    | {"titre": np.where(np.arange(ROWS) % 4 == 0, np.inf, 10.0 ** (np.arange(ROWS) % 13))},
    "numbers beyond what is exact": usual() | {"serial": [10**16 + 1000 * index for index in range(ROWS)]},
    "numbers beyond 64 bits": usual() | {"count": [10.0**19 + 1e16 * index for index in range(ROWS)]},
    "mostly missing": usual(200) | {"lab": np.where(np.arange(200) % 5 == 0, np.arange(200.0), np.nan)},
    "one category holds nearly all": usual() | {"icu": ["no"] * (ROWS - 6) + ["yes"] * 6},
    "numbers only, none missing": {"age": usual()["age"], "weight": np.arange(ROWS) + 0.5},
    "a column that repeats another": usual() | {"age again": usual()["age"]},
}


def learnable(columns, latent_dim=4):
    raw = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
    inferred = RecordSchema.infer(raw, "image")
    frame, _ = inferred.read(raw)
    schema = privacy_rule.protect(inferred, frame, np.arange(len(frame)))
    frame = frame[privacy_rule.expressible(schema, frame)].reset_index(drop=True)
    latents = np.random.default_rng(1).normal(size=(len(frame), latent_dim)).astype(np.float32)
    return LatentRows(latents, privacy_rule.restrict(schema, frame)), schema


def check(name, rows, schema):
    sampler = tiny_samplers()[name].fit(rows.to_dataset(schema), schema)
    drawn = LatentRows.from_dataset(sampler.sample(80, seed=0), schema)
    assert np.isfinite(drawn.latents).all()
    for column_name, column in schema.table.items():
        cells = drawn.frame[column_name]
        if column.is_number:
            finite = cells[np.isfinite(cells)]
            assert finite.between(*column.bounds).all(), column_name
            assert "inf" in column.states or not (cells == np.inf).any(), column_name
        else:
            known = [cell for cell in cells if cell is not None]
            assert set(known) <= set(column.categories or (False, True)), column_name
        assert "missing" in column.states or not cells.isna().any(), column_name
    return drawn


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("case", CASES)
def test_it_is_learned_and_sampled(name, case):
    rows, schema = learnable(CASES[case])
    drawn = check(name, rows, schema)

    if case == "constant columns":
        assert (drawn.frame["dose"] == 2.5).all() and (drawn.frame["site"] == "here").all()
    elif case == "a category seen once":
        assert "rare" not in set(drawn.frame["ward"])
    elif case == "an all-missing column":
        assert "lab" not in drawn.frame
    elif case == "infinite and huge values":
        assert (drawn.frame["titre"] == np.inf).any()


@pytest.mark.parametrize("name", SAMPLERS)
def test_more_latents_than_rows(name):
    drawn = check(name, *learnable(usual(), latent_dim=90))

    assert drawn.latents.shape == (80, 90)


@pytest.mark.slow
def test_a_million_rows():
    rng = np.random.default_rng(0)
    count = 1_000_000
    sex = pd.Series(np.array(["F", "M"])[rng.integers(0, 2, count)], dtype=object)
    frame = pd.DataFrame({"age": rng.normal(60, 10, count).round(1), "sex": sex})
    schema = privacy_rule.protect(RecordSchema.infer(frame[:1000], "image"), frame, np.arange(count), warn=False)
    check("copula", LatentRows(rng.normal(size=(count, 2)).astype(np.float32), frame), schema)


def test_two_columns_of_one_name_are_refused():
    frame = pd.DataFrame([[30, "F", 31]] * 40, columns=["age", "sex", "age"])

    with pytest.raises(InputError, match="expected different column names, found \\['age'\\] more than once"):
        RecordSchema.infer(frame, "image")


@pytest.mark.parametrize("name", SAMPLERS)
def test_any_number_of_conditions_on_any_column(name):
    """The first, the second and the last discrete column and a range, alone and together, for n records exactly."""
    rng = np.random.default_rng(0)
    columns = {f"group {index}": rng.choice(list("abc"), 400) for index in range(4)}
    rows, schema = learnable({**columns, "age": rng.integers(20, 90, 400)})
    sampler = tiny_samplers()[name].fit(rows.to_dataset(schema), schema)
    asked = {"group 0": "a", "group 1": "b", "group 3": "c", "age": (40, 70)}
    for conditions in [*({one: wanted} for one, wanted in asked.items()), asked]:
        frame = LatentRows.from_dataset(sampler.sample(1100, seed=0, conditions=conditions), schema).frame

        assert len(frame) == 1100
        assert conditions_met(schema, frame, check_request(schema, 1, 0, conditions)).all()
