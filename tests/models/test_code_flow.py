"""The map that makes codes normal, its training, and codecs whose networks work on principal components."""

import numpy as np
import pytest
import torch

from hf_hybrid.core.errors import InputError
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.alphagan_trainer import AlphaGANTrainer
from hf_hybrid.models.code_flow import CodeFlow
from hf_hybrid.models.options import CodecArguments

ON_COMPONENTS = {"resolution": 32, "latent_dim": 4, "num_components": 12, "flow_layers": 4, "code_noise": 0.1}


def shaken(flow):
    """The flow with other weights than those at the start, where it is a rotation."""
    torch.manual_seed(1)
    for parameter in flow.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return flow


def test_a_flow_is_undone_by_its_inverse_and_knows_how_much_it_changes_volumes():
    flow, codes = shaken(CodeFlow(4, 3, 8)).double(), torch.randn(5, 4, dtype=torch.float64)
    flow.mean += 0.5
    flow.scale *= 2

    torch.testing.assert_close(flow.inverse(flow(codes)), codes, atol=1e-4, rtol=0)
    _, log_volume = flow._through(codes)
    for place in range(len(codes)):
        jacobian = torch.autograd.functional.jacobian(lambda one: flow(one[None])[0], codes[place])
        expected = torch.linalg.slogdet(jacobian)[1] + 4 * np.log(2)  # the scale is the same for all codes
        torch.testing.assert_close(log_volume[place], expected, atol=1e-5, rtol=0)


def bent(count, seed):
    """Images whose codes are far from normal: two numbers, the second a function of the first."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal(count)
    second = first**2 - 1 + 0.1 * rng.standard_normal(count)
    patterns = np.random.default_rng(0).standard_normal((2, 32, 32))
    images = 128 + 20 * (first[:, None, None] * patterns[0] + second[:, None, None] * patterns[1])
    return images.clip(0, 255).astype(np.uint8)


def test_codes_become_normal_and_their_images_stay(tmp_path):
    torch.manual_seed(0)
    codec = AlphaGAN(resolution=32, latent_dim=2, num_components=2, flow_layers=4)
    pixels = bent(600, seed=1)
    arguments = CodecArguments(max_train_steps=1, validation_steps=1, flow_train_steps=300)
    trainer = AlphaGANTrainer(codec, pixels, arguments, tmp_path)
    trainer.fit()
    codec, images = trainer.codec, torch.from_numpy(bent(400, seed=2))[:, None] / 127.5 - 1

    with torch.no_grad():
        codes, latents = codec.encode_raw(images), codec.encode(images).latents
        torch.testing.assert_close(codec.unstandardise(latents), codes, atol=1e-4, rtol=1e-3)

    def dependence(values):
        """Largest correlation between a number and the square of the other."""
        found = np.corrcoef(np.concatenate([values.T, values.T**2]))
        return max(abs(found[0, 3]), abs(found[1, 2]))

    assert dependence(codes.numpy()) > 0.5
    assert dependence(latents.numpy()) < dependence(codes.numpy()) / 2


def test_a_codec_on_components_starts_as_their_pca_and_is_saved_whole(tmp_path):
    torch.manual_seed(0)
    codec = AlphaGAN(**ON_COMPONENTS).eval()
    weights = torch.randn(40, 20) * 0.5 ** torch.arange(20)
    images = (weights @ torch.randn(20, 1024)).view(-1, 1, 32, 32) / 4
    codec.initialise_linear_path(images)
    codec.save_pretrained(tmp_path)
    again = AlphaGAN.from_pretrained(tmp_path).eval()

    centred = images.flatten(1) - images.flatten(1).mean(0)
    *_, directions = torch.linalg.svd(centred, full_matrices=False)
    best = images.flatten(1).mean(0) + centred @ directions[:4].T @ directions[:4]
    torch.testing.assert_close(codec.decode_raw(codec.encode_raw(images)).flatten(1), best, atol=2e-2, rtol=0)
    latents = torch.randn(3, 4)
    torch.testing.assert_close(again.decode(latents).sample, codec.decode(latents).sample, atol=1e-5, rtol=0)


def test_a_killed_training_with_a_flow_resumes_to_the_same_weights(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 32, 32), dtype=np.uint8)
    found = []
    for folder, steps in ((tmp_path / "once", [4]), (tmp_path / "twice", [4, 4])):
        for _ in steps:
            torch.manual_seed(0)
            arguments = CodecArguments(
                **{"max_train_steps": 4, "train_batch_size": 8, "validation_steps": 2, "flow_train_steps": 6},
                **{"code_noise_weight": 0.01, "sample_adversary": True, "warp": 0.5},
            )
            trainer = AlphaGANTrainer(AlphaGAN(**ON_COMPONENTS), pixels, arguments, folder)
            trainer.fit()
        found.append(trainer.codec.state_dict())

    for name, tensor in found[0].items():
        assert torch.equal(tensor, found[1][name]), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_components": 3}, "expected `num_components` of at least `latent_dim` 4, found 3"),
        ({"latent_dim": 5}, "expected an even `latent_dim` beside `flow_layers`, found 5"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        AlphaGAN(**{**ON_COMPONENTS, **changes})
