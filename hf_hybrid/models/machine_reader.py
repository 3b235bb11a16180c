"""A machine reader tells synthetic images from real ones at full resolution; nothing is ever chosen or trained by it.

Two parts read each image and their logits are added: a small residual network that sees the image beside its high
frequencies, and a logistic regression on statistics of fine texture (`image_texture`). The readers are trained anew
for every pair of samples and cross-fitted: an image is read by those that saw no image of its patient. A reader
that is too weak makes images look good; what this one tells is measured by `scripts/check_reader.py`.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hf_hybrid.core.randomness import generator, numpy_generator, seed_for
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights
from hf_hybrid.metrics.predictions import auc
from hf_hybrid.models.image_texture import texture_statistics
from hf_hybrid.models.layers import HalvingBlock

NUM_STEPS = 250  # of a network
NUM_READ = 400  # images of each side that are read for a report, at most
FOLDS = 2
_WIDTHS = (16, 24, 48, 96)
_BATCH, _READ = 32, 64
_LEARNING_RATE, _SMOOTHING, _GAMMA = 3e-3, 0.05, 0.2
_HIGH_FREQUENCIES = 8.0  # how much they are enlarged
_LARGEST_CROP = 128
_PENALTY = 0.03  # inverse strength of the penalty of the logistic regression
_FAR = 5.0  # standard deviations beyond which a statistic is not followed


@dataclass(frozen=True)
class Reading:
    """Logits of images to be synthetic, those of the synthetic images first.

    Intervals of the AUC are over patients, the readers as they are: readers trained on other patients would tell a
    little more or less.

    Attributes:
        labels: 1 of synthetic and 0 of real images, `(n,)`.
        patients: of each image, `(n,)`.
        network: logits of the network, `(n,)`.
        texture: logits of the regression on texture statistics, `(n,)`.
    """

    labels: np.ndarray
    patients: np.ndarray
    network: np.ndarray
    texture: np.ndarray

    def auc(self, num_bootstraps: int, part: str | None = None) -> Estimate:
        """AUC with its replicates over patients: of both parts together, or of `network` or `texture` alone."""
        logits = getattr(self, part) if part else self.network + self.texture
        return Estimate.of(auc, self.labels, logits, bootstrap_weights(self.patients, num_bootstraps, 0))


def read_images(
    synthetic: np.ndarray,
    real: np.ndarray,
    patients: tuple[np.ndarray, np.ndarray],
    num_steps: int = NUM_STEPS,
    seed: int = 0,
) -> Reading:
    """Reads every image by readers that saw no image of its patient.

    Args:
        synthetic: 8-bit grey images `(m, side, side)`, side of at least 16.
        real: likewise `(n, side, side)`.
        patients: of the synthetic and of the real images, integers; a patient of both sides has the same number.
        num_steps: steps of each network; 0: texture statistics alone.
        seed: of folds, weights and batches.
    """
    pixels, groups = np.concatenate([synthetic, real]), np.concatenate(patients)
    labels = np.repeat([1, 0], [len(synthetic), len(real)])
    statistics = texture_statistics(pixels)
    network, texture = np.zeros(len(pixels)), np.zeros(len(pixels))
    for fold, read in enumerate(_folds(patients, seed)):
        learned = ~read
        texture[read] = _read_texture(statistics[learned], labels[learned], statistics[read])
        if num_steps:
            trained = _train(pixels[learned], labels[learned], num_steps, (seed, fold))
            network[read] = _read(trained, pixels[read])
    return Reading(labels, groups, network, texture)


def reader_meaning(meaning: str, num_steps: int) -> str:
    """What a score of a machine reader means, and how large the reader was."""
    network = f"a network ({num_steps} steps) and " if num_steps else ""
    return f"{meaning}: {network}texture statistics, at most {NUM_READ} images of each side"


def _folds(patients: tuple[np.ndarray, np.ndarray], seed: int) -> list[np.ndarray]:
    """Masks of the images to read: patients are dealt to folds, those of one side alone after the others."""
    rng, groups = numpy_generator(seed, "machine reader: folds"), np.concatenate(patients)
    one, other = (np.unique(side) for side in patients)
    both = np.intersect1d(one, other)
    dealt = [rng.permutation(part) for part in (both, np.setdiff1d(one, both), np.setdiff1d(other, both))]
    return [np.isin(groups, np.concatenate([part[fold::FOLDS] for part in dealt])) for fold in range(FOLDS)]


def _read_texture(statistics: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Logits of `others` by a logistic regression on standardised statistics."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(statistics)
    learned, read = (scaler.transform(side).clip(-_FAR, _FAR) for side in (statistics, others))
    model = LogisticRegression(C=_PENALTY, class_weight="balanced", max_iter=2000)
    return model.fit(learned, labels).decision_function(read)


class _Network(nn.Module):
    """Images `(batch, 1, side, side)` in [-1, 1] -> logits `(batch,)`; four halvings, then means and maxima."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Conv2d(2, _WIDTHS[0], 4, stride=2, padding=1)
        self.blocks = nn.Sequential(*(HalvingBlock(a, b) for a, b in zip(_WIDTHS, _WIDTHS[1:], strict=False)))
        self.head = nn.Linear(2 * _WIDTHS[-1], 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        smooth = functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
        seen = torch.cat([images, _HIGH_FREQUENCIES * (images - smooth)], dim=1)
        maps = self.blocks(functional.silu(self.start(seen)))
        return self.head(torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1))[:, 0]


def _train(pixels: np.ndarray, labels: np.ndarray, num_steps: int, keys: tuple[int, int]) -> _Network:
    """Trains a network; a batch holds as many synthetic as real images, in random crops."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(keys[0], "machine reader: weights", keys[1]))
        network = _Network().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, num_steps, pct_start=0.2)
    rng, sides = (
        generator(keys[0], "machine reader: images", keys[1]),
        [np.flatnonzero(labels == one) for one in (0, 1)],
    )
    goals = torch.tensor([_SMOOTHING, 1 - _SMOOTHING]).repeat_interleave(_BATCH // 2)
    for _ in range(num_steps):
        rows = [side[torch.randint(len(side), (_BATCH // 2,), generator=rng)] for side in sides]
        found = network(_changed(pixels[np.concatenate(rows)], rng))
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(found, goals).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def _changed(pixels: np.ndarray, rng: torch.Generator) -> torch.Tensor:
    """A crop of each image in [-1, 1], half of them mirrored, with another gamma (.8 to 1.2)."""
    count, side = len(pixels), pixels.shape[-1]
    crop = _crop(side)
    down, across = torch.randint(side - crop + 1, (2, count), generator=rng).tolist()
    crops = [one[i : i + crop, j : j + crop] for one, i, j in zip(pixels, down, across, strict=True)]
    images = torch.from_numpy(np.stack(crops))[:, None].float() / 255
    mirrored = torch.rand(count, 1, 1, 1, generator=rng) < 0.5
    exponent = torch.exp(_GAMMA * (2 * torch.rand(count, 1, 1, 1, generator=rng) - 1))
    return 2 * torch.where(mirrored, images.flip(3), images).clamp(min=1e-6) ** exponent - 1


@torch.inference_mode()
def _read(network: _Network, pixels: np.ndarray) -> np.ndarray:
    """Mean logits `(n,)` over crops that cover each image, every second one mirrored."""
    side, crop = pixels.shape[-1], _crop(pixels.shape[-1])
    starts = np.linspace(0, side - crop, math.ceil(side / crop)).astype(int)
    found = []
    for first in range(0, len(pixels), _READ):
        images = torch.from_numpy(pixels[first : first + _READ])[:, None].float() / 127.5 - 1
        crops = [images[..., i : i + crop, j : j + crop] for i in starts for j in starts]
        crops[1::2] = [one.flip(3) for one in crops[1::2]]
        found.append(torch.stack([network(one) for one in crops]).mean(dim=0))
    return torch.cat(found).double().numpy()


def _crop(side: int) -> int:
    """Side of the crops that a network sees: most of an image, or 128 pixels of a large one."""
    return min(3 * side // 4, _LARGEST_CROP)
