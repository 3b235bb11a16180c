"""Statistics of the fine texture of images: what betrays drawn images before their content does.

No single one is invented here: the power spectrum by radius and direction (Durall et al. 2020, arXiv 2003.01826),
moments of Haar coefficients and their correlations with neighbours (Lyu and Farid 2005, doi:10.1109/TSP.2004.839896),
and co-occurrences of quantised differences (Fridrich and Kodovsky 2012, doi:10.1109/TIFS.2012.2190402; on generated
images Nataraj et al. 2019, arXiv 1903.06836). Sharpness at each place within blocks of four pixels shows a grid.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch.nn import functional

_RADII, _DIRECTIONS = 32, 3
_LEVELS, _SMALLEST = 4, 4  # of Haar coefficients; pixels per side of their last maps
_QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
_DARK, _BRIGHT = (0, 3), (252, 255)  # grey values at the ends of the range
_LARGEST, _STEPS = 2, (1.0, 4.0)  # of quantised differences, in steps of so many grey values
_BLOCK = 4
_MEASURED = 64  # images at a time


def texture_statistics(pixels: np.ndarray) -> np.ndarray:
    """Statistics of 8-bit grey images `(n, side, side)`, float32 `(n, d)`; side of at least 16."""
    found = []
    for first in range(0, len(pixels), _MEASURED):
        images = torch.from_numpy(pixels[first : first + _MEASURED].astype(np.float32))
        parts = [_grey_values(images), _spectrum(images), *_haar(images), *_differences(images), _grid(images)]
        found.append(torch.cat(parts, dim=1).numpy())
    return np.concatenate(found)


def _grey_values(images: torch.Tensor) -> torch.Tensor:
    """Quantiles, and shares of pixels at either end of the range."""
    flat = images.flatten(1)
    quantiles = torch.quantile(flat, torch.tensor(_QUANTILES), dim=1).T / 255
    ends = [flat <= value for value in _DARK] + [flat >= value for value in _BRIGHT]
    return torch.cat([quantiles, torch.stack([end.float().mean(dim=1).sqrt() for end in ends], dim=1)], dim=1)


def _spectrum(images: torch.Tensor) -> torch.Tensor:
    """Logarithm of the mean power in rings, each in sectors from across to down."""
    side = images.shape[-1]
    window = torch.hann_window(side, periodic=False)
    centred = images - images.mean(dim=(1, 2), keepdim=True)
    power = torch.fft.fft2(centred * window[:, None] * window).abs().square().flatten(1)
    across = torch.fft.fftfreq(side).abs()
    down = across[:, None]
    ring = ((across**2 + down**2).sqrt() * 2 * _RADII).long().clamp(max=_RADII - 1)
    sector = (torch.atan2(down, across.expand(side, side)) / (torch.pi / 2) * _DIRECTIONS).long()
    cell = (ring * _DIRECTIONS + sector.clamp(max=_DIRECTIONS - 1)).flatten()
    size = torch.bincount(cell, minlength=_RADII * _DIRECTIONS).clamp(min=1)
    return torch.log1p(torch.zeros(len(images), len(size)).index_add_(1, cell, power) / size)


def _haar(images: torch.Tensor) -> Iterable[torch.Tensor]:
    """Of every band of Haar coefficients: scale, heaviness of the tails, and correlation with neighbours in size."""
    for _ in range(_LEVELS):
        height, width = (2 * (length // 2) for length in images.shape[1:])
        if min(height, width) < 2 * _SMALLEST:
            return
        one, two, three, four = (images[:, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1))
        for band in ((one - two + three - four) / 2, (one + two - three - four) / 2, (one - two - three + four) / 2):
            size = band.abs()
            sd = band.square().mean(dim=(1, 2)).sqrt() + 1e-3
            tails = band.pow(4).mean(dim=(1, 2)) / sd**4
            away = size - size.mean(dim=(1, 2), keepdim=True)
            spread = away.square().mean(dim=(1, 2)).clamp(min=1e-3)
            beside = (away[:, :, 1:] * away[:, :, :-1]).mean(dim=(1, 2)) / spread
            below = (away[:, 1:] * away[:, :-1]).mean(dim=(1, 2)) / spread
            yield torch.stack([sd.log(), (size.mean(dim=(1, 2)) + 1e-3).log(), tails.log1p(), beside, below], dim=1)
        images = (one + two + three + four) / 4


def _differences(images: torch.Tensor) -> Iterable[torch.Tensor]:
    """How often pairs of quantised first and second differences stand beside and below each other."""
    second = images[:, :, 2:] - 2 * images[:, :, 1:-1] + images[:, :, :-2]
    down = images.transpose(1, 2)
    second_down = down[:, :, 2:] - 2 * down[:, :, 1:-1] + down[:, :, :-2]
    for differences in (images.diff(dim=2), down.diff(dim=2), second, second_down):
        for step in _STEPS:
            values = (differences / step).round().clamp(-_LARGEST, _LARGEST).long() + _LARGEST
            for one, other in ((values[:, :, 1:], values[:, :, :-1]), (values[:, 1:], values[:, :-1])):
                pairs = (one * (2 * _LARGEST + 1) + other).flatten(1)
                counts = torch.zeros(len(images), (2 * _LARGEST + 1) ** 2)
                counts.scatter_add_(1, pairs, torch.ones(()).expand(pairs.shape))
                yield (counts / pairs.shape[1]).sqrt()


def _grid(images: torch.Tensor) -> torch.Tensor:
    """Mean sharpness at each place within blocks of pixels, relative to the image's."""
    smooth = functional.avg_pool2d(images[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    blocks = (images - smooth).abs().unfold(1, _BLOCK, _BLOCK).unfold(2, _BLOCK, _BLOCK)
    sharpness = blocks.mean(dim=(1, 2)).flatten(1) + 1e-2
    return sharpness.log() - sharpness.mean(dim=1, keepdim=True).log()
