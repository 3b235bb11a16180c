"""What each step of a codec's training sees: images, changed at random, and noise."""

from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator

from hf_hybrid.core.randomness import generator
from hf_hybrid.data.pixels import to_tensor
from hf_hybrid.models.augmentation import augmented, on_device
from hf_hybrid.models.options import CodecArguments

_SCORED_IMAGES = 128


@dataclass
class Batch:
    """One micro-batch: images `(batch, channels, height, width)` in [-1, 1] and prior codes `(batch, latent_dim)`.

    `code_noise` `(batch, latent_dim)` is normal noise for the images' codes.
    """

    pixel_values: torch.Tensor
    noise: torch.Tensor
    code_noise: torch.Tensor


def divided(groups: np.ndarray, arguments: CodecArguments) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the images to learn from and of those to score, no patient among both.

    Args:
        groups: the patient of each image, `(n,)`.
        arguments: with `validation_share`; at most 128 images or so are scored.
    """
    patients = np.unique(groups)
    if len(patients) < 2:
        groups = patients = np.arange(len(groups))
    share = min(_SCORED_IMAGES / len(groups), arguments.validation_share)
    count = min(max(1, round(share * len(patients))), len(patients) - 1)
    order = torch.randperm(len(patients), generator=generator(arguments.seed, "codec: held-out images"))
    is_held_out = np.isin(groups, patients[order[:count].numpy()])
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def micro_batches(
    pixels: np.ndarray,
    train: np.ndarray,
    arguments: CodecArguments,
    accelerator: Accelerator,
    latent_dim: int,
    step: int,
) -> list[Batch]:
    """A process's micro-batches of a step.

    The images and the noise of a step are the same however it is divided over processes and accumulation steps.

    Args:
        pixels: 8-bit images `(n, height, width[, 3])`.
        train: positions of those to learn from.
        arguments: the options of the training.
        accelerator: says which process this is.
        latent_dim: length of a code.
        step: counts from 1.
    """
    size, shares = arguments.train_batch_size, accelerator.num_processes
    total, seed = size * shares * arguments.gradient_accumulation_steps, arguments.seed
    indices = _images_of(step, total, train, seed)
    noise = torch.randn(total, latent_dim, generator=generator(seed, "codec: prior codes", step))
    code_noise = torch.randn(total, latent_dim, generator=generator(seed, "codec: noise of latents", step))
    change = 2 * torch.rand(total, 2, 1, 1, 1, generator=generator(seed, "codec: augmentation", step)) - 1
    change = arguments.augmentation * change
    found = []
    for part in range(arguments.gradient_accumulation_steps):
        first = (part * shares + accelerator.process_index) * size
        mine, device = slice(first, first + size), accelerator.device
        images = to_tensor(pixels[indices[mine]])
        images = (images * (1 + change[mine, 0]) + change[mine, 1]).clamp(-1, 1).to(device, non_blocking=True)
        if arguments.warp:
            images = augmented(images, on_device(device, seed, "codec: warps", step, first), arguments.warp)
        found.append(Batch(images, *(one[mine].to(device, non_blocking=True) for one in (noise, code_noise))))
    return found


def _images_of(step: int, count: int, train: np.ndarray, seed: int) -> np.ndarray:
    """Positions of the images of a step: each epoch in an order of its own."""
    positions, found = np.arange((step - 1) * count, step * count), []
    for epoch in np.unique(positions // len(train)):
        rng = generator(seed, "codec: order of images", int(epoch))
        order = train[torch.randperm(len(train), generator=rng).numpy()]
        found.append(order[positions[positions // len(train) == epoch] % len(train)])
    return np.concatenate(found)
