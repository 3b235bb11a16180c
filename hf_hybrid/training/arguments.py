"""Options of every training run; importing them needs no torch."""

from dataclasses import dataclass

from hf_hybrid.core.errors import InputError, check_above, check_at_least, check_share

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
