"""Who of the training patients a sampler learned from: those are the members that attacks look for.

A sampler that is trained in steps holds some training patients out, to choose its weights on them
(`samplers.validation`). It never learns from them, so they would dilute every attack. Who they are is drawn from the
seed of the sampler, and is drawn again here: nothing about them is written down.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hf_hybrid import __version__
from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.samplers.validation import MIN_PATIENTS


@dataclass(frozen=True)
class Members:
    """Positions of the training records.

    Args:
        learned: of those that the sampler learned from.
        apart: of those on whom it chose its weights.
        reason: why it is not known who was held out, although some were; all then count as learned from.
    """

    learned: np.ndarray
    apart: np.ndarray
    reason: str | None = None


def members_of(groups: np.ndarray, provenance: Mapping) -> Members:
    """Draws the validation patients of a sampler again.

    Args:
        groups: the patient of each training record, `(n,)`, in the order in which the sampler was given them.
        provenance: of a pipeline or a release: `sampler` and `versions`.
    """
    every, none = np.arange(len(groups)), np.arange(0)
    config = provenance["sampler"].get("config") or {}
    share, seed = config.get("validation_share") or 0.0, config.get("seed")
    patients = np.unique(groups)
    count = round(share * len(patients))
    if min(count, len(patients) - count) < MIN_PATIENTS:  # as the sampler, which then holds nobody out
        return Members(every, none)
    made_by = provenance.get("versions", {}).get("hf_hybrid")
    if seed is None or made_by != __version__:
        unknown = "its seed is not known" if seed is None else f"it was made by version {made_by} of hf_hybrid"
        reason = f"who of the training patients the sampler held out ({share:.0%}) is not known, because {unknown}"
        return Members(every, none, f"{reason}: they dilute the attacks")
    held = numpy_generator(seed, "sampler: validation patients").permutation(patients)[:count]
    is_held = np.isin(groups, held)
    return Members(np.flatnonzero(~is_held), np.flatnonzero(is_held))
