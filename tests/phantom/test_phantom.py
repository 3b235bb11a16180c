import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.phantom.cohort import sample_cohort, write_phantom
from hf_hybrid.phantom.drawing import draw_phantom
from hf_hybrid.phantom.parameters import ImageParameters
from hf_hybrid.phantom.variables import FINDINGS, PHANTOM_UNITS, phantom_schema

COLUMNS = phantom_schema()["columns"]
VARIABLES = [name for name, column in COLUMNS.items() if column["role"] != "group"]


@pytest.fixture(scope="module")
def cohort():
    return sample_cohort(4000, seed=0)


def draw(resolution=64, seed=0, **parameters):
    parameters = ImageParameters(**{"noise": 0.0} | parameters)
    return draw_phantom(parameters, resolution, np.random.default_rng(seed)).astype(float)


def heart_width(**parameters):
    """Widest run of bright pixels across the midline, of the rows of the heart, as a mean of several chests."""
    widths = []
    for seed in range(8):
        rows = draw(128, seed, zoom=1.0, opacity_extent=0.0, **parameters)[68:84]
        bright = rows > (rows.min(axis=1, keepdims=True) + rows.max(axis=1, keepdims=True)) / 2
        left = np.argmin(bright[:, 64::-1], axis=1)
        right = np.argmin(bright[:, 64:], axis=1)
        widths.append((left + right).max())
    return np.mean(widths)


def auc(features, cohort):
    """AUC of a logistic regression for the outcome, cross-validated by patient."""
    features = features.fillna(features.mean())
    deceased = cohort.table["outcome"] == "deceased"
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    folds = {"groups": cohort.table["patient_id"], "cv": GroupKFold(3), "method": "predict_proba"}
    return roc_auc_score(deceased, cross_val_predict(model, features, deceased, **folds)[:, 1])


# The table


def test_the_same_seed_gives_the_same_cohort_and_another_seed_another():
    first, again, other = (sample_cohort(200, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.table, again.table)
    pd.testing.assert_frame_equal(first.truth, again.truth)
    assert not first.table.equals(other.table)
    assert not first.truth.equals(other.truth)


def test_a_larger_cohort_starts_with_the_smaller_one():
    small, large = sample_cohort(33, seed=3), sample_cohort(90, seed=3)
    pd.testing.assert_frame_equal(small.table, large.table[:33])
    pd.testing.assert_frame_equal(small.truth, large.truth[:33])


def test_the_table_keeps_to_its_schema(cohort):
    assert set(cohort.table.columns) == set(COLUMNS)
    assert len(VARIABLES) == 14 and len(PHANTOM_UNITS) == 6
    for name in VARIABLES:
        cells = cohort.table[name].dropna()
        if COLUMNS[name]["kind"] == "categorical":
            assert set(cells) == set(COLUMNS[name]["categories"])
        elif COLUMNS[name]["kind"] == "multi-label":
            assert set("|".join(cells).split("|")) == {*COLUMNS[name]["categories"], "none"}
        else:
            low, high = COLUMNS[name]["bounds"]
            assert cells.between(low, high).all() and cells.nunique() > 15
        if COLUMNS[name]["kind"] == "integer":
            assert (cells == cells.round()).all()


def test_the_schema_is_plain_and_belongs_to_the_caller():
    schema = phantom_schema()
    assert json.loads(json.dumps(schema)) == schema
    roles = {name: column["role"] for name, column in schema["columns"].items() if column["role"] != "clinical"}
    assert roles == {"patient_id": "group", "age": "target", "outcome": "target"}
    schema["columns"]["sex"]["categories"].append("changed")
    assert phantom_schema()["columns"]["sex"]["categories"] == ["F", "M"]


def test_the_schema_is_one_that_the_library_reads(cohort):
    table = cohort.table[:300]
    schema = RecordSchema.infer(table, "image", phantom_schema())
    typed, unread = schema.read(table)
    assert not unread and schema.targets == ["age", "outcome"] and schema.group_column == "patient_id"
    assert (typed[VARIABLES].isna() == table[VARIABLES].isna()).all(axis=None)  # "none" is a category, or no label
    assert ["|".join(labels) or "none" for labels in typed["findings"]] == table["findings"].tolist()


def test_prevalence_and_missing_cells_are_those_of_a_hospital(cohort):
    table = cohort.table
    assert 0.11 < (table["outcome"] == "deceased").mean() < 0.17
    assert 0.10 < (table["icu"] == "yes").mean() < 0.25
    assert 0.05 < (table["intubated"] == "yes").mean() < 0.15
    assert table["comorbidity"].value_counts(normalize=True)["immunosuppressed"] < 0.06
    expected = {"bmi": 0.10, "crp": 0.15, "lymphocytes": 0.20, "temperature": 0.05, "oxygen": 0.03}
    missing = table.isna().mean()
    assert {name for name in missing.index if missing[name]} == set(expected)
    for name, share in expected.items():
        assert missing[name] == pytest.approx(share, abs=0.03)
    assert table["crp"].isna()[table["icu"] == "no"].mean() > 1.3 * table["crp"].isna()[table["icu"] == "yes"].mean()


def test_the_clinical_columns_agree_with_each_other_and_with_the_image(cohort):
    table, truth = cohort.table, cohort.truth
    intubated, icu = table["intubated"] == "yes", table["icu"] == "yes"
    assert (icu | ~intubated).all()
    assert (table.loc[intubated, "oxygen"].dropna() == "high_flow").all()
    assert (truth["endotracheal_tube"] == intubated).all()
    assert (truth["anteroposterior"] == (table["view"] == "AP")).all()
    assert (truth["breast"] > 0).eq(table["sex"] == "F").all()
    assert (table["view"] == "AP")[icu].mean() > 0.85 > 0.5 > (table["view"] == "AP")[~icu].mean()
    assert truth["heart_width"].groupby(table["comorbidity"]).mean().idxmax() == "cardiac"
    assert truth["inflation"].groupby(table["comorbidity"]).mean().idxmax() == "pulmonary"
    assert table["age"].corr(truth["bone_density"]) < -0.4 and table["age"].corr(truth["aortic_knob"]) > 0.4
    assert table["crp"].corr(table["lymphocytes"], method="spearman") < -0.2
    assert table["bmi"].corr(truth["soft_tissue"], method="spearman") > 0.8


def test_findings_are_as_frequent_and_as_linked_as_in_a_hospital(cohort):
    table, findings = cohort.table, cohort.table["findings"].str.get_dummies("|")
    assert findings[FINDINGS].mean().between(0.05, 0.35).all() and 0.2 < (findings[FINDINGS].sum(axis=1) > 1).mean()
    deceased, icu, cardiac = (
        table[name] == value for name, value in (("outcome", "deceased"), ("icu", "yes"), ("comorbidity", "cardiac"))
    )
    for name, group in (("opacity", deceased), ("effusion", deceased), ("device", icu), ("cardiomegaly", cardiac)):
        assert findings[name][group].mean() > 1.5 * findings[name][~group].mean()
    lasting = findings[["nodule"]].join(cohort.truth["pacemaker"])
    assert (lasting.groupby(table["patient_id"]).nunique() == 1).all(axis=None)


def test_the_table_names_what_the_image_shows(cohort):
    findings, truth = cohort.table["findings"].str.get_dummies("|").astype(bool), cohort.truth
    assert (findings["cardiomegaly"] == (truth["heart_width"] > np.where(truth["anteroposterior"], 0.55, 0.5))).all()
    drawn = truth[["pacemaker", "endotracheal_tube", "central_line", "electrodes"]].astype(bool).any(axis=1)
    assert (findings["device"] == drawn).all()
    assert (findings["effusion"] == (truth["effusion_right"] + truth["effusion_left"] > 0)).all()
    assert (findings["nodule"] == (truth["nodule"] > 0)).all()
    density = truth["opacity_density"]
    assert density[findings["opacity"]].min() > density[~findings["opacity"]].max() + 0.15
    assert (findings["none"] == ~findings[FINDINGS].any(axis=1)).all()


def test_some_patients_have_several_records(cohort):
    patients = cohort.table.groupby("patient_id")
    sizes = patients.size()
    assert sizes.max() == 3 and 0.10 < (sizes > 1).mean() < 0.20
    assert (patients[["age", "sex", "comorbidity", "outcome"]].nunique() == 1).all(axis=None)
    extents = cohort.truth["opacity_extent"].groupby(cohort.table["patient_id"]).nunique()
    assert (extents[sizes > 1] == sizes[sizes > 1]).mean() > 0.95  # the disease moves on


def test_the_outcome_depends_on_the_table_and_on_the_image(cohort):
    findings = cohort.table["findings"].str.get_dummies("|")
    table = pd.get_dummies(cohort.table[VARIABLES].drop(columns=["outcome", "findings"])).astype(float)
    extent = cohort.truth[["opacity_extent"]]
    image = np.log(extent / (1 - extent))
    from_table, from_image, from_both = (auc(part, cohort) for part in (table, image, table.join(image)))
    assert 0.75 < from_table < 0.86
    assert 0.70 < from_image < 0.82
    assert from_both > max(from_table, from_image) + 0.01
    # The table says that there is an opacity, but not how far it goes.
    assert from_table < auc(table.join(findings), cohort) < from_both + 0.01


# The image


@pytest.mark.parametrize("resolution", [32, 64, 100])
def test_an_image_is_a_grey_square_and_the_same_for_the_same_seed(resolution):
    first, again, other = (
        draw_phantom(ImageParameters(), resolution, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first.shape == (resolution, resolution) and first.dtype == np.uint8
    assert (first == again).all()
    assert (first != other).mean() > 0.3
    assert first.min() < 30 and 180 < first.max()


@pytest.mark.parametrize(
    "parameters",
    [
        ImageParameters(noise=0),
        ImageParameters(
            noise=0,
            anteroposterior=True,
            opacity_extent=0.4,
            breast=0.6,
            effusion_right=0.2,
            nodule=0.07,
            pacemaker=True,
            endotracheal_tube=True,
            central_line=True,
            electrodes=5,
            marker=True,
            rotation=4,
            shift_x=0.03,
        ),
    ],
)
def test_the_anatomy_does_not_depend_on_the_resolution(parameters):
    small, large = (draw_phantom(parameters, side, np.random.default_rng(4)).astype(float) for side in (64, 256))
    averaged = large.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    assert np.abs(small - averaged).mean() < 2
    assert np.corrcoef(small.ravel(), averaged.ravel())[0, 1] > 0.998


def test_opacities_whiten_the_lungs_in_step_with_their_extent_and_density():
    clear = draw()
    change = [(draw(opacity_extent=extent) - clear).mean() for extent in (0.1, 0.3, 0.6, 0.9)]
    assert 0 < change[0] and (np.diff(change) > 1).all()
    dense, faint = (draw(opacity_extent=0.4, opacity_density=density) - clear for density in (0.9, 0.4))
    assert dense.sum() > 1.5 * faint.sum()
    changed = faint > 0.5
    assert changed.mean() < 0.4  # nothing outside of the lungs
    assert clear[changed].mean() < clear[~changed].mean()


def test_the_heart_has_the_width_it_is_told_and_is_wider_in_an_anteroposterior_view(cohort):
    measured = [heart_width(heart_width=width) for width in (0.40, 0.48, 0.56)]
    assert measured[0] + 3 < measured[1] < measured[2] - 3
    by_view = cohort.truth["heart_width"].groupby(cohort.table["view"]).mean()
    assert heart_width(anteroposterior=True, heart_width=by_view["AP"]) > heart_width(heart_width=by_view["PA"]) + 2


@pytest.mark.parametrize(
    "parameters",
    [
        {"endotracheal_tube": True},
        {"central_line": True},
        {"pacemaker": True},
        {"nodule": 0.06},
        {"effusion_left": 0.15},
        {"electrodes": 3},
        {"marker": True},
        {"breast": 0.8},
        {"aortic_knob": 1.0},
        {"bone_density": 0.95},
        {"soft_tissue": 0.9},
        {"exposure": 0.8},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_a_parameter_brightens_its_part_of_the_image(parameters):
    change = draw(**parameters) - draw()
    assert change.max() > 4 and change.mean() > 0


def test_fluid_lies_above_the_angle_of_its_side_and_reaches_higher_at_the_wall():
    clear = draw(128)
    right, left = (draw(128, **{f"effusion_{side}": 0.25}) - clear for side in ("right", "left"))
    for change, wet, dry in ((right, slice(0, 64), slice(64, 128)), (left, slice(64, 128), slice(0, 64))):
        assert change[:, wet].mean() > 5 and np.abs(change[:, dry]).max() < 3 and np.abs(change[:48]).max() < 3
    at_the_wall, inside = (
        np.argmax(right[:, columns].mean(axis=1) > 15) for columns in (slice(14, 24), slice(40, 50))
    )
    assert 0 < at_the_wall < inside - 3


def test_a_nodule_is_a_small_round_spot_in_a_lung():
    change = np.stack([draw(128, seed, nodule=0.07, zoom=1.0) - draw(128, seed, zoom=1.0) for seed in range(20)])
    spots = change > 10
    assert (change.max(axis=(1, 2)) > 25).all()
    for spot in spots:
        assert 45 < spot.sum() < 80  # a circle of nine pixels: 63
        rows, columns = np.nonzero(spot)
        assert np.ptp(rows) <= 10 and np.ptp(columns) <= 10
        assert 20 < rows.mean() < 90 and 12 < abs(columns.mean() - 63.5) < 48


def test_deep_breath_darkens_the_base_and_noise_follows_its_parameter():
    assert draw(inflation=1.0)[48:56].mean() < draw(inflation=-0.5)[48:56].mean() - 5
    spread = [(draw(noise=noise) - draw()).std() for noise in (1.0, 4.0)]
    assert 0.5 < spread[0] < 1.5 and 3 < spread[1] / spread[0] < 5


# The folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("phantom") / "cohort"
    write_phantom(output_dir, num_records=30, resolution=32, seed=5)
    return output_dir


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_loads_as_an_image_folder(folder, tmp_path):
    import datasets

    data = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path))
    assert list(data) == ["train"] and len(data["train"]) == 30
    assert set(data["train"].column_names) == {"image", "patient_id", *VARIABLES}
    assert data["train"][0]["image"].size == (32, 32) and data["train"][0]["image"].mode == "L"
    expected = sample_cohort(30, seed=5).table
    for name in expected:  # "none" stays a word, an empty cell is missing
        loaded = pd.Series(data["train"][name], name=name, dtype=expected[name].dtype).replace({None: np.nan})
        pd.testing.assert_series_equal(loaded, expected[name])


def test_the_truth_lies_beside_the_images_and_draws_them(folder):
    truth = pd.read_csv(folder / "truth.csv", index_col="file_name")
    assert sorted(truth.index) == sorted(path.name for path in (folder / "train").glob("*.png"))
    assert list(truth) == [field.name for field in dataclasses.fields(ImageParameters)]
    pd.testing.assert_frame_equal(truth.reset_index(drop=True), sample_cohort(30, seed=5).truth)


def test_the_bytes_follow_from_the_seed_and_the_record_alone(folder, tmp_path):
    for name, num_records, seed in (("again", 30, 5), ("larger", 34, 5), ("other", 30, 6)):
        write_phantom(tmp_path / name, num_records=num_records, resolution=32, seed=seed)
    first, again, larger, other = map(contents, (folder, *(tmp_path / name for name in ("again", "larger", "other"))))
    assert first == again
    images = {path for path in first if path.endswith(".png")}
    assert {path: larger[path] for path in images} == {path: first[path] for path in images}
    assert all(other[path] != first[path] for path in first)


def test_the_public_image_set_has_no_table_and_other_people(folder, tmp_path):
    import datasets

    public = tmp_path / "public"
    public.mkdir()  # an empty folder is accepted
    write_phantom(public, num_records=30, resolution=32, seed=5, images_only=True)
    files = contents(public)
    assert len(files) == 30 and all(path.endswith(".png") for path in files)
    assert not set(files.values()) & set(contents(folder).values())
    data = datasets.load_dataset("imagefolder", data_dir=str(public), cache_dir=str(tmp_path / "cache"))
    assert data["train"].column_names == ["image"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path / "cohort", num_records=3, resolution=32)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused_and_left_alone(folder):
    before = contents(folder)
    with pytest.raises(
        ValueError, match="expected a new or empty folder as `output_dir`, found files at .*: name another"
    ):
        write_phantom(folder, num_records=3, resolution=32)
    with pytest.raises(ValueError, match="`output_dir`"):
        write_phantom(folder / "truth.csv", num_records=3, resolution=32)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_records": 0}, "expected `num_records` of at least 1, found 0"),
        ({"resolution": 31}, "expected `resolution` from 32 to 512, found 31"),
        ({"resolution": 513}, "expected `resolution` from 32 to 512, found 513"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_phantom(tmp_path / "cohort", **arguments)
    assert list(tmp_path.iterdir()) == []
