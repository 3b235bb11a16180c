"""The network that image scores are measured in, and the public images that it and the codec are trained on."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from hf_hybrid.metrics.image_fidelity import frechet_distance
from hf_hybrid.models.image_features import image_features
from hf_hybrid.models.public_images import HELD_OUT, UNKNOWN, PublicImages, tenth
from hf_hybrid.models.radiograph_network import WEIGHTS, RadiographNetwork, features_of, load_radiograph_network
from hf_hybrid.models.radiograph_trainer import RadiographArguments, RadiographTrainer, label_scores
from hf_hybrid.phantom.cohort import write_phantom


def public(count=24, side=64):
    """Images of two sources; the bright ones of the first are `male`."""
    rng = np.random.default_rng(0)
    sources = np.array(["adults", "children"])[np.arange(count) % 2]
    bright = rng.random(count) < 0.5
    pixels = (rng.integers(0, 90, (count, side, side)) + 120 * bright[:, None, None]).astype(np.uint8)
    adult = sources == "adults"
    labels = {
        "male": np.where(adult, bright, UNKNOWN),
        "age": np.where(adult, rng.integers(20, 80, count), UNKNOWN),
        "kind": np.where(adult, UNKNOWN, bright),
    }
    patients = np.array([f"p{index // 4}" for index in range(count)])
    return PublicImages(pixels, sources, patients, {name: one.astype(np.float32) for name, one in labels.items()})


def test_the_pack_keeps_images_patients_and_labels(tmp_path):
    images = public()
    images.save(tmp_path / "pack.npz", {"adults": 100, "children": 100})
    again = PublicImages.load(tmp_path / "pack.npz")

    assert np.abs(again.pixels.astype(int) - images.pixels).mean() < 4
    for name in ("sources", "patients"):
        assert np.array_equal(getattr(again, name), getattr(images, name))
    assert all(np.array_equal(again.labels[name], images.labels[name]) for name in images.labels)


def test_a_tenth_of_the_patients_is_held_out_whoever_asks():
    found = [tenth("adults", f"n{number}") for number in range(5000)]

    assert tenth("adults", "n1280") == tenth("adults", "n1280") != tenth("adults", "n0")
    shares = np.bincount(found, minlength=10) / len(found)
    assert np.abs(shares - 0.1).max() < 5 * np.sqrt(0.09 / len(found))
    assert HELD_OUT == 0


def test_sources_and_patients_weigh_equally():
    images = public()
    images = images.part(np.r_[0:24:2, 1:8:2])  # fewer children than adults
    weights = images.weights

    assert weights.sum() == pytest.approx(1)
    assert weights[images.sources == "adults"].sum() == pytest.approx(0.5)
    each = [weights[images.groups == group].sum() for group in np.unique(images.groups)]
    assert len(np.unique(np.round(each, 9))) == 2  # one share for every adult, one for every child
    assert len(images.tenths) == len(images)


def test_features_of_a_size_do_not_depend_on_the_batch():
    torch.manual_seed(0)
    network = RadiographNetwork(3, 2).eval()
    for side in (64, 96, 128):
        pixels = np.random.default_rng(0).integers(0, 256, (3, side, side), dtype=np.uint8)
        features = features_of(network, pixels)
        assert features.shape == (3, 448) and np.isfinite(features).all()
        np.testing.assert_allclose(features_of(network, pixels[1:2])[0], features[1], atol=1e-4)


def test_the_network_learns_labels_that_some_images_lack(tmp_path):
    images = public(40)
    arguments = RadiographArguments(max_train_steps=10, train_batch_size=8, ema_decay=0.5, warp=0.2, sides=(48,))
    network = RadiographTrainer(images, arguments, tmp_path).fit()

    with torch.no_grad():
        binary, _, kind = network.heads(torch.from_numpy(features_of(network, images.pixels)))
    adult = images.sources == "adults"
    male, viral = images.labels["male"][adult] == 1, images.labels["kind"][~adult] == 1
    told = binary[:, 0].numpy()[adult]
    assert told[male].min() > told[~male].max()
    assert (kind.argmax(1).numpy()[~adult] == viral).all()
    scores = label_scores(network, images)
    assert scores["male"] == scores["kind 0"] == scores["kind 1"] == 1


@pytest.mark.parametrize("name", ["radiograph", "radiograph-training"])
def test_the_networks_of_the_package_are_small_scored_and_load_strictly(name):
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size <= 4e6
    scores = json.loads((WEIGHTS / f"{name}.json").read_text())
    assert scores["frontal_pa"] > 0.9
    assert f"{scores['frontal_pa']:.3f}".lstrip("0") in (WEIGHTS / "README.md").read_text()
    network = load_radiograph_network(name)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32} and not network.training


def test_both_networks_learned_from_other_patients():
    one, two = (load_radiograph_network(name).state_dict() for name in ("radiograph", "radiograph-training"))
    assert not any(torch.equal(one[name], two[name]) for name in one if name.endswith("weight"))


def test_radiograph_is_an_extractor_that_tells_kinds_of_images(tmp_path):
    write_phantom(tmp_path, 60, resolution=64, images_only=True)
    drawn = np.stack([np.asarray(Image.open(path)) for path in sorted(tmp_path.rglob("*.png"))])
    noise = np.random.default_rng(0).integers(0, 256, drawn[:30].shape, dtype=np.uint8)
    one, other, random = (image_features([part], "radiograph") for part in (drawn[:30], drawn[30:], noise))

    assert one.shape == (30, 448) and one.dtype == np.float64
    assert frechet_distance(one, random) > 3 * frechet_distance(one, other)
