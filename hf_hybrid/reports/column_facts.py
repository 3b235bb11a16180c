"""The columns of a release or a pipeline as cards show them."""

import io
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from hf_hybrid.core.errors import InputError
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema

MAX_CATEGORIES_SHOWN = 20


@dataclass
class ColumnFacts:
    """A column as a card shows it; `missing` is a share of the synthetic records, None where there are none."""

    name: str
    role: str
    kind: str
    unit: str
    values: str
    missing: str | None


def release_columns(shards: list[Path], schema: RecordSchema) -> list[ColumnFacts]:
    """The image, then the table with its missing shares, counted batch by batch without the images."""
    empty, beyond, num_records = dict.fromkeys(schema.table, 0), dict.fromkeys(schema.table, 0), 0
    for shard in shards:
        for batch in pq.ParquetFile(shard).iter_batches(columns=list(schema.table)):
            num_records += len(batch)
            for name in schema.table:
                column = batch[name]
                empty[name] += column.null_count
                if pa.types.is_floating(column.type):
                    beyond[name] += pc.sum(pc.is_inf(column)).as_py() or 0
    batch = next(pq.ParquetFile(shards[0]).iter_batches(1, columns=[schema.image_column]))
    image = Image.open(io.BytesIO(batch[schema.image_column][0].as_py()["bytes"]))
    mode = {"L": "grey", "RGB": "colour"}.get(image.mode, image.mode)
    values = f"{image.format}, {mode}, {image.width} x {image.height} pixels"
    columns = [ColumnFacts(schema.image_column, "image", "image", "", values, _percent(0))]
    for name, column in schema.table.items():
        facts = column_facts(name, column, missing=_percent(empty[name] / num_records))
        if beyond[name]:
            facts.values += f", or beyond a detection limit (inf, {_percent(beyond[name] / num_records)})"
        columns.append(facts)
    return columns


def column_facts(name: str, column: ColumnSchema, missing: str | None) -> ColumnFacts:
    """One column of a protected schema; `missing` is the share of its cells without a value, as text.

    Raises:
        InputError: it has neither bounds nor categories.
    """
    if column.is_number:
        if column.bounds is None:
            raise InputError(f"expected `bounds` of column `{name}` in schema.json, found none: a card shows them")
        low, high = column.bounds
        values = f"{low:.10g} to {high:.10g}"
    elif column.kind == "boolean":
        values = ", ".join(column.categories or ["true", "false"])
    else:
        names = column.categories
        if names is None:
            raise InputError(f"expected `categories` of column `{name}` in schema.json, found none: a card shows them")
        values = ", ".join(names[:MAX_CATEGORIES_SHOWN])
        if len(names) > MAX_CATEGORIES_SHOWN:
            values += f" and {len(names) - MAX_CATEGORIES_SHOWN} more, listed in schema.json"
        values = f"any of {values}" if column.kind == "multi-label" else values
    return ColumnFacts(name, column.role, column.kind, column.unit or "", values, missing)


def _percent(share: float) -> str:
    return "below 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"
