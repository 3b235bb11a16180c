import dataclasses
import io
import json

import datasets
import numpy as np
import pandas as pd
import pytest
from example_folders import CODEC, RELEASE, SAMPLER, VERSIONS, png
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from hf_hybrid.commands import cli, evaluate
from hf_hybrid.core import provenance
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.report import PARTS, Report, Utility
from hf_hybrid.core.scores import TRAINING, Recovered, UtilityScore
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.tables import to_arrow
from hf_hybrid.evaluation import held_out, release_evaluation, utility
from hf_hybrid.evaluation.comparison import EvaluationSet
from hf_hybrid.evaluation.options import EvaluationOptions, PrivacyLimits
from hf_hybrid.metrics import predictors
from hf_hybrid.models import image_predictor
from hf_hybrid.reports import charts, terminal

FAST = EvaluationOptions(seeds=1, bootstraps=60, image_model="linear", reader_steps=2)
UTILITY = dataclasses.replace(FAST, parts=["utility"])


def evaluate_sets(*arguments) -> Report:
    """Utility alone."""
    *sets, options = arguments
    return release_evaluation.measure_sets(*sets, dataclasses.replace(options, parts=["utility"])).report


def part_of(report: Report) -> dict:
    """The part `utility` as report.json holds it."""
    return report.to_dict()["utility"]


def draw(num_records: int, seed: int, sign: int = 1) -> EvaluationSet:
    """Records whose image (a bright square) and table (crp) both tell `died`, two of each patient."""
    rng = np.random.default_rng(seed)
    died = np.repeat(rng.random(-(-num_records // 2)) < 0.5, 2)[:num_records]
    told = np.where(died, sign, 0 if sign == 1 else 1)
    pixels = rng.normal(100, 20, (num_records, 32, 32))
    pixels[:, 10:18, 10:18] += 15 * (told * rng.normal(1, 0.8, num_records))[:, None, None]
    crp = rng.normal(20, 5, num_records) + 8 * told
    frame = pd.DataFrame({"died": pd.Series(died.tolist(), dtype=object), "crp": crp.round(2)})
    frame["sex"] = pd.Series(rng.choice(["F", "M"], num_records), dtype=object)
    return EvaluationSet(pixels.clip(0, 255).astype(np.uint8), frame, np.arange(num_records) // 2)


def small(num_records: int, seed: int, sign: int = 1) -> EvaluationSet:
    """The same records with images of 16 px, whose components take a moment, for utility alone."""
    one = draw(num_records, seed, sign)
    return dataclasses.replace(one, pixels=one.pixels.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4)).astype(np.uint8))


def schema(*targets: str, **columns: ColumnSchema) -> RecordSchema:
    columns = {
        "image": ColumnSchema("image"),
        "patient_id": ColumnSchema("group"),
        "died": ColumnSchema("clinical", "boolean"),
        "crp": ColumnSchema("clinical", "numeric", bounds=(-20, 80)),
        "sex": ColumnSchema("clinical", "categorical", categories=["F", "M"]),
        **columns,
    }
    return RecordSchema(columns).with_targets(targets)


def scores(report: Report, **wanted) -> dict[str, dict]:
    """The chosen rows by what was trained on."""
    rows = [row for row in part_of(report)["scores"] if all(row[key] == value for key, value in wanted.items())]
    assert len({row["trained_on"] for row in rows}) == len(rows) > 0
    return {row["trained_on"]: row for row in rows}


@pytest.fixture(scope="module")
def same_distribution() -> Report:
    options = EvaluationOptions(seeds=2, bootstraps=100, image_model="linear")
    return evaluate_sets(small(1000, 0), small(200, 1), small(160, 2), schema("died", "crp"), options)


def test_synthetic_records_of_the_same_distribution_are_as_useful_as_real_ones(same_distribution):
    headline = [row for row in part_of(same_distribution)["headline"] if row["trained_on"] == "synthetic 1x"]
    shares = {row["inputs"]: row["recovered_share"] for row in headline if row["target"] == "died"}
    assert set(shares) == {"image", "table", "both"}
    assert all(0.75 < share < 1.25 for share in shares.values()), shares
    for row in headline:
        if row["target"] == "died":
            assert row["gap_interval"][0] <= row["gap"] <= row["gap_interval"][1] and row["reason"] is None


def test_shuffled_images_tell_nothing(same_distribution):
    image = scores(same_distribution, target="died", metric="auc", inputs="image")
    shuffled = image["synthetic 5x, images shuffled"]
    assert image["synthetic 5x"]["value"] > 0.75
    assert abs(shuffled["value"] - 0.5) < 0.12
    assert shuffled["compared_with"] == "synthetic 5x"
    assert shuffled["difference"] == pytest.approx(shuffled["value"] - image["synthetic 5x"]["value"], abs=2e-4)
    assert shuffled["difference_interval"][1] < 0
    assert "synthetic 5x, images shuffled" not in scores(
        same_distribution, target="died", metric="auc", inputs="table"
    )


def test_repeated_real_records_are_worth_what_real_ones_are(same_distribution):
    for inputs in ("image", "table", "both"):
        rows = scores(same_distribution, target="died", metric="auc", inputs=inputs)
        assert rows["real repeated"]["value"] == pytest.approx(rows["real"]["value"], abs=0.003)
        assert rows["real repeated"]["n_train"] == rows["real + synthetic 5x"]["n_train"] == 1200
        assert rows["real + synthetic 5x"]["compared_with"] == "real repeated"


@pytest.mark.parametrize("num_classes", [None, 2])
def test_a_set_that_is_repeated_gives_the_same_model(num_classes):
    """The penalty goes with the real records: without `count_as`, repeated records would be shrunk less."""
    gained, lost = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        real, asked, weights = rng.normal(size=(150, 40)), rng.normal(size=(4000, 40)), rng.normal(size=40) / 10
        values, truth = (side @ weights + rng.normal(size=len(side)) for side in (real, asked))
        if num_classes:
            values, truth = (values > 0).astype(int), truth > 0

        def predict(times, count_as, data=(real, values, asked)):
            learned = [np.tile(data[0], (times, 1))], np.tile(data[1], times)
            found = predictors.predict_linear(*learned, [data[2]], num_classes, count_as=count_as)
            return found if num_classes is None else found[:, 1]

        once, repeated, unweighted = predict(1, 150), predict(5, 150), predict(5, None)
        np.testing.assert_allclose(repeated, once, atol=2e-3)
        scores = [np.corrcoef(one, truth)[0, 1] for one in (once, repeated, unweighted)]
        gained.append(scores[1] - scores[0])
        lost.append(scores[0] - scores[2])
    assert abs(np.mean(gained)) < 1e-3 < np.mean(lost)


def test_images_that_are_repeated_have_the_components_of_the_images():
    train, test = draw(150, 0).pixels, draw(60, 1).pixels
    once, repeated = (predictors.image_components(np.tile(train, (times, 1, 1)), test) for times in (1, 5))
    np.testing.assert_allclose(np.abs(repeated[1]), np.abs(once[1]), atol=5e-3)
    assert once[0].shape == (150, 50) and np.square(once[0]).mean() == pytest.approx(1, rel=1e-3)
    expected = (
        PCA(50, svd_solver="full")
        .fit(predictors._standardise(*(one.reshape(len(one), -1).astype(np.float32) for one in (train, train)))[0])
        .explained_variance_
    )
    np.testing.assert_allclose(once[0].var(axis=0) / once[0].var(axis=0).sum(), expected / expected.sum(), rtol=1e-3)


def test_the_headline_has_its_control(same_distribution):
    shares = [one for one in same_distribution.utility.headline if one.recovered_share is not None]
    assert len(shares) >= 6
    for one in shares:
        assert one.repeated_share == pytest.approx(1, abs=0.01)
    assert "(real repeated: 100%)" in terminal.format_report(same_distribution)
    no_control = Recovered.from_dict({key: one for key, one in shares[0].to_dict().items() if key != "repeated_share"})
    assert no_control.repeated_share is None and "repeated_share" not in no_control.to_dict()


def test_every_number_says_what_it_is(same_distribution):
    report = same_distribution.to_dict()
    assert list(report) == ["utility", "fidelity", "pairing", "privacy", "provenance"]
    assert {report[part]["status"] for part in ("fidelity", "pairing", "privacy")} == {"not measured"}
    limits = dataclasses.asdict(PrivacyLimits())
    assert report["provenance"]["configuration"] == {
        **{"seeds": 2, "bootstraps": 100, "image_model": "linear"},
        "extractor": "random convolutional network (seed 0)",
        "reader_steps": 250,
        "parts": ["utility"],
        "privacy": limits,
    }
    row = report["utility"]["scores"][0]
    low, high = row.pop("interval")
    assert low < row.pop("value") < high
    lower, higher = row.pop("difference_interval")
    assert lower < row.pop("difference") < higher
    assert row == {
        "target": "died",
        "metric": "auc",
        "direction": "higher is better",
        "range": [0.0, 1.0],
        "inputs": "image",
        "trained_on": "real",
        "n_train": 200,
        "n_test": 160,
        "n_test_patients": 80,
        "classes_scored": 2,
        "seeds": 2,
        "compared_with": "a constant",
        "reason": None,
    }
    crp = scores(same_distribution, target="crp", metric="mae", inputs="both")["real"]
    assert (crp["direction"], crp["range"], crp["classes_scored"]) == ("lower is better", [0.0, None], None)


def test_regression_gives_a_gap_of_r2_and_of_the_error(same_distribution):
    rows = [
        row for row in part_of(same_distribution)["headline"] if row["target"] == "crp" and row["inputs"] == "both"
    ]
    r2, mae = rows[:2]
    assert (r2["metric"], mae["metric"]) == ("r2", "mae")
    assert r2["recovered_share"] > 0.5 and abs(r2["gap"]) < 0.1
    assert mae["recovered_share"] is None and mae["reason"] == "the share is one of r2" and abs(mae["gap"]) < 0.5


def test_a_model_that_learned_the_opposite_stays_below_chance():
    report = evaluate_sets(small(150, 0, sign=-1), small(150, 1), small(120, 2), schema("died"), FAST)
    rows = scores(report, metric="auc", inputs="both")
    assert rows["real"]["value"] > 0.8
    assert rows["synthetic 1x"]["value"] < 0.3 and rows["synthetic 1x"]["interval"][1] < 0.5
    headline = {row["inputs"]: row for row in part_of(report)["headline"]}
    assert headline["both"]["recovered_share"] < -0.3


def test_the_same_inputs_give_the_same_report():
    sets = small(60, 0), small(60, 1), small(60, 2)
    texts = [
        json.dumps(evaluate_sets(*sets, schema("died", "crp"), FAST).to_dict(), allow_nan=False) for _ in range(2)
    ]
    assert texts[0] == texts[1]
    one_more = json.dumps(
        evaluate_sets(small(60, 3), *sets[1:], schema("died", "crp"), FAST).to_dict(), allow_nan=False
    )
    assert one_more != texts[0]


def test_without_targets_utility_is_not_measured():
    report = evaluate_sets(small(20, 0), small(20, 1), small(20, 2), schema(), FAST)
    assert report.to_dict()["utility"] == {
        "status": "not measured",
        "reason": "the schema names no target: name columns to predict with `targets`",
    }
    assert terminal.format_report(report) == (
        "utility: not measured (the schema names no target: name columns to predict with `targets`)\n"
        "privacy: not measured (it was not asked for)\n"
    )


def test_a_target_with_one_value_gives_its_reason_and_the_others_are_measured():
    synthetic, train, test = small(60, 0), small(60, 1), small(60, 2)
    for one in (train, test):
        one.frame["sex"] = pd.Series(["F"] * 60, dtype=object)
    report = evaluate_sets(synthetic, train, test, schema("died", "sex"), FAST)
    for row in scores(report, target="sex", metric="auc", inputs="both").values():
        assert row["value"] is None and row["interval"] is None
        assert row["reason"] == "the training records (real) hold one value only"
    assert scores(report, target="died", metric="auc", inputs="both")["real"]["value"] > 0.6
    reasons = {row["reason"] for row in part_of(report)["headline"] if row["target"] == "sex"}
    assert reasons == {"the training records (real) hold one value only"}


def test_synthetic_records_that_lost_a_class_are_not_measured_and_real_ones_are():
    synthetic = small(60, 0)
    synthetic.frame["died"] = pd.Series([True] * 60, dtype=object)
    report = evaluate_sets(synthetic, small(60, 1), small(60, 2), schema("died"), FAST)
    rows = scores(report, metric="auc", inputs="image")
    assert rows["synthetic 1x"]["reason"] == "the training records (synthetic 1x) hold one value only"
    assert rows["synthetic 1x"]["value"] is None and rows["real"]["value"] > 0.6
    assert part_of(report)["headline"][0]["reason"] == "the training records (synthetic 1x) hold one value only"


def test_missing_infinite_and_several_labels():
    finding = ColumnSchema("clinical", "multi-label", categories=["effusion", "pneumonia", "rare"])
    view = ColumnSchema("clinical", "categorical", categories=["AP", "AP Supine", "PA", "other"])
    sets = [small(120, seed) for seed in range(3)]
    for seed, one in enumerate(sets):
        rng = np.random.default_rng(seed)
        one.frame["finding"] = pd.Series(
            [["pneumonia"] * died + ["effusion"] * bool(rng.random() < 0.5) for died in one.frame["died"]],
            dtype=object,
        )
        one.frame["view"] = pd.Series(
            np.where(one.frame["died"], "PA", rng.choice(["AP", "AP Supine"], 120)), dtype=object
        )
        one.frame.loc[:9, "finding"] = None
        one.frame.loc[10:19, "view"] = None
        one.frame.loc[:3, "crp"], one.frame.loc[4:5, "crp"], one.frame.loc[6:7, "crp"] = np.nan, np.inf, -np.inf
    sets[2].frame.at[20, "view"] = "other"
    report = evaluate_sets(*sets, schema("finding", "view", "crp", finding=finding, view=view), FAST)
    json.dumps(report.to_dict(), allow_nan=False)
    rows = {target: scores(report, target=target, inputs="both", metric=metric)["real"]
            for target, metric in (("finding", "auc"), ("view", "auc"), ("crp", "r2"))}  # fmt: skip
    assert [row["n_test"] for row in rows.values()] == [110, 110, 112]
    assert [row["classes_scored"] for row in rows.values()] == [2, 3, None]  # "rare" and "other" have too few patients
    assert rows["view"]["value"] > 0.7
    balanced = scores(report, target="view", inputs="both", metric="balanced_accuracy")["real"]
    assert balanced["value"] > 0.5 and balanced["difference"] == pytest.approx(balanced["value"] - 1 / 3, abs=1e-3)


def test_a_target_is_never_predicted_from_itself():
    one_column = RecordSchema({"image": ColumnSchema("image"), "died": ColumnSchema("target", "boolean")})
    report = evaluate_sets(small(60, 0), small(60, 1), small(60, 2), one_column, FAST)
    assert {row["inputs"] for row in part_of(report)["scores"]} == {"image"}
    with_sex = RecordSchema(
        {**one_column.columns, "sex": ColumnSchema("clinical", "categorical", categories=["F", "M"])}
    )
    report = evaluate_sets(small(60, 0), small(60, 1), small(60, 2), with_sex, FAST)
    assert scores(report, inputs="table", metric="auc")["real"]["value"] < 0.7


def test_synthetic_subsets_are_nested_and_a_small_release_is_used_whole():
    sets = {one.name: one for one in utility.training_sets(10, 23, seed=0)}
    assert list(sets) == [
        "real",
        "synthetic 1x",
        "synthetic 2x",
        "synthetic 2.3x",
        "synthetic 2.3x, images shuffled",
        "real repeated",
        "real + synthetic 2.3x",
        "synthetic 2.3x, then real",
    ]
    assert (sets["synthetic 2.3x"].rows[:20] == sets["synthetic 2x"].rows).all()
    assert (sets["synthetic 2x"].rows[:10] == sets["synthetic 1x"].rows).all()
    assert sets["synthetic 2.3x"].rows.min() >= 10 and len(set(sets["synthetic 2.3x"].rows)) == 23
    assert sorted(sets["synthetic 2.3x, images shuffled"].image_order) == list(range(23))
    assert sorted(np.bincount(sets["real repeated"].rows)) == [3] * 7 + [4] * 3
    small = {one.name: one for one in utility.training_sets(10, 4, seed=0)}
    assert list(small)[1] == "synthetic 0.4x" and len(small["synthetic 0.4x"].rows) == 4
    assert len(small["real repeated"].rows) == len(small["real + synthetic 0.4x"].rows) == 14
    other = utility.training_sets(10, 23, seed=1)
    assert (other[1].rows != sets["synthetic 1x"].rows).any()


def test_the_network_learns_from_pixels_and_repeats_itself(monkeypatch):
    train, test = draw(80, 0), draw(80, 1)
    died, brightness = (train.frame["died"].to_numpy(int), train.pixels[:, 10:18, 10:18].mean(axis=(1, 2)))
    monkeypatch.setattr(image_predictor, "CNN_BATCH", 16)
    monkeypatch.setattr(image_predictor, "CNN_STEPS", 3)
    outputs = [
        image_predictor.predict_cnn([train.pixels], brightness, [test.pixels], None, seed) for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert (outputs[0] != outputs[2]).any()
    monkeypatch.setattr(image_predictor, "CNN_STEPS", 40)
    found = image_predictor.predict_cnn([train.pixels], brightness, [test.pixels], None, seed=0)
    assert np.corrcoef(found, test.pixels[:, 10:18, 10:18].mean(axis=(1, 2)))[0, 1] > 0.5
    crp = [one.frame[["crp"]].to_numpy(np.float32) / 10 for one in (train, test)]
    labels = np.stack([died == 1, died == 0], axis=1)
    found = image_predictor.predict_cnn([train.pixels, crp[0]], labels, [test.pixels, crp[1]], 2, seed=0)
    assert found.shape == (80, 2) and found.min() > 0 and found.max() < 1
    assert roc_auc_score(test.frame["died"].to_numpy(int), found[:, 0]) > 0.7


@pytest.mark.parametrize("predict", ["linear", "cnn"])
def test_fine_tuning_keeps_what_helps_and_forgets_what_misleads(monkeypatch, predict):
    monkeypatch.setattr(image_predictor, "CNN_STEPS", 120)
    made = small if predict == "cnn" else draw
    few, test = made(40, 1), made(300, 2)

    def score(*first):
        learned = [*first, few]
        pixels = np.concatenate([one.pixels for one in learned])
        died = np.concatenate([one.frame["died"].to_numpy(int) for one in learned])
        count = sum(map(len, first))
        if predict == "cnn":
            outputs = image_predictor.predict_cnn([pixels], died, [test.pixels], 2, seed=0, num_first=count)
        else:
            flat = [side.reshape(len(side), -1)[:, ::7] / 50.0 for side in (pixels, test.pixels)]
            outputs = predictors.predict_linear(flat[:1], died, flat[1:], 2, num_first=count)
        return roc_auc_score(test.frame["died"].to_numpy(int), outputs[:, 1])

    alone, helped, misled = score(), score(made(600, 0)), score(made(600, 0, sign=-1))
    assert helped > alone
    if predict == "linear":  # it learns from 40 records that the earlier model says the opposite
        assert misled > alone - 0.05
    else:
        assert helped > misled > 0.3  # a network takes longer to forget


def test_fine_tuning_of_numbers_and_labels():
    rng = np.random.default_rng(0)
    earlier, real, asked = (rng.normal(size=(count, 6)) for count in (400, 30, 200))
    weights = rng.normal(size=6)
    train = [np.concatenate([earlier, real])]
    values = train[0] @ weights + rng.normal(0, 0.5, 430)
    alone = predictors.predict_linear([real], values[400:], [asked], None)
    tuned = predictors.predict_linear(train, values, [asked], None, num_first=400)
    errors = [np.abs(one - asked @ weights).mean() for one in (tuned, alone)]
    assert errors[0] < 0.5 * errors[1]
    labels = np.stack([values > 0, values > 1], axis=1)
    tuned = predictors.predict_linear(train, labels, [asked], 2, num_first=400)
    assert tuned.shape == (200, 2) and roc_auc_score(asked @ weights > 0, tuned[:, 0]) > 0.95
    constant = np.concatenate([np.zeros(400), values[400:]])  # nothing to learn before
    np.testing.assert_allclose(predictors.predict_linear(train, constant, [asked], None, num_first=400), alone)


def test_the_network_takes_the_place_of_the_components(monkeypatch):
    monkeypatch.setattr(image_predictor, "CNN_STEPS", 2)
    sets = small(40, 0), small(40, 1), small(40, 2)
    report = evaluate_sets(*sets, schema("died"), dataclasses.replace(FAST, image_model="cnn"))
    linear = evaluate_sets(*sets, schema("died"), FAST)
    assert report.provenance["configuration"]["image_model"] == "cnn"
    for inputs, same in (("image", False), ("table", True), ("both", False)):
        rows = [scores(one, inputs=inputs, metric="auc")["real"] for one in (report, linear)]
        assert (rows[0] == rows[1]) is same and rows[0]["value"] is not None


def test_the_table_for_the_terminal(same_distribution):
    text = terminal.format_report(same_distribution)
    assert max(map(len, text.splitlines())) <= 119
    lines = text.splitlines()
    assert lines[0] == "died: auc, higher is better, tested on 160 real records of 80 patients"
    assert lines[1].split() == ["trained", "on", "image", "table", "both"]
    image = scores(same_distribution, target="died", metric="auc", inputs="image")
    for line, (trained_on, row) in zip(lines[2:], image.items(), strict=False):
        cell = "{:.3f} ({:.2f} to {:.2f})".format(row["value"], *row["interval"])
        assert line.startswith(f"  {trained_on}  ") and line[lines[1].index("image") :].startswith(cell)
    assert lines[2 + len(image)] == ""
    assert "In parentheses: 95 % of 100 patient-cluster bootstraps of the mean over 2 seeds." in lines
    assert lines.pop() == "privacy: not measured (it was not asked for)"
    assert [line.split(" recovers ")[0] for line in lines[-6:-3]] == [
        f"died, {inputs}: synthetic 5x" for inputs in ("image", "table", "both")
    ]
    assert [line.split(": ")[0] for line in lines[-3:]] == ["crp, image", "crp, table", "crp, both"]


def test_charts_are_the_same_bytes_without_a_program_name_and_replace_older_ones(same_distribution, tmp_path):
    (tmp_path / "utility_gone.png").write_bytes(b"old")
    (tmp_path / "samples.png").write_bytes(b"kept")
    paths = charts.draw_charts(same_distribution, tmp_path)
    first = {path.name: path.read_bytes() for path in paths}
    assert list(first) == ["utility_died.png", "utility_crp.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["samples.png", "utility_crp.png", "utility_died.png"]
    assert {path.name: path.read_bytes() for path in charts.draw_charts(same_distribution, tmp_path)} == first
    with Image.open(io.BytesIO(first["utility_died.png"])) as chart:
        assert chart.width > 600 and not chart.text
    assert charts.draw_charts(Report(), tmp_path) == []


def test_names_that_are_no_file_names_get_charts_of_their_own(same_distribution, tmp_path):
    rows = [row for row in part_of(same_distribution)["scores"] if row["metric"] == "auc" and row["inputs"] == "image"]
    names = ("SpO2 / %", "SpO2 ($)", "../..")
    renamed = [UtilityScore.from_dict({**row, "target": name}) for name in names for row in rows]
    paths = charts.draw_charts(Report(Utility("", tuple(renamed), ())), tmp_path)
    assert [path.name for path in paths] == ["utility_SpO2.png", "utility_SpO2_2.png", "utility_target.png"]
    assert all(path.parent == tmp_path and path.is_file() for path in paths)


def test_bad_options_are_refused():
    with pytest.raises(InputError, match="expected `image_model` among .*, found 'resnet'"):
        EvaluationOptions(image_model="resnet")
    with pytest.raises(InputError, match="expected `seeds` of at least 1, found 0"):
        EvaluationOptions(seeds=0)
    with pytest.raises(InputError, match="expected the privacy limit `copies` above 0 and below 1, found 2"):
        PrivacyLimits(copies=2)


def _png(pixels: np.ndarray) -> dict:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return {"bytes": stream.getvalue(), "path": None}


@pytest.fixture
def folders(tmp_path, small_evidence):
    """A release, and a dataset with two splits, from the sets that are returned with them."""
    sets = draw(60, 0), draw(60, 1), draw(60, 2)
    released = schema("died")
    features = released.to_features()
    columns = {
        "image": [_png(image) for image in sets[0].pixels],
        **{name: column.to_pylist() for name, column in to_arrow(sets[0].frame, released).items()},
    }
    (tmp_path / "release" / "data").mkdir(parents=True)
    release = datasets.Dataset.from_dict(columns, features=features)
    release.to_parquet(tmp_path / "release" / "data" / "train-00000-of-00001.parquet")
    released.save(tmp_path / "release" / "schema.json")
    sampler = SAMPLER | {"training": SAMPLER["training"] | {"num_records": 60, "num_patients": 30}}
    facts = {"versions": VERSIONS, "release": RELEASE | {"num_records": 60}, "codec": CODEC, "sampler": sampler}
    provenance.write_provenance(tmp_path / "release", facts)
    (tmp_path / "real" / "data").mkdir(parents=True)
    for split, one in (("train", sets[1]), ("test", sets[2])):
        raw = {name: one.frame[name].tolist() for name in one.frame}
        raw |= {"image": [_png(image) for image in one.pixels], "patient_id": [f"{split} {g}" for g in one.groups]}
        raw = datasets.Dataset.from_dict(raw).cast_column("image", datasets.Image())
        raw.to_parquet(tmp_path / "real" / "data" / f"{split}-00000-of-00001.parquet")
    return tmp_path / "release", tmp_path / "real", sets


def test_a_release_folder_is_scored_as_the_records_in_it(folders):
    release, real, sets = folders
    options = dataclasses.replace(FAST, parts=["utility", "privacy"])
    report = release_evaluation.evaluate_release(release, real, real, options)
    in_memory = release_evaluation.measure_sets(*sets, schema("died"), options).report
    assert report.utility == in_memory.utility
    assert [one["name"] for one in report.to_dict()["privacy"]["families"]] == [
        *(one["name"] for one in in_memory.to_dict()["privacy"]["families"]),
        "files",
    ]
    assert report.to_dict()["privacy"]["families"][:-1] == in_memory.to_dict()["privacy"]["families"]
    assert report.provenance["files"] == provenance.hash_files(
        release, ["data/train-00000-of-00001.parquet", "schema.json"]
    )
    other_target = release_evaluation.evaluate_release(
        release, f"{real}:train", f"{real}:test", UTILITY, targets=["sex"]
    )
    assert {row["target"] for row in other_target.to_dict()["utility"]["scores"]} == {"sex"}


def small_evaluation(release, real):
    """The words of a command that evaluates a release at little cost."""
    paths = ["evaluate", str(release), f"--train={real}", f"--test={real}"]
    return [*paths, "--seeds=1", "--bootstraps=20", "--reader_steps=2"]


def test_a_limit_on_the_command_line_decides_the_verdict(folders, capsys):
    release, real, _ = folders
    (release / "assets").mkdir()
    (release / "assets" / "samples.png").write_bytes(png())
    words = [*small_evaluation(release, real), "--parts", '["privacy"]']
    assert cli.main([*words, "--privacy.linkability", "0.99"]) == 0
    assert "  linkability: inconclusive: its limit is looser than the default of 0.09\n" in capsys.readouterr().out
    report = json.loads((release / "report.json").read_text("utf-8"))
    assert report["provenance"]["configuration"]["privacy"]["linkability"] == 0.99
    assert cli.main([*words, "--privacy.linkability", "1.5"]) == 2
    assert "expected the privacy limit `linkability` above 0 and below 1, found 1.5" in capsys.readouterr().err


def test_private_names_in_a_release_fail_its_files(folders):
    release, real, _ = folders
    privacy = dataclasses.replace(FAST, parts=["privacy"])
    facts = provenance.read_provenance(release)
    facts["release"]["pretty_name"] = "like train 17 of ward 3"
    provenance.write_provenance(release, facts)
    report = release_evaluation.evaluate_release(release, real, real, privacy)
    files = report.to_dict()["privacy"]["families"][-1]
    assert files["verdict"] == report.to_dict()["privacy"]["verdict"] == "fail"
    assert files["failed"] == ["provenance.json holds 1 names or texts of the private records"]


def test_records_that_the_release_was_not_learned_from_are_refused(folders):
    release, real, _ = folders
    facts = provenance.read_provenance(release)
    facts["sampler"]["training"]["num_patients"] = 31
    provenance.write_provenance(release, facts)
    with pytest.raises(InputError, match="expected in `train` the records that the release was learned from"):
        release_evaluation.evaluate_release(release, real, real, FAST)


@pytest.mark.parametrize("entry", [{"role": "ignore"}, {"bounds": [-200, 800]}])
def test_a_schema_that_changes_what_is_released_is_refused(folders, tmp_path, entry):
    release, real, _ = folders
    (tmp_path / "schema.json").write_text(json.dumps({"columns": {"crp": entry}}))
    with pytest.raises(InputError, match=r"found other kinds, bounds or categories of \['crp'\]"):
        release_evaluation.evaluate_release(release, real, real, FAST, schema=tmp_path / "schema.json")


def test_records_without_their_patients_are_refused(folders):
    release, real, _ = folders
    path = real / "data" / "test-00000-of-00001.parquet"
    datasets.Dataset.from_parquet(str(path)).remove_columns("patient_id").to_parquet(path)
    with pytest.raises(InputError, match="expected the patients of test in a column `patient_id`, found none"):
        release_evaluation.evaluate_release(release, real, real, FAST)


def test_patients_in_train_and_test_are_refused(folders):
    release, real, _ = folders
    with pytest.raises(InputError) as error:
        release_evaluation.evaluate_release(release, real, f"{real}:train", FAST)
    assert str(error.value) == (
        "expected other patients in `test` than in `train`, found 30 of 30 in both: "
        "divide the records with `hf-hybrid split` first"
    )


def test_the_same_images_in_train_and_test_are_refused(folders):
    release, real, _ = folders
    no_groups = RecordSchema({name: column for name, column in schema("died").columns.items() if name != "patient_id"})
    no_groups.save(release / "schema.json")
    facts = provenance.read_provenance(release)
    facts["sampler"]["training"]["num_patients"] = 60
    provenance.write_provenance(release, facts)
    with pytest.raises(InputError, match="expected other images in `test` than in `train`, found 60 of 60 in both"):
        release_evaluation.evaluate_release(release, real, f"{real}:train", FAST)


def test_the_command_completes_the_release(folders, capsys):
    release, real, sets = folders
    (release / "assets").mkdir()
    (release / "assets" / "samples.png").write_bytes(png())
    options = evaluate.Options(release=str(release), train=f"{real}:train", test=str(real))
    options = dataclasses.replace(options, seeds=1, bootstraps=60, reader_steps=2)
    assert evaluate.main(options) == 0
    expected = Report.from_dict(json.loads((release / "report.json").read_text("utf-8")))
    assert (
        expected.utility == evaluate_sets(*sets, schema("died"), dataclasses.replace(FAST, image_model="auto")).utility
    )
    assert expected.fidelity.extractor.endswith(f"images of {CODEC['config']['resolution']} px")
    assert set(expected.measured()) == set(PARTS)
    private = release.with_name("release-private")
    out = capsys.readouterr().out
    assert out == terminal.format_report(expected) + f"private report  {private / 'report.html'}\n"
    published = {path.relative_to(release).as_posix(): path.read_bytes() for path in release.rglob("*.*")}
    assert {"README.md", "report.html", "assets/utility_died.png"} < set(published)
    assert evaluate.main(options) == 0
    assert {path.relative_to(release).as_posix(): path.read_bytes() for path in release.rglob("*.*")} == published


def test_images_are_compared_as_large_as_the_release_has_them(monkeypatch):
    """What is lost in images of 32 px, such as blur, is told."""
    monkeypatch.setattr(held_out, "NUM_TREES", 20)
    sharp = np.random.default_rng(0).integers(0, 2, (2, 120, 64, 32)).repeat(2, axis=3) * 200
    sharp[..., 1::2] = 200 - sharp[..., 1::2]  # stripes of one pixel, whose mean is the same everywhere
    blurred = np.full_like(sharp[0], 100)
    sets = []
    for seed, images in enumerate(np.uint8([blurred, *sharp])):
        one = draw(120, seed)

        def read(rows, images=images):
            yield from (images[rows[:7]], images[rows[7:]]) if len(rows) > 7 else (images[rows],)

        sets.append(dataclasses.replace(one, pixels=np.full_like(one.pixels, 100), read_images=read))
    options = EvaluationOptions(bootstraps=50, reader_steps=2, parts=["fidelity"])
    found = release_evaluation.measure_sets(*sets, schema("died"), options).report.fidelity.to_dict()
    assert found["extractor"] == "random convolutional network (seed 0), images of 64 px"
    images = {one["name"]: one for one in found["images"]}
    assert images["images: classifier AUC (C2ST)"]["value"] > 0.99 and images["coverage"]["value"] == 0
    assert (
        images["images: classifier AUC (C2ST)"]["reference"][TRAINING]
        < 0.7
        < images["coverage"]["reference"][TRAINING]
    )
    assert images["similarity of two images (MS-SSIM)"]["value"] == 1


def test_a_codec_of_chest_radiographs_brings_their_extractor_unless_another_is_asked_for(folders, tmp_path):
    release, real, _ = folders
    facts = provenance.read_provenance(release)
    facts["codec"] = facts["codec"] | {"training": facts["codec"]["training"] | {"content": "chest radiographs"}}
    provenance.write_provenance(release, facts)
    options = dataclasses.replace(FAST, parts=["fidelity"], bootstraps=10)
    wanted = dataclasses.replace(options, extractor="random")
    private = tmp_path / "private"  # what was cached for one extractor is not taken for another
    found = [
        release_evaluation.evaluate_release(release, real, real, one, private_dir=private) for one in (options, wanted)
    ]

    words = "radiograph network of hf_hybrid (the codec's images are chest radiographs)"
    assert found[0].fidelity.extractor.startswith(words)
    assert found[0].provenance["configuration"]["extractor"] == words
    assert found[1].fidelity.extractor.startswith("random convolutional network")
    assert (
        f"draws of a PCA of {facts['codec']['config']['latent_dim']} numbers" in found[1].fidelity.images[0].reference
    )


def test_a_second_run_redoes_only_what_has_changed(folders, tmp_path, monkeypatch):
    release, real, _ = folders
    made = []

    def counted(name):
        own = getattr(release_evaluation, name)
        monkeypatch.setattr(release_evaluation, name, lambda comparison: made.append(name) or own(comparison))

    for name in ("measure_utility", "measure_pairing"):
        counted(name)
    options = dataclasses.replace(FAST, parts=["utility", "pairing"], bootstraps=20)
    private = tmp_path / "private"
    first = release_evaluation.evaluate_release(release, real, real, options, private_dir=private)
    assert made == ["measure_utility", "measure_pairing"]
    assert (
        release_evaluation.evaluate_release(release, real, real, options, private_dir=private).to_dict()
        == first.to_dict()
    )
    assert made == ["measure_utility", "measure_pairing"]
    release_evaluation.evaluate_release(release, real, real, options, targets=["sex"], private_dir=private)
    assert made == ["measure_utility", "measure_pairing", "measure_utility"]
    path = real / "data" / "test-00000-of-00001.parquet"
    fewer = datasets.Dataset.from_parquet(str(path)).select(range(58))
    fewer.to_parquet(path)
    release_evaluation.evaluate_release(release, real, real, options, private_dir=private)
    assert made[3:] == ["measure_utility", "measure_pairing"]
    assert {path.stat().st_mode & 0o777 for path in (private, private / "cache")} == {0o700}


def test_a_codec_that_did_not_make_the_release_is_refused(folders, tmp_path):
    from hf_hybrid.models.alphagan import AlphaGAN

    release, real, _ = folders
    AlphaGAN(resolution=32, latent_dim=4, base_channels=8).save_with_card(tmp_path / "codec")
    with pytest.raises(InputError, match="expected the `codec` that the release was made with, found another"):
        release_evaluation.evaluate_release(release, real, real, FAST, codec=tmp_path / "codec")


def test_the_publisher_sees_real_images_the_closest_pairs_and_reconstructions(folders, tmp_path, capsys):
    from hf_hybrid.models.alphagan import AlphaGAN

    release, real, _ = folders
    (release / "assets").mkdir()
    (release / "assets" / "samples.png").write_bytes(png())
    codec = AlphaGAN(resolution=32, latent_dim=4, base_channels=8)
    codec.save_with_card(tmp_path / "codec")
    facts = provenance.read_provenance(release)
    facts["codec"] = provenance.read_provenance(tmp_path / "codec")["codec"]
    provenance.write_provenance(release, facts)
    words = small_evaluation(release, real)
    assert cli.main([*words, "--codec", str(tmp_path / "codec"), "--parts", '["fidelity", "privacy"]']) == 0
    report = json.loads((release / "report.json").read_text("utf-8"))
    names = ["codec L1", "codec PSNR", "codec SSIM", "codec machine reader AUC"]
    assert [one["name"] for one in report["fidelity"]["codec"]] == names
    for one in report["fidelity"]["codec"]:
        low, high = one["interval"]
        assert low <= one["value"] <= high and len(one["reference"]) == 1 and one["n"] == 30
    private = release.with_name("release-private")
    pictures = {path.name for path in private.glob("*.png")}
    assert pictures == {"real.png", "reconstructions.png", "closest_images.png"}
    page = (private / "report.html").read_text("utf-8")
    assert page.count("of a near copy</summary>") == 8 and "For the publisher only" in page
    assert "For the publisher only" not in (release / "report.html").read_text("utf-8")
