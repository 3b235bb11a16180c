"""The privacy rule: what may be stored of a private table, in a schema or in a saved sampler.

Bounds are outward-rounded trimmed quantiles, never a minimum or maximum; a category or a state held by fewer than
`min_patients` patients is merged or dropped; a number is kept only where enough patients have one.
"""

import dataclasses
import logging

import numpy as np
import pandas as pd

from hf_hybrid.data.columns import OTHER, ColumnSchema
from hf_hybrid.data.schema import RecordSchema

logger = logging.getLogger(__name__)

TRIMMED_SHARE = 0.01
MIN_PATIENTS_A_COMPONENT = 10  # of a marginal: mixture component or smoothed quantile


def protect(schema: RecordSchema, frame: pd.DataFrame, groups: np.ndarray, warn: bool = True) -> RecordSchema:
    """The schema that may be published, learned from a private table.

    Args:
        schema: roles and kinds; bounds that it gives are kept as they are.
        frame: typed cells as `RecordSchema.read` returns them.
        groups: the patient of each record, shape `(num_records,)`.
        warn: whether to log what is left out, and a missing group column.

    Returns:
        A schema whose bounds, categories, decimals and states do not depend on a single patient. A column in which too
        few patients have a value is left out (role `ignore`), with a warning.
    """
    columns = {}
    if warn and schema.group_column is None:
        logger.warning(
            "no column identifies patients, so every record counts as a separate patient: if this is wrong, give the "
            "patient column the role `group` in the schema, or the privacy rule and all intervals are wrong"
        )
    for name, column in schema.columns.items():
        column = dataclasses.replace(column)
        if column.is_released:
            _protect_column(column, frame[name], groups, schema.min_patients)
            if warn and not column.is_released:
                logger.warning("column `%s` is left out: %s", name, column.note)
        columns[name] = column
    return RecordSchema(columns, schema.min_patients, schema.missing_values)


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
    """Cells restricted to a protected schema: the table that a sampler may learn.

    Numbers are clipped to the bounds. A state that was dropped becomes missing where missing was kept, otherwise the
    column's median or most frequent value.
    """
    restricted = {}
    for name, column in schema.table.items():
        cells = frame[name]
        if column.is_number:
            restricted[name] = _restrict_numbers(cells.to_numpy(np.float64), column)
        else:
            if column.kind == "boolean":
                names = column.categories or ["false", "true"]
                allowed = [value for value in (False, True) if str(value).lower() in names]
                cells = [cell if cell in allowed else None for cell in cells]
            else:
                allowed = [[]] if column.kind == "multi-label" else column.categories
                cells = [_restrict_names(cell, column.categories) for cell in cells]
            if "missing" not in column.states:
                known = [cell for cell in cells if cell is not None] or allowed[:1]
                frequent = pd.Series(map(str, known)).mode()[0]
                fill = next(cell for cell in known if str(cell) == frequent)
                cells = [fill if cell is None else cell for cell in cells]
            restricted[name] = pd.Series(cells, index=frame.index, dtype=object)
    return pd.DataFrame(restricted, index=frame.index)


def count_patients(groups: np.ndarray, mask: np.ndarray) -> int:
    """How many different patients have a record where `mask` holds."""
    return len(np.unique(groups[np.asarray(mask, dtype=bool)]))


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
        low, high = column.bounds or _trimmed_bounds(values[finite], groups[finite], column.decimals, min_patients)
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
        masks["missing"] |= (
            np.array([_restrict_names(cell, kept) is None for cell in cells])
            if column.kind != "boolean"
            else np.array([cell not in kept for cell in cells])
        )
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


def _restrict_names(cell: str | list[str] | None, names: list[str]) -> str | list[str] | None:
    if cell is None:
        return None
    other = OTHER if OTHER in names else None
    if isinstance(cell, str):
        return cell if cell in names else other
    labels = {label if label in names else other for label in cell} - {None}
    return sorted(labels) if labels or not cell else None


def _restrict_numbers(values: np.ndarray, column: ColumnSchema) -> np.ndarray:
    low, high = column.bounds
    missing = np.isnan(values)
    values = np.where(np.isinf(values), values, np.clip(values, low, high))
    for state, infinity, bound in (("-inf", -np.inf, low), ("inf", np.inf, high)):
        if state not in column.states:
            values = np.where(values == infinity, np.nan if "missing" in column.states else bound, values)
    if "missing" not in column.states:
        finite = values[np.isfinite(values)]
        typical = np.median(finite) if finite.size else (low + high) / 2
        values = np.where(missing, np.clip(np.round(typical, column.decimals), low, high), values)
    return values


def _trimmed_bounds(values: np.ndarray, groups: np.ndarray, decimals: int, min_patients: int) -> tuple[float, float]:
    """Bounds that at least `min_patients` patients reach or exceed, rounded outward to a coarse grid."""
    by_patient = pd.Series(values).groupby(groups)
    lowest, highest = np.sort(by_patient.min()), np.sort(by_patient.max())[::-1]
    rank = max(min_patients, int(np.ceil(TRIMMED_SHARE * lowest.size))) - 1
    low, high = float(lowest[rank]), float(highest[rank])
    if low == high:
        return low, high
    # A fiftieth of the range, as 1, 2 or 5 times a power of ten: coarse against one value, fine against the range.
    power = 10.0 ** np.floor(np.log10((high - low) / 50))
    grid = max(power * next(step for step in (1, 2, 5, 10) if step * power >= (high - low) / 50), 10.0**-decimals)
    return round(float(np.floor(low / grid) * grid), 9), round(float(np.ceil(high / grid) * grid), 9)
