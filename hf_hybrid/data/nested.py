"""Cells that hold several values: structs and short lists of numbers become columns of their own."""

import logging

import numpy as np
import pandas as pd

from hf_hybrid.data.cells import is_missing

logger = logging.getLogger(__name__)

MAX_NUMBERS = 16  # in a list that becomes columns


def flatten(raw: pd.DataFrame) -> pd.DataFrame:
    """Raw cells with a column `name_key` for each key of a struct, and `name_0`, ... for each place in a list.

    Lists become columns if all are as long, up to `MAX_NUMBERS`, and hold numbers only. Whatever stays a list or a
    struct is left to `columns.infer_column`, as is a column whose parts would have the name of another one.
    """
    columns = {}
    for name in raw:
        parts = _parts(raw[name])
        if {f"{name}_{key}" for key in parts} & {*raw, *columns}:
            parts = {}
        if parts:
            logger.info(
                "`%s` holds several values a cell: read as the columns %s", name, [f"{name}_{k}" for k in parts]
            )
        inner = pd.DataFrame({f"{name}_{key}": pd.Series(cells, dtype=object) for key, cells in parts.items()})
        columns |= dict(flatten(inner)) if parts else {name: raw[name]}
    return pd.DataFrame(columns, index=raw.index)


def is_list(cell: object) -> bool:
    """Whether a cell is a list of any kind."""
    return isinstance(cell, list | tuple | np.ndarray)


def are_numbers(cell: list | tuple | np.ndarray) -> bool:
    """Whether a list holds numbers only, missing ones among them."""
    return all(
        is_missing(one) or (isinstance(one, int | float | np.number) and not isinstance(one, bool)) for one in cell
    )


def _parts(cells: pd.Series) -> dict[object, list]:
    """The columns that a column becomes, by key or place; none if it stays as it is."""
    known = [cell for cell in cells if not is_missing(cell)]
    if known and all(isinstance(cell, dict) for cell in known):
        keys = dict.fromkeys(key for cell in known for key in cell)
        return {key: [None if is_missing(cell) else cell.get(key) for cell in cells] for key in keys}
    if not known or not all(is_list(cell) and are_numbers(cell) for cell in known):
        return {}
    lengths = {len(cell) for cell in known} - {0}
    if len(lengths) != 1 or max(lengths) > MAX_NUMBERS:
        return {}
    places = range(lengths.pop())
    return {place: [None if is_missing(cell) or not len(cell) else cell[place] for cell in cells] for place in places}
