"""Role and kind of one column of a table, inferred from its name and cells."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from hf_hybrid.data import cells
from hf_hybrid.data.nested import MAX_NUMBERS, are_numbers, is_list

Role = Literal["image", "clinical", "target", "group", "id", "ignore"]
Kind = Literal["numeric", "integer", "categorical", "boolean", "multi-label"]

MAX_CATEGORIES = 200
MIN_PATIENTS = 5
OTHER = "other"  # for rare categories and for those that the schema does not list
GROUP_NAME = re.compile(
    r"((.*[\W_])?(patient|subject|person|participant|case|fall)[\W_]*(id|no|nr|number|nummer|key|code|hash|name)"
    r"|patient|subject|person|participant|pseudonym|pid|mrn)s?",
    re.IGNORECASE,
)
_ID_NAME = re.compile(
    r"(.*[\W_])?(id|uid|uuid|guid|accession([\W_]?number)?|ssn|identifier)|(.*_)?(file_?)?(name|path)|filename",
    re.IGNORECASE,
)
_INDEX_NAME = re.compile(r"\s*|__index_level_\d+__|unnamed: \d+.*", re.IGNORECASE)  # as pandas writes it
_MIN_CODES = 20  # this many different whole numbers, or names that all contain numbers, are rarely answers
_DIGITS = re.compile(r"\d\D*\d")
_UNIT = re.compile(r".*[\[(]([^\s\])]{1,12})[\])]\s*")


@dataclass
class ColumnSchema:
    """Schema of one column.

    Args:
        role: `image`, `clinical` (synthesised), `target` (synthesised, and predicted by the utility scores), `group`
            (the patient), `id` or `ignore` (both left out).
        kind: how cells are read; None for the image and for columns left out.
        unit: the unit of a number, for the card.
        bounds: lowest and highest value that a release may hold, in the column's unit.
        categories: names of the categories, or of the labels of a multi-label column.
        decimals: decimals of a number in a release.
        states: which of "missing", "-inf", "inf" the column may hold in addition to values; None until a private table
            was read under the privacy rule (`hf_hybrid.data.privacy_rule`).
        note: why a column is left out.
    """

    role: Role
    kind: Kind | None = None
    unit: str | None = None
    bounds: tuple[float, float] | None = None
    categories: list[str] | None = None
    decimals: int | None = None
    states: list[str] | None = None
    note: str | None = None

    @property
    def is_number(self) -> bool:
        """Whether cells are numbers (kind numeric or integer)."""
        return self.kind in ("numeric", "integer")

    @property
    def is_released(self) -> bool:
        """Whether the column is learned and released."""
        return self.role in ("clinical", "target")


def names_a_person(column: str) -> bool:
    """Whether the name is typical of a column of ids, person names or file names."""
    return any(names.fullmatch(column) for names in (GROUP_NAME, _ID_NAME, _INDEX_NAME))


def _values(raw: pd.Series, spellings: set[str]) -> pd.Series:
    """The cells that are not missing."""
    return raw[[not cells.is_missing(cell, spellings) for cell in raw]]


def category_names(raw: pd.Series, kind: Kind, spellings: set[str]) -> list[str]:
    """The names in a column, each in its most frequent spelling: "Male" and "male" are one category."""
    values = _values(raw, spellings)
    found = [label for cell in values for label in cells.to_labels(cell)] if kind == "multi-label" else values
    counts = Counter(cells.to_category(cell) for cell in found)
    by_lower = {}
    for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        by_lower.setdefault(name.lower(), name)
    return sorted(by_lower.values())


def infer_column(name: str, raw: pd.Series, spellings: set[str], asked: dict) -> ColumnSchema:
    """Role and kind from the column's name and cells; `asked` holds the user's entries for the column."""
    if GROUP_NAME.fullmatch(name):
        return ColumnSchema("group")
    if _INDEX_NAME.fullmatch(name):
        return ColumnSchema("id", note="named like the row numbers that pandas writes")
    if _ID_NAME.fullmatch(name):
        return ColumnSchema("id", note="named like an identifier")
    values = _values(raw, spellings)
    if values.empty:
        return ColumnSchema("ignore", note="all cells are missing")
    if any(isinstance(cell, dict | bytes) or is_list(cell) for cell in values):
        return _infer_nested(values)
    if np.mean([cells.is_date(cell) for cell in values]) > 0.5:
        return ColumnSchema("ignore", note="dates identify a person: give the days since an event instead")
    words = {cells.to_category(cell).lower() for cell in values}
    for pair in map(set, cells.TRUE_FALSE_PAIRS):
        if not words & pair or not pair <= words | {"true", "false"}:  # cells of type bool may all be the same
            continue
        strange = [cell for cell in values if cells.to_category(cell).lower() not in pair]
        if len(strange) <= 0.1 * len(values) and all(cells.to_number(cell) is None for cell in strange):
            return ColumnSchema("clinical", "boolean")
    numbers = np.array([cells.to_number(cell) for cell in values], dtype=np.float64)  # NaN: a word
    of_number = ~np.isnan(numbers)
    strange = {cells.to_category(cell).lower() for cell in values[~of_number]}
    # Up to a fifth of words, or up to half of a few words that are repeated, such as "pending".
    if of_number.mean() >= 0.8 or (of_number.mean() >= 0.5 and len(strange) <= 5 and len(np.unique(numbers)) > 10):
        return _infer_number(name, numbers[of_number])
    return _infer_text(values, words, asked)


def _infer_nested(values: pd.Series) -> ColumnSchema:
    """Lists of text are labels; other lists, structs and bytes are left out."""
    if not all(map(is_list, values)):
        return ColumnSchema("ignore", note="structures or bytes: give each part a column of its own")
    elements = [one for cell in values for one in cell if not cells.is_missing(one)]
    if not all(isinstance(one, str) for one in elements):
        what = "numbers" if all(map(are_numbers, values)) else "structures"
        advice = f", or as many of them, up to {MAX_NUMBERS}, in each" if what == "numbers" else ""
        return ColumnSchema("ignore", note=f"lists of {what}: give each part a column of its own{advice}")
    if (count := len({cells.to_category(one).lower() for one in elements})) > MAX_CATEGORIES:
        return ColumnSchema("ignore", note=f"{count} different labels, more than {MAX_CATEGORIES}")
    return ColumnSchema("clinical", "multi-label")


def _infer_number(name: str, numbers: np.ndarray) -> ColumnSchema:
    finite = numbers[np.isfinite(numbers)]
    places = cells.decimals(numbers)
    whole = places == 0 and finite.size == numbers.size
    if whole and finite.size >= _MIN_CODES and np.unique(finite).size == finite.size:
        # Measurements of this range would repeat (birthday problem), and have fewer digits, but for trailing zeros.
        steps = finite / next(step for step in (10_000, 1000, 100, 10, 1) if not (finite % step).any())
        if steps.size**2 > 10 * np.ptp(steps) or steps.min() >= 100_000:
            return ColumnSchema("id", note="a different whole number in every record looks like an identifier")
    unit = _UNIT.fullmatch(name)
    return ColumnSchema("clinical", "integer" if whole else "numeric", unit[1] if unit else None, decimals=places)


def _infer_text(values: pd.Series, words: set[str], asked: dict) -> ColumnSchema:
    separated = [len(cells.to_labels(cell)) > 1 for cell in values]
    labels = {label for cell in values for label in cells.to_labels(cell)}
    if any(separated) and len(labels) <= len(words) and len(labels) <= MAX_CATEGORIES:
        return ColumnSchema("clinical", "multi-label")
    listed = "categories" in asked
    if not listed and (len(words) > MAX_CATEGORIES or (len(words) > 20 and len(words) > 0.5 * len(values))):
        long = np.median([len(str(cell).split()) for cell in values]) > 2
        return ColumnSchema("ignore", note="free text" if long else "looks like an identifier: most cells differ")
    if not {"kind", "categories"} & set(asked) and len(words) >= _MIN_CODES and all(map(_DIGITS.search, words)):
        return ColumnSchema("ignore", note="looks like codes of patients: give it the role `group`, or a `kind`")
    return ColumnSchema("clinical", "categorical")
