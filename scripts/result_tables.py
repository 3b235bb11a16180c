"""The Markdown tables of docs/results.md from the report of a release, or from a comparison of codecs.

    python scripts/result_tables.py docs/results/covid_cxr_report.json
    python scripts/result_tables.py docs/results/codecs_covid_cxr.json

Of a report: utility of the largest synthetic set, fidelity of rows, images and codec, pairing, and the strongest
attack of each family. Of `compare_codecs.py`: means over the divisions, and differences from the first codec. A page
shows what this prints and adds words; nothing is rounded or chosen by hand.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import auto_cli

from hf_hybrid.commands.cli import guarded
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.families import Family
from hf_hybrid.core.report import PARTS, Fidelity, Pairing, Privacy, Report, Utility
from hf_hybrid.core.scores import CHANCE, REAL, REPEATED, Recovered, Score, UtilityScore
from hf_hybrid.reports.score_tables import METRICS, by_target_and_metric, different, largest

SEEN = {"image": "image", "table": "table", "both": "both", "other": "image, other model"}
AGAINST_CHANCE = ", against chance"


def main(report: Path) -> int:
    """Prints the tables of a report.

    Args:
        report: report.json of an evaluated release, or what `compare_codecs.py` wrote.
    """
    if "pooled" in (found := _read(report)):
        sys.stdout.write("\n".join(map(_line, comparison_table(found))) + "\n")
        return 0
    parts = read_parts(report)
    tables = {
        "Utility": utility_table(parts["utility"]),
        "Fidelity": fidelity_table(parts["fidelity"]),
        "Pairing": pairing_table(parts["pairing"]),
        f"Privacy: {parts['privacy'].verdict}": privacy_table(parts["privacy"]),
    }
    for title, rows in tables.items():
        sys.stdout.write("\n".join([f"### {title}", "", *map(_line, rows), ""]) + "\n")
    return 0


def read_parts(path: Path) -> dict[str, Any]:
    """The parts of a report by name.

    Raises:
        InputError: there is no such file, it is no report, or it has not all parts.
    """
    try:
        parts = Report.from_dict(_read(path)).measured()
    except ValueError as error:
        raise InputError(f"expected the report.json of a release in {path}, found: {error}") from None
    if absent := [name for name in PARTS if name not in parts]:
        raise InputError(
            f"expected a report of a release with all parts, found no {' and no '.join(absent)} in {path}"
        )
    return parts


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"expected a JSON file in {path}, found: {error}") from None


def comparison_table(found: dict[str, Any]) -> Iterator[Sequence[str]]:
    """A row for each score, a column for each codec; below each other codec its difference from the first one."""
    pooled, first = found["pooled"], next(iter(found["pooled"]))
    differences = found[f"differences from {first}"]
    yield "Mean over divisions", "Real records", *pooled, *(f"{name} - {first}" for name in differences)
    yield ("---",) * (2 + len(pooled) + len(differences))
    for name, one in pooled[first].items():
        shown = [scores.get(name) for scores in (*pooled.values(), *differences.values())]
        real = one.get("real")
        places = 1 if abs(one["value"]) >= 10 else 3
        yield (
            f"{name} ({one['divisions']})",
            *(_number(cell["value"], cell["interval"], places) if cell else "" for cell in (real, *shown)),
        )


def utility_table(part: Utility) -> Iterator[Sequence[str]]:
    """AUC or R2 by what was seen and learned from, of the largest synthetic set, with its recovered share."""
    shares = {(one.target, one.metric, one.inputs): one for one in largest(part.headline)}
    biggest = next(iter(shares.values())).trained_on
    learned_from = [one for one in different("trained_on", part.scores) if one in (REAL, REPEATED) or biggest in one]
    yield "target (metric)", "seen", *learned_from, f"recovered share, {biggest}"
    yield ("---",) * (len(learned_from) + 3)
    for (target, metric), scores in by_target_and_metric(part.scores).items():
        for seen in SEEN if metric in CHANCE else ():
            found = {one.trained_on: _cell(one) for one in scores if one.inputs == seen}
            if found:
                cells = (found.get(one, "") for one in learned_from)
                yield f"{target} ({METRICS[metric]})", SEEN[seen], *cells, _share(shares.get((target, metric, seen)))


def fidelity_table(part: Fidelity) -> Iterator[Sequence[str]]:
    """Scores of rows, images and, if they were measured, reconstructions."""
    return _scores(part.table + part.images + (part.codec or ()))


def pairing_table(part: Pairing) -> Iterator[Sequence[str]]:
    """What the image tells, over all columns and of each."""
    return _scores(part.scores + part.columns)


def privacy_table(part: Privacy) -> Iterator[Sequence[str]]:
    """The strongest attack of every family; attacks on membership against the copula and against chance apart."""
    yield "Family", "Verdict", "Strongest attack: risk", "Read against"
    yield ("---",) * 4
    for family in part.families:
        chance = [one for one in family.scores if one.name.endswith(AGAINST_CHANCE)]
        others = [one for one in family.scores if one not in chance]
        parts = {", above the copula": others, ", above chance": chance} if chance else {"": others}
        for name, scores in parts.items():
            strongest = max(scores, key=lambda one: one.value or 0.0, default=None)
            cells = ("", "") if strongest is None else (_named(strongest), _references(strongest))
            yield f"{family.name}{name}", _verdict(family, scores), *cells


def _verdict(family: Family, scores: Sequence[Score]) -> str:
    """The family's verdict, or `pass` for a part of its attacks that is surely below the limits."""
    below = all(one.interval and one.interval[1] < family.limit_of(one.name).pass_below for one in scores)
    if len(scores) < len(family.scores) and below and not family.is_loose:
        return "pass"
    words = family.verdict.word
    if family.verdict.patients_needed:
        return f"{words} (about {family.verdict.patients_needed} held-out patients would settle it)"
    if not family.verdict.is_settled_by_patients:
        return f"{words} (no number of held-out patients would settle it)"
    if words == "pass" and family.open_details:
        return f"{words} on average over columns"
    return words


def _scores(scores: Sequence[Score]) -> Iterator[Sequence[str]]:
    yield "Score", "Value", "Read against"
    yield ("---",) * 3
    for one in scores:
        yield one.name, _number(one.value, one.interval, 2 if _is_large(one) else 3) or "not given", _references(one)


def _is_large(score: Score) -> bool:
    return max(map(abs, [score.value or 0, *score.reference.values()])) >= 10


def _named(score: Score) -> str:
    return f"{score.name.removesuffix(AGAINST_CHANCE)}: {_number(score.value, score.interval, 3)}"


def _references(score: Score) -> str:
    places = 2 if _is_large(score) else 3
    return ", ".join(f"{name} {value:.{places}f}" for name, value in score.reference.items())


def _cell(score: UtilityScore) -> str:
    return _number(score.value, score.interval, 2) or "not given"


def _share(one: Recovered | None) -> str:
    if one is None or one.recovered_share is None or one.recovered_share_interval is None:
        return ""
    low, high = one.recovered_share_interval
    return f"{round(100 * one.recovered_share)} % ({round(100 * low)} to {round(100 * high)} %)"


def _number(value: float | None, interval: Sequence[float] | None, places: int) -> str:
    if value is None:
        return ""
    behind = " ({:.{p}f} to {:.{p}f})".format(*interval, p=places) if interval else ""
    return f"{value:.{places}f}{behind}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(guarded(lambda: auto_cli(main, as_positional=True)))
