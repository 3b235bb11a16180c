"""Cells to and from Arrow columns."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from hf_hybrid.core.errors import InputError
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema


def to_arrow(frame: pd.DataFrame, schema: RecordSchema) -> dict[str, pa.Array]:
    """Typed cells -> columns that fit `schema.to_features()`: labels as indices, missing as null, integers as int."""
    return {name: _to_arrow(frame[name], column) for name, column in schema.table.items()}


def from_arrow(columns: Mapping[str, pa.ChunkedArray], schema: RecordSchema) -> pd.DataFrame:
    """Inverse of `to_arrow`: the typed cells that `RecordSchema.read` would give."""
    return pd.DataFrame({name: _from_arrow(cells, schema.table[name]) for name, cells in columns.items()})


def raw_to_arrow(column: pd.Series) -> pa.Array:
    """Raw cells with their own type, or as text where one column holds several types."""
    try:
        return pa.array(list(column))
    except (pa.lib.ArrowException, OverflowError):
        return pa.array([None if cell is None else str(cell) for cell in column], type=pa.string())


def _to_arrow(cells: pd.Series, column: ColumnSchema) -> pa.Array:
    if column.is_number:
        values = cells.to_numpy(np.float64)
        missing = np.isnan(values)
        if column.kind == "integer":
            values = np.rint(np.where(missing, 0, values)).astype(np.int64)
        return pa.array(values, mask=missing)
    if column.kind == "boolean":
        return pa.array(cells.to_numpy(object), pa.bool_(), from_pandas=True)
    if column.kind == "categorical":
        codes = codes_of(cells, column.categories)
        if ((codes < 0) & cells.notna().to_numpy()).any():
            raise InputError(f"expected `{cells.name}` among {column.categories}, found another value: correct it")
        return pa.array(codes.astype(np.int64), mask=codes < 0)
    index = {category: position for position, category in enumerate(column.categories)}
    labels = [None if cell is None else [index[label] for label in cell] for cell in cells]
    return pa.array(labels, pa.list_(pa.int64()))


def _from_arrow(cells: pa.ChunkedArray, column: ColumnSchema) -> np.ndarray | pd.Series:
    if column.is_number:
        return cells.cast(pa.float64(), safe=False).to_numpy()
    if column.kind == "categorical":
        names = np.array([*column.categories, None], dtype=object)
        return pd.Series(names[cells.fill_null(len(column.categories)).to_numpy()], dtype=object)
    values = cells.to_pylist()
    if column.kind == "multi-label":
        values = [None if cell is None else sorted(column.categories[label] for label in cell) for cell in values]
    return pd.Series(values, dtype=object)


def codes_of(cells: pd.Series, choices: list) -> np.ndarray:
    """The position of each cell among choices, -1 where it is none of them, `(n,)`."""
    return pd.Index(choices, dtype=object).get_indexer(pd.Index(cells, dtype=object))
