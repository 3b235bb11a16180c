"""Training sets of the models: real records, synthetic records, both, and the controls for a gain."""

from dataclasses import dataclass

import numpy as np

from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.core.scores import REAL, REPEATED

MULTIPLES = (1, 2, 5)  # synthetic records per real training record


CONSTANT = "a constant"


@dataclass(frozen=True)
class TrainingSet:
    """Rows of the pool (real training records, then synthetic ones) that a model is trained on.

    Args:
        name: as in the report.
        compared_with: name of the set whose scores are subtracted.
        rows: `(n_train,)`.
        image_order: position in `rows` of the image of each row; None if each row keeps its own.
        num_first: how many of `rows` a model is trained on before it is fine-tuned on the rest, 0 for all at once.
    """

    name: str
    compared_with: str
    rows: np.ndarray
    image_order: np.ndarray | None = None
    num_first: int = 0


def training_sets(num_real: int, num_synthetic: int, seed: int) -> list[TrainingSet]:
    """Real, synthetic in nested subsets up to the whole release, both, and the controls."""
    rng = numpy_generator(seed, "training sets")
    real, synthetic = np.arange(num_real), num_real + rng.permutation(num_synthetic)
    counts = {f"{multiple}x": multiple * num_real for multiple in MULTIPLES if multiple * num_real <= num_synthetic}
    counts.setdefault(f"{num_synthetic / num_real:.2g}x", num_synthetic)  # all of it, whatever its size
    sets = [TrainingSet(f"synthetic {name}", REAL, synthetic[:count]) for name, count in counts.items()]
    most, count = sets[-1], len(sets[-1].rows)
    repeats = np.concatenate([np.tile(real, 1 + count // num_real), rng.permutation(real)[: count % num_real]])
    return [
        TrainingSet(REAL, CONSTANT, real),
        *sets,
        TrainingSet(f"{most.name}, images shuffled", most.name, most.rows, rng.permutation(count)),
        TrainingSet(REPEATED, REAL, repeats),
        TrainingSet(f"real + {most.name}", REPEATED, np.concatenate([real, most.rows])),
        TrainingSet(f"{most.name}, then real", REPEATED, np.concatenate([most.rows, real]), num_first=count),
    ]


def real_and_whole(sets: list[TrainingSet]) -> list[TrainingSet]:
    """The real records and the whole release."""
    return [sets[0], whole_release(sets)]


def shuffled_release(sets: list[TrainingSet]) -> TrainingSet:
    """The whole release with its images shuffled."""
    return next(one for one in sets if one.image_order is not None)


def whole_release(sets: list[TrainingSet]) -> TrainingSet:
    """The largest of the synthetic training sets."""
    return [one for one in sets if one.compared_with == REAL and one.name != REPEATED][-1]
