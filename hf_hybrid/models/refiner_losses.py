"""What a refiner is trained on: flow matching, then fewer steps by distillation.

1. flow: |u(x_t, t) - (n - r)|^2 at times t = sigmoid(N(0, 1)) (logit-normal, Esser et al. 2024, arXiv 2403.03206).
2. distillation: between two neighbouring times of a draw, the student's one step goes where several second-order
   (Heun) steps of the teacher go (progressive distillation, Salimans and Ho 2022, arXiv 2202.00512).
"""

import copy

import torch
from torch.nn import functional

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
