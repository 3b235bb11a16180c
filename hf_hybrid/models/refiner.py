"""A refiner draws the detail that a coarse image does not determine: conditional flow matching on patches of pixels.

With r = (fine - coarse) / scale the detail, n ~ N(0, I) and x_t = (1 - t) r + t n, a network learns the velocity n - r
(Lipman et al. 2023, arXiv 2210.02747; rectified flow, Liu et al. 2023, arXiv 2209.03003). Drawing runs x from noise
(t = 1) to detail (t = 0) in a few Euler steps. Working on patches of 4 x 4 pixels, an image of 128 pixels costs what
one of 32 would.
"""

import torch
from diffusers import UNet2DModel
from torch import nn
from torch.nn import functional

PATCH = 4
_GROUPS = 8
_TIME_SCALE = 1000  # the network's time embedding was made for 1,000 steps


class Refiner(nn.Module):
    """Adds drawn detail to images that are blurred for their resolution.

    Args:
        in_channels: 1 (grey) or 3 (RGB).
        widths: channels of the network at each of its resolutions, multiples of 8; the first works on patches.
        times: where the Euler steps of a draw begin, from 1 downwards.
    """

    def __init__(self, in_channels: int, widths: list[int], times: list[float]) -> None:
        super().__init__()
        self.times = [float(time) for time in times]
        values, halvings = in_channels * PATCH**2, len(widths) - 1
        self.network = UNet2DModel(
            in_channels=2 * values,
            out_channels=values,
            block_out_channels=tuple(widths),
            down_block_types=("DownBlock2D",) * halvings + ("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * halvings,
            layers_per_block=1,
            norm_num_groups=_GROUPS,
        )
        self.register_buffer("scale", torch.ones(()))

    def velocity(self, state: torch.Tensor, times: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """States `(batch, channels, height, width)` at `times` `(batch,)` in [0, 1] -> n - r, given coarse images."""
        patches = functional.pixel_unshuffle(torch.cat([state, coarse], dim=1), PATCH)
        return functional.pixel_shuffle(self.network(patches, times * _TIME_SCALE).sample, PATCH)

    def detail(self, fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """The detail r of fine images, with sd 1 over the training images."""
        return (fine - coarse) / self.scale

    def move(self, state: torch.Tensor, start: float, end: float, coarse: torch.Tensor) -> torch.Tensor:
        """One Euler step from time `start` to `end`."""
        times = torch.full((len(state),), start, device=state.device)
        return state + (end - start) * self.velocity(state, times, coarse)

    def draw(self, coarse: torch.Tensor, noise: torch.Tensor, times: list[float] | None = None) -> torch.Tensor:
        """Coarse images and noise of their shape `(batch, channels, height, width)` -> fine images.

        Args:
            coarse: images in [-1, 1] at the fine resolution.
            noise: drawn from N(0, 1).
            times: where steps begin; the refiner's own if None.
        """
        state, times = noise, times or self.times
        for start, end in zip(times, [*times[1:], 0.0], strict=True):
            state = self.move(state, start, end, coarse)
        return coarse + self.scale * state
