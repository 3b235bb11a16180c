"""Codecs whose networks work on principal components, with noise on their codes."""

import numpy as np
import pytest
import torch

from hf_hybrid.core.errors import InputError
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.alphagan_trainer import AlphaGANTrainer
from hf_hybrid.models.options import CodecArguments

ON_COMPONENTS = {"resolution": 32, "latent_dim": 4, "num_components": 12, "code_noise": 0.1}


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


def test_a_killed_training_resumes_to_the_same_weights(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 32, 32), dtype=np.uint8)
    found = []
    for folder, steps in ((tmp_path / "once", [4]), (tmp_path / "twice", [4, 4])):
        for _ in steps:
            torch.manual_seed(0)
            arguments = CodecArguments(
                **{"max_train_steps": 4, "train_batch_size": 8, "validation_steps": 2},
                **{"code_noise_weight": 0.01, "sample_adversary": True, "warp": 0.5},
            )
            trainer = AlphaGANTrainer(AlphaGAN(**ON_COMPONENTS), pixels, arguments, folder)
            trainer.fit()
        found.append(trainer.codec.state_dict())

    for name, tensor in found[0].items():
        assert torch.equal(tensor, found[1][name]), name


def test_fewer_components_than_numbers_are_refused():
    with pytest.raises(InputError, match="expected `num_components` of at least `latent_dim` 4, found 3"):
        AlphaGAN(**{**ON_COMPONENTS, "num_components": 3})
