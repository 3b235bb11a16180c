"""Shared by samplers that are trained in steps: validation patients, the loop, and the best weights."""

import hashlib
import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from hf_hybrid.core.errors import InputError
from hf_hybrid.samplers.base import Sampler
from hf_hybrid.samplers.options import TrainedOptions
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.samplers.validation import Validation
from hf_hybrid.training.arguments import TrainingArguments
from hf_hybrid.training.run import TrainingRun, make_accelerator
from hf_hybrid.training.weights import BestWeights, MovingAverage

CHECKPOINTING_STEPS = 500


@dataclass
class TrainedSampler(TrainedOptions, Sampler, is_abstract=True):
    """A network that learns in steps; its options are those of `TrainedOptions`."""

    def learn(self, rows: LatentRows, groups: np.ndarray, logging_dir: Path | None) -> None:
        """Trains the network; see `Sampler.learn`."""
        # The transform learned marginals from all patients: enough of them hold each category and have each number,
        # which may not hold for those left when some are held out.
        matrix = self.transform_.transform(rows.latents, rows.frame)
        validation = Validation(rows, groups, self.schema_, self.validation_share, self.seed)
        self._prepare(matrix[:, self.transform_.num_scalars_ :].mean(axis=0))
        matrix = matrix[validation.learning]
        self._start(matrix, groups[validation.learning])
        with tempfile.TemporaryDirectory() as temporary:
            self._train(torch.from_numpy(matrix).float(), validation, Path(logging_dir or temporary))

    @abstractmethod
    def _prepare(self, shares: np.ndarray) -> None:
        """Makes the network, given how often each choice is made, `(num_choices,)`."""

    @abstractmethod
    def _start(self, matrix: np.ndarray, groups: np.ndarray) -> None:
        """Sets in closed form what can be, from the rows to learn from `(n, width)` and their patients."""

    @abstractmethod
    def _train(self, matrix: torch.Tensor, validation: Validation, logging_dir: Path) -> None:
        """Trains the network on the rows to learn from."""

    def _arguments(self, ema_decay: float = 0.0) -> TrainingArguments:
        return TrainingArguments(
            max_train_steps=self.max_train_steps,
            train_batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            mixed_precision="no",
            ema_decay=ema_decay,
            checkpointing_steps=CHECKPOINTING_STEPS,
            seed=self.seed,
        )

    def _accelerator(self, arguments: TrainingArguments, logging_dir: Path) -> Accelerator:
        accelerator = make_accelerator(arguments, logging_dir)
        if accelerator.num_processes > 1:
            raise InputError(
                f"expected one process to train a sampler, found {accelerator.num_processes}: "
                "start it without `accelerate launch`"
            )
        return accelerator

    def _steps(
        self,
        accelerator: Accelerator,
        arguments: TrainingArguments,
        network: torch.nn.Module,
        matrix: torch.Tensor,
        validation: Validation,
        logging_dir: Path,
    ) -> Iterator[tuple[int, TrainingRun]]:
        """Resumes or begins a run and counts its steps; scores the weights at intervals, and keeps the best ones."""
        average = MovingAverage(accelerator, network, arguments.ema_decay)
        best = BestWeights(accelerator, network)
        fingerprint = hashlib.sha256(matrix.numpy().tobytes()).hexdigest()  # stays in the private folder
        configuration = {"sampler": asdict(self), "rows": fingerprint, "schema": self.schema_.to_dict()}
        run = TrainingRun(accelerator, arguments, logging_dir, configuration)
        run.resume()

        def score(step: int) -> None:
            network.eval()
            with average.applied():
                validation.keep_best(step, self, run, best)

        if run.step == 0:
            score(0)
        for step in run.steps("training the sampler"):
            network.train()
            yield step, run
            average.update()
            if step % self.validation_steps == 0 or step == self.max_train_steps:
                score(step)
            if validation.enabled and step - best.step >= self.patience * self.validation_steps:
                break
        best.restore()
        network.eval()
        self.best_step_ = best.step
