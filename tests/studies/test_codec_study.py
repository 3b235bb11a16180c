"""The study of a codec: scores with their meaning, leaks that it must find, and its place in provenance and card."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import drawn_spots, tiny_codec

from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.public_images import PublicImages
from hf_hybrid.studies.codec_attacks import ABOVE, NOT_ABOVE, copies, membership
from hf_hybrid.studies.codec_parts import LinearCode, Part, Side
from hf_hybrid.studies.codec_quality import likeness, reconstruction

SIDE = 32


def noisy_spots(count, seed):
    """Spots with detail that nothing can know."""
    noise = np.random.default_rng(seed).normal(0, 12, (count, SIDE, SIDE))
    return np.clip(drawn_spots(count, seed) + noise, 0, 255).astype(np.uint8)


def side(count, seed):
    """Images, what a tiny codec makes of them, and drawn detail that is not theirs."""
    pixels, codec = noisy_spots(count, seed), tiny_codec()
    linear = LinearCode(drawn_spots(80, 9), np.ones(80), 6)
    with torch.inference_mode():
        latents = codec.encode(torch.from_numpy(pixels)[:, None] / 127.5 - 1).latents
        mean = ((codec.decode(latents).sample[:, 0] + 1) * 127.5).round().byte().numpy()
    drawn = np.clip(mean + np.random.default_rng(seed + 100).normal(0, 12, mean.shape), 0, 255).astype(np.uint8)
    return Side(pixels, np.arange(count), latents.numpy(), mean, drawn, linear.decode(linear.encode(pixels)))


def features(pixels):
    return pixels[:, ::4, ::4].reshape(len(pixels), -1) / 40.0


@pytest.fixture(scope="module")
def part():
    draws = {"codec": noisy_spots(150, seed=5), "PCA": drawn_spots(150, seed=6)}
    return Part(side(150, 1), side(120, 2), draws, features)


def verdicts(part):
    return {name: one["verdict"] for name, one in (copies(part) | membership(part, 200)).items()}


def test_a_codec_that_draws_other_images_is_not_above_its_floor(part):
    assert set(verdicts(part).values()) == {NOT_ABOVE}


def test_draws_that_are_training_images_are_found(part):
    leak = replace(part, draws=part.draws | {"codec": part.train.pixels})

    found = verdicts(leak)
    assert {name for name, verdict in found.items() if verdict == ABOVE} == {
        "near copy, pixels",
        "near copy, features",
        "nearest draw, features",
    }
    assert copies(leak)["near copy, pixels"]["codec"][0] > 0.9


def test_detail_that_is_known_of_training_images_is_found(part):
    """A refiner that remembers: half of what it draws is the detail of the training image."""
    true = part.train.pixels.astype(float) - part.train.mean
    drawn = np.clip(part.train.drawn * 0.5 + (part.train.mean + true) * 0.5, 0, 255).astype(np.uint8)
    found = membership(replace(part, train=replace(part.train, drawn=drawn)), 200)

    assert found["agreement of drawn and true detail"]["codec"][0] > 0.4
    assert found["agreement of drawn and true detail"]["verdict"] == ABOVE
    assert found["error of the drawn image"]["verdict"] == ABOVE
    assert found["error of the mean image"]["verdict"] == NOT_ABOVE


def test_a_pca_of_weighted_images_is_that_of_repeated_ones():
    pixels = drawn_spots(30, 3)
    weighted = LinearCode(pixels, np.repeat([2.0, 1.0], 15), 5)
    repeated = LinearCode(np.concatenate([pixels[:15], pixels]), np.ones(45), 5)

    assert weighted.mean == pytest.approx(repeated.mean, abs=1e-5)
    assert np.abs(weighted.components @ repeated.components.T) == pytest.approx(np.eye(5), abs=1e-3)


def test_a_reconstruction_is_scored_against_the_image_itself(part):
    found = reconstruction(tiny_codec(), part, 50)["32 px"]

    pixels, mean = part.held_out.pixels.astype(float), part.held_out.mean
    assert found["l1"]["mean image"][0] == pytest.approx(np.abs(pixels - mean).mean() / 127.5, abs=1e-4)
    assert found["l1"]["mean image"][0] < found["l1"]["drawn"][0]
    low, value, high = (found["ssim"]["mean image - PCA"][place] for place in (1, 0, 2))
    assert low < value < high


def test_a_distance_of_equal_sets_is_smaller_than_of_others():
    rng = np.random.default_rng(0)
    real, same, other = (rng.normal(mean, 1, (200, 4)) for mean in (0, 0, 1))
    found = likeness({"same": same, "other": other}, real, np.arange(200), 100)

    assert found["same"][0] < 0.2 < 3.5 < found["other"][0] < 4.5
    assert found["images"] == 200


def test_the_script_writes_scores_provenance_and_card(tmp_path, monkeypatch):
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
    import codec_card

    detail = {"core_resolution": SIDE, "detail_widths": [[8]], "detail_times": [[1.0]]}
    torch.manual_seed(0)
    codec = AlphaGAN(resolution=64, latent_dim=6, base_channels=4, max_channels=8, **detail).eval()
    codec.load_state_dict(tiny_codec().state_dict(), strict=False)
    codec.save_with_card(tmp_path / "codec", {"images": "spots", "steps": 1, "seed": 0, "scores": {}})
    pixels = np.kron(noisy_spots(200, 8), np.ones((1, 2, 2), np.uint8))
    sources = np.repeat(["public_cxr", "kids_cxr"], 100)
    patients = np.array([str(place // 2) for place in range(200)])
    PublicImages(pixels, sources, patients, {}).save(tmp_path / "pack.npz", dict.fromkeys(set(sources), 90))
    argv = ["codec_card.py", "--codec", tmp_path / "codec", "--pack", tmp_path / "pack.npz", "--draws", 40]
    argv += ["--output", tmp_path / "scores.json", "--bootstraps", 20]
    monkeypatch.setattr(sys, "argv", [str(one) for one in argv])
    codec_card.main()

    found = json.loads((tmp_path / "scores.json").read_text())
    assert list(found["groups"]) == ["adults", "children", "all"]
    adults = found["groups"]["adults"]
    assert list(adults["reconstruction"]) == ["64 px", "32 px"]
    held_out = [tenth == 0 for tenth in PublicImages(pixels, sources, patients, {}).tenths[:100]]
    assert adults["images"]["held out"] == sum(held_out) > 0
    provenance = json.loads((tmp_path / "codec" / "provenance.json").read_text())
    assert provenance["evidence"]["groups"] == found["groups"]
    assert provenance["codec"]["class"] == "AlphaGAN"
