"""Training that starts from a codec: its core learns, what draws detail stays byte for byte, private or not."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny import drawn_spots, tiny_codec

from hf_hybrid.commands import cli
from hf_hybrid.core.artifacts import WEIGHTS
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.alphagan_trainer import AlphaGANTrainer

SIDE = 64


@pytest.fixture(scope="module", params=["float32", "float16"])
def public(request, tmp_path_factory):
    """A codec of 64 px whose core works at 32 px."""
    folder = tmp_path_factory.mktemp("public") / "codec"
    torch.manual_seed(1)
    detail = {"core_resolution": 32, "detail_widths": [[8]], "detail_times": [[1.0]]}
    codec = AlphaGAN(resolution=SIDE, latent_dim=6, base_channels=4, max_channels=8, **detail).eval()
    codec.load_state_dict(tiny_codec().state_dict(), strict=False)
    codec = codec.half().float() if request.param == "float16" else codec
    facts = {"images": "drawn spots", "content": "spots", "steps": 3, "seed": 4, "scores": {}}
    codec.save_with_card(folder, facts)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("private") / "records"
    (folder / "train").mkdir(parents=True)
    for place, pixels in enumerate(drawn_spots(60, seed=7)):
        Image.fromarray(pixels).resize((SIDE, SIDE)).save(folder / "train" / f"{place:02d}.png")
    names = "".join(f"{place:02d}.png,p{place}\n" for place in range(60))
    (folder / "train" / "metadata.csv").write_text(f"file_name,patient_id\n{names}")
    return folder


def train(public, images, output, *options):
    argv = ["train-codec", "--dataset", images, "--output_dir", output, "--pretrained_codec", public]
    argv += ["--max_train_steps", "4", "--validation_steps", "2", "--train_batch_size", "8"]
    return cli.main([*map(str, argv), "--checkpointing_steps", "1", *options])


@pytest.fixture(scope="module")
def private(public, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "codec"
    score = AlphaGANTrainer._score_codec

    def better_each_time(self):  # a few steps on few images are no better than the start, which would be kept
        step = self.run.step
        return score(self) | {"l1": 1 - step / 100, "psnr": step, "ssim": step / 100, "score": -step}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AlphaGANTrainer, "_score_codec", better_each_time)
        assert train(public, images, folder, "--private_images") == 0
    return folder


def test_what_draws_detail_is_left_byte_for_byte_and_the_core_learns(public, private):
    before, after = (load_file(folder / WEIGHTS) for folder in (public, private))

    assert before.keys() == after.keys()
    kept = {name for name in before if name.startswith("refiners.")}
    assert kept and all(before[name].numpy().tobytes() == after[name].numpy().tobytes() for name in kept)
    moved = {name for name in before if not torch.equal(before[name].float(), after[name].float())}
    assert {after[name].dtype for name in moved} == {torch.float32}
    assert {name.split(".")[0] for name in moved} >= {"encoder", "generator", "linear_encoder", "latents_mean"}
    # It went on from the public weights: no PCA of the private images took their place.
    change = (after["linear_decoder.weight"] - before["linear_decoder.weight"]).norm()
    assert change < 0.05 * before["linear_decoder.weight"].norm()


def test_the_result_is_private_and_says_where_it_started(private):
    facts = json.loads((private / "provenance.json").read_text())["codec"]

    assert facts["config"]["private_images"] is True and facts["config"]["core_resolution"] == 32
    assert facts["training"]["start"] == {"images": "drawn spots", "steps": 3, "seed": 4}
    assert facts["training"]["content"] == "spots"  # what such images show has not changed
    assert "image_range" not in facts["training"]  # of private images nothing is stated
    card = (private / "README.md").read_text()
    assert "These images are not public." in card and "It started from a codec of drawn spots (3 steps, seed" in card


def test_on_public_images_it_stays_public(public, images, tmp_path):
    assert train(public, images, tmp_path / "codec", "--image_content", "chest radiographs") == 0
    facts = json.loads((tmp_path / "codec" / "provenance.json").read_text())["codec"]
    assert facts["training"]["content"] == "chest radiographs"
    assert json.loads((tmp_path / "codec" / "config.json").read_text())["private_images"] is False


def test_a_killed_training_goes_on_to_the_same_bytes_and_only_from_the_same_codec(
    public, private, images, tmp_path, monkeypatch, capsys
):
    class Killed(BaseException):
        pass

    step, count = AlphaGANTrainer.train_step, []

    def dying(self, batches):
        count.append(1)
        if len(count) == 3:
            raise Killed
        return step(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(AlphaGANTrainer, "train_step", dying)
        with pytest.raises(Killed):
            train(public, images, tmp_path / "codec", "--private_images")
    assert train(private, images, tmp_path / "other", "--private_images") == 2
    assert "expected a codec of public images as `pretrained_codec`" in capsys.readouterr().err
    other = AlphaGAN.from_pretrained(public)
    with torch.no_grad():
        other.linear_decoder.bias += 0.1
    other.save_with_card(tmp_path / "public", {"images": "other spots", "steps": 0, "seed": 0, "scores": {}})
    assert train(tmp_path / "public", images, tmp_path / "codec", "--private_images") == 2
    assert "that the checkpoints in" in capsys.readouterr().err
    assert train(public, images, tmp_path / "codec", "--private_images") == 0
    assert (tmp_path / "codec" / WEIGHTS).read_bytes() == (private / WEIGHTS).read_bytes()


def test_another_network_than_that_of_the_codec_is_refused(public, images, tmp_path, capsys):
    assert train(public, images, tmp_path / "codec", "--latent_dim", "8", "--resolution", "64") == 2
    assert (
        "expected the network of `pretrained_codec`, found other values of latent_dim: leave"
        in capsys.readouterr().err
    )
