"""Training of one refiner on public images, by the loop that every training shares."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hf_hybrid.core.errors import InputError, check_at_least
from hf_hybrid.core.randomness import seed_for
from hf_hybrid.data.pixels import image_grid, to_uint8
from hf_hybrid.models.augmentation import augmented, on_device
from hf_hybrid.models.refiner import Refiner
from hf_hybrid.models.refiner_losses import distillation_loss, flow_loss, teacher_of, teacher_state
from hf_hybrid.training.arguments import TrainingArguments
from hf_hybrid.training.graphs import GraphedStep, can_record, learning_rate_of, set_learning_rate
from hf_hybrid.training.run import TrainingRun, make_accelerator
from hf_hybrid.training.weights import MovingAverage

STAGES = ("flow", "distillation")
_SCALED_IMAGES, _SHOWN = 512, 8


@dataclass
class RefinerArguments(TrainingArguments):
    """Options of one stage of a refiner's training, beside those of every training.

    Args:
        stage: `flow`, then `distillation`, which starts from the weights of the first.
        warp: strength of the random changes of the images, see `augmented`.
        validation_steps: steps between two grids and held-out losses.
        compile: whether to fuse operations (`torch.compile`); worth it where a training takes more than some minutes.
    """

    stage: str = "flow"
    learning_rate: float = 1e-3
    warp: float = 1.0
    validation_steps: int = 1000
    compile: bool = False

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        check_at_least(self, 1, "validation_steps")
        if self.stage not in STAGES:
            raise InputError(f"expected `stage` among {STAGES}, found {self.stage!r}")


@dataclass(frozen=True)
class RefinerImages:
    """8-bit images `(n, side, side)` at the resolution of a refiner.

    Args:
        pixels: of training.
        weights: chance of each of these to be drawn, `(n,)`.
        held_out: of others.
    """

    pixels: np.ndarray
    weights: np.ndarray
    held_out: np.ndarray


class RefinerTrainer:
    """Trains one refiner.

    Args:
        refiner: the network, trained in place.
        coarse_of: fine images `(batch, channels, side, side)` in [-1, 1] and a generator -> their coarse images.
        images: to learn from, and those that losses are reported on.
        arguments: the options.
        logging_dir: folder for checkpoints, log and grids.
        teacher: of a distillation; the refiner as it is if None. The refiner takes its unit of detail.
    """

    def __init__(
        self,
        refiner: Refiner,
        coarse_of: Callable[[torch.Tensor, torch.Generator], torch.Tensor],
        images: RefinerImages,
        arguments: RefinerArguments,
        logging_dir: Path,
        teacher: Refiner | None = None,
    ) -> None:
        self.arguments, self.coarse_of = arguments, coarse_of
        self.accelerator = make_accelerator(arguments, logging_dir)
        self.device = self.accelerator.device
        self.logging_dir = Path(logging_dir)
        # On the device as a whole: no step waits for its images.
        self.pixels = torch.from_numpy(np.ascontiguousarray(images.pixels))[:, None].to(self.device)
        self.held_out = torch.from_numpy(np.ascontiguousarray(images.held_out))[:, None].to(self.device)
        self.weights = torch.from_numpy(images.weights).float().to(self.device)
        refiner = refiner.to(self.device)
        self.teacher = None if arguments.stage == "flow" else teacher_of(teacher or refiner).to(self.device)
        refiner.scale.copy_(self.teacher.scale if self.teacher else self._measured_scale())
        self.refiner = self.accelerator.prepare_model(
            refiner.to(memory_format=torch.channels_last), evaluation_mode=True
        )
        optimizer = torch.optim.AdamW(
            self.refiner.parameters(),
            learning_rate_of(self.accelerator, arguments.learning_rate),
            (0.9, 0.99),
            weight_decay=0.0,
            fused=self.device.type == "cuda",
            capturable=can_record(self.accelerator),
        )
        self.optimizer = self.accelerator.prepare_optimizer(optimizer)
        self.times = torch.tensor([*refiner.times, 0.0], device=self.device)
        self.average = MovingAverage(self.accelerator, self.refiner, arguments.ema_decay)
        self._compile()
        step = self._flow_step if arguments.stage == "flow" else self._distillation_step
        self.graphed_step = GraphedStep(self.accelerator, step, [self.optimizer])
        self.run = TrainingRun(self.accelerator, arguments, logging_dir, {"num_images": len(self.pixels)})

    def fit(self) -> Refiner:
        """Trains to the end of the budget; returns the refiner with its averaged weights."""
        self.run.resume()
        for step in self.run.steps(f"refiner: {self.arguments.stage}"):
            set_learning_rate(self.optimizer, self.run.learning_rate())
            with self.run.waiting():
                batch = self._batch(step)
            losses = self.graphed_step(*batch)
            self.average.update()
            self.run.log(step, losses)
            if step % self.arguments.validation_steps == 0:
                self._validate(step)
        self._validate(self.run.step)
        self.average.keep()
        return self.refiner

    def _compile(self) -> None:
        """Fuses the functions that each step calls, if asked for: it takes a minute or more a function."""
        functions = (flow_loss, teacher_state, distillation_loss)
        if self.arguments.compile:
            functions = (torch.compile(one) for one in functions)
        self.flow, self.teacher_state, self.distil = functions

    def _batch(self, step: int) -> tuple[torch.Tensor, ...]:
        """Images that were turned, moved and the like, their coarse images, noise, and a random time of each."""
        rng, count = (
            on_device(self.device, self.arguments.seed, "refiner: images", step, 1),
            self.arguments.train_batch_size,
        )
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=rng)
        fine = augmented(self.pixels[chosen].float() / 127.5 - 1, rng, self.arguments.warp)
        with torch.no_grad(), self.accelerator.autocast():
            coarse = self.coarse_of(fine, rng).float()
        if self.arguments.stage == "flow":
            times = torch.randn(count, generator=rng, device=self.device)
        else:
            times = torch.randint(len(self.refiner.times), (count,), generator=rng, device=self.device)
        return fine, coarse, self._noise(fine, rng), times

    def _noise(self, like: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        return torch.randn(like.shape, generator=rng, device=self.device)

    def _flow_step(
        self, fine: torch.Tensor, coarse: torch.Tensor, noise: torch.Tensor, normal: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        with self.accelerator.autocast():
            loss = self.flow(self.refiner, self.refiner.detail(fine, coarse), coarse, noise, normal)
        return self._descend("flow", loss)

    def _distillation_step(
        self, fine: torch.Tensor, coarse: torch.Tensor, noise: torch.Tensor, place: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        start, end = self.times[place], self.times[place + 1]
        weight = start[:, None, None, None]
        state = (1 - weight) * self.refiner.detail(fine, coarse) + weight * noise
        with self.accelerator.autocast():
            goal = self.teacher_state(self.teacher, state, start, end, coarse)
            loss = self.distil(self.refiner, state, goal.float(), start, end, coarse)
        return self._descend("distillation", loss)

    def _descend(self, name: str, loss: torch.Tensor) -> dict[str, torch.Tensor]:
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.refiner.parameters(), 1.0)
        self.optimizer.step()
        return {name: loss.detach()}

    @torch.no_grad()
    def _measured_scale(self) -> torch.Tensor:
        """The sd of the detail over training images."""
        rng = on_device(self.device, self.arguments.seed, "refiner: images", 0, 0)
        chosen = torch.multinomial(self.weights, min(_SCALED_IMAGES, len(self.pixels)), generator=rng)
        fine = self.pixels[chosen].float() / 127.5 - 1
        return (fine - self.coarse_of(fine, rng)).std()

    @torch.no_grad()
    def _validate(self, step: int) -> None:
        """Logs the flow loss on held-out images and writes a grid: real above coarse above two draws."""
        if not self.accelerator.is_main_process:
            return
        rng = on_device(self.device, 0, "refiner: images", 0, 1)
        fine = self.held_out.float() / 127.5 - 1
        with self.average.applied(), self.accelerator.autocast():
            coarse = self.coarse_of(fine, rng).float()
            normal = torch.randn(len(fine), generator=rng, device=self.device)
            loss = flow_loss(self.refiner, self.refiner.detail(fine, coarse), coarse, self._noise(fine, rng), normal)
            fine, coarse = fine[:_SHOWN], coarse[:_SHOWN]
            times = np.linspace(1, 0, 12, endpoint=False).tolist() if self.arguments.stage == "flow" else None
            drawn = [self.refiner.draw(coarse, self._noise(fine, rng), times) for _ in range(2)]
        self.run.log(step, {"held_out_flow": float(loss)}, always=True)
        shown = torch.cat([fine, coarse, *(one.float() for one in drawn)])
        path = self.logging_dir / "grids" / f"step-{step:06d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image_grid(to_uint8(shown), columns=len(fine))).save(path)


def seeded(seed: int, make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """A network of the refiner's training whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "refiner: weights"))
        return make()
