"""What a refiner is trained on: flow matching, then fewer steps by distillation, then an adversary for sharpness.

1. flow: |u(x_t, t) - (n - r)|^2 at times t = sigmoid(N(0, 1)) (logit-normal, Esser et al. 2024, arXiv 2403.03206).
2. distillation: between two neighbouring times of a draw, the student's one step goes where several second-order
   (Heun) steps of the teacher go (progressive distillation, Salimans and Ho 2022, arXiv 2202.00512).
3. adversary: hinge loss of a discriminator that sees image and coarse image, beside 2. Its weight makes the gradients
   of both at the last layer stand in a fixed ratio (Esser et al. 2021, arXiv 2012.09841).
"""

import copy

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from hf_hybrid.models.refiner import Refiner

_TEACHER_STEPS = 4  # of second order, in a whole draw


def flow_loss(
    refiner: Refiner, detail: torch.Tensor, coarse: torch.Tensor, noise: torch.Tensor, normal: torch.Tensor
) -> torch.Tensor:
    """Flow matching loss of details and noise `(batch, channels, height, width)`; `normal` ~ N(0, 1) `(batch,)`."""
    times = torch.sigmoid(normal)
    weight = times[:, None, None, None]
    velocity = refiner.velocity((1 - weight) * detail + weight * noise, times, coarse)
    return functional.mse_loss(velocity.float(), noise - detail)


def teacher_of(refiner: Refiner) -> Refiner:
    """A frozen copy."""
    return copy.deepcopy(refiner).eval().requires_grad_(False)


@torch.no_grad()
def teacher_state(
    teacher: Refiner, state: torch.Tensor, start: torch.Tensor, end: torch.Tensor, coarse: torch.Tensor
) -> torch.Tensor:
    """Where the teacher's flow takes states from times `start` to `end`, both `(batch,)`, in Heun steps."""
    steps = max(1, _TEACHER_STEPS // len(teacher.times))
    for step in range(steps):
        one = start + (end - start) * step / steps
        two = start + (end - start) * (step + 1) / steps
        length = (two - one)[:, None, None, None]
        first = teacher.velocity(state, one, coarse)
        second = teacher.velocity(state + length * first, two, coarse)
        state = state + length * (first + second) / 2
    return state


def distillation_loss(
    refiner: Refiner,
    state: torch.Tensor,
    goal: torch.Tensor,
    start: torch.Tensor,
    end: torch.Tensor,
    coarse: torch.Tensor,
) -> torch.Tensor:
    """Mean square difference between the student's velocity and the one that reaches the teacher's `goal`."""
    wanted = (goal - state) / (end - start)[:, None, None, None]
    return functional.mse_loss(refiner.velocity(state, start, coarse).float(), wanted)


class DetailDiscriminator(nn.Module):
    """Real fine images against drawn ones, each beside its coarse image; logits of overlapping parts.

    Args:
        in_channels: of the images.
        widths: channels at a half, a quarter, ... of the resolution.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...] = (64, 128, 256, 256)) -> None:
        super().__init__()
        layers, before = [], 8 * in_channels
        for place, width in enumerate(widths):
            stride = 1 if place == 0 else 2
            layers += [spectral_norm(nn.Conv2d(before, width, 3 if stride == 1 else 4, stride, 1)), nn.LeakyReLU(0.2)]
            layers += [spectral_norm(nn.Conv2d(width, width, 3, padding=1)), nn.LeakyReLU(0.2)]
            before = width
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(before, 1, 3, padding=1)))

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Images `(batch, channels, height, width)` -> logits of being real, one for each part."""
        return self.layers(functional.pixel_unshuffle(torch.cat([fine, coarse], dim=1), 2))


def discriminator_loss(
    discriminator: DetailDiscriminator, fine: torch.Tensor, drawn: torch.Tensor, coarse: torch.Tensor
) -> torch.Tensor:
    """Hinge loss over real and drawn images in one pass."""
    logits = discriminator(torch.cat([fine, drawn]), torch.cat([coarse, coarse])).float()
    real, fake = logits.chunk(2)
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def balanced(loss: torch.Tensor, adversarial: torch.Tensor, last: nn.Parameter, ratio: float) -> torch.Tensor:
    """Both losses, the second scaled so that its gradient at `last` is `ratio` times that of the first."""
    one, two = (torch.autograd.grad(each, last, retain_graph=True)[0].norm() for each in (loss, adversarial))
    return loss + (ratio * one / (two + 1e-8)).clamp(max=1e4).detach() * adversarial
