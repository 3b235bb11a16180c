"""Estimates with a bootstrap over patients, and the share of real data's utility that synthetic data recover."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.core.scores import CHANCE
from hf_hybrid.metrics.predictions import divide

SHARE_FLOORS = {"auc": 0.6, "r2": 0.1}  # a share is given if real data are significantly above


_BLOCK_CELLS = 2_000_000  # weights scored at once: keeps memory flat for large test sets


def bootstrap_weights(groups: Sequence, num_bootstraps: int, seed: int) -> np.ndarray:
    """How often each record is drawn when whole patients are drawn with replacement.

    Args:
        groups: the patient of each record, `(n,)`.
        num_bootstraps: number of replicates.
        seed: seed of the draws.

    Returns:
        float32 `(num_bootstraps, n)`.
    """
    _, patients = np.unique(np.asarray(groups), return_inverse=True)
    num_patients = patients.max() + 1
    equal = np.full(num_patients, 1 / num_patients)
    draws = numpy_generator(seed, "bootstrap").multinomial(num_patients, equal, num_bootstraps)
    return draws[:, patients].astype(np.float32)


@dataclass(frozen=True)
class Estimate:
    """A number and its value in every bootstrap replicate; estimates that share their weights are paired.

    Args:
        value: on all records, NaN if not defined.
        replicates: `(num_bootstraps,)`.
    """

    value: float
    replicates: np.ndarray

    @classmethod
    def of(cls, score: Callable, references: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Self:
        """Scores predictions on all records and on every replicate; `score` is one of the functions above.

        Raises:
            InputError: a prediction is not finite.
        """
        if not np.isfinite(predictions).all():
            found = np.sum(~np.isfinite(predictions))
            raise InputError(f"expected finite `predictions`, found {found} that are not: leave those records out")
        value = score(references, predictions, np.ones((1, len(references))))[0]
        num_blocks = -(-weights.size // _BLOCK_CELLS)
        blocks = [score(references, predictions, block) for block in np.array_split(weights, max(num_blocks, 1))]
        return cls(float(value), np.concatenate(blocks))

    @classmethod
    def mean(cls, estimates: Sequence[Self]) -> Self:
        """The mean over seeds, replicate by replicate."""
        return cls(
            float(np.mean([estimate.value for estimate in estimates])),
            np.mean([estimate.replicates for estimate in estimates], axis=0),
        )

    @property
    def interval(self) -> tuple[float, float] | None:
        """The middle 95 % of the defined replicates; None if there are none."""
        defined = self.replicates[np.isfinite(self.replicates)]
        return tuple(np.percentile(defined, [2.5, 97.5]).tolist()) if defined.size else None

    def minus(self, other: Self) -> Self:
        """The paired difference."""
        return type(self)(self.value - other.value, self.replicates - other.replicates)


@dataclass(frozen=True)
class Recovery:
    """How much of the utility of real data synthetic data keep; `reason` says why if it is not given.

    Args:
        share: (synthetic - chance) / (real - chance); above 1 if synthetic data do better. None without a reason: the
            score has no chance level.
        gap: real - synthetic, paired.
        reason: why neither is given.
    """

    share: Estimate | None
    gap: Estimate | None
    reason: str | None = None


def recover(metric: str, real: Estimate, synthetic: Estimate) -> Recovery:
    """The recovered share and the paired gap, if real data are significantly above `SHARE_FLOORS`.

    Otherwise a small denominator would turn noise into a large share.

    Args:
        metric: "auc" (chance 0.5) or "r2" (chance 0).
        real: of the model trained on real records.
        synthetic: of the model trained on synthetic records, with the same bootstrap weights.
    """
    floor, chance = SHARE_FLOORS[metric], CHANCE[metric]
    interval = real.interval
    if interval is None or not interval[0] > floor:
        found = "is not known" if interval is None else f"({interval[0]:.2f}) is not above {floor}"
        return Recovery(None, None, f"the lower bound of {metric} with real data {found}")
    share = Estimate(
        (synthetic.value - chance) / (real.value - chance),
        divide(synthetic.replicates - chance, real.replicates - chance),
    )
    return Recovery(share, real.minus(synthetic))
