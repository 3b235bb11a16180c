"""Measurements: rows that go with what their images show are told from rows that do not."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from hf_hybrid.core.errors import InputError
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.measurements import measure_measurements, read_measurements
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.phantom.cohort import sample_cohort
from hf_hybrid.phantom.drawing import draw_phantom
from hf_hybrid.phantom.parameters import ImageParameters
from hf_hybrid.phantom.variables import phantom_schema


@pytest.fixture(scope="module")
def made():
    """A comparison of three draws of the built-in cohort, and the measurements of the real ones."""
    sets, truths = [], []
    for seed in range(3):
        cohort, rng = sample_cohort(250, seed), np.random.default_rng(seed)
        images = [draw_phantom(ImageParameters(**row), 32, rng) for row in cohort.truth.to_dict("records")]
        schema = RecordSchema.infer(cohort.table, "image", phantom_schema())
        sets.append(EvaluationSet(np.stack(images), schema.read(cohort.table)[0], np.arange(250)))
        truths.append(cohort.truth[["heart_width", "soft_tissue", "marker"]].astype(float))
    return Comparison(*sets, schema, EvaluationOptions(bootstraps=50)), truths


def scores(comparison, truths):
    return {one.name: one for one in measure_measurements(comparison, *truths[1:])}


def test_honest_rows_go_with_their_images_and_shuffled_ones_do_not(made):
    comparison, truths = made
    found = scores(*made)
    overall = found["trends with measurements"]
    assert overall.value < 0.5 * overall.reference["images shuffled"]
    fatter = found["soft_tissue and bmi"]
    assert abs(fatter.value) < 0.1 and fatter.reference["real, held-out patients"] > 0.6
    assert abs(fatter.reference["images shuffled"]) < 0.2
    order = np.random.default_rng(0).permutation(250)
    unpaired = dataclasses.replace(comparison.synthetic, pixels=comparison.synthetic.pixels[order])
    broken = scores(dataclasses.replace(comparison, synthetic=unpaired), truths)
    low, high = broken["trends with measurements"].interval
    assert low > overall.interval[1] and broken["soft_tissue and bmi"].interval[1] < -0.3


def test_what_cannot_be_read_off_an_image_has_no_score(made):
    comparison, truths = made
    noise = [pd.DataFrame({"mood": np.random.default_rng(seed).normal(size=250)}) for seed in range(3)]
    (only,) = measure_measurements(comparison, *noise[1:])
    assert (
        only.value is None
        and only.reason == "no measurement can be read off the images of held-out patients (R2 of 0.3)"
    )


def test_a_file_of_measurements_is_read_by_file_name(tmp_path):
    path = tmp_path / "measured.csv"
    names = [f"{number:03d}.png" for number in range(60)]
    pd.DataFrame({"file_name": names, "width": range(60), "reader": "AB", "tube": [True, False] * 30}).to_csv(path)
    train, test = read_measurements(path, [names[:30][::-1], names[30:]])
    assert train["width"].tolist() == list(range(30))[::-1] and "reader" not in train and set(train["tube"]) == {0, 1}
    with pytest.raises(InputError, match="expected numbers for at least 20 images of train and of test"):
        read_measurements(path, [names[:30], [f"other{number}.png" for number in range(30)]])
    with pytest.raises(InputError, match="expected a CSV file of `measurements`, found none that reads"):
        read_measurements(tmp_path / "none.csv", [names, names])
    with pytest.raises(InputError, match="found some that share one"):
        read_measurements(path, [["000.png", "000.png"], names])
    pd.DataFrame({"image": names}).to_csv(path)
    with pytest.raises(InputError, match="expected a column `file_name` in `measurements`"):
        read_measurements(path, [names, names])
