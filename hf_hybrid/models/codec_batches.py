"""What each step of a codec's training sees: images, changed at random, and noise."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator

from hf_hybrid.core.randomness import generator
from hf_hybrid.data.pixels import to_tensor
from hf_hybrid.models.augmentation import augmented, on_device
from hf_hybrid.models.options import CodecArguments
from hf_hybrid.training.prefetch import made_ahead

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


class CodecBatches:
    """A process's micro-batches of each step: `batches(step)`, or made one step ahead by `batches.ahead()`.

    The images and the noise of a step are the same however it is divided over processes and accumulation steps.

    Args:
        pixels: 8-bit images `(n, height, width[, 3])`.
        train: positions of those to learn from.
        arguments: the options of the training.
        accelerator: says which process this is, and its device.
        latent_dim: length of a code.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        train: np.ndarray,
        arguments: CodecArguments,
        accelerator: Accelerator,
        latent_dim: int,
    ) -> None:
        self.pixels, self.train, self.arguments, self.latent_dim = pixels, train, arguments, latent_dim
        self.device, self.shares = accelerator.device, accelerator.num_processes
        size, count = arguments.train_batch_size, arguments.gradient_accumulation_steps
        firsts = ((part * self.shares + accelerator.process_index) * size for part in range(count))
        self.parts = [slice(first, first + size) for first in firsts]  # of a step's images: those of this process

    def __call__(self, step: int) -> list[Batch]:
        """The micro-batches of a step, counted from 1, on the device."""
        return self.placed(step, self.drawn(step))

    @contextlib.contextmanager
    def ahead(self) -> Iterator[Callable[[int], list[Batch]]]:
        """Within the context, the same function, but one step ahead in a thread.

        On a GPU the thread does what the CPU does; it keeps off the device, where a step may be recorded meanwhile.
        """
        on_cpu = self.device.type == "cpu"
        with made_ahead(self if on_cpu else self.drawn, self.arguments.max_train_steps) as made:
            yield made if on_cpu else lambda step: self.placed(step, made(step))

    def drawn(self, step: int) -> list[Batch]:
        """The micro-batches of a step before they go to the device."""
        arguments, seed = self.arguments, self.arguments.seed
        total = arguments.train_batch_size * self.shares * arguments.gradient_accumulation_steps
        indices = _images_of(step, total, self.train, seed)
        noise = torch.randn(total, self.latent_dim, generator=generator(seed, "codec: prior codes", step))
        code_noise = torch.randn(total, self.latent_dim, generator=generator(seed, "codec: noise of latents", step))
        change = 2 * torch.rand(total, 2, 1, 1, 1, generator=generator(seed, "codec: augmentation", step)) - 1
        change = arguments.augmentation * change
        found = []
        for mine in self.parts:
            images = to_tensor(self.pixels[indices[mine]])
            images = (images * (1 + change[mine, 0]) + change[mine, 1]).clamp(-1, 1)
            found.append(Batch(images, noise[mine], code_noise[mine]))
        return found

    def placed(self, step: int, batches: list[Batch]) -> list[Batch]:
        """Micro-batches on the device, where their images are warped."""
        found = []
        for mine, batch in zip(self.parts, batches, strict=True):
            images, *noises = (self._on_device(one) for one in vars(batch).values())
            if self.arguments.warp:
                rng = on_device(self.device, self.arguments.seed, "codec: warps", step, mine.start)
                images = augmented(images, rng, self.arguments.warp)
            found.append(Batch(images, *noises))
        return found

    def _on_device(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.device.type == "cuda":  # from other memory the copy waits for the device to finish the step before
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)


def _images_of(step: int, count: int, train: np.ndarray, seed: int) -> np.ndarray:
    """Positions of the images of a step: each epoch in an order of its own."""
    positions, found = np.arange((step - 1) * count, step * count), []
    for epoch in np.unique(positions // len(train)):
        rng = generator(seed, "codec: order of images", int(epoch))
        order = train[torch.randperm(len(train), generator=rng).numpy()]
        found.append(order[positions[positions // len(train) == epoch] % len(train)])
    return np.concatenate(found)
