"""How one table cell is read: spellings of missing, numbers stored as text, values beyond a detection limit."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

MISSING_SPELLINGS = frozenset(
    "|na|n/a|#n/a|<na>|nan|nat|null|missing|unknown|unk|not available|not done|not known|nd|?|-|--|.".split("|")
)
TRUE_FALSE_PAIRS = (("yes", "no"), ("y", "n"), ("true", "false"), ("t", "f"), ("1", "0"), ("1.0", "0.0"))
NO_LABEL = frozenset(
    ("none", "no finding")
)  # in a multi-label column that does not list them: an empty cell is missing
LABEL_SEPARATOR = re.compile(r"\s*[|;]\s*")

_MAX_DECIMALS = 22  # powers of ten up to this one are exact
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?")
# Three digits behind a comma may be thousands ("1,234"): such a cell is a number only if it starts with zero.
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+,(\d{1,2}|\d{4,})|0,\d+)")
_BEYOND_LIMIT = re.compile(r"([<>])=?\s*[+-]?\d+([.,]\d+)?")
_INFINITY = {"inf": np.inf, "+inf": np.inf, "infinity": np.inf, "∞": np.inf, "-inf": -np.inf, "-infinity": -np.inf}
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}([-/.])\d{1,2}\2(\d{4}|\d{2})|(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    rf"|(\d{{1,2}}[ .-]+)?{_MONTH}[ .,-]+(\d{{1,2}}[ ,]+)?\d{{4}})([ T]\d{{1,2}}:\d{{2}}.*)?",
    re.IGNORECASE,
)


def is_missing(cell: object, spellings: Iterable[str] = ()) -> bool:
    """Whether a cell says "no value": None, NaN, or one of the usual (or the given) spellings."""
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return True
    if isinstance(cell, float | np.floating) and np.isnan(cell):
        return True
    if isinstance(cell, str):
        text = cell.strip().lower()
        return text in MISSING_SPELLINGS or text in spellings
    return isinstance(cell, int | float | np.number) and to_category(cell) in spellings


def to_number(cell: object) -> float | None:
    """The number in a cell, ±inf for a value beyond a detection limit ("inf", "<0.1", "> 100"), None for a word."""
    if isinstance(cell, bool | np.bool_):
        return None
    if isinstance(cell, int | float | np.number):
        return float(cell)
    text = str(cell).strip().lower().replace("−", "-")
    if text in _INFINITY:
        return _INFINITY[text]
    if _NUMBER.fullmatch(text):
        return float(text)
    if _DECIMAL_COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    if limit := _BEYOND_LIMIT.fullmatch(text):
        return np.inf if limit[1] == ">" else -np.inf
    return None


def to_boolean(cell: object, pair: tuple[str, str] | None = None) -> bool | None:
    """True or False where the cell is one of the pair's two words (any known pair when none is given), else None."""
    if isinstance(cell, bool | np.bool_):
        return bool(cell)
    text = to_category(cell).lower()
    for true, false in (pair,) if pair else TRUE_FALSE_PAIRS:
        if text in (true, false):
            return text == true
    return None


def to_category(cell: object) -> str:
    """The category's name; a whole number loses its ".0", so that 1 and 1.0 are one category."""
    if isinstance(cell, float | np.floating) and np.isfinite(cell) and cell == int(cell):
        return str(int(cell))
    return str(cell).strip()


def to_labels(cell: object) -> list[str]:
    """The sorted labels of a multi-label cell: a list, or text separated by "|" or ";"."""
    parts = LABEL_SEPARATOR.split(cell) if isinstance(cell, str) else list(cell)
    return sorted({to_category(part) for part in parts if not is_missing(part)})


def is_date(cell: object) -> bool:
    """Whether the cell is a calendar date, which identifies a person."""
    return isinstance(cell, pd.Timestamp | np.datetime64) or (
        hasattr(cell, "isoformat")
        or (isinstance(cell, str | int | float) and _DATE.fullmatch(to_category(cell)) is not None)
    )


def decimals(values: np.ndarray) -> int:
    """The number of decimals that writes 99 % of the finite `values` without loss.

    At most 6, or for values below a tenth as many as seven significant digits of a typical one need: 13 at 1e-7.
    """
    finite = values[np.isfinite(values)]
    typical = np.median(np.abs(finite[finite != 0])) if finite.any() else 1.0
    most = 6 if typical >= 0.1 else min(6 - int(np.floor(np.log10(typical))), _MAX_DECIMALS)
    for places in range(most):
        exact = np.isclose(finite, np.round(finite, places), rtol=0, atol=10.0 ** -(most + 3))
        if finite.size == 0 or np.mean(exact) >= 0.99:
            return places
    return most
