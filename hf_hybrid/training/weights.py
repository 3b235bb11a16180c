"""Moving average, best weights, and gradients averaged over processes."""

import contextlib
from collections.abc import Iterator

import torch
from accelerate import Accelerator


class MovingAverage:
    """Exponential moving average of a module's weights (a no-op with decay 0), saved with the checkpoints."""

    def __init__(self, accelerator: Accelerator, module: torch.nn.Module, decay: float) -> None:
        from diffusers.training_utils import EMAModel

        self.module = module
        self.device = accelerator.device
        self.average = EMAModel(module.parameters(), decay=decay, foreach=True) if decay else None
        if self.average:
            self.average.to(self.device)
            accelerator.register_for_checkpointing(self)

    def state_dict(self) -> dict:
        """What a checkpoint holds of the average."""
        return self.average.state_dict()

    def load_state_dict(self, state: dict) -> None:
        """Continues where `state_dict` was taken; Accelerate loads it to the CPU."""
        self.average.load_state_dict(state)
        self.average.to(self.device)

    def update(self) -> None:
        """Takes the module's present weights into the average."""
        if self.average:
            self.average.step(self.module.parameters())

    def keep(self) -> None:
        """Gives the module the averaged weights for good."""
        if self.average:
            self.average.copy_to(self.module.parameters())

    @contextlib.contextmanager
    def applied(self) -> Iterator[torch.nn.Module]:
        """Within the context the module has the averaged weights."""
        if not self.average:
            yield self.module
            return
        self.average.store(self.module.parameters())
        self.average.copy_to(self.module.parameters())
        try:
            yield self.module
        finally:
            self.average.restore(self.module.parameters())


class BestWeights:
    """A module's best weights so far, saved with the checkpoints."""

    def __init__(self, accelerator: Accelerator, module: torch.nn.Module) -> None:
        self.module = module
        self.keep(0)
        accelerator.register_for_checkpointing(self)

    def keep(self, step: int) -> None:
        """Takes the present weights."""
        self.step = step
        self.weights = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}

    def restore(self) -> None:
        """Gives the module the best weights."""
        self.module.load_state_dict(self.weights)

    def state_dict(self) -> dict:
        """What a checkpoint holds."""
        return {"step": self.step, "weights": self.weights}

    def load_state_dict(self, state: dict) -> None:
        """Continues where `state_dict` was taken."""
        self.step, self.weights = state["step"], state["weights"]


def average_gradients(accelerator: Accelerator, module: torch.nn.Module) -> None:
    """Replaces the gradients by their mean over all processes.

    The four networks of an alphaGAN meet in one loss by other methods than `forward`, which DistributedDataParallel
    does not see; one reduction of the flattened gradients does the same.
    """
    if accelerator.num_processes == 1:
        return
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    flat = accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
