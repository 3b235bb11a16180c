"""The parts of a report as rows of text, for cards, page and terminal."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from hf_hybrid.core.families import Family, Limit
from hf_hybrid.core.report import Fidelity, Pairing, Privacy, Utility
from hf_hybrid.core.scores import Recovered, Score, UtilityScore

INPUTS = {"image": "Image only", "table": "Table only", "both": "Image and table", "other": "Image, other model"}
METRICS = {"auc": "AUC", "balanced_accuracy": "balanced accuracy", "r2": "R2", "mae": "mean absolute error"}
_VERDICTS = {
    "pass": (
        "passed",
        "In every family of attacks, the 95 % interval of the risk, averaged over columns, lies below its limit.",
    ),
    "inconclusive": (
        "inconclusive",
        "In some families of attacks, the 95 % interval of the risk, averaged over columns, reaches its limit: this "
        "evaluation cannot tell whether the release is safe.",
    ),
    "fail": (
        "FAILED",
        "An attack exceeds its limit by more than chance explains: do not publish these records.",
    ),
}
_NOT_RUN = {"score": "not run", "difference": ""}
_BLANK = dict.fromkeys(("reference", "direction", "n", "meaning"), "")


@dataclass
class ScoreTable:
    """The scores of one target and metric; one row per training set, one column per kind of inputs.

    A row holds `trained_on`, `num_records`, `compared_with` and `cells`, one per kind of inputs, each with the texts
    `score` and `difference`.
    """

    target: str
    metric: str
    direction: str
    range: str
    num_records: str
    num_patients: str
    seeds: str
    inputs: list[str]
    rows: list[dict]


@dataclass
class UtilityTables:
    """The utility scores; `interval` describes the numbers in parentheses, `shares` holds the recovered shares.

    `image_models` says which image model was chosen for each target, if one was.
    """

    interval: str
    shares: list[dict]
    tables: list[ScoreTable]
    image_models: list[str] = field(default_factory=list)

    @property
    def shares_by_target(self) -> dict[str, dict[str, str]]:
        """Target and metric -> inputs -> recovered share and gap in a few words, for a narrow table."""
        found: dict[str, dict[str, str]] = {}
        for row in self.shares:
            words = row["share"]
            if words != "not given":
                words += f", gap {row['gap']}; real repeated {row['repeated']}"
            found.setdefault(f"{row['target']} ({row['metric']})", {})[row["inputs"]] = words
        return found

    @property
    def inputs(self) -> list[str]:
        """The kinds of inputs, each once."""
        return list(dict.fromkeys(row["inputs"] for row in self.shares))


@dataclass
class ScoreTables:
    """Tables of scores.

    Args:
        interval: description of the numbers in parentheses.
        tables: title -> rows of `name`, `value`, `reference`, `direction`, `n` and `meaning`.
    """

    interval: str
    tables: dict[str, list[dict]]


@dataclass
class PrivacyTables:
    """The results of the attacks, in words.

    Args:
        is_passed: whether every family passed.
        verdict: verdict of the worst family.
        meaning: meaning of the verdict, with what it leaves open about single columns.
        families: each with `name`, `question`, `verdict`, `limit`, `strongest`, `advice` and the rows `scores`.
        screening: rows that do not affect the verdict.
    """

    is_passed: bool
    verdict: str
    meaning: str
    families: list[dict]
    screening: list[dict] = field(default_factory=list)


def utility_tables(part: Utility) -> UtilityTables:
    """One table per target and metric; above them the recovered shares of the largest synthetic set."""
    groups = by_target_and_metric(part.scores)
    main_metric = {target: metric for target, metric in reversed(groups)}
    shares = [_share_row(one) for one in largest(part.headline) if one.metric == main_metric[one.target]]
    tables = [_score_table(*group, scores) for group, scores in groups.items()]
    return UtilityTables(part.interval, shares, tables, [one.in_words for one in part.image_models or ()])


def fidelity_tables(part: Fidelity) -> ScoreTables:
    """Scores of rows, of images and, if it was given, of the codec."""
    scores = {"Table": part.table, f"Images; features: {part.extractor}": part.images}
    if part.codec:
        scores["Codec, on images of held-out patients"] = part.codec
    return ScoreTables(part.interval, {title: list(map(score_row, some)) for title, some in scores.items()})


def pairing_tables(part: Pairing) -> ScoreTables:
    """Scores over all columns, of each column and, if given, of measurements in the images."""
    scores = {"All columns": part.scores, "Each column, from the image alone": part.columns}
    if part.measurements:
        scores["What was measured in the images"] = part.measurements
    return ScoreTables(part.interval, {title: list(map(score_row, some)) for title, some in scores.items()})


def privacy_tables(part: Privacy) -> PrivacyTables:
    """The verdict, and that of every family."""
    families = [_family_row(one) for one in part.families]
    word, meaning = _VERDICTS[part.verdict]
    about_columns = [_about_columns(one) for one in part.families if one.open_details]
    meaning = " ".join([meaning, *about_columns])
    return PrivacyTables(part.verdict == "pass", word, meaning, families, list(map(score_row, part.screening)))


def _about_columns(family: Family) -> str:
    """What the verdict does not say about single columns, one sentence."""
    found, columns = family.open_details, _open_columns(family)
    return (
        f"Single columns are not covered by that: the intervals of {len(found)} of {len(family.details)} attacks of "
        f"{family.name} on one column reach the limit ({', '.join(columns)}); the strongest is {_in_words(found[0])}."
    )


def _open_columns(family: Family) -> list[str]:
    """The columns on which the interval of some attack reaches the limit, each once."""
    return list(dict.fromkeys(one.name.rsplit(" from the ", 1)[0] for one in family.open_details))


def _in_words(score: Score) -> str:
    return f"{score.name}: {score_row(score)['value']}"


def score_row(score: Score) -> dict[str, str]:
    """A score as a table shows it."""
    if score.value is None:
        return {**_BLANK, "name": score.name, "value": f"not given: {score.reason}"}
    interval = " ({:.3f} to {:.3f})".format(*score.interval) if score.interval else ""
    return {
        "name": score.name,
        "value": f"{score.value:.3f}{interval}",
        "reference": ", ".join(f"{name} {value:.3f}" for name, value in score.reference.items()),
        "direction": score.direction,
        "n": f"{score.n:,}",
        "meaning": score.meaning,
    }


def largest(headline: Iterable[Recovered]) -> list[Recovered]:
    """Recovered shares by target, metric and input, of the largest synthetic set: each row replaces a smaller one."""
    return list({(one.target, one.metric, one.inputs): one for one in headline}.values())


def by_target_and_metric(scores: Iterable[UtilityScore]) -> dict[tuple[str, str], list[UtilityScore]]:
    """The utility scores of each target and metric."""
    groups = defaultdict(list)
    for score in scores:
        groups[score.target, score.metric].append(score)
    return groups


def different(name: str, scores: Iterable[UtilityScore]) -> list[str]:
    """The values of a field, each once, in the order of the report."""
    return list(dict.fromkeys(getattr(score, name) for score in scores))


def _share_row(one: Recovered) -> dict[str, str]:
    return {
        "target": one.target,
        "metric": METRICS.get(one.metric, one.metric),
        "inputs": INPUTS[one.inputs],
        "trained_on": one.trained_on,
        "share": _share(one),
        "repeated": "not run" if one.repeated_share is None else f"{one.repeated_share:.0%}",
        "gap": _with_interval(one.gap, one.gap_interval, one.reason),
    }


def _share(one: Recovered) -> str:
    """The recovered share with its interval."""
    if one.recovered_share is None:
        return "not given"
    ends = one.recovered_share_interval
    return f"{one.recovered_share:.0%}" + (f" ({ends[0]:.0%} to {ends[1]:.0%})" if ends else "")


def _score_table(target: str, metric: str, scores: list[UtilityScore]) -> ScoreTable:
    def all_of(name: str, scores: list[UtilityScore] = scores) -> str:
        values = (getattr(score, name) for score in scores)
        return ", ".join(dict.fromkeys("too few" if value is None else f"{value:,}" for value in values))

    inputs = [name for name in INPUTS if any(score.inputs == name for score in scores)]
    rows = []
    for trained_on in different("trained_on", scores):
        found = {score.inputs: score for score in scores if score.trained_on == trained_on}
        rows.append(
            {
                "trained_on": trained_on,
                "num_records": all_of("n_train", list(found.values())),
                "compared_with": next(iter(found.values())).compared_with,
                "cells": [_score_cell(found[name]) if name in found else _NOT_RUN for name in inputs],
            }
        )
    low, high = scores[0].range
    return ScoreTable(
        target=target,
        metric=METRICS.get(metric, metric),
        direction=scores[0].direction,
        range=f"{'no lower end' if low is None else f'{low:g}'} to {'no upper end' if high is None else f'{high:g}'}",
        num_records=all_of("n_test"),
        num_patients=all_of("n_test_patients"),
        seeds=all_of("seeds"),
        inputs=[INPUTS[name] for name in inputs],
        rows=rows,
    )


def _score_cell(score: UtilityScore) -> dict[str, str]:
    difference = ""
    if score.difference is not None:
        difference = _with_interval(score.difference, score.difference_interval, score.reason)
    return {"score": _with_interval(score.value, score.interval, score.reason), "difference": difference}


def _with_interval(value: float | None, interval: tuple[float, float] | None, reason: str | None) -> str:
    """A number with its interval, or the reason why there is none."""
    if value is None:
        return f"not given: {reason}"
    places = 3 if max(map(abs, [value, *(interval or ())])) < 2 else 1  # an AUC has three, an error in years one
    behind = " to ".join(f"{bound:.{places}f}" for bound in interval) if interval else "no interval"
    return f"{value:.{places}f} ({behind})"


def _family_row(family: Family) -> dict:
    verdict = family.verdict
    words = {"pass": "pass", "inconclusive": "inconclusive", "fail": "FAIL"}[verdict.word]
    if verdict.patients_needed:
        words += f" (about {verdict.patients_needed:,} test patients would settle it)"
    if not verdict.is_settled_by_patients:
        words += " (no number of test patients would settle it: too few training patients)"
    if verdict.failed:
        words += f" ({', '.join(verdict.failed[:5])})"
    if verdict.word != "fail" and family.open_details:
        words += f", averaged over columns; open for {', '.join(_open_columns(family))}"
    if verdict.word == "inconclusive" and family.is_loose:
        words += f": its limit is looser than the default of {family.facts.limit}"
    strongest = [max(some, key=lambda score: score.value) for some in (family.scores, family.details) if some]
    return {
        "name": family.name,
        "question": family.facts.question,
        "verdict": words,
        "limit": _limit(family) if family.scores else "none may be found",
        "strongest": "; of single columns ".join(map(_in_words, strongest)),
        "advice": family.advice or "",
        "scores": list(map(score_row, (*family.scores, *family.details))),
    }


def _limit(family: Family) -> str:
    against_chance = dict.fromkeys(_ends(one) for one in family.own_limits.values() if one != family.limit)
    return "; ".join([_ends(family.limit), *(f"{one} against chance" for one in against_chance)])


def _ends(limit: Limit) -> str:
    if limit.fail_above == limit.pass_below:
        return f"{limit.pass_below:g}"
    return f"fails above {limit.fail_above:g}, passes below {limit.pass_below:g}"
