"""The codec: the contract of any codec, the alphaGAN's losses, exact resume, and gradients over processes."""

import contextlib
import json
import os
import threading
import time

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from hf_hybrid.core.errors import InputError
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.alphagan_trainer import AlphaGANTrainer
from hf_hybrid.models.codec_scores import held_out_score, is_no_worse
from hf_hybrid.models.options import CodecArguments, ImageFacts
from hf_hybrid.models.train_codec import train_codec
from hf_hybrid.training.weights import MovingAverage

TINY = {"resolution": 32, "latent_dim": 8, "base_channels": 4, "max_channels": 8}


def tiny_codec(**changes):
    torch.manual_seed(0)
    return AlphaGAN(**{**TINY, **changes})


def drawn(count, resolution=32, channels=1, seed=0):
    """Smooth random images, 8-bit."""
    rng = np.random.default_rng(seed)
    across = np.linspace(-1, 1, resolution)
    waves = [np.cos(across * rng.uniform(1, 4, (count, 1)) + rng.uniform(0, 6, (count, 1))) for _ in range(2)]
    images = 127.5 * (1 + waves[0][:, :, None] * waves[1][:, None, :])
    images = images.astype(np.uint8)
    return images if channels == 1 else np.stack([images, 255 - images, images // 2], axis=-1)


class Images:
    """Drawn images as records, each of another patient unless said."""

    def __init__(self, count, groups=None):
        self.groups = np.arange(count) if groups is None else groups

    def __len__(self):
        return len(self.groups)

    def iter_pixels(self, resolution, channels, fit):
        yield from np.array_split(drawn(len(self), resolution, channels), 3)


class CodecContract:
    """What every codec must do; a subclass gives `codec()`."""

    def images(self, codec, count=3):
        size = (count, codec.config.in_channels, codec.config.resolution, codec.config.resolution)
        return torch.rand(size, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def test_shapes_and_range(self):
        codec = self.codec().eval()
        images = self.images(codec)
        latents = codec.encode(images).latents
        sample = codec.decode(10 * latents).sample

        assert latents.shape == (3, codec.config.latent_dim)
        assert sample.shape == images.shape
        assert -1 <= sample.min() and sample.max() <= 1

    def test_a_record_does_not_depend_on_its_neighbours(self):
        codec = self.codec().eval()
        images = self.images(codec, 5)

        torch.testing.assert_close(codec(images).sample[:1], codec(images[:1]).sample)

    def test_saved_and_loaded_it_gives_the_same_images(self, tmp_path):
        codec = self.codec().eval()
        codec.latents_mean.normal_()
        codec.save_pretrained(tmp_path)
        loaded = type(codec).from_pretrained(tmp_path)
        images = self.images(codec)

        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "config.json",
            "diffusion_pytorch_model.safetensors",
        ]
        assert torch.equal(loaded.eval()(images).sample, codec(images).sample)

    def test_another_class_is_refused(self, tmp_path):
        codec = self.codec()
        codec.save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, "_class_name": "VQModel"}))

        with pytest.raises(InputError, match=f"expected a {type(codec).__name__} in .*, found VQModel"):
            type(codec).from_pretrained(tmp_path)

    def test_nothing_there_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="found none that loads"):
            type(self.codec()).from_pretrained(tmp_path)


class TestAlphaGAN(CodecContract):
    def codec(self):
        return tiny_codec()


class TestAlphaGANInColourWithoutLinearPath(CodecContract):
    def codec(self):
        return tiny_codec(in_channels=3, norm="none", linear_path=False, layers_per_block=2)


@pytest.mark.parametrize("resolution", [32, 64, 128, 256, 512])
def test_every_resolution(resolution):
    codec = AlphaGAN(**{**TINY, "resolution": resolution})

    assert codec(torch.zeros(1, 1, resolution, resolution)).sample.shape == (1, 1, resolution, resolution)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"resolution": 48}, "expected `resolution` among \\(32, 64, 128, 256, 512\\), found 48"),
        ({"in_channels": 2}, "expected `in_channels` 1 \\(grey\\) or 3 \\(RGB\\), found 2"),
        ({"norm": "batch"}, "expected `norm` group or none, found 'batch'"),
        ({"resize_mode": "squeeze"}, "expected `resize_mode` crop or pad, found 'squeeze'"),
        ({"latent_dim": 0}, "of at least 1"),
    ],
)
def test_a_configuration_that_does_not_work_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        AlphaGAN(**{**TINY, **change})


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="expected `pixel_values`"):
        tiny_codec().encode(torch.zeros(1, 1, 64, 64))


# --- training --------------------------------------------------------------------------------------------------------


def trainer(folder, steps=6, codec=None, pixels=None, **options):
    defaults = {"train_batch_size": 4, "validation_steps": 3, "checkpointing_steps": 2, "log_steps": 1}
    arguments = CodecArguments(**{**defaults, "max_train_steps": steps, **options})
    return AlphaGANTrainer(codec or tiny_codec(), drawn(40) if pixels is None else pixels, arguments, folder)


def weights(module):
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def test_every_weight_of_every_network_moves(tmp_path):
    training = trainer(tmp_path)
    parts = {"codec": training.codec, "discriminators": training.discriminators}
    before = {name: weights(part) for name, part in parts.items()}
    for step in range(1, 4):
        training.train_step(training.batches(step))

    for name, part in parts.items():
        moved = dict(part.named_parameters())
        still = [key for key in moved if torch.equal(before[name][key], moved[key])]
        assert still == [], name


def forward(training, batch):
    codes = training.codec.encode_raw(batch.pixel_values)
    return codes, training.codec.decode_raw(torch.cat([codes, batch.noise]))


def test_each_network_learns_by_its_own_loss_only(tmp_path):
    training = trainer(tmp_path)
    training.discriminators_optimizer.step = lambda: None
    training.codec_optimizer.step = lambda: None
    training.train_step(training.batches(1))
    (batch,) = training.batches(1)
    codes, fakes = (part.detach() for part in forward(training, batch))
    alone = torch.autograd.grad(
        sum(training.discriminators_loss(batch, codes, fakes).values()), list(training.discriminators.parameters())
    )

    for expected, parameter in zip(alone, training.discriminators.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-3, atol=1e-4)  # nothing of the codec's loss in it


def test_the_code_discriminator_learns_that_prior_codes_are_the_real_ones(tmp_path):
    """The first arXiv version of Rosca et al. swaps the two."""
    training = trainer(tmp_path, discriminator_learning_rate=1e-2)
    (batch,) = training.batches(1)
    with torch.no_grad():
        training.codec.encoder.layers[-1].bias += 3  # encoded codes far off the prior
    codes, fakes = (part.detach() for part in forward(training, batch))
    for _ in range(30):
        training.discriminators_optimizer.zero_grad()
        training.discriminators_loss(batch, codes, fakes)["code_discriminator"].backward()
        training.discriminators_optimizer.step()
    discriminator = training.discriminators["code"]

    assert discriminator(batch.noise).mean() > 1 > -1 > discriminator(codes).mean()


def test_the_linear_path_starts_as_a_pca(tmp_path):
    training = trainer(tmp_path)
    pca = training._score_pca()
    training._standardise_latents()
    codec = training._score_codec()

    assert codec["l1"] == pytest.approx(pca["l1"], rel=0.02)
    assert codec["ssim"] == pytest.approx(pca["ssim"], abs=0.02)


def test_latents_are_standardised_over_the_training_images(tmp_path):
    training = trainer(tmp_path)
    training.fit()
    images = training._images(training.train)
    latents = training.codec.encode(images).latents

    torch.testing.assert_close(latents.mean(0), torch.zeros(8), atol=1e-3, rtol=0)
    torch.testing.assert_close(latents.std(0, correction=0), torch.ones(8), atol=1e-3, rtol=0)


def test_a_killed_training_resumes_to_the_same_weights(tmp_path):
    class Killed(BaseException):
        pass

    whole = trainer(tmp_path / "whole")
    scores = whole.fit()
    killed = trainer(tmp_path / "killed")
    take = killed.train_step

    def step_then_die(batches):
        if killed.run.step == 4:
            raise Killed
        return take(batches)

    killed.train_step = step_then_die
    with pytest.raises(Killed):
        killed.fit()
    # What diffusers adds to a configuration differs from process to process, and a run resumes with its own only.
    assert json.loads((tmp_path / "killed" / "configuration.json").read_text())["codec"] == killed.codec.arguments
    resumed = trainer(tmp_path / "killed")

    assert resumed.fit() == scores
    assert resumed.run.step == 6
    for name, value in weights(whole.codec).items():
        assert torch.equal(value, weights(resumed.codec)[name]), name
    for name, value in weights(whole.discriminators).items():
        assert torch.equal(value, weights(resumed.discriminators)[name]), name


def with_input(training, change):
    """A training whose batches pass through `change(step, batches)` before they go to the device."""
    drawn = training.batches.drawn
    training.batches.drawn = lambda step: change(step, drawn(step))
    return training


def waiting_shares(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["waiting"] for line in lines if "waiting" in line]


def test_slow_input_is_seen_in_the_log_and_nowhere_else(tmp_path):
    def slow(step, batches):
        time.sleep(0.3)
        return batches

    options = {"warp": 1.0, "gradient_accumulation_steps": 2, "validation_steps": 100}
    quick, waited = trainer(tmp_path / "quick", **options), with_input(trainer(tmp_path / "slow", **options), slow)
    assert quick.fit() == waited.fit()

    shares = {name: waiting_shares(tmp_path / name) for name in ("quick", "slow")}
    assert [len(one) for one in shares.values()] == [6, 6]
    assert all(0 <= share <= 1 for one in shares.values() for share in one)
    assert np.median(shares["slow"]) > 0.5 > np.median(shares["quick"])
    for one, other in zip(quick.codec.state_dict().values(), waited.codec.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_weights_are_those_of_batches_made_in_place(tmp_path):
    ahead, in_place = trainer(tmp_path / "ahead", warp=1.0), trainer(tmp_path / "in_place", warp=1.0)
    in_place.batches.ahead = lambda: contextlib.nullcontext(in_place.batches)

    assert ahead.fit() == in_place.fit()
    for name, value in weights(ahead.discriminators).items():
        assert torch.equal(value, weights(in_place.discriminators)[name]), name


def test_an_error_of_the_input_reaches_the_caller_and_ends_the_thread(tmp_path):
    def broken(step, batches):
        if step == 3:
            raise OSError("the images of step 3 are gone")
        return batches

    before, training = set(threading.enumerate()), with_input(trainer(tmp_path), broken)
    with pytest.raises(OSError, match="the images of step 3 are gone"):
        training.fit()

    assert training.run.step == 2 and set(threading.enumerate()) == before


def test_accumulated_micro_batches_give_the_gradients_of_one_batch(tmp_path):
    whole, parts = (
        trainer(
            tmp_path / str(accumulation), train_batch_size=8 // accumulation, gradient_accumulation_steps=accumulation
        )
        for accumulation in (1, 2)
    )
    for training in (whole, parts):
        training.codec_optimizer.step = training.discriminators_optimizer.step = lambda: None
        training.train_step(training.batches(3))

    for one, other in zip(whole.codec.parameters(), parts.codec.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-3)


def _gradients_of_one_step(path):
    """Runs in each process: a batch of 8 in all, gradients written by the main one."""
    AcceleratorState._reset_state(reset_partial_state=True)  # a forked process inherits that of its parent
    torch.set_num_threads(1)
    processes = int(os.environ.get("WORLD_SIZE", 1))
    training = trainer(f"{path}/{processes}", train_batch_size=8 // processes)
    assert training.accelerator.num_processes == processes
    training.codec_optimizer.step = training.discriminators_optimizer.step = lambda: None
    training.train_step(training.batches(1))
    if training.accelerator.is_main_process:
        modules = {"codec": training.codec, "discriminators": training.discriminators}
        found = {
            f"{part} {name}": parameter.grad.numpy()
            for part, module in modules.items()
            for name, parameter in module.named_parameters()
        }
        np.savez(f"{path}/{processes}.npz", **found)


def test_two_processes_give_the_gradients_of_one_with_twice_the_batch(tmp_path):
    from accelerate import debug_launcher

    debug_launcher(_gradients_of_one_step, args=(str(tmp_path),), num_processes=2)
    _gradients_of_one_step(tmp_path)
    one, two = (np.load(tmp_path / f"{processes}.npz") for processes in (1, 2))

    assert set(one) == set(two)
    for name in one:
        np.testing.assert_allclose(one[name], two[name], atol=1e-5, rtol=1e-3, err_msg=name)


def test_mixed_precision_trains(tmp_path):
    training = trainer(tmp_path, mixed_precision="bf16", steps=2)

    assert np.isfinite(list(training.fit()["codec"].values())).all()


@pytest.mark.parametrize(
    ("found", "best"),
    [
        ([{"l1": 0.2, "score": 0.7}, {"l1": 0.1, "score": 0.5}, {"l1": 0.1, "score": 0.6}], 1),
        # A better score does not count where reconstructions are worse than those of the PCA at the start.
        ([{"l1": 0.2, "score": 0.7}, {"l1": 0.3, "score": 0.5}, {"l1": 0.3, "score": 0.4}], 0),
    ],
)
def test_the_best_weights_are_kept_and_never_worse_ones_than_the_pca(tmp_path, monkeypatch, found, best):
    training = trainer(tmp_path)
    scores, averages, applied = iter(found), [], MovingAverage.applied
    monkeypatch.setattr(
        AlphaGANTrainer, "_score_codec", lambda self: {"psnr": 20.0, "ssim": 0.5} | next(scores, found[best])
    )

    @contextlib.contextmanager
    def seen(self):
        with applied(self) as module:
            yield module
            averages.append(weights(module))

    monkeypatch.setattr(MovingAverage, "applied", seen)
    training.fit()

    assert len(averages) == 3
    for name, value in weights(training.codec).items():
        assert torch.equal(value, averages[best][name]), name


def test_images_that_are_not_square_are_padded_when_the_codec_says_so(tmp_path):
    seen = []

    class Seen(Images):
        def iter_pixels(self, resolution, channels, fit):
            seen.append(fit)
            return super().iter_pixels(resolution, channels, fit)

    arguments = CodecArguments(max_train_steps=1, train_batch_size=4, validation_steps=1)
    train_codec(lambda: Seen(40), {**TINY, "resize_mode": "pad"}, arguments, tmp_path / "codec")

    assert seen == ["pad"] and AlphaGAN.from_pretrained(tmp_path / "codec").config.resize_mode == "pad"


def test_other_images_are_not_mixed_up_with_those_of_a_broken_run(tmp_path):
    arguments = CodecArguments(max_train_steps=1, train_batch_size=4, validation_steps=1)
    train_codec(lambda: Images(40), TINY, arguments, tmp_path / "a", None, tmp_path / "logs", "a")
    with pytest.raises(InputError, match="expected the images, num_images that the checkpoints in"):
        train_codec(lambda: Images(30), TINY, arguments, tmp_path / "b", None, tmp_path / "logs", "b")


def test_a_codec_at_hand_is_pushed_private_with_a_card(hub, repo_id):
    tiny_codec().push_to_hub(repo_id)

    assert hub.repo(repo_id).private
    assert b"images that are not stated" in hub.repo(repo_id).read("README.md")
    assert AlphaGAN.from_pretrained(repo_id).config.latent_dim == 8


def test_a_score_of_perfect_reconstructions():
    images = torch.rand(4, 1, 32, 32) * 2 - 1
    normal = torch.randn(4, 2000, generator=torch.Generator().manual_seed(0))
    score = held_out_score(lambda batch: (normal.T, batch), images)

    assert score["l1"] == 0 and score["ssim"] == pytest.approx(1)
    assert score["latent_normality"] < 0.05
    assert score["psnr"] > 60
    assert score["score"] == pytest.approx(score["latent_normality"])


def test_artefacts_improve_no_score():
    images = torch.nn.functional.avg_pool2d(torch.rand(4, 1, 40, 40) * 2 - 1, 9, stride=1)
    grid = 0.1 * (-1.0) ** (torch.arange(32)[:, None] + torch.arange(32))
    normal = torch.randn(4, 100)
    blurred, artefacts = (held_out_score(lambda _, one=one: (normal, one), images) for one in (images, images + grid))

    assert artefacts["score"] > blurred["score"] and not is_no_worse(artefacts, blurred)
    assert is_no_worse(blurred, artefacts) and is_no_worse(blurred, blurred)


def test_training_writes_a_codec_folder_without_its_discriminators(tmp_path):
    arguments = CodecArguments(max_train_steps=2, train_batch_size=4, validation_steps=2)
    config, said = {**TINY, "in_channels": 3}, ImageFacts(image_source="40 drawn waves", image_content="waves")
    scores = train_codec(lambda: Images(40), config, arguments, tmp_path / "codec", said)
    folder = tmp_path / "codec"
    facts = json.loads((folder / "provenance.json").read_text())

    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "assets",
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "logs",
        "provenance.json",
    ]
    assert facts["codec"]["training"]["images"] == "40 drawn waves"
    assert facts["codec"]["training"]["content"] == "waves"
    assert facts["codec"]["training"]["scores"]["pca"]["l1"] == round(scores["pca"]["l1"], 4)
    assert "40 drawn waves" in (folder / "README.md").read_text()
    assert not [
        name for name in AlphaGAN.from_pretrained(folder).state_dict() if "critic" in name or "discrim" in name
    ]
    with pytest.raises(InputError, match="expected a new `output_dir`, found a codec in"):
        train_codec(Images, config, arguments, folder)


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected more images than `latent_dim` 8, found 8"):
        train_codec(lambda: Images(8), TINY, CodecArguments(max_train_steps=1), tmp_path / "codec")


def test_no_patient_is_learned_from_and_scored(tmp_path):
    groups = np.repeat(np.arange(12), 5)
    pixels = drawn(60, 32)
    training = AlphaGANTrainer(AlphaGAN(**TINY), pixels, CodecArguments(validation_share=0.25), tmp_path, groups)

    assert sorted([*training.train, *training.held_out]) == list(range(60))
    assert len(training.held_out) == 15
    assert not set(groups[training.train]) & set(groups[training.held_out])


def test_images_of_one_patient_are_divided_all_the_same(tmp_path):
    training = AlphaGANTrainer(AlphaGAN(**TINY), drawn(20, 32), CodecArguments(), tmp_path, np.zeros(20, dtype=int))

    assert len(training.held_out) == 2 and len(training.train) == 18


def test_the_pca_sees_images_from_everywhere_and_more_of_them_than_dimensions(tmp_path, monkeypatch):
    """It took the first 4,096, and at 512 px in colour 340 whatever `latent_dim` was."""
    monkeypatch.setattr("hf_hybrid.models.alphagan_trainer._PCA_VALUES", 32 * 32 * 4)  # as if four images filled it
    pixels = np.zeros((60, 32, 32), dtype=np.uint8) + np.arange(60, dtype=np.uint8)[:, None, None]
    pixels += drawn(60, 32) // 8
    training = AlphaGANTrainer(AlphaGAN(**TINY), pixels, CodecArguments(), tmp_path)
    images = training._pca_images()

    assert len(images) == 2 * TINY["latent_dim"]
    assert images.mean((1, 2, 3)).max() > images.mean((1, 2, 3)).min() + 30 / 127.5
