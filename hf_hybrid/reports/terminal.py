"""A report as text for the terminal: the utility scores and the verdicts on privacy."""

from hf_hybrid.core.report import NotMeasured, Privacy, Report, Utility
from hf_hybrid.core.scores import CHANCE, Recovered, UtilityScore
from hf_hybrid.reports.score_tables import by_target_and_metric, different, largest, privacy_tables


def format_report(report: Report) -> str:
    """All utility scores, the recovered shares, and the verdicts on privacy."""
    return _format_utility(report.utility) + format_privacy(report.privacy)


def format_privacy(privacy: Privacy | NotMeasured) -> str:
    """The verdict, and that of every family."""
    families = [] if isinstance(privacy, NotMeasured) else privacy_tables(privacy).families
    lines = [
        f"  {family['name']}: {family['verdict']}" + (f": {family['advice']}" if family["advice"] else "")
        for family in families
    ]
    return format_verdict(privacy) + "".join(f"{line}\n" for line in lines)


def format_verdict(privacy: Privacy | NotMeasured) -> str:
    """The verdict in one line."""
    if isinstance(privacy, NotMeasured):
        return f"privacy: not measured ({privacy.reason})\n"
    found = privacy_tables(privacy)
    return f"privacy: {found.verdict}. {found.meaning}\n"


def format_shares(utility: Utility | NotMeasured) -> str:
    """The recovered shares of the largest synthetic set, one line per target and input."""
    if isinstance(utility, NotMeasured):
        return f"utility: not measured ({utility.reason})\n"
    return "".join(f"{_share_line(one)}\n" for one in largest(utility.headline) if one.metric in CHANCE)


def _format_utility(utility: Utility | NotMeasured) -> str:
    if isinstance(utility, NotMeasured):
        return format_shares(utility)
    lines = []
    for (target, metric), scores in by_target_and_metric(utility.scores).items():
        counts = [count or "too few" for count in (scores[0].n_test, scores[0].n_test_patients)]
        tested = f"tested on {counts[0]} real records of {counts[1]} patients"
        lines.append(f"{target}: {metric}, {scores[0].direction}, {tested}")
        lines += [*_table(scores), ""]
    if utility.image_models:
        lines.append("Image models, chosen on validation patients among the training patients:")
        lines += [f"  {one.in_words}" for one in utility.image_models]
    lines.append(f"In parentheses: {utility.interval}.")
    return "\n".join(lines) + "\n" + format_shares(utility)


def _table(scores: list[UtilityScore]) -> list[str]:
    """One row per training set, one column per kind of inputs, aligned."""
    inputs = different("inputs", scores)
    rows = {name: dict.fromkeys(inputs, "") for name in different("trained_on", scores)}
    for score in scores:
        rows[score.trained_on][score.inputs] = _with_interval(score)
    table = [["trained on", *inputs], *([name, *cells.values()] for name, cells in rows.items())]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]


def _share_line(one: Recovered) -> str:
    if one.recovered_share is None:
        return f"{one.target}, {one.inputs}: no share ({one.reason})"
    ends = one.recovered_share_interval
    interval = f" ({ends[0]:.0%} to {ends[1]:.0%})" if ends else ""
    share = f"{one.recovered_share:.0%}{interval} of the {one.metric} above chance"
    control = "" if one.repeated_share is None else f" (real repeated: {one.repeated_share:.0%})"
    return f"{one.target}, {one.inputs}: {one.trained_on} recovers {share}{control}"


def _with_interval(score: UtilityScore) -> str:
    if score.value is None:
        return "-"
    ends = [f"{end:.2f}" if abs(end) < 10 else f"{end:.1f}" for end in score.interval or ()]
    return f"{score.value:.3f}" + (f" ({' to '.join(ends)})" if ends else "")
