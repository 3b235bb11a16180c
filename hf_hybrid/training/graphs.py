"""A training step recorded as a CUDA graph and replayed: small networks wait for the launches of kernels otherwise."""

import logging
from collections.abc import Callable

import torch
from accelerate import Accelerator

logger = logging.getLogger(__name__)
_WARM_UP = 5  # steps before the recording: the optimisers make their states in the first


class GraphedStep:
    """Calls a step; on one CUDA device records it and replays the recording from then on.

    Args:
        accelerator: a step is recorded on CUDA with one process only, and not in fp16, whose loss scale is read on the
            CPU. Otherwise, and where recording fails (said in the log), each step is called.
        step: tensors -> tensors. Shapes are the same in each call; it draws no random numbers and reads no value on
            the CPU; its optimisers are `capturable` and their learning rates tensors.
        optimizers: whose gradients the step writes.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        step: Callable[..., dict[str, torch.Tensor]],
        optimizers: list[torch.optim.Optimizer],
    ) -> None:
        self.step, self.optimizers = step, optimizers
        self.is_possible = can_record(accelerator)
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """One step."""
        self.calls += 1
        if self.graph:
            for kept, new in zip(self.inputs, inputs, strict=True):
                kept.copy_(new)
            self.graph.replay()
            return self.outputs
        if not self.is_possible:
            return self.step(*inputs)
        if self.calls <= _WARM_UP:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                found = self.step(*inputs)
            torch.cuda.current_stream().wait_stream(stream)
            return found
        self._record(inputs)
        return self(*inputs)

    def _record(self, inputs: tuple[torch.Tensor, ...]) -> None:
        self.inputs = [one.clone() for one in inputs]
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.outputs = self.step(*self.inputs)
            self.graph = graph
        except RuntimeError as error:
            self.is_possible = False
            logger.warning("steps are not recorded as a CUDA graph: %s", str(error).splitlines()[0])


def can_record(accelerator: Accelerator) -> bool:
    """Whether steps can be recorded here."""
    on_one = accelerator.device.type == "cuda" and accelerator.num_processes == 1
    return on_one and accelerator.mixed_precision in ("no", "bf16")


def learning_rate_of(accelerator: Accelerator, value: float) -> float | torch.Tensor:
    """A learning rate as its optimiser needs it: a tensor where steps are recorded."""
    return torch.tensor(value, device=accelerator.device) if can_record(accelerator) else value


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Gives all parameters of an optimiser a learning rate, in place where it is a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value
