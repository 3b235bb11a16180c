"""Exact and near copies of images, rows and whole records."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from hf_hybrid.core.errors import InputError
from hf_hybrid.evaluation.attacks.base import Attack, AttackResult, ClosestPair, Test, rate_test, rates_by_patient
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces, side_by_side
from hf_hybrid.metrics.copies import EXACT_IMAGE, EXACT_ROW, Nearest, near_thresholds, nearest
from hf_hybrid.metrics.curves import histograms
from hf_hybrid.metrics.risk import CoincidenceRisk, ObservedRisk

PAIRS_SHOWN = 8  # of images and of rows


@dataclass(frozen=True)
class RealRows:
    """Which rows of real patients belong to one of them alone.

    Args:
        own: whether no other real patient has the row of each training and of each held-out record.
        num_all: different rows of the real patients, each patient's counted once.
        num_train: those of training patients.
        num_twice: rows that exactly two patients have.
    """

    own: tuple[np.ndarray, np.ndarray]
    num_all: int
    num_train: int
    num_twice: int

    @classmethod
    def of(cls, spaces: AttackSpaces) -> Self:
        """Compares the rows of all real patients."""
        rows = [one.frame.map(str).agg("\x1f".join, axis=1) for one in spaces.sets[1:]]
        sides = [
            pd.DataFrame({"row": side.to_numpy(), "patient": one.groups, "side": number})
            for number, (side, one) in enumerate(zip(rows, spaces.sets[1:], strict=True))
        ]
        pairs = pd.concat(sides).drop_duplicates()
        holders = pairs["row"].value_counts()
        own = tuple(holders[side].to_numpy() == 1 for side in rows)
        return cls(own, len(pairs), int((pairs["side"] == 0).sum()), int((holders == 2).sum()))


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
        real_rows = RealRows.of(spaces)
        return AttackResult(
            [*_exact(spaces, found, real_rows), *_near(spaces, found, thresholds, real_rows)], curves, pairs
        )


def _exact(spaces: AttackSpaces, found: list[Nearest], real: RealRows) -> list[Test]:
    """Equal images, and equal rows that no other real patient has, against the equal rows of real patients."""
    rates = rates_by_patient(spaces, *(one.image <= EXACT_IMAGE for one in found))
    if rates.rates[1]:  # images of two people are never equal
        raise InputError(
            "expected patients in `test` whose images the release does not know, found those of "
            f"{np.count_nonzero(rates.held_out)} in it: it learned from them, or test and train are exchanged"
        )
    # So the training patients with a copy are counted, not estimated. Rows of two people may well be equal.
    counted = ObservedRisk(rates.value, rates.num_held_out)
    image = rate_test("exact copy: image", rates, "the same image is in the release", counted)
    rows = rates_by_patient(spaces, *(hit & own for hit, own in zip(_equal_rows(found), real.own, strict=True)))
    # A record of the release has a row seen once with 2 N2 / N; the hits among training and held-out patients are thus
    # to the pairs of equal rows as 2 m n / N^2 and 2 m h / N^2 to 1.
    drawn = 2 * len(spaces.synthetic)
    share = drawn * real.num_train / (real.num_all * (drawn + real.num_all))
    coincidences = real.num_twice + int(np.count_nonzero(rows.held_out))
    risk = CoincidenceRisk(rows.training, rows.held_out, coincidences, share)
    row = rate_test("exact copy: row", rows, "the release has their row, which no other real patient has", risk)
    reference = row.score.reference | {"by chance, as rows of real patients are equal": risk.by_chance}
    return [image, replace(row, score=replace(row.score, reference=reference))]


def _equal_rows(found: list[Nearest]) -> list[np.ndarray]:
    return [one.row <= EXACT_ROW for one in found]


def _near(spaces: AttackSpaces, found: list[Nearest], thresholds: tuple[float, float], real: RealRows) -> list[Test]:
    tests = []
    for name, limit, meaning in (
        ("image", thresholds[0], "the release has their image, perhaps mirrored, shifted, brighter or darker"),
        ("row", thresholds[1], "the release has their row, which no other has, perhaps with small changes"),
        ("record", 1.0, "the release has their image and row in one record, perhaps with small changes"),
    ):
        hits = [getattr(one, name) <= limit for one in found]
        if name == "row":
            hits = [hit & own for hit, own in zip(hits, real.own, strict=True)]
        tests.append(rate_test(f"near copy: {name}", rates_by_patient(spaces, *hits), meaning))
    return tests


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
