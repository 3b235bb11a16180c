import json
import re

import numpy as np
import pandas as pd
import pytest

from hf_hybrid.core.errors import InputError
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.schema_description import load_description


def infer(columns, overrides=None):
    frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
    return RecordSchema.infer(frame, "image", overrides), frame


def roles(schema):
    return {name: (column.role, column.kind) for name, column in schema.columns.items()}


def test_a_number_that_repeats_within_a_patient_is_an_identifier():
    numbers = np.random.default_rng(0).integers(140_000, 980_000, 100)
    frame = pd.DataFrame({"patient_id": np.repeat(np.arange(100), 3), "hospital_no": np.repeat(numbers, 3)})
    assert RecordSchema.infer(frame, "image").columns["hospital_no"].role == "id"


@pytest.mark.parametrize("count", [60, 39, 20])
def test_different_whole_numbers_are_codes_from_twenty_on(count):
    rng, many = np.random.default_rng(0), np.arange(count)
    schema, _ = infer(
        {
            "number": 500100 + 7 * many,
            "visit": rng.permutation(count) + 17,
            "platelets": rng.choice(np.arange(100, 2000), count, replace=False) * 1000,
            "ferritin": rng.choice(9000, count, replace=False),
        }
    )
    left_out = [name for name, column in schema.columns.items() if column.role == "id"]
    assert left_out == ["number", "visit"]


def test_dates_stored_as_numbers_are_left_out():
    frame = pd.DataFrame({"admission": [20200101.0 + day for day in range(20)]})
    assert RecordSchema.infer(frame, "image").columns["admission"].role == "ignore"


def test_infers_role_and_kind():
    number = np.arange(60)
    schema, _ = infer(
        {
            "patient_id": [f"p{i // 2}" for i in number],
            "exam_uid": number,
            "file_path": "a/b.png",
            "Unnamed: 0": number,
            "crp [mg/l]": (number * 1.5 + 0.25).astype(str),
            "age (years)": number % 40 + 20,
            "sex": np.where(number % 2, "F", "M"),
            "died": np.where(number % 3, "no", "yes"),
            "icu": np.where(number % 3, 0.0, 1.0),
            "findings": np.where(number % 2, "oedema|effusion", "effusion"),
            "tags": [["a", "b"], ["a"]] * 30,
            "empty": "NA",
            "admitted": "2020-03-01",
            "report": [f"The lung of case {i} is clear" for i in number],
            "mrn_text": [f"X{i * 37}" for i in number],
            "serial": number + 100_000,
            "ldh": (number * 37) % 601 + 150,
        }
    )
    assert roles(schema) == {
        "image": ("image", None),
        "patient_id": ("group", None),
        "exam_uid": ("id", None),
        "file_path": ("id", None),
        "Unnamed: 0": ("id", None),
        "crp [mg/l]": ("clinical", "numeric"),
        "age (years)": ("clinical", "integer"),
        "sex": ("clinical", "categorical"),
        "died": ("clinical", "boolean"),
        "icu": ("clinical", "boolean"),
        "findings": ("clinical", "multi-label"),
        "tags": ("clinical", "multi-label"),
        "empty": ("ignore", None),
        "admitted": ("ignore", None),
        "report": ("ignore", None),
        "mrn_text": ("ignore", None),
        "serial": ("id", None),
        "ldh": ("clinical", "integer"),
    }
    assert schema.columns["crp [mg/l]"].unit == "mg/l"
    assert schema.columns["crp [mg/l]"].decimals == 2
    assert schema.columns["age (years)"].unit == "years"
    assert schema.columns["sex"].categories == ["F", "M"]
    assert schema.columns["findings"].categories == ["effusion", "oedema"]
    assert schema.columns["report"].note == "free text"
    assert schema.columns["mrn_text"].note == "looks like an identifier: most cells differ"
    assert schema.columns["empty"].note == "all cells are missing"


@pytest.mark.parametrize(
    "name",
    ["patient_id", "PatientID", "Patient ID", "subject-no", "to_patient_id", "case_number", "participant", "patient"]
    + ["PatientName", "patient_hash", "Fallnummer", "pseudonym", "pid", "MRN"],
)
def test_columns_named_like_a_patient_tell_groups(name):
    assert infer({name: ["a", "b"]})[0].group_column == name


@pytest.mark.parametrize("name", ["case", "patient_age", "outpatient", "covid", "valid", "showcase"])
def test_columns_that_only_sound_like_it_do_not(name):
    assert roles(infer({name: ["y", "n"] * 10})[0])[name] == ("clinical", "boolean")


def test_two_group_columns_are_refused():
    with pytest.raises(InputError, match=re.escape("found ['patient_id', 'subject_id']: give all but one")):
        infer({"patient_id": [1, 2], "subject_id": [1, 2]})
    schema, _ = infer({"patient_id": [1, 2], "subject_id": [1, 2]}, {"columns": {"subject_id": {"role": "id"}}})
    assert schema.group_column == "patient_id"
    schema, _ = infer({"mrn": [1, 2], "subject_id": [1, 2]}, {"columns": {"subject_id": {"role": "group"}}})
    assert roles(schema)["mrn"][0] == "id"


def test_codes_of_patients_are_not_taken_for_categories():
    codes = [f"P-{1000 + row // 6}" for row in range(360)]
    schema, _ = infer({"Studienkennung": codes, "stage": ["T1a", "T2b"] * 180})
    assert roles(schema)["Studienkennung"] == ("ignore", None) and roles(schema)["stage"][0] == "clinical"
    schema, _ = infer({"Studienkennung": codes}, {"columns": {"Studienkennung": {"role": "group"}}})
    assert schema.group_column == "Studienkennung"
    schema, _ = infer({"gene": codes}, {"columns": {"gene": {"kind": "categorical"}}})
    assert len(schema.table["gene"].categories) == 60


def test_reads_a_messy_table():
    columns = {
        "crp": ["3.5", "<0.1", "inf", "-inf", "pending", "NA", "", None, "4,5", "Not Done"] + ["1"] * 20,
        "ferritin": ["haemolysed"] * 12 + [str(100.5 + i) for i in range(18)],
        "age": ["61", "n/a"] + ["40"] * 28,
        "sex": ["M", "m", "Male", "F ", "f", "?", "unknown"] + ["F"] * 23,
        "icu": ["Y", "N", "Would have been stated", "y"] + ["N"] * 26,
        "signs": ["a|b", "", "b", "n/a", "a;b"] + ["b"] * 25,
        "constant": ["1.5"] * 30,
    }
    schema, raw = infer(columns)
    frame, unread = schema.read(raw)
    assert unread == {"crp": ["pending"], "ferritin": ["haemolysed"], "icu": ["Would have been stated"]}
    nan = np.nan
    np.testing.assert_array_equal(frame["crp"][:11], [3.5, -np.inf, np.inf, -np.inf, nan, nan, nan, nan, 4.5, nan, 1])
    assert frame["crp"].dtype == np.float64
    np.testing.assert_array_equal(frame["ferritin"][11:14], [nan, 100.5, 101.5])
    np.testing.assert_array_equal(frame["age"][:3], [61, nan, 40])
    assert schema.columns["age"].kind == "integer"
    assert schema.columns["sex"].categories == ["F", "M", "Male"]
    assert list(frame["sex"][:8]) == ["M", "M", "Male", "F", "F", None, None, "F"]
    assert list(frame["icu"][:5]) == [True, False, None, True, False]
    assert list(frame["signs"][:6]) == [["a", "b"], None, ["b"], None, ["a", "b"], ["b"]]
    assert set(frame["constant"]) == {1.5}


@pytest.mark.parametrize("missing", ["-99", -99])
def test_a_schema_file_overrides_what_is_inferred(tmp_path, missing):
    path = tmp_path / "schema.yaml"
    path.write_text(
        f"""
min_patients: 6
missing_values: [{missing!r}, not visible]
columns:
  score: {{kind: categorical}}
  crp: {{unit: mg/l, bounds: [0, 500]}}
  grade: {{role: target, categories: [none, mild, unknown]}}
  exam_id: {{role: clinical, kind: categorical}}
  note: {{role: ignore}}
""",
        encoding="utf-8",
    )
    columns = {
        "score": [1, 2, 2.0, "1", 2],
        "crp": [0.5, -99, "-99", -99.0, 1],
        "grade": ["None", "mild", "Not visible", "fatal", "Unknown"],
        "exam_id": ["a", "b", "a", "b", "a"],
        "note": ["x", "y", "x", "y", "x"],
    }
    schema, raw = infer(columns, load_description(path))
    assert roles(schema) == {
        "image": ("image", None),
        "score": ("clinical", "categorical"),
        "crp": ("clinical", "numeric"),
        "grade": ("target", "categorical"),
        "exam_id": ("clinical", "categorical"),
        "note": ("ignore", "categorical"),
    }
    assert schema.columns["crp"] == ColumnSchema("clinical", "numeric", "mg/l", (0.0, 500.0), decimals=1)
    frame, unread = schema.read(raw)
    assert list(frame) == ["score", "crp", "grade", "exam_id"]
    assert list(frame["score"]) == ["1", "2", "2", "1", "2"]
    np.testing.assert_array_equal(frame["crp"], [0.5, np.nan, np.nan, np.nan, 1])
    assert list(frame["grade"]) == [
        "none",
        "mild",
        None,
        None,
        "unknown",
    ]  # a listed category wins over a spelling of missing
    assert unread == {"grade": ["fatal"]}
    assert schema.min_patients == 6


def test_unknown_categories_go_to_other_where_there_is_one():
    schema = RecordSchema(
        {
            "image": ColumnSchema("image"),
            "x": ColumnSchema("clinical", "categorical", categories=["a", "other"]),
            "y": ColumnSchema("clinical", "multi-label", categories=["a", "other"]),
        }
    )
    frame, unread = schema.read(pd.DataFrame({"x": ["a", "new"], "y": ["a|new", "new"]}))
    assert list(frame["x"]) == ["a", "other"]
    assert list(frame["y"]) == [["a", "other"], ["other"]]
    assert unread == {}


def test_a_word_for_no_label_is_an_empty_list_unless_it_is_listed():
    raw = pd.DataFrame({"findings": ["a|b", "None", "No Finding", "", "new", ["none"]]})
    for listed, expected in (
        (["a", "b"], [["a", "b"], [], [], None, None, []]),
        (["a", "b", "other"], [["a", "b"], [], [], None, ["other"], []]),
        (["a", "b", "No Finding"], [["a", "b"], [], ["No Finding"], None, None, []]),
    ):
        column = ColumnSchema("clinical", "multi-label", categories=listed)
        frame, _ = RecordSchema({"image": ColumnSchema("image"), "findings": column}).read(raw)
        assert list(frame["findings"]) == expected


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"colums": {}},
            "expected the keys ['columns', 'min_patients', 'missing_values'] in a schema, found ['colums']",
        ),
        ({"columns": {"agge": {}}}, "expected columns among ['image', 'age', 'empty', 'report'], found ['agge']"),
        ({"columns": {"age": {"unti": "y"}}}, "in column `age`, found ['unti']: correct the spelling"),
        ({"columns": {"age": {"role": "x"}}}, "expected `role` of column `age` among ['image',"),
        ({"columns": {"age": {"kind": "float"}}}, "expected `kind` of column `age` among"),
        (
            {"columns": {"age": {"bounds": [9, 1]}}},
            "expected `bounds` of column `age` as [low, high], found [9, 1]",
        ),
        ({"columns": {"age": {"bounds": "low"}}}, "expected `bounds` of column `age` as [low, high], found 'low'"),
        (
            {"columns": {"age": "numeric"}},
            "expected a mapping such as `kind: numeric` for column `age`, found 'numeric'",
        ),
        ({"columns": {"age": {"categories": ["1", 1]}}}, "expected different `categories` in column `age`"),
        (
            {"columns": {"age": {"categories": [True]}}},
            "expected text in `categories` of column `age`, found True: quote it",
        ),
        (
            {"columns": {"age": {"role": "image"}}},
            "expected one image column, `image`, found `age` with that role too",
        ),
        (
            {"columns": {"empty": {"role": "clinical"}}},
            "expected a column that can be released, found `empty`: all cells",
        ),
        (
            {"columns": {"report": {"role": "target"}}},
            "expected a column that can be released, found `report`: free text",
        ),
    ],
)
def test_wrong_schemas_are_refused_in_one_line(overrides, message):
    columns = {"age": range(60, 90), "empty": [""] * 30, "report": [f"quite a long text {i}" for i in range(30)]}
    with pytest.raises(InputError) as error:
        infer(columns, overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_column_left_out_is_released_when_its_kind_is_given():
    columns = {"code": [f"c{i}" for i in range(30)]}
    assert infer(columns)[0].columns["code"].role == "ignore"
    schema, _ = infer(columns, {"columns": {"code": {"role": "clinical", "kind": "categorical"}}})
    assert len(schema.columns["code"].categories) == 30


def test_targets():
    schema, _ = infer({"age": [50, 61], "sex": ["F", "M"], "died": ["no", "yes"]})
    chosen = schema.with_targets(["sex", "died"])
    assert chosen.targets == ["sex", "died"]
    assert chosen.columns["sex"].categories == ["F", "M"]
    assert schema.targets == [] and chosen.with_targets(None) is chosen
    assert chosen.with_targets([]).targets == []
    with pytest.raises(InputError, match=re.escape("expected `targets` among ['age', 'sex', 'died'], found ['dead']")):
        schema.with_targets(["dead"])


def test_saved_schemas_are_read_back(tmp_path):
    schema = RecordSchema(
        {
            "image": ColumnSchema("image"),
            "crp": ColumnSchema("target", "numeric", "mg/l", (0.0, 1.5), decimals=1, states=["missing", "inf"]),
            "sex": ColumnSchema("clinical", "categorical", categories=["F", "M"], states=[]),
        },
        min_patients=7,
        missing_values=["gone"],
    )
    schema.save(tmp_path / "schema.json")
    assert RecordSchema.load(tmp_path / "schema.json") == schema
    assert "unit" not in json.loads((tmp_path / "schema.json").read_text())["columns"]["sex"]


def test_unreadable_schema_files(tmp_path):
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "broken.yaml").write_text("a: [\n")
    with pytest.raises(InputError, match="expected a mapping such as `columns: ...`, found list"):
        RecordSchema.load(tmp_path / "list.yaml")
    for name in ("broken.yaml", "absent.yaml"):
        with pytest.raises(InputError, match="expected a readable YAML or JSON file"):
            RecordSchema.load(tmp_path / name)


def test_reading_another_table_names_the_absent_columns():
    schema, _ = infer({"age": [50, 61], "sex": ["F", "M"]})
    with pytest.raises(InputError, match=re.escape("expected the columns ['age', 'sex'], found none named ['sex']")):
        schema.read(pd.DataFrame({"age": [1]}))


def test_features_of_a_release():
    from datasets import ClassLabel, Image, List, Value

    schema, _ = infer(
        {
            "age": [50, 61],
            "crp": [0.5, 1],
            "sex": ["F", "M"],
            "died": ["no", "yes"],
            "signs": ["a|b", "a"],
            "mrn": [1, 2],
        }
    )
    features = schema.to_features()
    assert dict(features) == {
        "image": Image(),
        "age": Value("int64"),
        "crp": Value("float64"),
        "sex": ClassLabel(names=["F", "M"]),
        "died": Value("bool"),
        "signs": List(ClassLabel(names=["a", "b"])),
    }
    assert "image" not in schema.to_features(with_image=False)


def test_a_table_of_nothing():
    schema, raw = infer({})
    frame, unread = schema.read(pd.DataFrame(index=range(3)))
    assert roles(schema) == {"image": ("image", None)}
    assert frame.shape == (3, 0) and unread == {}
    assert schema.group_column is None and schema.image_column == "image"
