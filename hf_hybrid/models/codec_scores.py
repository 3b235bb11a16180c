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
        `l1` (0 to 2, lower is better), `ssim` (-1 to 1, higher), `latent_normality` (mean Kolmogorov-Smirnov distance
        of a dimension to N(0, 1), 0 to 1, lower), `sharpness` (mean gradient of the reconstructions relative to that
        of the images, 1 is right), and `score` = l1 + (1 - ssim) + latent_normality + |1 - sharpness| / 2 (lower),
        which chooses the weights. Without sharpness the blurred mean of what an image may be would always win (Blau
        and Michaeli 2018).
    """
    latents, reconstructions = encode_and_decode(images)
    similar = [
        structural_similarity(image.numpy(), other.numpy(), data_range=2, channel_axis=0)
        for image, other in zip(images, reconstructions, strict=True)
    ]
    found = {
        "l1": float((images - reconstructions).abs().mean()),
        "ssim": float(np.mean(similar)),
        "latent_normality": float(np.mean([kstest(column, "norm").statistic for column in latents.numpy().T])),
        "sharpness": _mean_gradient(reconstructions) / _mean_gradient(images),
    }
    distance = found["l1"] + 1 - found["ssim"] + found["latent_normality"] + abs(1 - found["sharpness"]) / 2
    return found | {"score": distance}


def _mean_gradient(images: torch.Tensor) -> float:
    """Mean absolute difference between neighbouring pixels."""
    return float(images.diff(dim=2).abs().mean() + images.diff(dim=3).abs().mean())
