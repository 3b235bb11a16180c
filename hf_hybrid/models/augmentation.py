"""Random rotation, shift, zoom and contrast of training images, computed on their device; they stay realistic."""

import math

import torch
from torch.nn import functional

from hf_hybrid.core.randomness import seed_for

_DEGREES, _MOVE, _ZOOM, _GAMMA = 6.0, 0.05, 0.1, 0.25


def augmented(images: torch.Tensor, rng: torch.Generator, strength: float = 1.0) -> torch.Tensor:
    """Each image turned (to 6 degrees), moved (5 % of its side), scaled (10 %) and with another gamma (.8 to 1.3).

    Args:
        images: `(batch, channels, side, side)` in [-1, 1].
        rng: on the images' device.
        strength: of all changes, relative to these.
    """

    def uniform(largest: float) -> torch.Tensor:
        return (2 * torch.rand(len(images), generator=rng, device=images.device) - 1) * largest * strength

    angle, scale = uniform(math.radians(_DEGREES)), torch.exp(uniform(_ZOOM))
    across, down = uniform(2 * _MOVE), uniform(2 * _MOVE)
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    # What `affine_grid` gives, many times as fast on a CPU: coordinates are sums of a term of the row and the column.
    centres = (2 * torch.arange(images.shape[-1], device=images.device) + 1) / images.shape[-1] - 1
    straight, slanted = (one[:, None] * centres for one in (cosine, sine))
    grid = torch.empty(len(images), *images.shape[2:], 2, device=images.device)
    grid[..., 0] = straight[:, None, :] + (across[:, None] - slanted)[:, :, None]
    grid[..., 1] = slanted[:, None, :] + (down[:, None] + straight)[:, :, None]
    moved = functional.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)
    exponent = torch.exp(uniform(_GAMMA))[:, None, None, None]
    return moved.clamp_(-1, 1).add_(1).div_(2).clamp_(min=1e-6).pow_(exponent).mul_(2).sub_(1)


def on_device(device: torch.device, seed: int, purpose: str, *keys: int) -> torch.Generator:
    """A generator on the device: noise of whole images costs more on a CPU than a step of training."""
    return torch.Generator(device).manual_seed(seed_for(seed, purpose, *keys))
