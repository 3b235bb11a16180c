"""What networks are built from: encoders and generators of an AlphaGAN, and the block of networks that judge."""

import torch
from torch import nn
from torch.nn import functional


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


class PrincipalComponents(nn.Module):
    """Images <-> the numbers of a PCA, each with sd 1 over the training images; filled by `fill`, never trained.

    Args:
        shape: of an image, `(channels, side, side)`.
        size: how many numbers.
    """

    def __init__(self, shape: tuple[int, int, int], size: int) -> None:
        super().__init__()
        self.shape = shape
        values = shape[0] * shape[1] * shape[2]
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("components", torch.zeros(size, values))
        self.register_buffer("scale", torch.ones(size))

    def fill(self, mean: torch.Tensor, components: torch.Tensor, scale: torch.Tensor) -> None:
        """Takes a PCA: mean `(values,)`, components `(size, values)`, standard deviations `(size,)`."""
        for kept, new in zip((self.mean, self.components, self.scale), (mean, components, scale), strict=True):
            kept.copy_(new)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images `(batch, *shape)` -> `(batch, size)`."""
        return (images.flatten(1) - self.mean) @ self.components.T / self.scale

    def decode(self, numbers: torch.Tensor) -> torch.Tensor:
        """The inverse, but for what the components do not hold; the first components, if fewer numbers are given."""
        scaled = numbers * self.scale[: numbers.shape[1]]
        return (self.mean + scaled @ self.components[: numbers.shape[1]]).view(-1, *self.shape)


class ResidualNetwork(nn.Module):
    """Numbers `(batch, inputs)` -> `(batch, outputs)` by a linear layer, residual blocks and a linear layer.

    Args:
        inputs: how many.
        width: of the blocks.
        outputs: how many; 0 at the start.
        blocks: each normalises, and adds two linear layers' output.
    """

    def __init__(self, inputs: int, width: int, outputs: int, blocks: int) -> None:
        super().__init__()
        self.start, self.end = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(blocks)
        )
        for last in (self.end, *(block[-1] for block in self.blocks)):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Numbers -> numbers."""
        numbers = functional.silu(self.start(numbers))
        for block in self.blocks:
            numbers = numbers + block(numbers)
        return self.end(numbers)


class HalvingBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; halves the resolution, rounded up.

    Args:
        narrow: channels before, any number.
        wide: channels after, a multiple of 8.
    """

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(8, wide),
            nn.SiLU(),
            nn.Conv2d(wide, wide, 3, padding=1, bias=False),
            nn.GroupNorm(8, wide),
        )
        self.shortcut = nn.Conv2d(narrow, wide, 1, bias=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps `(batch, channels, height, width)` at half the resolution."""
        return functional.silu(self.layers(maps) + self.shortcut(functional.avg_pool2d(maps, 2, ceil_mode=True)))


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
