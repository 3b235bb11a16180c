"""The machine reader: it sees what is planted, tells nothing where there is nothing, and never knows a patient."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hf_hybrid.models import machine_reader
from hf_hybrid.models.image_texture import texture_statistics
from hf_hybrid.models.machine_reader import read_images

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "reader.json"


def images(count, seed, side=32, blur=2.0):
    """Smooth noise with a little rough noise upon it."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(count, side, side)), (0, blur, blur))
    rough = rng.normal(size=smooth.shape)
    return (128 + 50 * smooth / smooth.std() + 4 * rough).clip(0, 255).astype(np.uint8)


def apart(count):
    return np.arange(count), count + np.arange(count)


@pytest.mark.parametrize("part", [None, "network", "texture"])
def test_a_finer_texture_is_seen_by_both_parts(part):
    reading = read_images(images(60, 0, blur=1.2), images(60, 1), apart(60), num_steps=60)
    found = reading.auc(50, part)

    assert found.value > 0.95 and found.interval[0] > 0.9


def test_a_grid_is_seen():
    marked = images(60, 0).astype(int)
    marked[:, ::4, ::4] += 12
    reading = read_images(marked.clip(0, 255).astype(np.uint8), images(60, 1), apart(60), num_steps=0)

    assert reading.auc(50).value > 0.99
    assert (reading.network == 0).all()


def test_images_of_one_kind_are_not_told_apart():
    reading = read_images(images(150, 0), images(150, 1), apart(150), num_steps=20)
    low, high = reading.auc(200).interval

    assert low < 0.5 < high


def test_nobody_is_read_by_a_reader_that_saw_them():
    """Each patient's images carry a mark of their own, and half of the patients' are called synthetic."""
    patients = np.repeat(np.arange(40), 6)
    rng = np.random.default_rng(0)
    marks = gaussian_filter(rng.normal(size=(40, 32, 32)), (0, 1, 1)) * 200
    marked = (images(240, 0) + marks[patients]).clip(0, 255).astype(np.uint8)
    called = patients % 2 == 0
    reading = read_images(marked[called], marked[~called], (patients[called], patients[~called]), num_steps=40)

    assert 0.2 < reading.auc(50).value < 0.8
    for read in machine_reader._folds((patients[called], patients[~called]), 0):
        order = np.concatenate([patients[called], patients[~called]])
        assert not set(order[read]) & set(order[~read])
        assert len(set(order[read])) == 20


def test_an_image_and_its_reconstruction_are_read_together():
    patients = np.repeat(np.arange(10), 2)
    for read in machine_reader._folds((patients, patients), 0):
        assert (read[:20] == read[20:]).all() and read.sum() == 20


def test_the_same_seed_reads_the_same_and_another_does_not():
    sides = images(20, 0), images(20, 1)
    one, again, other = (read_images(*sides, apart(20), num_steps=3, seed=seed) for seed in (0, 0, 1))

    assert (one.network == again.network).all() and (one.texture == again.texture).all()
    assert not np.array_equal(one.network, other.network)


@pytest.mark.parametrize("side", [16, 32, 100, 128, 256])
def test_images_of_every_size_are_read(side):
    reading = read_images(images(4, 0, side), images(4, 1, side), apart(4), num_steps=1)

    assert np.isfinite(reading.network).all() and np.isfinite(reading.texture).all()


def test_texture_statistics_are_finite_and_do_not_depend_on_the_batch():
    some = np.concatenate([images(70, 0), np.zeros((1, 32, 32), np.uint8), np.full((1, 32, 32), 255, np.uint8)])
    found = texture_statistics(some)

    assert np.isfinite(found).all()
    np.testing.assert_allclose(texture_statistics(some[68:]), found[68:], rtol=1e-4, atol=1e-5)


def test_crops_cover_an_image():
    seen = []

    class Seen:
        def __call__(self, crops):
            seen.append(crops)
            return crops.amax(dim=(1, 2, 3))

    pixels = np.zeros((1, 300, 300), np.uint8)
    machine_reader._read(Seen(), pixels)
    assert len(seen) == 9 and {one.shape[-1] for one in seen} == {128}


def test_the_reader_is_strong_enough_to_count():
    """What `scripts/check_reader.py` found; the reader's budget is the one that was checked."""
    found = json.loads(RESULTS.read_text())
    values = {name: one["AUC"] for name, one in found["readings"].items()}

    assert found["steps"] == machine_reader.NUM_STEPS
    assert values["two sources"]["value"] >= 0.9
    assert min(values[name]["value"] for name in values if name.startswith("PCA")) >= 0.99
    for name in ("control: adults", "control: children"):
        assert values[name]["interval"][0] < 0.5 < values[name]["interval"][1]
