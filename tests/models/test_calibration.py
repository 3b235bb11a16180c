"""Which images a codec knows: other spots are like its spots; photographs, heads, blank images and noise are not."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import builtin_codec, drawn_spots, messy_table, tiny_codec, write_image_folder

from hf_hybrid.commands import cli
from hf_hybrid.core.errors import InputError
from hf_hybrid.data.records import load_records
from hf_hybrid.models import calibration
from hf_hybrid.models.calibration import compare_images, image_errors, reconstruction_error_range

SIDE = 32


def photographs():
    from sklearn.datasets import load_sample_image

    grey = np.asarray(Image.fromarray(load_sample_image("china.jpg")).convert("L"))
    crops = (grey[row : row + 128, column : column + 128] for row in (0, 128, 256) for column in range(0, 512, 64))
    return np.stack([np.asarray(Image.fromarray(crop).resize((SIDE, SIDE))) for crop in crops])


def heads():
    across, down = np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2)
    found = []
    for size in np.linspace(0.6, 0.9, 24):
        radius = np.hypot(across / (0.8 * size), down / size)
        ventricles = np.hypot((abs(across) - 0.15) / 0.09, down / 0.25) < 1
        found.append(np.select([ventricles, radius < 0.88, radius < 1], [40, 110, 230], 0))
    return np.stack(found).astype(np.uint8)


OTHERS = {
    "photographs": photographs,
    "drawn heads": heads,
    "black images": lambda: np.zeros((24, SIDE, SIDE), np.uint8),
    "noise": lambda: np.random.default_rng(0).integers(0, 256, (24, SIDE, SIDE)).astype(np.uint8),
    "negatives": lambda: 255 - drawn_spots(24, seed=3),
}


@pytest.fixture(scope="module")
def codec():
    return tiny_codec()


@pytest.fixture(scope="module")
def facts(codec):
    return {
        "training": {"images": "drawn spots", "image_range": reconstruction_error_range(codec, drawn_spots(60, 2))}
    }


def records(folder, pixels):
    write_image_folder(folder, messy_table(len(pixels)))
    for image, path in zip(pixels, sorted((folder / "train").glob("*.png")), strict=True):
        Image.fromarray(image).save(path)
    return load_records(str(folder))


def test_the_errors_of_an_image_are_those_of_its_mean_image(codec):
    pixels = drawn_spots(3, seed=4)
    images = torch.from_numpy(pixels)[:, None] / 127.5 - 1
    latents = codec.encode(images).latents
    missed = images - codec.decode(latents, detail=False).sample

    found = image_errors(codec, [pixels[:2], pixels[2:]])
    assert found["l1"] == pytest.approx(missed.abs().mean((1, 2, 3)).detach().numpy())
    lost = missed.square().mean((1, 2, 3)) / images.var((1, 2, 3), correction=0)
    assert found["lost variance"] == pytest.approx(lost.detach().numpy(), rel=1e-5)
    assert found["latent square"] == pytest.approx(latents.square().mean(1).detach().numpy())


def test_an_image_of_a_codec_with_refiners_is_compared_where_its_generator_works():
    from hf_hybrid.models.alphagan import AlphaGAN

    torch.manual_seed(0)
    detail = {"core_resolution": 32, "detail_widths": [[8]], "detail_times": [[1.0]]}
    codec = AlphaGAN(resolution=64, latent_dim=4, base_channels=4, max_channels=8, **detail).eval()
    assert codec.mean_images(torch.zeros(2, 4)).shape == (2, 1, 32, 32)
    assert image_errors(codec, [np.full((2, 64, 64), 200, np.uint8)])["l1"].shape == (2,)


def test_a_range_has_quantiles_in_which_images_weigh_as_they_are_told_to(codec):
    pixels = np.concatenate([drawn_spots(40, 2), np.zeros((20, SIDE, SIDE), np.uint8)])
    found = reconstruction_error_range(codec, pixels, np.repeat([1.0, 0.0], [40, 20]))
    alone = reconstruction_error_range(codec, pixels[:40])

    assert found | {"num_images": 40} == alone
    assert alone["l1"]["1 %"] < alone["l1"]["50 %"] < alone["l1"]["95 %"] <= alone["l1"]["99 %"]
    assert reconstruction_error_range(codec, pixels[:19]) is None


def test_other_images_of_the_kind_pass(codec, facts, tmp_path):
    assert compare_images(records(tmp_path, drawn_spots(24, seed=5)), codec, facts) == calibration.LIKE


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_of_images_are_refused_in_one_line_unless_they_are_meant(codec, facts, tmp_path, kind):
    others = records(tmp_path, OTHERS[kind]())

    with pytest.raises(
        InputError, match=r"expected images like .*\(drawn spots\), found another kind: the median"
    ) as one:
        compare_images(others, codec, facts)
    assert "\n" not in str(one.value) and len(re.findall(r"\d+\.\d+", str(one.value))) in (2, 4)  # medians and limits
    assert compare_images(others, codec, facts, allow_other_images=True) == calibration.ALLOWED


def test_without_a_range_nothing_is_compared(codec, tmp_path):
    assert compare_images(records(tmp_path, heads()), codec, codec.facts()) == calibration.NOT_COMPARED


def test_fit_refuses_other_images_and_says_that_they_were_allowed(codec, facts, tmp_path, monkeypatch, capsys):
    builtin_codec(tmp_path, monkeypatch, **facts["training"])
    records(tmp_path / "records", np.repeat(heads(), 4, axis=0))
    argv = ["fit", "--codec", "builtin:spots", "--dataset", str(tmp_path / "records"), "--targets", "outcome"]
    argv += ["--output_dir", str(tmp_path / "pipeline")]

    assert cli.main(argv) == 2
    assert "found another kind: the median" in capsys.readouterr().err
    assert not (tmp_path / "pipeline").exists()
    assert cli.main([*argv, "--allow_other_images"]) == 0
    assert "images: of another kind than the codec's, allowed" in capsys.readouterr().out
    training = json.loads((tmp_path / "pipeline" / "provenance.json").read_text())["sampler"]["training"]
    assert training["images"] == calibration.ALLOWED
    card = (tmp_path / "pipeline" / "README.md").read_text()
    assert "The images are of another kind than the codec's, allowed" in card
    assert "`builtin:spots` of hf_hybrid" in card and "On 60 held-out ones" in card
