"""Train, validation and test, divided by patient."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.randomness import numpy_generator

logger = logging.getLogger(__name__)


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


def join_equal_images(groups: np.ndarray, images: Sequence[bytes | None]) -> np.ndarray:
    """Joins patients who share an image, so that they come into the same split; says how many.

    They are one person under two numbers, or an image was filed twice: an evaluation refuses to test on an image that
    was learned from.

    Args:
        groups: the patient of each record, int `(num_records,)`.
        images: what identifies the image of each record, see `ImageSummary.digests`; None identifies nobody.

    Returns:
        Groups `(num_records,)`; those that share no image keep their codes.
    """
    joined = np.array(groups)
    records = pd.DataFrame({"image": images, "patient": groups}).dropna().drop_duplicates()
    shared = records[records["image"].duplicated(keep=False)]
    for _, patients in shared.groupby("image", sort=False)["patient"]:
        together = np.unique(joined[np.isin(groups, patients)])
        joined[np.isin(joined, together)] = together[0]
    if len(shared):
        logger.warning(
            "%d patients share an equal image with another patient: they stay together in one split",
            shared["patient"].nunique(),
        )
    return joined
