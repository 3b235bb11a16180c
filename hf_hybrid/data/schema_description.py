"""The description of a schema, as in a YAML or JSON file: read, and checked entry by entry."""

from dataclasses import fields
from pathlib import Path
from typing import get_args

import yaml

from hf_hybrid.core.errors import InputError
from hf_hybrid.data import cells
from hf_hybrid.data.columns import ColumnSchema, Kind, Role


def load_description(path: str | Path | dict) -> dict:
    """The mapping in a YAML or JSON file; a mapping is returned unchanged.

    Raises:
        InputError: no such file, or no mapping in it.
    """
    if isinstance(path, dict):
        return path
    try:
        description = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"expected a readable YAML or JSON file, found {path}: {type(error).__name__}") from None
    if not isinstance(description, dict):
        raise InputError(f"expected a mapping such as `columns: ...`, found {type(description).__name__} in {path}")
    return description


def check_keys(description: dict, known: list[str], where: str) -> None:
    """Checks the keys of a mapping.

    Raises:
        InputError: a key is not among `known`; the message says `where`.
    """
    unknown = [key for key in description if key not in known]
    if unknown:
        raise InputError(f"expected the keys {known} in {where}, found {unknown}: correct the spelling")


def check_entry(name: str, entry: dict | None) -> None:
    """Checks the entry of a schema file for a column.

    Raises:
        InputError: no mapping, or one with unknown keys.
    """
    if entry is not None and not isinstance(entry, dict):
        raise InputError(f"expected a mapping such as `kind: numeric` for column `{name}`, found {entry!r}")
    check_keys(entry or {}, [one.name for one in fields(ColumnSchema)], f"column `{name}`")


def parse_column(name: str, entry: dict) -> ColumnSchema:
    """The column that an entry of a schema file describes; a role that is left out is `clinical`.

    Raises:
        InputError: an unknown key, or a value that does not fit.
    """
    check_entry(name, entry)
    column = ColumnSchema(**{"role": "clinical", **entry})
    for key, value, choices in (("role", column.role, get_args(Role)), ("kind", column.kind, (None, *get_args(Kind)))):
        if value not in choices:
            raise InputError(f"expected `{key}` of column `{name}` among {list(choices)}, found {value!r}")
    if column.bounds is not None:
        try:
            low, high = column.bounds = tuple(float(bound) for bound in column.bounds)
            is_range = low <= high
        except (TypeError, ValueError):
            is_range = False
        if not is_range:
            raise InputError(f"expected `bounds` of column `{name}` as [low, high], found {entry['bounds']!r}")
    if column.categories is not None:
        if truths := [category for category in column.categories if isinstance(category, bool)]:
            raise InputError(f"expected text in `categories` of column `{name}`, found {truths[0]}: quote it")
        column.categories = [cells.to_category(category) for category in column.categories]
        if len(set(column.categories)) < len(column.categories):
            raise InputError(f"expected different `categories` in column `{name}`, found one twice: remove it")
    return column
