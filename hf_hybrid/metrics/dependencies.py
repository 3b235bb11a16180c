"""Columns that follow from others: a synthetic row that breaks such a rule is easily recognised."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from hf_hybrid.data.schema import RecordSchema

MIN_RECORDS = 40
EXPLAINED = 0.999  # R2 of a number by others
_MIN_HELD = 5  # records of a combination that count as evidence
_COVERED = 0.8  # minimum share of records in such combinations
_MANY = (15, 50)  # numbers of columns from which three, and two, sources at once are too many to try
_MAX_MAJORITY = 0.95  # a column that hardly varies follows from anything


@dataclass(frozen=True)
class Dependency:
    """A column that follows from others.

    Args:
        column: which one.
        sources: the others.
        how: `product` (a product of powers), `sum` (a weighted sum), `ranges` (of one number) or `cells`.
    """

    column: str
    sources: tuple[str, ...]
    how: str


def find_dependencies(schema: RecordSchema, frame: pd.DataFrame) -> list[Dependency]:
    """Numbers that are sums or products of two or three others, and choices that follow from ranges or other choices.

    A number in another unit, or a recoded choice, does not count here: equal columns are found elsewhere.

    Args:
        schema: of the records.
        frame: typed cells.
    """
    numbers = {name: frame[name].to_numpy(np.float64) for name, one in schema.table.items() if one.is_number}
    numbers = {name: cells for name, cells in numbers.items() if len(np.unique(cells[np.isfinite(cells)])) > 10}
    choices = {name: pd.factorize(frame[name].map(str))[0] for name, one in schema.table.items() if not one.is_number}
    # The first represents all columns that are recodings of it.
    once = {codes.tobytes(): name for name, codes in reversed(choices.items())}.values()
    choices = {name: codes for name, codes in choices.items() if name in once and _varies(codes)}
    return [*_of_numbers(numbers), *_ranges(choices, numbers, frame), *_of_choices(choices)]


def _of_numbers(numbers: dict[str, np.ndarray]) -> Iterator[Dependency]:
    found = set()
    sizes = [size for size, most in zip((2, 3), _MANY[::-1], strict=True) if len(numbers) <= most]
    for name, sources in _with_sources(numbers, sizes):
        if found & {frozenset((name, *some)) for size in (2, 3) for some in combinations(sources, size)}:
            continue  # the same rule, with one more column or solved for another
        matrix = np.column_stack([numbers[one] for one in (name, *sources)])
        matrix = matrix[np.isfinite(matrix).all(axis=1)]
        if len(matrix) < MIN_RECORDS:
            continue
        for how in ("sum", "product"):
            if how == "product" and not (matrix > 0).all():
                continue
            values = np.log(matrix) if how == "product" else matrix
            if _explained(values) >= EXPLAINED and all(
                _explained(np.delete(values, place, axis=1)) < EXPLAINED for place in range(1, values.shape[1])
            ):
                found.add(frozenset((name, *sources)))
                yield Dependency(name, sources, how)
                break


def _explained(values: np.ndarray) -> float:
    """R2 of the first column by the others and a constant."""
    goal, others = values[:, 0], np.column_stack([np.ones(len(values)), values[:, 1:]])
    if goal.std() == 0:
        return 1.0
    rest = goal - others @ np.linalg.lstsq(others, goal, rcond=None)[0]
    return float(1 - rest.var() / goal.var())


def _ranges(
    choices: dict[str, np.ndarray], numbers: dict[str, np.ndarray], frame: pd.DataFrame
) -> Iterator[Dependency]:
    for name, codes in choices.items():
        for source, cells in numbers.items():
            rows = np.isfinite(cells) & frame[name].notna().to_numpy()
            if rows.sum() < MIN_RECORDS or not _varies(codes[rows]):
                continue
            order = np.argsort(cells[rows], kind="stable")
            ordered, values = codes[rows][order], cells[rows][order]
            changes = np.flatnonzero(ordered[1:] != ordered[:-1])
            # Each choice is one range, and none begins within one number.
            is_apart = (values[changes] < values[changes + 1]).all()
            if len(changes) == len(np.unique(ordered)) - 1 and is_apart:
                yield Dependency(name, (source,), "ranges")


def _of_choices(choices: dict[str, np.ndarray]) -> Iterator[Dependency]:
    found = set()
    for name, sources in _with_sources(choices, [1, 2] if len(choices) <= _MANY[1] else [1]):
        if len(sources) == 2 and any((name, one) in found for one in sources):
            continue
        codes = choices[name]
        combined = pd.factorize(pd.MultiIndex.from_arrays([choices[one] for one in sources]))[0]
        table = np.zeros((combined.max() + 1, codes.max() + 1), dtype=int)
        np.add.at(table, (combined, codes), 1)
        held = table.sum(axis=1)
        told = held >= _MIN_HELD
        if len(codes) < MIN_RECORDS or held[told].sum() < _COVERED * len(codes):
            continue
        follows = (table[told].max(axis=1) == held[told]).all()
        is_recoded = len(sources) == 1 and told.sum() == len(np.unique(codes))
        if follows and not is_recoded and len(np.unique(table[told].argmax(axis=1))) > 1:
            found.add((name, sources[0]) if len(sources) == 1 else (name, sources))
            yield Dependency(name, sources, "cells")


def _with_sources(columns: dict[str, np.ndarray], sizes: list[int]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for size in sizes:
        for name in columns:
            for sources in combinations([one for one in columns if one != name], size):
                yield name, sources


def _varies(codes: np.ndarray) -> bool:
    return len(codes) > 0 and np.bincount(codes).max() <= _MAX_MAJORITY * len(codes)
