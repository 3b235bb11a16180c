"""What every training loop shares under Accelerate: budget, checkpoints, exact resume, log, EMA; models supply losses.

A loop reads `for step in run.steps(...): ...; run.log(step, losses)`. Randomness comes from
`randomness.generator(seed, stream, step)`, so a checkpoint holds weights, optimisers, the moving average and the step,
and a resumed run takes the very steps that an undisturbed one would have taken.
"""

import contextlib
import json
import logging
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tqdm.auto import tqdm

from hf_hybrid.errors import InputError, check_above, check_at_least, check_share
from hf_hybrid.folders import private_folder, write_atomically

logger = logging.getLogger(__name__)

SCHEDULERS = ("constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial")


@dataclass
class TrainingArguments:
    """Options of a training run.

    Args:
        max_train_steps: optimiser steps; what repeats exactly.
        max_train_minutes: stop after this time instead, if it comes first (the result then depends on the machine).
        train_batch_size: records a step, process and accumulation step.
        gradient_accumulation_steps: micro-batches a step.
        learning_rate: of the model's own optimiser.
        lr_scheduler: `constant`, `cosine`, `linear` and others of `diffusers.optimization.get_scheduler`.
        lr_warmup_steps: steps over which the learning rate rises from 0.
        mixed_precision: `no`, `fp16` or `bf16`; None takes what `accelerate launch` was told.
        ema_decay: decay of the moving average of the weights, 0 for none.
        checkpointing_steps: steps between checkpoints.
        checkpoints_total_limit: checkpoints kept.
        log_steps: steps between two lines of the log.
        report_to: an Accelerate tracker (`tensorboard`, `wandb`, ...) that gets the numbers; none by default.
        seed: seed of weights, batches and noise.
    """

    max_train_steps: int = 5000
    max_train_minutes: float | None = None
    train_batch_size: int = 32
    gradient_accumulation_steps: int = 1
    learning_rate: float = 2e-4
    lr_scheduler: str = "constant"
    lr_warmup_steps: int = 0
    mixed_precision: str | None = None
    ema_decay: float = 0.999
    checkpointing_steps: int = 500
    checkpoints_total_limit: int = 2
    log_steps: int = 50
    report_to: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        check_above(self, 0, "learning_rate")
        check_at_least(
            self,
            1,
            *("max_train_steps", "train_batch_size", "gradient_accumulation_steps"),
            *("checkpointing_steps", "checkpoints_total_limit", "log_steps"),
        )
        if self.max_train_minutes is not None:
            check_above(self, 0, "max_train_minutes")
        check_share(self, "ema_decay")
        if self.mixed_precision not in (None, "no", "fp16", "bf16"):
            raise InputError(f"expected `mixed_precision` no, fp16 or bf16, found {self.mixed_precision!r}")
        if self.lr_scheduler not in SCHEDULERS:
            raise InputError(f"expected `lr_scheduler` among {list(SCHEDULERS)}, found {self.lr_scheduler!r}")
        check_at_least(self, 0, "seed")

    def accelerator(self, logging_dir: Path) -> Accelerator:
        """The Accelerator that these arguments ask for."""
        # Its state is one per process: without this a sampler could not be trained after a codec in half precision.
        AcceleratorState._reset_state()
        try:
            accelerator = Accelerator(
                mixed_precision=self.mixed_precision, log_with=self.report_to, project_dir=logging_dir
            )
        except ValueError:
            accelerator = None
        if self.report_to and not (
            accelerator and accelerator.log_with
        ):  # Accelerate drops a tracker it cannot import
            raise InputError(f"expected `report_to` a tracker that is installed, found {self.report_to!r}")
        return accelerator


class TrainingRun:
    """One resumable run: it owns the step counter, the budget, the checkpoints and the log.

    Args:
        accelerator: where the networks, optimisers and moving averages to save were prepared or registered.
        arguments: the options.
        logging_dir: private folder for checkpoints and log (mode 0700); never handed on.
        configuration: what must be the same when a run is resumed, beside the arguments.
    """

    def __init__(
        self, accelerator: Accelerator, arguments: TrainingArguments, logging_dir: Path, configuration: dict
    ) -> None:
        self.accelerator = accelerator
        self.arguments = arguments
        self.logging_dir = private_folder(logging_dir)
        self.step = 0
        self.seconds = 0.0
        self.best = math.inf
        self._check_same_run(json.loads(json.dumps({"arguments": asdict(arguments), **configuration})))
        accelerator.register_for_checkpointing(self)
        if arguments.report_to:
            accelerator.init_trackers("hf_hybrid")

    def state_dict(self) -> dict:
        """What a checkpoint holds of the run itself."""
        return {"step": self.step, "seconds": self.seconds, "best": self.best}

    def load_state_dict(self, state: dict) -> None:
        """Continues where `state_dict` was taken."""
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]

    def resume(self) -> None:
        """Loads the newest checkpoint of this run, if there is one, and drops what was logged after it."""
        checkpoints = self._checkpoints()
        if checkpoints:
            self.accelerator.load_state(str(checkpoints[-1]))
            logger.info("resumed at step %d", self.step)
        if self.accelerator.is_main_process and self._log_path.exists():
            lines = [line for line in self._log_path.read_text().splitlines() if json.loads(line)["step"] <= self.step]
            write_atomically(self._log_path, "".join(line + "\n" for line in lines))
        self.accelerator.wait_for_everyone()

    def steps(self, description: str) -> Iterator[int]:
        """Counts 1, 2, ... to the end of the budget; saves a checkpoint each `checkpointing_steps` and at the end."""
        arguments = self.arguments
        bar = tqdm(
            desc=description,
            total=arguments.max_train_steps,
            initial=self.step,
            disable=not self.accelerator.is_main_process,
            mininterval=5,
        )
        self._bar = bar
        started = time.monotonic() - self.seconds
        with bar:
            while self.step < arguments.max_train_steps and not self._out_of_time():
                yield self.step + 1
                self.step += 1
                self.seconds = time.monotonic() - started
                bar.update()
                if self.step % arguments.checkpointing_steps == 0:
                    self._save()
        if self.step % arguments.checkpointing_steps:
            self._save()
        if arguments.report_to:
            self.accelerator.end_training()

    def log(self, step: int, metrics: dict[str, float | torch.Tensor], always: bool = False) -> None:
        """Logs the numbers of a step, each `log_steps` unless `always`; stops the run when one is not finite.

        Raises:
            InputError: a number is NaN or infinite; the last checkpoint is from before.
        """
        checkpoint_due = step % self.arguments.checkpointing_steps == 0
        if not (always or checkpoint_due or step % self.arguments.log_steps == 0):
            return
        metrics = {name: float(value) for name, value in metrics.items()}
        broken = [name for name, value in metrics.items() if not math.isfinite(value)]
        if broken:
            raise InputError(
                f"expected finite losses, found {broken} not finite at step {step}: "
                "lower `learning_rate` or use mixed_precision bf16 or no; the last checkpoint is from before"
            )
        self.accelerator.log(metrics, step=step)
        if not always:
            self._bar.set_postfix({name: f"{value:.3f}" for name, value in metrics.items()}, refresh=False)
        if self.accelerator.is_main_process:
            with self._log_path.open("a") as stream:
                stream.write(json.dumps({"step": step, **{k: round(v, 6) for k, v in metrics.items()}}) + "\n")

    def is_best(self, score: float) -> bool:
        """Whether `score` (lower is better) beats all before; it is remembered then."""
        better = score < self.best
        self.best = min(score, self.best)
        return better

    @property
    def _log_path(self) -> Path:
        return self.logging_dir / "metrics.jsonl"

    def _out_of_time(self) -> bool:
        minutes = self.arguments.max_train_minutes
        if minutes is None:
            return False
        # Processes have clocks of their own: all stop when one is out of time.
        late = torch.tensor(float(self.seconds >= 60 * minutes), device=self.accelerator.device)
        return bool(self.accelerator.reduce(late, "sum") > 0)

    def _checkpoints(self) -> list[Path]:
        found = (path for path in self.logging_dir.glob("checkpoint-*") if path.suffix != ".tmp")
        return sorted(found, key=lambda path: int(path.name.split("-")[1]))

    def _save(self) -> None:
        """Writes a checkpoint under another name first, so that a killed process leaves whole ones only."""
        final = self.logging_dir / f"checkpoint-{self.step}"
        temporary = final.with_suffix(".tmp")
        if self.accelerator.is_main_process:
            shutil.rmtree(temporary, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(temporary))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            for old in self._checkpoints()[: -self.arguments.checkpoints_total_limit]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def _check_same_run(self, configuration: dict) -> None:
        """Refuses to resume from checkpoints that other arguments made."""
        path = self.logging_dir / "configuration.json"
        configuration |= configuration.pop("arguments")  # so that a message can name the option
        if not self._checkpoints():
            if self.accelerator.is_main_process:
                write_atomically(path, json.dumps(configuration, indent=2))
        else:
            made_with = json.loads(path.read_text(encoding="utf-8"))
            differ = [key for key in {**made_with, **configuration} if made_with.get(key) != configuration.get(key)]
            if differ:
                raise InputError(
                    f"expected the {', '.join(sorted(differ))} that the checkpoints in {self.logging_dir} were made "
                    "with, found others: use another `output_dir`, or remove that folder to start again"
                )
        self.accelerator.wait_for_everyone()


class MovingAverage:
    """Exponential moving average of a module's weights (a no-op with decay 0), saved with the checkpoints."""

    def __init__(self, accelerator: Accelerator, module: torch.nn.Module, decay: float) -> None:
        from diffusers.training_utils import EMAModel

        self.module = module
        self.device = accelerator.device
        self.average = EMAModel(module.parameters(), decay=decay) if decay else None
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
