import io
import logging

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hf_hybrid.commands import inspect, split, stages
from hf_hybrid.core.errors import InputError
from hf_hybrid.data.records import COMPARED_SIDE, load_records
from hf_hybrid.evaluation import inspection
from hf_hybrid.evaluation.records import check_apart
from hf_hybrid.metrics import predictors


def make_folder(folder, columns):
    """An image folder with these columns as text."""
    folder.mkdir()
    count = len(next(iter(columns.values())))
    for number in range(count):
        stream = io.BytesIO()
        Image.fromarray(np.full((6, 8), number % 256, np.uint8)).save(stream, "PNG")
        (folder / f"{number:03}.png").write_bytes(stream.getvalue())
    table = pd.DataFrame({"file_name": [f"{number:03}.png" for number in range(count)], **columns})
    table.to_csv(folder / "metadata.csv", index=False)
    return folder


def problems(folder, columns, **options):
    return inspection.find_problems(load_records(make_folder(folder, columns), **options))


def about(found, name):
    return [problem for problem in found if f"`{name}`" in problem]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_inspect_prints_schema_and_warnings(tmp_path, capsys, caplog):
    columns = {
        "patient_id": [f"p{n // 2}" for n in range(60)],
        "age (years)": [str(20 + n * 7 % 40) if n % 4 else "" for n in range(60)],
        "sex": ["F", "M"] * 30,
        "icu": ["Y" if n % 3 else "N" for n in range(59)] + ["Not visible"],
        "report": [f"The lungs of number {n} are clear" for n in range(60)],
    }
    folder = make_folder(tmp_path / "cohort", columns)
    with caplog.at_level(logging.WARNING):
        assert inspect.main(inspect.Options(str(folder), targets=["sex"])) == 0
    assert capsys.readouterr().out == (
        "60 records of 30 patients, 30 of them with several images (up to 2)\n"
        "images: 8 x 6 (60); stored as L (60)\n"
        "\n"
        "column       role      kind         unit   missing  distinct  note\n"
        "image        image\n"
        "patient_id   group                         0%       30\n"
        "age (years)  clinical  integer      years  25%      30        21 to 59\n"
        "sex          target    categorical         0%       2         F, M\n"
        "icu          clinical  boolean             2%       2\n"
        "report       ignore                        0%       60        free text\n"
        "\n"
        "warning: `report` is left out: free text\n"
        "warning: 1 of 60 records is left out, because fewer than 5 patients are missing, or share the answer, in "
        "`icu` (1): fill in these cells, merge rare answers, or leave the column out\n"
        "warning: `icu`: words that cannot be read become missing: 'Not visible'\n"
        "3 warnings\n"
    )
    assert caplog.messages == []  # said once, in the table


def test_one_warning_is_one(tmp_path, capsys):
    columns = {
        "patient_id": [f"p{n // 2}" for n in range(60)],
        "sex": ["F", "M"] * 30,
        "report": [f"The lungs of number {n} are clear" for n in range(60)],
    }
    folder = make_folder(tmp_path / "cohort", columns)
    assert inspect.main(inspect.Options(str(folder), targets=["sex"])) == 0
    assert capsys.readouterr().out.endswith("warning: `report` is left out: free text\n1 warning\n")


def test_inspect_of_images_only(tmp_path, capsys):
    folder = make_folder(tmp_path / "public", {"label": ["a"] * 3})
    (folder / "metadata.csv").unlink()
    assert inspect.main(inspect.Options(str(folder))) == 0
    out = capsys.readouterr().out
    assert out.startswith("3 records of 3 patients, one image each\n")
    assert out.endswith("no warnings\n")


def test_the_grey_range_of_16_bit_images_is_told(tmp_path, capsys):
    folder = make_folder(tmp_path / "cohort", {"sex": ["F", "M"] * 15})
    for number in range(30):
        image = np.linspace(0, 60000 if number == 29 else 1000, 48).round().astype(np.uint16).reshape(6, 8)
        Image.fromarray(image).save(folder / f"{number:03}.png")
    assert inspect.main(inspect.Options(str(folder))) == 0
    out = capsys.readouterr().out
    assert "images: 8 x 6 (30); stored as I;16 (30); grey values 0 to 65535 of all become 0 to 255\n" in out
    assert "warning: 29 of 30 images have fewer than 32 grey values once all are scaled alike: leave out" in out


def test_unreadable_images_end_the_inspection(tmp_path):
    folder = make_folder(tmp_path / "cohort", {"sex": ["F"] * 3})
    for name in ("000.png", "002.png"):
        (folder / name).write_text("x")
    with pytest.raises(InputError, match="found 2 that are not \\(row 0 `000.png`: .*; row 2 `002.png`: "):
        inspect.main(inspect.Options(str(folder)))


def test_clean_records_have_no_problem(tmp_path, rng):
    columns = {
        "patient_id": range(80),
        "age": rng.integers(20, 90, 80),
        "sex": ["F", "M"] * 40,
        "icu": rng.choice(["Y", "N", ""], 80),
    }
    assert problems(tmp_path / "cohort", columns, targets=["icu"]) == []


def test_identifiers_and_unusable_columns_are_told(tmp_path):
    found = problems(
        tmp_path / "cohort",
        {
            "exam_id": range(60),
            "admitted": ["2020-03-01"] * 60,
            "empty": [""] * 60,
            "code": [f"X{n}" for n in range(60)],
            "constant": ["same"] * 30 + [""] * 30,
            "sparse": [str(n / 2) for n in range(19)] + [""] * 41,
            "place": ["A"] * 30 + ["B"] * 24 + ["C"] * 3 + ["D"] * 3,
            "grade": ["3", "3"] + ["1", "2"] * 29,
            "icu": ["no"] * 2 + ["yes"] * 58,
        },
    )
    assert found == [
        "`exam_id` is left out: named like an identifier",
        "`admitted` is left out: dates identify a person: give the days since an event instead",
        "`empty` is left out: all cells are missing",
        "`code` is left out: looks like an identifier: most cells differ",
        "`constant` is constant: it has one value beside missing",
        "`sparse` is left out: fewer than 20 patients have a value",
        "`place`: held by fewer than 5 patients and merged into 'other': C, D",
        "`icu`: fewer than 5 patients have another value than true, which is left out with its records",
        "2 of 60 records are left out, because fewer than 5 patients are missing, or share the answer, in `icu` "
        "(2): fill in these cells, merge rare answers, or leave the column out",
        "no targets: nothing to predict, so utility cannot be scored; name some with `--targets`",
        "no group column: every record counts as a separate patient; name one if this is wrong",
    ]


def test_a_target_that_loses_a_class_is_told(tmp_path):
    columns = {"patient_id": range(40), "outcome": ["alive"] * 38 + ["dead"] * 2}
    found = problems(tmp_path / "cohort", columns, targets=["outcome"])
    assert "`outcome`: held by fewer than 5 patients and left out with its records: dead" in found
    assert [one for one in found if one.startswith("target")] == [
        "target `outcome` loses a class: 2 patients hold answers that fewer than 5 share, and no release can hold "
        "them: merge classes, add patients, or choose another target"
    ]


def test_a_patient_with_more_than_a_tenth_of_the_records_is_told_without_a_name(tmp_path):
    """Issue 13, point 8: one with 90 % of the records decided the distributions."""
    patients = ["DOE^JOHN"] * 90 + [f"p{number}" for number in range(10)]
    columns = {"patient_id": patients, "weight": [round(60 + number % 40 / 2, 1) for number in range(100)]}
    told = [one for one in problems(tmp_path / "one", columns, targets=["weight"]) if "patient holds" in one]
    assert told == [
        "one patient holds 90 of 100 records: a patient counts once, so that these add little; check that the "
        "patients are told apart"
    ]
    columns["patient_id"] = [f"p{number // 10}" for number in range(100)]
    assert not any("patient holds" in one for one in problems(tmp_path / "ten", columns, targets=["weight"]))


def test_duplicate_columns_are_told(tmp_path, rng):
    crp = rng.normal(50, 10, 60).round(1)
    sex = rng.choice(["F", "M"], 60)
    sex[:3] = "F"
    found = problems(
        tmp_path / "cohort",
        {
            "patient_id": range(60),
            "crp": crp,
            "crp_again": crp,
            "crp_mg_dl": (crp / 10).round(2),
            "sex": sex,
            "gender": np.where(sex == "F", "w", "m"),
            "is_male": np.where(sex == "F", "0", "1"),
            "age": rng.integers(20, 90, 60),
            "near": (crp + rng.normal(0, 1, 60)).round(1),
        },
        targets=["age"],
    )
    assert found == [
        "`crp` and `crp_again` hold the same numbers: leave one out",
        "`crp` and `crp_mg_dl` are the same number in other units: leave one out",
        "`crp_again` and `crp_mg_dl` are the same number in other units: leave one out",
        "`sex` and `gender` hold the same cells, perhaps recoded: leave one out",
        "`sex` and `is_male` hold the same cells, perhaps recoded: leave one out",
        "`gender` and `is_male` hold the same cells, perhaps recoded: leave one out",
    ]


def test_missingness_that_tells_a_target_is_told(tmp_path, rng):
    died = np.array(["no"] * 200 + ["yes"] * 30)
    sex = rng.choice(["F", "M"], 230)
    sex[200:] = ""
    sex[:2] = ""
    bmi = np.where(np.arange(230) % 5, "25", "").astype(object)
    bmi[1::7] = "31"
    age = np.linspace(20, 90, 230).round(3)
    height = np.where(age > 65, "", rng.integers(150, 200, 230).astype(str))
    columns = {"patient_id": range(230), "died": died, "sex": sex, "bmi": bmi, "age": age, "height": height}
    found = problems(tmp_path / "cohort", columns, targets=["died", "age"])
    tells = "whether the cell is missing predicts the target"
    assert about(found, "sex")[0] == f"30 of 32 records without `sex` have died=true (13% in all): {tells}"
    assert f"82 of 82 records without `height` have `age` above its median (50% in all): {tells}" in found
    assert about(found, "bmi") == []


def test_several_images_of_one_patient_are_no_evidence(tmp_path):
    columns = {
        "patient_id": [*range(100), *[100] * 20],
        "died": ["no"] * 80 + ["yes"] * 40,
        "sex": ["F", "M"] * 50 + [""] * 20,
    }
    (left_out,) = about(problems(tmp_path / "cohort", columns, targets=["died"]), "sex")
    assert left_out.startswith("20 of 120 records are left out")


def test_columns_that_give_a_target_away_are_told(tmp_path, rng):
    died = rng.choice(["no", "yes"], 120)
    dead = died == "yes"
    columns = {
        "patient_id": range(120),
        "died": died,
        "lactate": (np.where(dead, 9.0, 1.0) + rng.normal(0, 0.5, 120)).round(2),
        "discharge": np.where(dead, rng.choice(["morgue", "autopsy"], 120), rng.choice(["home", "ward"], 120)),
        "notes": np.where(dead, "a|cardiac arrest", rng.choice(["a", "a|b"], 120)),
        "troponin": np.where(dead, "inf", rng.choice(["1", "2", "<0.1"], 120)),
        "age": (np.where(dead, 60, 50) + rng.normal(0, 10, 120)).round(1),
    }
    found = problems(tmp_path / "cohort", columns, targets=["died"])
    ask = "the same fact, or known later?"
    assert found == [
        f"`lactate` alone predicts died=true (AUC 1.00): {ask}",
        f"`discharge` alone predicts died=true (AUC 1.00): {ask}",
        f"`notes` alone predicts died=true (AUC 1.00): {ask}",
        f"`troponin` alone predicts died=true (AUC 1.00): {ask}",
    ]


def test_split_writes_what_can_be_loaded(tmp_path, capsys):
    columns = {"patient_id": [n // 2 for n in range(40)], "age": np.arange(40, 60, 0.5)}
    folder = make_folder(tmp_path / "cohort", columns)
    options = split.Options(str(folder), str(tmp_path / "out"), test=0.2, validation=0.1, seed=3)
    assert split.main(options) == 0
    assert capsys.readouterr().out == (
        "train: 28 records of 14 patients\n"
        "validation: 4 records of 2 patients\n"
        "test: 8 records of 4 patients\n"
        f"written to {tmp_path / 'out'}\n"
    )
    splits = [load_records(f"{tmp_path / 'out'}:{name}") for name in ("train", "validation", "test")]
    assert sorted(age for records in splits for age in records.frame["age"]) == list(np.arange(40, 60, 0.5))
    patients = [set(records.raw["patient_id"]) for records in splits]
    assert not patients[0] & patients[1] and not patients[0] & patients[2] and not patients[1] & patients[2]
    with pytest.raises(InputError, match="expected a new or empty folder as `output_dir`"):
        split.main(options)


def test_patients_who_share_an_image_stay_in_one_split(tmp_path, caplog):
    """Three patients in a chain of two images, and blank images, which identify nobody."""
    count, rng = 60, np.random.default_rng(0)
    folder = make_folder(tmp_path / "cohort", {"patient_id": [n // 2 for n in range(count)], "age": np.arange(count)})
    pixels = rng.integers(0, 256, (count, 40, 48), dtype=np.uint8)
    pixels[[21, 41, 51]] = pixels[[10, 20, 50]]  # patients 5, 10 and 20; one patient's own image twice is no sign
    pixels[[7, 37, 57]] = 0
    for number, one in enumerate(pixels):
        Image.fromarray(one).save(folder / f"{number:03}.png")
    options = stages.DataOptions(output_dir=str(tmp_path / "run"), dataset=str(folder))
    for seed in range(3):
        caplog.clear()
        out = str(tmp_path / f"divided-{seed}")
        assert split.main(split.Options(str(folder), out, seed=seed)) == 0
        (line,) = (message for message in caplog.messages if "equal image" in message)
        assert line == "3 patients share an equal image with another patient: they stay together in one split"
        sides = [load_records(f"{out}:{name}") for name in ("train", "test")]
        check_apart(sides, [one.pixel_values(COMPARED_SIDE) for one in sides])
    divided, schema = stages.private_records(options, stages.Stages(tmp_path / "run"))
    sides = [load_records(f"{divided}:{name}", schema) for name in ("train", "test")]
    check_apart(sides, [one.pixel_values(COMPARED_SIDE) for one in sides])
    assert COMPARED_SIDE == predictors.RESOLUTION


def test_split_says_when_patients_are_unknown(tmp_path, capsys):
    folder = make_folder(tmp_path / "cohort", {"who": [n // 2 for n in range(20)]})
    assert split.main(split.Options(str(folder), str(tmp_path / "one"))) == 0
    assert "warning: no group column: every record counts as a separate patient\n" in capsys.readouterr().out
    (tmp_path / "schema.yaml").write_text("columns: {who: {role: group}}\n")
    assert split.main(split.Options(str(folder), str(tmp_path / "two"), schema=str(tmp_path / "schema.yaml"))) == 0
    assert "warning" not in capsys.readouterr().out
    train, test = (set(load_records(f"{tmp_path / 'two'}:{name}").raw["who"]) for name in ("train", "test"))
    assert not train & test


@pytest.mark.parametrize("count", [60, 39, 20])
def test_an_identifier_stays_one_in_every_split(tmp_path, count):
    """Issue 13, point 20: left out at 60 records, an integer of the 39 in the training split."""
    numbers = np.random.default_rng(0).permutation(count)
    columns = {
        "admission": [500100 + 7 * number for number in numbers],
        "platelets": np.random.default_rng(1).integers(100, 400, count) * 1000,
        "sex": ["F", "M"] * (count // 2) + ["F"] * (count % 2),
    }
    folder = make_folder(tmp_path / "cohort", columns)
    assert split.main(split.Options(str(folder), str(tmp_path / "divided"))) == 0
    options = stages.DataOptions(output_dir=str(tmp_path / "run"), dataset=str(folder))
    divided, schema = stages.private_records(options, stages.Stages(tmp_path / "run"))
    for dataset in (tmp_path / "divided", divided):
        for name in ("train", "test"):
            assert list(load_records(f"{dataset}:{name}", schema).frame) == ["platelets", "sex"]


def test_an_identifier_of_splits_that_the_user_made_is_refused(tmp_path):
    for name, count, first in (("train", 15, 0), ("test", 25, 15)):
        numbers = range(first, first + count)
        make_folder(tmp_path / name, {"admission": [500100 + 7 * number for number in numbers], "sex": ["F"] * count})
    options = stages.DataOptions(output_dir=str(tmp_path / "run"), dataset=str(tmp_path))
    with pytest.raises(InputError, match="found identifiers in \\['admission'\\] of `test` only: give these"):
        stages.check_records(options, str(tmp_path), None)
    stages.check_records(options, str(tmp_path), {"columns": {"admission": {"role": "id"}}})


def test_the_schema_goes_with_the_splits_and_the_users_wins(tmp_path):
    columns = {"who": [n // 2 for n in range(60)], "grade": ["1", "2", "3"] * 20, "sex": ["F", "M"] * 30}
    folder = make_folder(tmp_path / "cohort", columns)
    (tmp_path / "schema.yaml").write_text("columns: {who: {role: group}, grade: {kind: categorical, role: target}}\n")
    out = str(tmp_path / "out")
    assert split.main(split.Options(str(folder), out, schema=str(tmp_path / "schema.yaml"))) == 0
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    train = load_records(out)
    assert train.schema.group_column == "who" and train.schema.targets == ["grade"]
    assert train.schema.columns["grade"].categories == ["1", "2", "3"]
    changed = load_records(out, {"columns": {"grade": {"kind": "integer"}, "sex": {"role": "group"}}})
    assert changed.schema.columns["grade"].kind == "integer" and changed.schema.columns["grade"].categories is None
    assert changed.schema.group_column == "sex" and changed.schema.columns["who"].role == "id"
    theirs = datasets.load_dataset(out, cache_dir=str(tmp_path / "cache"))
    assert {name: len(one) for name, one in theirs.items()} == {"train": 38, "validation": 6, "test": 16}
    assert theirs.column_names["train"] == ["image", *columns]
