"""Private records as a table, and warnings about what would spoil a release or a score."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from hf_hybrid.data import cells, privacy_rule
from hf_hybrid.data.columns import OTHER, ColumnSchema
from hf_hybrid.data.records import FEW_GREYS, ImageSummary, Records
from hf_hybrid.metrics.dependencies import find_dependencies
from hf_hybrid.metrics.predictions import auc

SIGNIFICANCE = 0.01
NEARLY_GIVEN_AWAY = 0.95  # AUC of one column for a target
LARGE_SHARE = 0.1  # of all records, held by one patient
SAME_LINE = 0.9999  # correlation of two numeric columns with the same content
_RULES = {
    "sum": "a weighted sum",
    "product": "a product of powers",
    "ranges": "one range for each value",
    "cells": "one value for each combination",
}
MIN_RECORDS = 20  # for a correlation or an AUC


def describe_records(records: Records, images: ImageSummary) -> str:
    """The number of records, patients and images, and the schema as an aligned table."""
    patients = np.bincount(records.groups)
    patients = patients[patients > 0]
    several = (patients > 1).sum()
    sizes = [f"{width} x {height} ({count})" for (width, height), count in images.sizes.most_common(3)]
    if len(images.sizes) > 3:
        sizes.append(f"{len(images.sizes) - 3} other sizes")
    modes = [f"{mode} ({count})" for mode, count in images.modes.most_common()]
    lines = [
        f"{len(records)} records of {len(patients)} patients, "
        + (f"{several} of them with several images (up to {patients.max()})" if several else "one image each"),
        f"images: {', '.join(sizes)}; stored as {', '.join(modes)}"
        + (
            "; grey values {:g} to {:g} of all become 0 to 255".format(*images.grey_range) if images.grey_range else ""
        ),
        "",
    ]
    rows = [("column", "role", "kind", "unit", "missing", "distinct", "note")]
    for name, column in records.schema.columns.items():
        if column.role == "image":
            rows.append((name, "image", "", "", "", "", ""))
            continue
        values = _known_values(records, name)
        missing = 1 - len(values) / len(records)
        distinct = len({str(label) for cell in values for label in (cell if isinstance(cell, list) else [cell])})
        note = column.note or _range(column, values)
        rows.append((name, column.role, column.kind or "", column.unit or "", f"{missing:.0%}", str(distinct), note))
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def find_problems(records: Records, images: ImageSummary | None = None) -> list[str]:
    """What would spoil a release of these records, or a score on them; one sentence each."""
    problems = _left_out(records)
    problems += [
        f"`{name}`: words that cannot be read become missing: {', '.join(map(repr, words[:20]))}"
        + (" ..." if len(words) > 20 else "")
        for name, words in records.unread.items()
    ]
    problems += _duplicates(records)
    for one in find_dependencies(records.schema, records.frame):
        if len(one.sources) > 1 or not {one.column, *one.sources} & set(records.schema.targets):  # reported below
            sources = " and ".join(f"`{name}`" for name in one.sources)
            problems.append(
                f"`{one.column}` follows from {sources} ({_RULES[one.how]}): leave it out and compute it from the "
                "synthetic records, or they will break the rule"
            )
    if records.schema.table and not records.schema.targets:
        problems.append("no targets: nothing to predict, so utility cannot be scored; name some with `--targets`")
    for target in records.schema.targets:
        problems += _given_away(records, target)
    if records.schema.table and records.schema.group_column is None:
        problems.append("no group column: every record counts as a separate patient; name one if this is wrong")
    most = int(np.bincount(records.groups).max())
    if most > max(1, LARGE_SHARE * len(records)):
        problems.append(
            f"one patient holds {most} of {len(records)} records: a patient counts once, so that these add little; "
            "check that the patients are told apart"
        )
    if images and images.few_greys:
        problems.append(
            f"{images.few_greys} of {len(records)} images have fewer than {FEW_GREYS} grey values once all are scaled "
            "alike: leave out the images that are far brighter, or save all with 8 bits"
        )
    if images and images.burned_in:
        problems.append(f"{images.burned_in} of {len(records)} DICOM headers say that text is burned into the image")
    return problems


def _left_out(records: Records) -> list[str]:
    """Columns, categories and words that a release will not contain."""
    schema = records.schema
    problems = [
        f"`{name}` is left out: {column.note or 'its role is ' + column.role}"
        for name, column in schema.columns.items()
        if column.role in ("id", "ignore")
    ]
    protected = privacy_rule.protect(schema, records.frame, records.groups, warn=False)  # listed here
    for name, column in schema.table.items():
        kept = protected.columns[name]
        values = _known_values(records, name)
        if not kept.is_released:
            problems.append(f"`{name}` is left out: {kept.note}")
        elif len(set(map(str, values))) == 1:
            problems.append(f"`{name}` is constant: it has one value beside missing")
        elif rare := [category for category in column.categories or () if category not in kept.categories]:
            fate = f"merged into {OTHER!r}" if OTHER in kept.categories else _fate(kept)
            problems.append(
                f"`{name}`: held by fewer than {schema.min_patients} patients and {fate}: {', '.join(rare)}"
            )
        elif kept.kind == "boolean" and kept.categories:
            problems.append(
                f"`{name}`: fewer than {schema.min_patients} patients have another value than "
                f"{kept.categories[0]}, which is {_fate(kept)}"
            )
    lost = privacy_rule.lost_answers(schema, protected, records.frame)
    problems += [
        privacy_rule.tell_lost_class(name, lost[name], records.groups, schema.min_patients)
        for name in protected.targets
        if name in lost
    ]
    return [*problems, *filter(None, [privacy_rule.tell_left_out(protected, records.frame)])]


def _fate(column: ColumnSchema) -> str:
    """What becomes of an answer that a protected column dropped."""
    return "made missing" if "missing" in column.states else "left out with its records"


def _duplicates(records: Records) -> list[str]:
    """Pairs of columns with the same content: equal or recoded cells, or numbers on one straight line."""
    codes, numbers = {}, {}
    for name, column in records.schema.table.items():
        values = records.frame[name]
        if _known_values(records, name).astype(str).nunique() < 2:
            continue
        codes[name] = pd.factorize(values.astype(str))[0]  # in order of appearance: recoding does not change it
        if column.is_number:
            numbers[name] = values.to_numpy(np.float64)
    problems = []
    for one, other in combinations(codes, 2):
        if one in numbers and other in numbers:
            both = np.isfinite(numbers[one]) & np.isfinite(numbers[other])
            first, second = numbers[one][both], numbers[other][both]
            if np.array_equal(numbers[one], numbers[other], equal_nan=True):
                problems.append(f"`{one}` and `{other}` hold the same numbers: leave one out")
            elif both.sum() >= MIN_RECORDS and np.ptp(first) > 0 and np.ptp(second) > 0:
                if abs(np.corrcoef(first, second)[0, 1]) > SAME_LINE:
                    problems.append(f"`{one}` and `{other}` are the same number in other units: leave one out")
        elif codes[one].max() < len(records) / 2 and np.array_equal(codes[one], codes[other]):
            problems.append(f"`{one}` and `{other}` hold the same cells, perhaps recoded: leave one out")
    return problems


def _given_away(records: Records, target: str) -> list[str]:
    """Columns whose missingness, or whose value alone, predicts a target."""
    from scipy.stats import fisher_exact

    outcomes, least = dict(_outcomes(records, target)), records.schema.min_patients
    known = records.frame[target].notna().to_numpy()
    first_of_patient = np.zeros(len(records), dtype=bool)
    first_of_patient[np.unique(records.groups, return_index=True)[1]] = True  # images of one patient count once
    problems = []
    for name in records.schema.table:
        if name == target:
            continue
        missing = records.frame[name].isna().to_numpy()
        told, strongest = None, SIGNIFICANCE
        for label, outcome in outcomes.items():
            rows, all_rows = known & missing, outcome[known].mean()
            if privacy_rule.count_patients(records.groups, rows) < least or outcome[rows].mean() <= all_rows:
                continue
            once = known & first_of_patient
            counts = [[np.sum(once & m & o) for o in (outcome, ~outcome)] for m in (missing, ~missing)]
            if (p := fisher_exact(counts).pvalue) < strongest:
                strongest = p
                share = f"{outcome[rows].sum()} of {rows.sum()} records without `{name}`"
                told = f"{share} have {label} ({all_rows:.0%} in all)"
        if told:
            problems.append(f"{told}: whether the cell is missing predicts the target")
        for label, outcome in outcomes.items():
            aucs = [
                float(auc(outcome[rows].astype(int), scores[rows], np.ones((1, rows.sum())))[0])
                for rows, scores in _scores(records, name, outcome, known & ~missing)
                if rows.sum() >= MIN_RECORDS
                and min(privacy_rule.count_patients(records.groups, rows & o) for o in (outcome, ~outcome)) >= least
            ]
            if aucs and (best := max(max(area, 1 - area) for area in aucs)) > NEARLY_GIVEN_AWAY:
                problems.append(f"`{name}` alone predicts {label} (AUC {best:.2f}): the same fact, or known later?")
                break
    return problems


def _outcomes(records: Records, target: str) -> Iterator[tuple[str, np.ndarray]]:
    """The binary events of a target: each value, each label, or being above the median or not."""
    column, values = records.schema.columns[target], records.frame[target]
    if column.is_number:
        median = np.nanmedian(values)
        yield f"`{target}` above its median", (values > median).to_numpy()
        yield f"`{target}` up to its median", (values <= median).to_numpy()
    else:
        for category in [True, False] if column.kind == "boolean" else column.categories:
            holds = [category in cell if isinstance(cell, list) else cell == category for cell in values]
            yield f"{target}={str(category).lower() if column.kind == 'boolean' else category}", np.array(holds)


def _scores(
    records: Records, name: str, outcome: np.ndarray, known: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Which records a column's value can be scored on, and the scores; one pair per label for multi-label columns."""
    column, values = records.schema.columns[name], records.frame[name]
    if column.is_number or column.kind == "boolean":
        yield known, np.array([float(cell) if has else 0.0 for cell, has in zip(values, known, strict=True)])
        return
    held = {
        category: np.array([cell is not None and (category in cell if isinstance(cell, list) else cell == category)
                            for cell in values])
        for category in column.categories
    }  # fmt: skip
    common = [
        known & mask
        for mask in held.values()
        if privacy_rule.count_patients(records.groups, known & mask) >= records.schema.min_patients
    ]
    if column.kind == "multi-label":
        yield from ((known, mask.astype(float)) for mask in common)
    elif common:
        # The outcome's share in each category; in rare ones it would copy the outcome.
        yield np.any(common, axis=0), sum(mask * outcome[mask].mean() for mask in common)


def _known_values(records: Records, name: str) -> pd.Series:
    """Cells that are not missing: typed ones where the column is released, raw ones otherwise."""
    if name in records.frame:
        return records.frame[name].dropna()
    return records.raw[name][[not cells.is_missing(cell) for cell in records.raw[name]]]


def _range(column: ColumnSchema, values: pd.Series) -> str:
    if column.is_number and len(values):
        return f"{values.min():g} to {values.max():g}"
    names = ", ".join(column.categories or ())
    return names if len(names) <= 60 else f"{names[:57]}..."
