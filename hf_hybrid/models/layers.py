"""The convolutional encoder and generator that an AlphaGAN is built from."""

import torch
from torch import nn


class Encoder(nn.Module):
    """Image -> code: halve the resolution down to 4 x 4, then one linear layer.

    Args:
        in_channels: of the images.
        widths: channels after each halving of the resolution, down to 4 x 4.
        layers: convolutions at each resolution.
        norm: `group` or `none`.
        latent_dim: length of a code.
    """

    def __init__(self, in_channels: int, widths: list[int], layers: int, norm: str, latent_dim: int) -> None:
        super().__init__()
        modules = [nn.Conv2d(in_channels, widths[0], 4, stride=2, padding=1), nn.SiLU()]
        for one, two in zip(widths, widths[1:], strict=False):
            modules += [*_stage(one, two, layers, norm), nn.AvgPool2d(2)]
        self.layers = nn.Sequential(*modules, nn.Flatten(), nn.Linear(widths[-1] * 16, latent_dim))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Images `(batch, channels, height, width)` -> codes `(batch, latent_dim)`."""
        return self.layers(pixel_values)


class Generator(nn.Module):
    """Code -> image: one linear layer to 4 x 4, then double the resolution; arguments as of `Encoder`."""

    def __init__(self, in_channels: int, widths: list[int], layers: int, norm: str, latent_dim: int) -> None:
        super().__init__()
        self.start = nn.Linear(latent_dim, widths[-1] * 16)
        upwards, modules = [*reversed(widths), widths[0]], []
        for one, two in zip(upwards, upwards[1:], strict=False):
            # Nearest neighbour and a convolution: transposed convolutions leave a chequered pattern.
            modules += [nn.Upsample(scale_factor=2), *_stage(one, two, layers, norm)]
        self.layers = nn.Sequential(*modules, nn.Conv2d(widths[0], in_channels, 3, padding=1))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes `(batch, latent_dim)` -> images `(batch, channels, height, width)`."""
        return self.layers(self.start(codes).view(len(codes), -1, 4, 4))


def _stage(in_channels: int, out_channels: int, layers: int, norm: str) -> list[nn.Module]:
    """`layers` times convolution, normalisation, activation, at one resolution."""
    modules = []
    for index in range(layers):
        modules.append(nn.Conv2d(out_channels if index else in_channels, out_channels, 3, padding=1))
        if norm == "group":
            modules.append(nn.GroupNorm(_groups(out_channels), out_channels))
        modules.append(nn.SiLU())
    return modules


def _groups(channels: int) -> int:
    """The most groups up to 8 that divide the channels."""
    return next(groups for groups in range(8, 0, -1) if channels % groups == 0)
