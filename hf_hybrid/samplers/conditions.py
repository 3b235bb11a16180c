"""Conditions on sampled records: checked against the schema, and which records meet them."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from hf_hybrid.core.errors import InputError
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.tables import codes_of

Conditions = Mapping[str, str | bool | float | tuple[float, float] | None]


def check_request(schema: RecordSchema, num_records: int, seed: int, conditions: Conditions | None) -> Conditions:
    """Refuses requests that no sampler can meet.

    Returns:
        The conditions in one form: a number as a range `(low, high)`, anything else as it is.

    Raises:
        InputError: a number out of range, or a condition on an unknown column or on a value that it never has.
    """
    if num_records < 1 or seed < 0:
        raise InputError(
            f"expected `num_records` of at least 1 and `seed` of at least 0, found {num_records} and {seed}"
        )
    return {name: _check_condition(schema, name, wanted) for name, wanted in (conditions or {}).items()}


def split_conditions(schema: RecordSchema, conditions: Conditions) -> tuple[dict[str, object], Conditions]:
    """The conditions that only one cell meets, as these cells, and the others: ranges and labels.

    `conditions` are in the form of `check_request`.
    """
    exact, others = {}, {}
    for name, wanted in conditions.items():
        column = schema.table[name]
        if column.is_number and wanted is not None and wanted[0] == wanted[1]:
            exact[name] = wanted[0]
        elif wanted is None or not (column.is_number or column.kind == "multi-label"):
            exact[name] = wanted
        else:
            others[name] = wanted
    return exact, others


def conditions_met(schema: RecordSchema, frame: pd.DataFrame, conditions: Conditions) -> np.ndarray:
    """Which records meet all conditions, in the form of `check_request`; shape `(n,)`."""
    met = np.ones(len(frame), dtype=bool)
    for name, wanted in conditions.items():
        column, cells = schema.table[name], frame[name]
        if wanted is None:
            met &= cells.isna().to_numpy()
        elif column.is_number:
            met &= cells.between(*wanted).to_numpy()
        elif column.kind == "multi-label":
            met &= np.array([cell is not None and wanted in cell for cell in cells], dtype=bool)
        else:
            met &= codes_of(cells, [wanted]) == 0
    return met


def _check_condition(schema: RecordSchema, name: str, wanted: object) -> str | bool | tuple[float, float] | None:
    if name not in schema.table:
        raise InputError(f"expected conditions on {list(schema.table)}, found one on `{name}`")
    column = schema.table[name]
    wanted = wanted.tolist() if isinstance(wanted, np.generic | np.ndarray) else wanted
    if wanted is None:
        if "missing" not in column.states:
            raise InputError(f"expected a value for `{name}`, found missing, which this column never is")
    elif column.is_number:
        return _check_range(name, column, wanted)
    elif column.kind == "boolean":
        if not isinstance(wanted, bool):
            raise InputError(f"expected true or false for `{name}`, found {wanted!r}")
        if column.categories and str(wanted).lower() not in column.categories:
            raise InputError(f"expected `{name}` among {column.categories}, found {str(wanted).lower()!r}")
    elif not isinstance(wanted, str) or wanted not in column.categories:
        raise InputError(f"expected `{name}` among {column.categories}, found {wanted!r}")
    return wanted


def _check_range(name: str, column: ColumnSchema, wanted: object) -> tuple[float, float]:
    ends = tuple(wanted) if isinstance(wanted, tuple | list) else (wanted, wanted)
    are_numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if len(ends) != 2 or not are_numbers or not ends[0] <= ends[1]:
        raise InputError(f"expected a number or a range low..high for `{name}`, found {wanted!r}")
    low, high = map(float, ends)
    state = {math.inf: "inf", -math.inf: "-inf"}.get(low if low == high else None)
    if state and state not in column.states:
        raise InputError(f"expected a finite condition on `{name}`, found {wanted!r}, which it never is")
    if "inf" in column.states and high == math.inf or "-inf" in column.states and low == -math.inf:
        return low, high
    if high < column.bounds[0] or low > column.bounds[1]:
        raise InputError(f"expected `{name}` within {list(column.bounds)}, found the condition {wanted!r}")
    unit = 10.0**column.decimals
    first, last = max(low, column.bounds[0]) * unit, min(high, column.bounds[1]) * unit
    if math.ceil(first - 1e-6 * max(1, abs(first))) > math.floor(last + 1e-6 * max(1, abs(last))):
        raise InputError(
            f"expected `{name}` with {column.decimals} decimals, found the condition {wanted!r}, which no such number "
            "meets: widen it"
        )
    return low, high
