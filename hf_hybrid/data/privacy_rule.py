"""The privacy rule: what may be stored of a private table, in a schema or in a saved sampler.

Bounds are trimmed quantiles that at least `min_patients` patients reach, never the extreme of fewer; a category or a
state held by fewer than `min_patients` patients is merged or dropped; a number is kept only where enough patients have
one. An answer that was dropped is not replaced by another one: it is missing, and where too few patients are missing,
its record is left out of what is learned.
"""

import dataclasses
import logging

import numpy as np
import pandas as pd

from hf_hybrid.data.bounds import trimmed_bounds
from hf_hybrid.data.columns import OTHER, ColumnSchema
from hf_hybrid.data.schema import RecordSchema

logger = logging.getLogger(__name__)

MIN_PATIENTS_A_COMPONENT = 10  # of a marginal: mixture component or smoothed quantile


def protect(schema: RecordSchema, frame: pd.DataFrame, groups: np.ndarray, warn: bool = True) -> RecordSchema:
    """The schema that may be published, learned from a private table.

    Args:
        schema: roles and kinds; bounds that it gives are kept as they are.
        frame: typed cells as `RecordSchema.read` returns them.
        groups: the patient of each record, shape `(num_records,)`.
        warn: whether to log what is left out, classes that a target loses, and a missing group column.

    Returns:
        A schema whose bounds, categories, decimals and states do not depend on a single patient. A column in which too
        few patients have a value is left out (role `ignore`). Bounds and counts are those of the records that
        `expressible` keeps.
    """
    kept = np.arange(len(frame))
    while True:  # leaving records out can make further answers rare
        protected = _protect(schema, frame.iloc[kept], groups[kept])
        held = expressible(protected, frame.iloc[kept])
        if held.all():
            break
        kept = kept[held]
    if warn:
        for problem in _warnings(schema, protected, frame, groups):
            logger.warning(problem)
    return protected


def protected(schema: RecordSchema, frame: pd.DataFrame, groups: np.ndarray) -> RecordSchema:
    """The schema itself if it is already protected, as in a release; otherwise see `protect`."""
    is_open = any(column.states is None for column in schema.table.values())
    return protect(schema, frame, groups) if is_open else schema


def enough_for_correlations(features: np.ndarray, is_answer: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Which correlations rest on enough patients to be disclosed, `(d, d)` bool.

    For two yes-or-no answers, at least `MIN_PATIENTS_A_COMPONENT` patients give each of the four combinations; for an
    answer and a number, as many patients with the number give each answer.

    Args:
        features: numbers, and answers as 0 or 1; NaN if missing, `(n, d)`.
        is_answer: which are answers, `(d,)`.
        groups: the patient of each record, `(n,)`.
    """
    _, patient, records = np.unique(groups, return_inverse=True, return_counts=True)
    known = np.isfinite(features)
    sides = [(known & (~is_answer | (features == answer))).astype(np.float64) for answer in (0, 1)]
    weights = 1 / records[patient][:, None]  # a patient counts once at most
    held = np.min([(one * weights).T @ other for one in sides for other in sides], axis=0)
    return (held >= MIN_PATIENTS_A_COMPONENT - 1e-9) | np.eye(len(held), dtype=bool)


def restrict(schema: RecordSchema, frame: pd.DataFrame) -> pd.DataFrame:
    """Cells restricted to a protected schema.

    Numbers are clipped to the bounds. An answer or a state that the schema does not have becomes missing, also where
    it has no state for that; `expressible` tells the records without such a cell, and a sampler may learn only those.
    """
    restricted = {}
    for name, column in schema.table.items():
        cells = frame[name]
        if column.is_number:
            restricted[name] = _restrict_numbers(cells.to_numpy(np.float64), column)
        else:
            names = _names(column)
            answers = [_restrict_names(cell, names) for cell in cells]
            restricted[name] = pd.Series(answers, index=frame.index, dtype=object)
    return pd.DataFrame(restricted, index=frame.index)


def expressible(schema: RecordSchema, frame: pd.DataFrame) -> np.ndarray:
    """Which records hold no cell that a protected schema cannot express, `(n,)` bool; all if it is not protected.

    A cell cannot be expressed if its answer was dropped, or is missing, and "missing" is no state of its column.
    """
    return ~np.any([np.zeros(len(frame), dtype=bool), *_without_answer(schema, frame).values()], axis=0)


def lost_answers(schema: RecordSchema, protected: RecordSchema, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which records hold an answer of each column that its protected schema lacks, `(n,)` bool, where any does.

    Args:
        schema: as it was before `protect`.
        protected: what `protect` made of it.
        frame: typed cells.
    """
    lost = {}
    for name, column in protected.table.items():
        if not column.is_number:
            names = set(_names(column)) - {OTHER} | ({OTHER} & set(_names(schema.table[name])))
            held = (cell if isinstance(cell, list) else [] if cell is None else [cell] for cell in frame[name])
            mask = np.array([not names.issuperset(answers) for answers in held], dtype=bool)
            if mask.any():
                lost[name] = mask
    return lost


def tell_left_out(schema: RecordSchema, frame: pd.DataFrame) -> str | None:
    """What to say about the records that a protected schema cannot express; None if there are none."""
    count = int((~expressible(schema, frame)).sum())
    if not count:
        return None
    columns = ", ".join(f"`{name}` ({mask.sum()})" for name, mask in _without_answer(schema, frame).items())
    text = (
        f"{count} of {len(frame)} records {'is' if count == 1 else 'are'} left out, because fewer than "
        f"{schema.min_patients} patients are missing, or share the answer, in {columns}: fill in these cells, merge "
        "rare answers, or leave the column out"
    )
    return text + (", since this is more than a tenth of the records" if count > 0.1 * len(frame) else "")


def tell_lost_class(name: str, lost: np.ndarray, groups: np.ndarray, min_patients: int) -> str:
    """What to say about a target that loses a class."""
    count = count_patients(groups, lost)
    return (
        f"target `{name}` loses a class: {count} patient{'s' * (count != 1)} hold{'s' * (count == 1)} answers that "
        f"fewer than {min_patients} share, and no release can hold them: merge classes, add patients, or choose "
        "another target"
    )


def count_patients(groups: np.ndarray, mask: np.ndarray) -> int:
    """How many different patients have a record where `mask` holds."""
    return len(np.unique(groups[np.asarray(mask, dtype=bool)]))


def _protect(schema: RecordSchema, frame: pd.DataFrame, groups: np.ndarray) -> RecordSchema:
    columns = {name: dataclasses.replace(column) for name, column in schema.columns.items()}
    for name, column in columns.items():
        if column.is_released:
            _protect_column(column, frame[name], groups, schema.min_patients)
    return RecordSchema(columns, schema.min_patients, schema.missing_values)


def _warnings(schema: RecordSchema, protected: RecordSchema, frame: pd.DataFrame, groups: np.ndarray) -> list[str]:
    """What `protect` logs: names of columns and counts, no cell."""
    found = []
    if schema.group_column is None:
        found.append(
            "no column identifies patients, so every record counts as a separate patient: if this is wrong, give the "
            "patient column the role `group` in the schema, or the privacy rule and all intervals are wrong"
        )
    for name in schema.table:
        if not protected.columns[name].is_released:
            found.append(f"column `{name}` is left out: {protected.columns[name].note}")
    lost = lost_answers(schema, protected, frame)
    found += [
        tell_lost_class(name, lost[name], groups, schema.min_patients) for name in protected.targets if name in lost
    ]
    return [*found, *filter(None, [tell_left_out(protected, frame)])]


def _without_answer(schema: RecordSchema, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Per column the records, `(n,)` bool, whose cell it cannot express; only columns that have such records."""
    columns = {
        name: column
        for name, column in schema.table.items()
        if column.states is not None and "missing" not in column.states
    }
    cells = restrict(RecordSchema(columns, schema.min_patients), frame)
    return {name: cells[name].isna().to_numpy() for name in columns if cells[name].isna().any()}


def _names(column: ColumnSchema) -> list:
    """The answers that a column can hold: True and False, categories or labels."""
    if column.kind != "boolean":
        return column.categories
    names = column.categories or ["false", "true"]
    return [value for value in (False, True) if str(value).lower() in names]


def _protect_column(column: ColumnSchema, cells: pd.Series, groups: np.ndarray, min_patients: int) -> None:
    if column.is_number:
        values = cells.to_numpy(np.float64)
        masks = {"missing": np.isnan(values), "-inf": values == -np.inf, "inf": values == np.inf}
        finite = np.isfinite(values)
        needed = 2 * max(MIN_PATIENTS_A_COMPONENT, min_patients)
        if count_patients(groups, finite) < needed:
            return _leave_out(column, f"fewer than {needed} patients have a value")
        column.decimals = _decimals(column, values)
        beyond = np.abs(values[finite]).max() >= 2**53  # cells are float64, which cannot hold every such integer
        if column.kind == "integer" and (masks["inf"].any() or masks["-inf"].any() or beyond):
            column.kind = "numeric"  # int64 has no infinity
        low, high = column.bounds or trimmed_bounds(values[finite], groups[finite], column.decimals, min_patients)
        for state in ("-inf", "inf"):  # dropped, it becomes missing
            if count_patients(groups, masks[state]) < min_patients:
                masks["missing"] |= masks[state]
        unit = 10.0**column.decimals  # inward, so that what is rounded stays within
        column.bounds = float(np.ceil(low * unit - 1e-6) / unit), float(np.floor(high * unit + 1e-6) / unit)
    else:
        masks = {"missing": np.array([cell is None for cell in cells])}
        if column.kind == "boolean":
            kept = [value for value in (False, True) if count_patients(groups, cells == value) >= min_patients]
            if len(kept) == 1:
                column.categories = [str(kept[0]).lower()]
        else:
            column.categories = kept = _common_names(column, cells, groups, min_patients)
        if not kept:
            return _leave_out(column, f"no category is held by {min_patients} patients")
        masks["missing"] |= np.array([_restrict_names(cell, kept) is None for cell in cells], dtype=bool)
    column.states = [state for state, mask in masks.items() if count_patients(groups, mask) >= min_patients]
    return None


def _leave_out(column: ColumnSchema, why: str) -> None:
    column.role, column.kind, column.note = "ignore", None, why
    column.bounds = column.categories = column.decimals = column.states = None


def _decimals(column: ColumnSchema, values: np.ndarray) -> int:
    from hf_hybrid.data.cells import decimals

    return 0 if column.kind == "integer" else column.decimals if column.decimals is not None else decimals(values)


def _common_names(column: ColumnSchema, cells: pd.Series, groups: np.ndarray, min_patients: int) -> list[str]:
    """Categories (or labels) with enough patients; the rare ones pooled into "other" if the pool has enough."""
    held = {
        name: np.array(
            [cell is not None and (name in cell if isinstance(cell, list) else name == cell) for cell in cells]
        )
        for name in column.categories
    }
    common = [name for name, mask in held.items() if count_patients(groups, mask) >= min_patients]
    rare = [mask for name, mask in held.items() if name not in common or name.lower() == OTHER]
    if column.kind == "multi-label":  # that a few patients lack a label reveals as much
        known = np.array([cell is not None for cell in cells])
        lacking = {name: count_patients(groups, known & ~held[name]) for name in common}
        common = [name for name in common if lacking[name] == 0 or lacking[name] >= min_patients]
    pooled = np.any(rare, axis=0) if rare else np.zeros(len(cells), dtype=bool)
    common = [name for name in common if name.lower() != OTHER]
    return [*common, OTHER] if count_patients(groups, pooled) >= min_patients else common


def _restrict_names(cell: str | bool | list[str] | None, names: list) -> str | bool | list[str] | None:
    if cell is None:
        return None
    other = OTHER if OTHER in names else None
    if not isinstance(cell, list):
        return cell if cell in names else other
    labels = {label if label in names else other for label in cell} - {None}
    return sorted(labels) if labels or not cell else None


def _restrict_numbers(values: np.ndarray, column: ColumnSchema) -> np.ndarray:
    values = np.where(np.isinf(values), values, np.clip(values, *column.bounds))
    dropped = [infinity for state, infinity in (("-inf", -np.inf), ("inf", np.inf)) if state not in column.states]
    return np.where(np.isin(values, dropped), np.nan, values)
