"""What every training loop shares under Accelerate: budget, checkpoints, exact resume, log, EMA; models supply losses.

A loop reads `for step in run.steps(...): ...; run.log(step, losses)`. Randomness comes from
`randomness.generator(seed, stream, step)`, so a checkpoint holds weights, optimisers, the moving average and the step,
and a resumed run takes the very steps that an undisturbed one would have taken. Input is made `with run.waiting():`,
whose share of the time since the last logged step is logged as `waiting`.
"""

import contextlib
import json
import logging
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tqdm.auto import tqdm

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import private_folder, write_atomically
from hf_hybrid.training.arguments import TrainingArguments

logger = logging.getLogger(__name__)


def make_accelerator(arguments: TrainingArguments, logging_dir: Path) -> Accelerator:
    """The Accelerator that a training asks for.

    Raises:
        InputError: a tracker is asked for that is not installed.
    """
    # Its state is one per process: without this a sampler could not be trained after a codec in half precision.
    AcceleratorState._reset_state()
    try:
        accelerator = Accelerator(
            mixed_precision=arguments.mixed_precision, log_with=arguments.report_to, project_dir=logging_dir
        )
    except ValueError:
        accelerator = None
    # Accelerate drops a tracker that it cannot import.
    if arguments.report_to and not (accelerator and accelerator.log_with):
        raise InputError(f"expected `report_to` a tracker that is installed, found {arguments.report_to!r}")
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
        self.waited = 0.0  # seconds, see `waiting`
        self._last_logged = time.monotonic(), 0.0
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
        self._last_logged = time.monotonic(), self.waited
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

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time within as waiting for input: clock time of this process, without waiting for the device."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.waited += time.monotonic() - started

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
        if not always and self.waited:
            metrics["waiting"] = self._waiting_share()
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
    def progress(self) -> float:
        """Share of the budget that is spent, 0 to 1; by time where that is limited."""
        by_steps = self.step / self.arguments.max_train_steps
        minutes = self.arguments.max_train_minutes
        return min(1.0, by_steps if minutes is None else max(by_steps, self.seconds / (60 * minutes)))

    def learning_rate(self) -> float:
        """Up over the warm-up, then down to 2 % along a cosine by the share of the budget that is spent.

        diffusers' schedules count steps; this one also ends where time is what ends a training.
        """
        warm = min(1.0, (self.step + 1) / max(1, self.arguments.lr_warmup_steps))
        return self.arguments.learning_rate * warm * (0.02 + 0.98 * (1 + math.cos(math.pi * self.progress)) / 2)

    def _waiting_share(self) -> float:
        """Share of the time since the last call that was waited."""
        (since, before), now = self._last_logged, (time.monotonic(), self.waited)
        self._last_logged = now
        return (now[1] - before) / max(now[0] - since, 1e-9)

    @property
    def _log_path(self) -> Path:
        return self.logging_dir / "metrics.jsonl"

    def _out_of_time(self) -> bool:
        minutes = self.arguments.max_train_minutes
        if minutes is None:
            return False
        if self.accelerator.num_processes == 1:  # without waiting for the device
            return self.seconds >= 60 * minutes
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
