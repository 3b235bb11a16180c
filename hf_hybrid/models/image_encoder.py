"""A self-supervised embedding of images, in which a copy stays near although its pixels have changed.

An encoder learns to recognise each image among others after it was cropped, moved, mirrored and made noisy, whatever
its brightness and contrast (SimCLR, Chen et al. 2020, arXiv 2002.05709): what is left of an image is who it shows. Dar
et al. 2024 (arXiv 2402.01054) look for copies by the correlation of such embeddings.
"""

from typing import Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hf_hybrid.core.randomness import generator, seed_for

_CHANNELS = (1, 16, 32, 64)
_DIM = 32
NUM_STEPS = 150  # of training
_BATCH, _EMBEDDED = 64, 1024
_TEMPERATURE = 0.1
_LEARNING_RATE = 2e-3


class ImageEncoder:
    """A small convolutional network trained to tell images apart whatever was done to them.

    Args:
        seed: of weights, batches and changes.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, pixels: np.ndarray) -> Self:
        """Learns from uint8 images `(n, side, side)`, without any label."""
        images = torch.from_numpy(np.array(pixels))[:, None]
        rng = generator(self.seed, "image encoder: steps")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(self.seed, "image encoder: weights"))
            self.network_, head = _network(), nn.Linear(_DIM, _DIM)
        optimizer = torch.optim.AdamW([*self.network_.parameters(), *head.parameters()], _LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=NUM_STEPS)
        size = min(_BATCH, len(images))
        for _ in range(NUM_STEPS):
            batch = _standardised(images[torch.randperm(len(images), generator=rng)[:size]])
            views = torch.cat([_changed(batch, rng), _changed(batch, rng)])
            found = functional.normalize(head(functional.relu(self.network_(views))), dim=1)
            similar = found @ found.T / _TEMPERATURE
            similar.fill_diagonal_(-torch.inf)
            loss = functional.cross_entropy(similar, torch.arange(2 * size).roll(size))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        self.network_.eval()
        return self

    @torch.inference_mode()
    def embed(self, pixels: np.ndarray) -> np.ndarray:
        """Embeddings whose products are correlations, float32 `(n, d)`; an image and its mirror image share one."""
        found = []
        for batch in torch.from_numpy(np.array(pixels))[:, None].split(_EMBEDDED):
            batch = _standardised(batch)
            found.append(self.network_(batch) + self.network_(batch.flip(3)))
        embedded = torch.cat(found)
        return functional.normalize(embedded - embedded.mean(dim=1, keepdim=True), dim=1).numpy()


def _network() -> nn.Module:
    layers = []
    for narrow, wide in zip(_CHANNELS, _CHANNELS[1:], strict=False):
        layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.GroupNorm(4, wide), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * _CHANNELS[-1], _DIM))


def _standardised(images: torch.Tensor) -> torch.Tensor:
    """Each image with mean 0 and variance 1: brightness and contrast have no say; a blank one is 0."""
    away = images.float() - images.float().mean(dim=(2, 3), keepdim=True)
    return away / away.square().mean(dim=(2, 3), keepdim=True).sqrt().clamp(min=1e-6)


def _changed(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Each image moved, scaled, perhaps mirrored, and noisy."""
    count = len(images)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=rng)

    scale = uniform(0.8, 1.1)
    sign = torch.where(torch.rand(count, generator=rng) < 0.5, -1.0, 1.0)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = sign * scale, scale
    theta[:, 0, 2], theta[:, 1, 2] = uniform(-0.15, 0.15), uniform(-0.15, 0.15)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    noise = uniform(0, 0.2)[:, None, None, None]
    return _standardised(moved) + noise * torch.randn(moved.shape, generator=rng)
