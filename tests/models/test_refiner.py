"""Drawn detail: what a refiner does with its steps, what its two losses ask for, and a codec that has refiners."""

import json
import math
import time

import numpy as np
import pytest
import torch

from hf_hybrid.core.errors import InputError
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.augmentation import augmented
from hf_hybrid.models.refiner import Refiner
from hf_hybrid.models.refiner_losses import distillation_loss, flow_loss, teacher_of, teacher_state
from hf_hybrid.models.refiner_trainer import RefinerArguments, RefinerImages, RefinerTrainer

WIDTHS, TIMES = [8, 16], [1.0, 0.5]
CODEC = {"resolution": 64, "core_resolution": 32, "latent_dim": 4, "base_channels": 4, "max_channels": 8}


def refiner():
    torch.manual_seed(0)
    return Refiner(1, list(WIDTHS), list(TIMES)).eval()


def codec(**changes):
    torch.manual_seed(0)
    return AlphaGAN(**{**CODEC, "detail_widths": [WIDTHS], "detail_times": [TIMES], **changes}).eval()


def images(count, side=32, seed=1):
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class Straight(Refiner):
    """A flow whose velocity is known: it leads from every noise to the detail `goal`."""

    goal = 0.25

    def velocity(self, state, times, coarse):
        return (state - self.goal) / times[:, None, None, None]


def straight():
    return Straight(1, list(WIDTHS), list(TIMES))


def test_a_draw_follows_the_flow_in_any_number_of_steps():
    flow, coarse, noise = straight(), images(2), torch.randn(2, 1, 32, 32)
    flow.scale.fill_(0.5)

    for times in (None, [1.0], [1.0, 0.8, 0.3]):
        torch.testing.assert_close(flow.draw(coarse, noise, times), coarse + 0.5 * flow.goal)


def test_detail_is_what_drawing_adds_back():
    flow, fine, coarse = straight(), images(2), images(2, seed=2)
    flow.scale.fill_(0.5)

    torch.testing.assert_close(coarse + flow.scale * flow.detail(fine, coarse), fine)


def test_the_flow_loss_is_that_of_the_velocity_at_logit_normal_times():
    class Zero(Straight):
        def velocity(self, state, times, coarse):
            assert ((times > 0) & (times < 1)).all()
            return torch.zeros_like(state)

    detail, noise = images(8), torch.randn(8, 1, 32, 32)
    loss = flow_loss(Zero(1, list(WIDTHS), list(TIMES)), detail, images(8), noise, torch.randn(8))

    torch.testing.assert_close(loss, (noise - detail).square().mean())


def test_a_student_that_goes_where_the_teacher_goes_has_nothing_to_learn():
    teacher, state, coarse = teacher_of(straight()), torch.randn(4, 1, 32, 32), images(4)
    start, end = torch.tensor([1.0, 1.0, 0.5, 0.5]), torch.tensor([0.5, 0.5, 0.1, 0.1])
    goal = teacher_state(teacher, state, start, end, coarse)
    exact = teacher.goal + (state - teacher.goal) * (end / start)[:, None, None, None]

    torch.testing.assert_close(goal, exact, atol=1e-5, rtol=0)  # the flow is linear: second order is exact
    assert distillation_loss(straight(), state, goal, start, end, coarse) < 1e-8
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_augmentation_keeps_the_range_and_is_nothing_at_strength_0():
    pictures = images(4)

    changed = augmented(pictures, torch.Generator().manual_seed(0))
    assert changed.shape == pictures.shape and -1 <= changed.min() and changed.max() <= 1
    assert (changed - pictures).abs().mean() > 0.05
    torch.testing.assert_close(augmented(pictures, torch.Generator().manual_seed(0), 0.0), pictures, atol=1e-4, rtol=0)


def test_augmentation_is_an_affine_map_then_a_gamma():
    pictures, rng = torch.nn.functional.avg_pool2d(images(3, 36), 5, 1), torch.Generator().manual_seed(0)
    turn, zoom, across, down, gamma = (2 * torch.rand(3, generator=rng) - 1 for _ in range(5))
    turn, zoom = turn * math.radians(6), torch.exp(0.1 * zoom)
    cosine, sine = torch.cos(turn) / zoom, torch.sin(turn) / zoom
    theta = torch.stack([cosine, -sine, 0.1 * across, sine, cosine, 0.1 * down], dim=1).view(-1, 2, 3)
    grid = torch.nn.functional.affine_grid(theta, list(pictures.shape), align_corners=False)
    moved = torch.nn.functional.grid_sample(pictures, grid, "bicubic", "border", align_corners=False)
    expected = ((moved.clamp(-1, 1) + 1) / 2).clamp(min=1e-6) ** torch.exp(0.25 * gamma)[:, None, None, None]

    found = augmented(pictures, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, 2 * expected - 1, atol=1e-4, rtol=0)


def test_an_image_depends_on_its_latents_and_its_seed_alone():
    drawing, latents = codec(), torch.randn(3, 4)
    alone = drawing.decode(latents[1:2], seeds=[7]).sample

    torch.testing.assert_close(drawing.decode(latents, seeds=[3, 7, 9]).sample[1:2], alone, atol=1e-5, rtol=0)
    assert not torch.allclose(drawing.decode(latents[1:2], seeds=[8]).sample, alone, atol=1e-3)
    assert torch.equal(drawing.decode(latents, seeds=[0, 1, 2]).sample, drawing.decode(latents).sample)


def test_noise_on_codes_is_drawn_like_all_other_detail():
    drawing, latents = codec(code_noise=0.5), torch.randn(2, 4)
    other = codec(code_noise=1e-6)
    other.load_state_dict({**drawing.state_dict(), "log_code_noise": other.log_code_noise.data})

    mean = drawing.decode(latents, detail=False).sample
    assert torch.equal(mean, other.decode(latents, detail=False).sample)
    drawn = drawing.decode(latents, seeds=[7, 7]).sample
    alone = drawing.decode(latents[1:], seeds=[7]).sample
    torch.testing.assert_close(drawn[1:], alone, atol=1e-5, rtol=0)
    assert not torch.allclose(drawn, drawing.decode(latents, seeds=[8, 8]).sample, atol=1e-3)


def test_the_mean_image_is_the_core_s_and_takes_no_seed():
    drawing, latents = codec(), torch.randn(2, 4)
    mean = drawing.decode(latents, seeds=[5, 6], detail=False).sample
    core = drawing.decode_raw(drawing.unstandardise(latents)).clamp(-1, 1)

    assert mean.shape == (2, 1, 64, 64) and core.shape == (2, 1, 32, 32)
    torch.testing.assert_close(torch.nn.functional.interpolate(core, size=64, mode="bilinear"), mean)


def test_refiners_are_saved_in_the_codec_s_one_file(tmp_path):
    drawing = codec()
    drawing.save_pretrained(tmp_path)
    again = AlphaGAN.from_pretrained(tmp_path).eval()

    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    latents = torch.randn(2, 4)
    assert torch.equal(again.decode(latents).sample, drawing.decode(latents).sample)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"core_resolution": 128}, "expected `core_resolution` among .* up to 64, found 128"),
        ({"detail_times": []}, "for each doubling from 32 to 64 pixels, found 1 and 0"),
        ({"resolution": 128}, "for each doubling from 32 to 128 pixels, found 1 and 1"),
        ({"detail_times": [[0.5, 0.2]]}, r"expected `detail_times` from 1 downwards, above 0, found \[0.5, 0.2\]"),
        ({"detail_times": [[1.0, 1.0]]}, "from 1 downwards"),
    ],
)
def test_detail_that_does_not_fit_is_refused_in_one_line(changes, message):
    with pytest.raises(InputError, match=message):
        codec(**changes)


def coarse_of(fine, rng):
    small = torch.nn.functional.interpolate(fine, size=8, mode="area")
    return torch.nn.functional.interpolate(small, size=32, mode="bilinear")


def trained(network, folder, stage, steps, teacher=None, coarse_of=coarse_of):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32), dtype=np.uint8)
    arguments = RefinerArguments(stage=stage, max_train_steps=steps, train_batch_size=4, checkpointing_steps=2)
    known = RefinerImages(pixels, np.full(12, 1 / 12), pixels[:3])
    return RefinerTrainer(network, coarse_of, known, arguments, folder, teacher).fit()


def test_each_stage_starts_from_the_one_before_and_resumes_exactly(tmp_path):
    network = trained(refiner(), tmp_path / "flow", "flow", 4)
    assert 0.3 < float(network.scale) < 1  # sd of noise without its means over 4 x 4 pixels
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network = trained(network, tmp_path / "distillation", "distillation", 2)
    assert any(not torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert (tmp_path / "distillation" / "grids" / "step-000002.png").exists()
    again = trained(refiner(), tmp_path / "flow", "flow", 4)  # nothing left to do: the weights of the checkpoint
    once = trained(refiner(), tmp_path / "once", "flow", 4)

    for name, tensor in once.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    lines = [json.loads(line) for line in (tmp_path / "flow" / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(list(line.values())).all() for line in lines)


def test_a_student_may_start_from_its_own_weights_and_takes_the_unit_of_its_teacher(tmp_path):
    teacher, student = refiner(), refiner()
    teacher.scale.fill_(0.5)
    for parameter in teacher.parameters():
        parameter.data += 0.05
    kept = teacher.network.conv_in.weight.clone()
    before = student.network.conv_in.weight.clone()
    found = trained(student, tmp_path, "distillation", 1, teacher)

    assert float(found.scale) == 0.5 and torch.equal(teacher.network.conv_in.weight, kept)
    assert (found.network.conv_in.weight - before).abs().max() < (found.network.conv_in.weight - kept).abs().max()


def test_the_time_for_coarse_images_is_logged_as_waiting(tmp_path):
    def slow(fine, rng):
        time.sleep(0.3)
        return coarse_of(fine, rng)

    def shares(name):
        lines = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        return [line["waiting"] for line in lines if "flow" in line]

    for name, one in (("quick", coarse_of), ("slow", slow)):
        trained(refiner(), tmp_path / name, "flow", 4, coarse_of=one)

    assert len(shares("quick")) == len(shares("slow")) == 2  # each checkpoint is logged
    assert all(0 <= share <= 1 for share in shares("quick"))
    assert min(shares("slow")) > 0.5 > min(shares("quick"))


def test_an_unknown_stage_is_refused():
    with pytest.raises(InputError, match="expected `stage` among .*, found 'sharpen'"):
        RefinerArguments(stage="sharpen")


def test_a_chain_of_refiners_leads_to_512_pixels(tmp_path):
    """Encoder and generator at 64 pixels, then three refiners; the same bytes whatever the batch, and after saving."""
    stages = {"detail_widths": [WIDTHS] * 3, "detail_times": [TIMES, [1.0], [1.0]]}
    whole = codec(**{**CODEC, "resolution": 512, "core_resolution": 64, "num_components": 8, **stages})
    whole.initialise_linear_path(images(12, 64))
    latents = whole.encode(images(3, 512)).latents
    drawn = whole.decode(latents, seeds=[5, 6, 7]).sample

    assert latents.shape == (3, 4) and drawn.shape == (3, 1, 512, 512)
    assert not torch.equal(drawn[:1], whole.decode(latents[:1], seeds=[8]).sample)
    torch.testing.assert_close(drawn[1:2], whole.decode(latents[1:2], seeds=[6]).sample, atol=1e-4, rtol=0)
    assert whole.decode(latents, detail=False).sample.shape == drawn.shape
    whole.save_pretrained(tmp_path)
    again = AlphaGAN.from_pretrained(tmp_path).eval()
    assert torch.equal(again.decode(latents, seeds=[5, 6, 7]).sample, drawn)
