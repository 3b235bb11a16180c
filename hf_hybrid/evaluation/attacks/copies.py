"""Exact and near copies of images, rows and whole records."""

import numpy as np
from scipy.stats import poisson

from hf_hybrid.core.errors import InputError
from hf_hybrid.evaluation.attacks.base import Attack, AttackResult, ClosestPair, Test, rate_test, rates_by_patient
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces, side_by_side
from hf_hybrid.metrics.copies import EXACT_IMAGE, EXACT_ROW, Nearest, chance_of_rows, near_thresholds, nearest
from hf_hybrid.metrics.curves import histograms
from hf_hybrid.metrics.risk import FAIL_LEVEL, ObservedRisk

TOGETHER = 100  # times as likely as with independent columns an equal row may be
PAIRS_SHOWN = 8  # of images and of rows


class CopyAttack(Attack):
    """Nearest synthetic image, row and record of every patient, by pixels and cells."""

    name = "copies"
    family = "copies"
    citation = "Dar et al. 2024, arXiv:2402.01054"

    def run(self, spaces: AttackSpaces) -> AttackResult:
        """Attacks training patients and held-out patients."""
        library, *real = (
            (one.pixels, side_by_side(cells)) for one, cells in zip(spaces.sets, spaces.cells, strict=True)
        )
        thresholds = near_thresholds(nearest(*real[1], *real[0]), spaces.multiple)
        found = [nearest(*side, *library, thresholds) for side in real]
        curves, pairs = _shown(spaces, found, thresholds)
        return AttackResult([*_exact(spaces, found), *_near(spaces, found, thresholds)], curves, pairs)


def _exact(spaces: AttackSpaces, found: list[Nearest]) -> list[Test]:
    tests = []
    for name, limit in (("image", EXACT_IMAGE), ("row", EXACT_ROW)):
        rates = rates_by_patient(spaces, *(getattr(one, name) <= limit for one in found))
        if name == "image" and rates.rates[1]:  # images of two people are never equal
            raise InputError(
                "expected patients in `test` whose images the release does not know, found those of "
                f"{np.count_nonzero(rates.unseen)} in it: it learned from them, or test and train are exchanged"
            )
        # The training patients with a copy are counted, not estimated, unless such copies occur by chance.
        counted = rates.rates[1] == 0 and (name == "image" or is_no_chance(spaces, found[0].row <= limit))
        risk = ObservedRisk(rates.value, rates.num_unseen) if counted else rates
        tests.append(rate_test(f"exact copy: {name}", rates, f"the same {name} is in the release", risk))
    return tests


def _near(spaces: AttackSpaces, found: list[Nearest], thresholds: tuple[float, float]) -> list[Test]:
    return [
        rate_test(
            f"near copy: {name}", rates_by_patient(spaces, *(getattr(one, name) <= limit for one in found)), meaning
        )
        for name, limit, meaning in (
            ("image", thresholds[0], "the release has their image, perhaps mirrored, shifted, brighter or darker"),
            ("row", thresholds[1], "the release has their row, perhaps with small changes"),
            ("record", 1.0, "the release has their image and row in one record, perhaps with small changes"),
        )
    ]


def _shown(
    spaces: AttackSpaces, found: list[Nearest], thresholds: tuple[float, float]
) -> tuple[tuple[dict, ...], tuple[ClosestPair, ...]]:
    """Histograms of the nearest distances, and the closest pairs."""
    curves, pairs = [], []
    for part, threshold in zip(("image", "row"), thresholds, strict=True):
        sides = [getattr(one, part) / threshold for one in found]
        groups = (one.groups for one in spaces.sets[1:])
        curves.append(histograms(f"nearest {part}", *sides, groups, spaces.schema.min_patients))
        nearest_first, match = np.argsort(sides[0], kind="stable"), getattr(found[0], f"{part}_match")
        _, first_of_patient = np.unique(spaces.train.groups[nearest_first], return_index=True)
        pairs += [
            ClosestPair(part, int(row), int(match[row]), round(float(sides[0][row]), 4))
            for row in nearest_first[np.sort(first_of_patient)[:PAIRS_SHOWN]]
        ]
    return tuple(curves), tuple(pairs)


def is_no_chance(spaces: AttackSpaces, hit: np.ndarray) -> bool:
    """Whether the equal rows, bool `(num_train,)`, are too many to be equal by chance."""
    # A patient counts once, and so do equal rows of a patient.
    rows = spaces.train.frame.map(str).assign(patient=spaces.train.groups)
    chance = chance_of_rows(spaces.synthetic.frame, spaces.train.frame)[~rows.duplicated().to_numpy()]
    patients = len(np.unique(spaces.train.groups[hit]))
    return bool(patients) and poisson.sf(patients - 1, TOGETHER * len(spaces.synthetic) * chance.sum()) < FAIL_LEVEL
