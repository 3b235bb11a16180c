"""The table transform: what it writes it reads back, and what it stores belongs to no one."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hybrid.data import privacy_rule
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.samplers.transform import TableTransform

LATENT_DIM = 5


def cells(count=300, seed=0):
    rng = np.random.default_rng(seed)
    crp = np.exp(rng.normal(2, 1, count)).round(1).astype(object)
    crp[rng.random(count) < 0.2] = None
    crp[rng.random(count) < 0.1] = np.inf
    crp[rng.random(count) < 0.1] = -np.inf
    return pd.DataFrame(
        {
            "age": rng.integers(20, 90, count),
            "crp": crp,
            "sex": pd.Series(rng.choice(["F", "M", ""], count, p=[0.5, 0.4, 0.1]), dtype=object),
            "icu": pd.Series(rng.choice(["yes", "no", ""], count), dtype=object),
            "signs": pd.Series(rng.choice(["oedema|effusion", "effusion", "", "oedema"], count), dtype=object),
            "site": "here",
        }
    )


@pytest.fixture(scope="module")
def table():
    raw = cells()
    schema = RecordSchema.infer(raw, "image")
    frame, _ = schema.read(raw)
    groups = np.arange(len(raw))
    schema = privacy_rule.protect(schema, frame, groups)
    latents = np.random.default_rng(1).normal(3, 2, (len(raw), LATENT_DIM)).astype(np.float32)
    return schema, latents, privacy_rule.restrict(schema, frame), groups


def test_the_inverse_gives_back_every_cell(table):
    schema, latents, frame, groups = table
    transform = TableTransform(schema).fit(latents, frame, groups)
    matrix = transform.transform(latents, frame)
    latents_again, frame_again = transform.inverse(matrix)

    assert matrix.shape == (300, transform.width)
    np.testing.assert_allclose(latents_again, latents, atol=1e-5)
    pd.testing.assert_frame_equal(frame_again, frame.reset_index(drop=True), check_dtype=False)


def test_scalars_are_standardised(table):
    schema, latents, frame, groups = table
    matrix = TableTransform(schema).fit(latents, frame, groups).transform(latents, frame)

    np.testing.assert_allclose(matrix[:, :LATENT_DIM].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(matrix[:, :LATENT_DIM].std(0), 1, atol=1e-5)
    assert np.abs(matrix[:, LATENT_DIM : LATENT_DIM + 2]).max() < 6


def test_every_row_answers_every_question_once(table):
    schema, latents, frame, groups = table
    transform = TableTransform(schema).fit(latents, frame, groups)
    matrix = transform.transform(latents, frame)

    for block in transform.blocks_:
        np.testing.assert_array_equal(matrix[:, block.positions].sum(1), 1, err_msg=f"{block.column} {block.role}")


def test_states_are_blocks_of_their_own(table):
    schema, latents, frame, groups = table
    transform = TableTransform(schema).fit(latents, frame, groups)
    states = {block.column: block.choices for block in transform.blocks_ if block.role == "state"}

    assert states == {"crp": ["value", "missing", "-inf", "inf"], "signs": ["value", "missing"]}


def test_what_is_saved_reads_back_and_is_json(table):
    schema, latents, frame, groups = table
    transform = TableTransform(schema).fit(latents, frame, groups)
    loaded = TableTransform.from_dict(schema, json.loads(json.dumps(transform.to_dict())))

    np.testing.assert_array_equal(loaded.transform(latents, frame), transform.transform(latents, frame))


def test_many_records_of_one_patient_are_one_patient():
    values = np.concatenate([np.random.default_rng(0).normal(10, 1, 100), np.full(50, 40.0)])
    frame = pd.DataFrame({"lab": values})
    groups = np.concatenate([np.arange(100), np.full(50, 100)])
    schema = privacy_rule.protect(RecordSchema.infer(frame, "image"), frame, groups)
    restricted = privacy_rule.restrict(schema, frame)
    quantiles = TableTransform(schema).fit(np.zeros((150, 1)), restricted, groups).numbers_["lab"]

    assert schema.columns["lab"].bounds[1] < 20
    assert max(quantiles.values) < 20


def test_a_constant_number_stays_constant():
    frame = pd.DataFrame({"dose": np.full(40, 2.5)})
    schema = privacy_rule.protect(RecordSchema.infer(frame, "image"), frame, np.arange(40))
    transform = TableTransform(schema).fit(np.zeros((40, 2)), frame, np.arange(40))
    _, again = transform.inverse(transform.transform(np.zeros((40, 2)), frame) + 0.3)

    assert (again["dose"] == 2.5).all()


def test_numbers_stay_within_bounds_and_decimals(table):
    schema, latents, frame, groups = table
    transform = TableTransform(schema).fit(latents, frame, groups)
    matrix = transform.transform(latents, frame)
    matrix[:, : transform.num_scalars_] *= 100
    _, wild = transform.inverse(matrix)

    for name in ("age", "crp"):
        low, high = schema.columns[name].bounds
        finite = wild[name][np.isfinite(wild[name])]
        assert low <= finite.min() and finite.max() <= high
        assert (finite == finite.round(schema.columns[name].decimals)).all()


# --- any table -------------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)


def column_of(cells, count):
    return st.lists(cells, min_size=count, max_size=count)


@st.composite
def tables(draw):
    """Raw cells of 30 to 80 records: numbers, missing and infinite cells, words, booleans, labels."""
    count = draw(st.integers(30, 80))
    whole = st.integers(-(10 ** draw(st.integers(1, 9))), 10 ** draw(st.integers(1, 9)))
    places = draw(st.integers(0, 4))
    decimal = st.floats(-1e6, 1e6).map(lambda number: round(number, places))
    words = st.sampled_from(draw(st.lists(WORDS, min_size=1, max_size=6, unique=True)))
    columns = {
        "whole": whole,
        "decimal": st.one_of(decimal, decimal, st.sampled_from([None, np.inf, -np.inf])),
        "word": st.one_of(words, words, st.none()),
        "flag": st.sampled_from(["yes", "no", None]),
        "labels": st.lists(st.sampled_from(["oedema", "effusion", "nodule"]), max_size=3).map("|".join),
    }
    return pd.DataFrame(
        {name: pd.Series(draw(column_of(cells, count)), dtype=object) for name, cells in columns.items()}
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(tables(), st.integers(0, 2**32 - 1))
def test_the_inverse_gives_back_any_table(raw, seed):
    """Categories, labels, missing and infinite cells and integers exactly, other numbers to rounding."""
    rng = np.random.default_rng(seed)
    schema = RecordSchema.infer(raw, "image")
    frame, _ = schema.read(raw)
    schema = privacy_rule.protect(schema, frame, np.arange(len(raw)))
    frame = privacy_rule.restrict(schema, frame)[privacy_rule.expressible(schema, frame)].reset_index(drop=True)
    groups = np.arange(len(frame))
    latents = (rng.normal(size=(len(frame), 2)) * 10.0 ** rng.integers(-3, 4)).astype(np.float32)
    transform = TableTransform(schema).fit(latents, frame, groups)
    latents_again, again = transform.inverse(transform.transform(latents, frame))

    np.testing.assert_allclose(latents_again, latents, rtol=1e-4, atol=1e-4 * latents.std())
    assert list(again) == list(schema.table)
    for name, column in schema.table.items():
        if not column.is_number:
            assert again[name].tolist() == frame[name].tolist(), name
            continue
        given_cells, found = frame[name].to_numpy(np.float64), again[name].to_numpy(np.float64)
        finite = np.isfinite(given_cells)
        np.testing.assert_array_equal(found[~finite], given_cells[~finite], err_msg=name)
        if column.kind == "integer":
            np.testing.assert_array_equal(found[finite], given_cells[finite])
        else:
            np.testing.assert_allclose(found[finite], given_cells[finite], rtol=0, atol=0.51 * 10.0**-column.decimals)
