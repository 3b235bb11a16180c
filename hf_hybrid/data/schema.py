"""RecordSchema: role and kind of every column, to and from `datasets.Features` and YAML or JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self, get_args

import numpy as np
import pandas as pd

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import write_json
from hf_hybrid.data import cells
from hf_hybrid.data.columns import (
    GROUP_NAME,
    MIN_PATIENTS,
    OTHER,
    ColumnSchema,
    Kind,
    category_names,
    infer_column,
)
from hf_hybrid.data.schema_description import check_entry, check_keys, load_description, parse_column


@dataclass
class RecordSchema:
    """Role and kind of every column of a set of records.

    Args:
        columns: one entry per column, in the order of the table.
        min_patients: a category or state held by fewer patients than this never leaves the private table.
        missing_values: further spellings of missing, in addition to the usual ones.
    """

    columns: dict[str, ColumnSchema]
    min_patients: int = MIN_PATIENTS
    missing_values: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Raises InputError for a `min_patients` that is too low."""
        if not isinstance(self.min_patients, int) or self.min_patients < MIN_PATIENTS:
            raise InputError(
                f"expected `min_patients` as a whole number from {MIN_PATIENTS}, found {self.min_patients!r}"
            )

    @property
    def image_column(self) -> str:
        """Name of the image column."""
        return next(name for name, column in self.columns.items() if column.role == "image")

    @property
    def group_column(self) -> str | None:
        """Name of the column that identifies patients, None when every record is its own patient."""
        return next((name for name, column in self.columns.items() if column.role == "group"), None)

    @property
    def table(self) -> dict[str, ColumnSchema]:
        """The columns that are learned and released, the image left out."""
        return {name: column for name, column in self.columns.items() if column.is_released}

    @property
    def targets(self) -> list[str]:
        """Names of the columns that the utility scores predict."""
        return [name for name, column in self.columns.items() if column.role == "target"]

    @property
    def missing_spellings(self) -> set[str]:
        """`missing_values` as `cells.is_missing` compares them."""
        return {str(spelling).strip().lower() for spelling in self.missing_values}

    # --- reading cells ---------------------------------------------------------------------------------------------

    def read(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, list[str]]]:
        """Reads raw cells with this schema.

        Args:
            frame: raw cells, one row per record; must hold every clinical and target column.

        Returns:
            The typed table (numbers: float64 with NaN and ±inf; categories: str or None; booleans: True, False or
            None; multi-label: sorted lists or None), and per column the words that could not be read and became
            missing.

        Raises:
            InputError: a column of the schema is not in `frame`.
        """
        absent = [name for name in self.table if name not in frame]
        if absent:
            raise InputError(
                f"expected the columns {list(self.table)}, found none named {absent}: "
                "give the table that the schema describes, or a schema for this table"
            )
        spellings = self.missing_spellings
        typed, unread = {}, {}
        for name, column in self.table.items():
            typed[name], words = _read_column(frame[name], column, spellings)
            if words:
                unread[name] = words
        return pd.DataFrame(typed, index=frame.index), unread

    def to_features(self, with_image: bool = True):
        """The `datasets.Features` of a release: `Image`, `ClassLabel`, `Value`, `List(ClassLabel)`."""
        from datasets import ClassLabel, Features, Image, List, Value

        types = {"numeric": Value("float64"), "integer": Value("int64"), "boolean": Value("bool")}
        features = {self.image_column: Image()} if with_image else {}
        for name, column in self.table.items():
            if column.kind == "categorical":
                features[name] = ClassLabel(names=column.categories)
            elif column.kind == "multi-label":
                features[name] = List(ClassLabel(names=column.categories))
            else:
                features[name] = types[column.kind]
        return Features(features)

    # --- files -----------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict:
        """JSON-able form; entries that are not set are left out."""
        columns = {
            name: {key: value for key, value in asdict(column).items() if value is not None}
            for name, column in self.columns.items()
        }
        return {"columns": columns, "min_patients": self.min_patients, "missing_values": self.missing_values}

    @classmethod
    def from_dict(cls, description: dict) -> Self:
        """The schema that `to_dict` described.

        Raises:
            InputError: an entry is unknown or has a value that does not fit.
        """
        check_keys(description, [entry.name for entry in fields(cls)], "a schema")
        columns = {name: parse_column(name, entry) for name, entry in description.get("columns", {}).items()}
        return cls(**{**description, "columns": columns})

    def save(self, path: str | Path) -> None:
        """Writes JSON, the form that pipelines and releases carry."""
        write_json(Path(path), self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads JSON or YAML."""
        return cls.from_dict(load_description(path))

    @classmethod
    def infer(
        cls, frame: pd.DataFrame, image_column: str, overrides: dict | None = None, known: Self | None = None
    ) -> Self:
        """Infers role and kind of every column from raw cells.

        Args:
            frame: raw cells, one row per record, without the image.
            image_column: name of the image column.
            overrides: a description as in a schema file; its entries for a column replace what is inferred.
            known: schema of the larger table that these records are a part of; its columns are not inferred again.

        Raises:
            InputError: two columns have one name, or the overrides name a column that does not exist or ask for one
                that cannot be released.
        """
        overrides = overrides or {}
        asked = overrides.get("columns") or {}
        check_keys(overrides, [entry.name for entry in fields(cls)], "a schema")
        _check_asked(asked, frame, image_column)
        general = {**(known.to_dict() if known else {}), **overrides}
        schema = cls({image_column: ColumnSchema("image")}, **{k: v for k, v in general.items() if k != "columns"})
        before = _still_known(known, schema)
        group, is_asked_for = _find_group(frame, asked, before)
        for name in frame:
            # A patient's number is an identifier even if several records share it.
            once = ~frame[[group, name]].astype(str).duplicated() if group else slice(None)
            entry = dict(asked.get(name) or {})
            inferred = before.get(name)
            if inferred is None or entry.get("kind", inferred.kind) != inferred.kind:
                inferred = infer_column(name, frame[name][once], schema.missing_spellings, entry)
            if inferred.role == "group" and is_asked_for and name != group:
                inferred = ColumnSchema("id", note=f"`{group}` tells patients apart")
            column = _combine(name, inferred, entry, image_column)
            if column.is_released and column.kind in ("categorical", "multi-label") and column.categories is None:
                column.categories = category_names(frame[name], column.kind, schema.missing_spellings)
            schema.columns[name] = column
        groups = [name for name, column in schema.columns.items() if column.role == "group"]
        if len(groups) > 1:
            raise InputError(f"expected one group column, found {groups}: give all but one the role `id`")
        return schema

    def with_targets(self, targets: Sequence[str] | None) -> Self:
        """The same schema with `targets` as the columns that utility predicts (None: unchanged).

        Raises:
            InputError: a target is not a column of the table.
        """
        if targets is None:
            return self
        unknown = [name for name in targets if name not in self.table]
        if unknown:
            raise InputError(f"expected `targets` among {list(self.table)}, found {unknown}: name released columns")
        description = self.to_dict()
        for name in self.table:
            description["columns"][name]["role"] = "target" if name in targets else "clinical"
        return type(self).from_dict(description)


def _check_asked(asked: dict, frame: pd.DataFrame, image_column: str) -> None:
    """Checks that columns have different names, and that the overrides describe columns that exist."""
    if not frame.columns.is_unique:
        twice = sorted(set(frame.columns[frame.columns.duplicated()]))
        raise InputError(f"expected different column names, found {twice} more than once: rename them")
    known = [image_column, *frame]
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise InputError(f"expected columns among {known}, found {unknown} in the schema: rename them")
    for name, entry in asked.items():
        check_entry(name, entry)


def _still_known(known: RecordSchema | None, schema: RecordSchema) -> dict[str, ColumnSchema]:
    """The columns of a larger table that need not be inferred again, now that other spellings may mean missing."""
    columns = known.columns if known else {}
    if known and known.missing_spellings != schema.missing_spellings:
        columns = {name: column for name, column in columns.items() if not column.is_released}
    return columns


def _find_group(frame: pd.DataFrame, asked: dict, before: dict[str, ColumnSchema]) -> tuple[str | None, bool]:
    """The column that identifies patients, if there is one, and whether the overrides give it that role."""
    roles = {name: (asked.get(name) or {}).get("role") for name in frame}
    for name in frame:
        if roles[name] == "group":
            return name, True
    unasked = [name for name in frame if not roles[name]]
    known = [name for name in unasked if name in before and before[name].role == "group"]
    named = [name for name in unasked if name not in before and GROUP_NAME.fullmatch(name)]
    return next(iter([*known, *named]), None), False


def _combine(name: str, inferred: ColumnSchema, entry: dict, image_column: str) -> ColumnSchema:
    """The inferred column with the overrides in `entry`.

    Raises:
        InputError: the column cannot be released, has no kind, or would be a second image.
    """
    column = parse_column(name, {**{k: v for k, v in asdict(inferred).items() if v is not None}, **entry})
    if column.is_released and inferred.role == "ignore" and (column.kind is None or "all cells" in inferred.note):
        raise InputError(f"expected a column that can be released, found `{name}`: {inferred.note}")
    if column.is_released and column.kind is None:
        raise InputError(f"expected a `kind` for `{name}` among {list(get_args(Kind))}, found none: add it")
    if column.role == "image":
        raise InputError(f"expected one image column, `{image_column}`, found `{name}` with that role too")
    return column


def _read_column(raw: pd.Series, column: ColumnSchema, spellings: set[str]) -> tuple[list | np.ndarray, list[str]]:
    """The typed cells of one column, and the words in it that could not be read."""
    names = {name.lower(): name for name in column.categories or ()}
    typed, words = [], {}
    for cell in raw:
        is_listed = isinstance(cell, str) and cell.strip().lower() in names
        if not is_listed and cells.is_missing(cell, spellings):
            typed.append(None)
            continue
        value = _READERS[column.kind](cell)
        if column.kind == "categorical":
            value = names.get(value.lower(), names.get(OTHER))
        elif column.kind == "multi-label":
            unlisted_none = cells.NO_LABEL - set(names)
            labels = {names.get(one.lower(), names.get(OTHER)) for one in value if one.lower() not in unlisted_none}
            value = sorted(labels - {None})
            if None in labels and not value:
                value = None
        if value is None:
            words[str(cell)] = None
        typed.append(value)
    if column.is_number:
        return np.array([np.nan if value is None else value for value in typed], dtype=np.float64), list(words)
    return pd.Series(typed, index=raw.index, dtype=object), list(words)


_READERS = {
    "numeric": cells.to_number,
    "integer": cells.to_number,
    "boolean": cells.to_boolean,
    "categorical": cells.to_category,
    "multi-label": cells.to_labels,
}
