"""Scores of a codec, by which its weights are chosen."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import kstest
from skimage.metrics import structural_similarity


def held_out_score(
    encode_and_decode: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]], images: torch.Tensor
) -> dict[str, float]:
    """How well a codec keeps images that it was not trained on, and how normal their latents are.

    Args:
        encode_and_decode: images in [-1, 1] -> latents `(n, latent_dim)` and reconstructions.
        images: `(n, channels, height, width)` in [-1, 1].

    Returns:
        `l1` (0 to 2, lower is better), `psnr` (dB, at most 96, higher), `ssim` (-1 to 1, higher), `latent_normality`
        (mean Kolmogorov-Smirnov distance of a number to N(0, 1), 0 to 1, lower), and `score` = l1 + (1 - ssim) +
        latent_normality (lower), which chooses the weights. How sharp an image is does not count: artefacts are sharp.
    """
    latents, reconstructions = encode_and_decode(images)
    similar = [
        structural_similarity(image.numpy(), other.numpy(), data_range=2, channel_axis=0)
        for image, other in zip(images, reconstructions, strict=True)
    ]
    found = {
        "l1": float((images - reconstructions).abs().mean()),
        "psnr": float(10 * torch.log10(4 / (images - reconstructions).square().mean().clamp(min=1e-9))),
        "ssim": float(np.mean(similar)),
        "latent_normality": float(np.mean([kstest(column, "norm").statistic for column in latents.numpy().T])),
    }
    return found | {"score": found["l1"] + 1 - found["ssim"] + found["latent_normality"]}


def is_no_worse(scores: dict[str, float], reference: dict[str, float]) -> bool:
    """Whether reconstructions are as near to the images as those of a reference, by every score of that."""
    return scores["l1"] <= reference["l1"] and all(scores[name] >= reference[name] for name in ("psnr", "ssim"))
