"""Train, validation and test, divided by patient."""

import numpy as np

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.randomness import numpy_generator


def split_by_patient(
    groups: np.ndarray, test: float = 0.25, validation: float = 0.1, seed: int = 0
) -> dict[str, np.ndarray]:
    """Divides records so that no patient is in two splits.

    Args:
        groups: the patient of each record, `(num_records,)`.
        test: share of the patients, at least one; 0 leaves the split out.
        validation: likewise.
        seed: seed of the choice of patients.

    Returns:
        Sorted record indices of "train", "validation" and "test".

    Raises:
        InputError: the shares leave nothing to train on, or there are too few patients.
    """
    if not (test >= 0 and validation >= 0 and test + validation < 1):
        raise InputError(
            f"expected shares `test` and `validation` of at least 0, together below 1, found {test} and {validation}"
        )
    patients = numpy_generator(seed, "split").permutation(np.unique(groups))
    counts = {
        name: max(1, round(share * len(patients)))
        for name, share in (("test", test), ("validation", validation))
        if share > 0
    }
    if len(patients) <= sum(counts.values()):
        raise InputError(f"expected at least {sum(counts.values()) + 1} patients to split, found {len(patients)}")
    ends = np.cumsum(list(counts.values()), dtype=int)
    parts = dict(zip([*counts, "train"], np.split(patients, ends), strict=True))
    return {
        name: np.flatnonzero(np.isin(groups, parts[name])) for name in ("train", "validation", "test") if name in parts
    }
