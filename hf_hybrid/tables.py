"""Typed cells to and from the columns of a `datasets.Dataset` (Arrow)."""

import numpy as np
import pandas as pd

from hf_hybrid.schema import RecordSchema


def to_columns(frame: pd.DataFrame, schema: RecordSchema) -> dict[str, list]:
    """Typed cells -> lists that fit `schema.to_features()`: labels as indices, missing as None, integers as int."""
    columns = {}
    for name, column in schema.table.items():
        cells = [None if cell is None or cell != cell else cell for cell in frame[name]]
        if column.kind == "integer":
            cells = [None if cell is None else int(round(cell)) for cell in cells]
        elif column.kind == "numeric":
            cells = [None if cell is None else float(cell) for cell in cells]
        elif column.kind == "boolean":
            cells = [None if cell is None else bool(cell) for cell in cells]
        else:
            index = {category: position for position, category in enumerate(column.categories)}
            if column.kind == "categorical":
                cells = [None if cell is None else index[cell] for cell in cells]
            else:
                cells = [None if cell is None else [index[label] for label in cell] for cell in cells]
        columns[name] = cells
    return columns


def from_columns(columns: dict[str, list], schema: RecordSchema) -> pd.DataFrame:
    """Inverse of `to_columns`: the typed cells that `RecordSchema.read` would give."""
    frame = {}
    for name, column in schema.table.items():
        cells = columns[name]
        if column.is_number:
            frame[name] = np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
            continue
        if column.kind == "categorical":
            cells = [None if cell is None else column.categories[cell] for cell in cells]
        elif column.kind == "multi-label":
            cells = [None if cell is None else sorted(column.categories[label] for label in cell) for cell in cells]
        frame[name] = pd.Series(cells, dtype=object)
    return pd.DataFrame(frame)
