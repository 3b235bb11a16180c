"""Which patients of `train` are training patients of a sampler, whom attacks look for, and which validation patients.

A sampler that is trained in steps sets some patients of `train` aside, to choose its weights on them
(`samplers.validation`). It never learns from them, so they would dilute every attack. They are drawn with the seed of
the sampler, and drawn again here: nothing about them is written down.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hf_hybrid import __version__
from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.samplers.validation import MIN_PATIENTS


@dataclass(frozen=True)
class TrainingPatients:
    """Positions in `train`.

    Args:
        learned: of the records that the sampler learned from.
        validation: of the records of its validation patients, on whom it chose its weights.
        reason: why the validation patients are not known, although there were some; all records then count as learned.
    """

    learned: np.ndarray
    validation: np.ndarray
    reason: str | None = None


def training_patients_of(groups: np.ndarray, provenance: Mapping) -> TrainingPatients:
    """Divides the patients of `train` as the sampler did.

    Args:
        groups: the patient of each record of `train`, `(n,)`, in the order in which the sampler was given them.
        provenance: of a pipeline or a release: `sampler` and `versions`.
    """
    every, none = np.arange(len(groups)), np.arange(0)
    config = provenance["sampler"].get("config") or {}
    share, seed = config.get("validation_share") or 0.0, config.get("seed")
    patients = np.unique(groups)
    count = round(share * len(patients))
    if min(count, len(patients) - count) < MIN_PATIENTS:  # as in the sampler, which then has no validation patients
        return TrainingPatients(every, none)
    made_by = provenance.get("versions", {}).get("hf_hybrid")
    if seed is None or made_by != __version__:
        unknown = "its seed is not known" if seed is None else f"it was made by version {made_by} of hf_hybrid"
        reason = f"the validation patients of the sampler ({share:.0%} of `train`) are not known, because {unknown}"
        return TrainingPatients(every, none, f"{reason}: they dilute the attacks")
    held = numpy_generator(seed, "sampler: validation patients").permutation(patients)[:count]
    is_held = np.isin(groups, held)
    return TrainingPatients(np.flatnonzero(~is_held), np.flatnonzero(is_held))
