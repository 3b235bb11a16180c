"""A report as text for the terminal: the utility scores and the verdicts on privacy."""

from hf_hybrid.core.report import CHANCE

from hf_hybrid.reports.score_tables import by_target_and_metric, different, privacy_facts


def format_report(report: "Report") -> str:
    """All utility scores for the terminal, what the most synthetic records keep, and the verdicts on privacy."""
    return _format_utility(report.utility) + format_privacy(report.privacy)


def format_privacy(privacy: dict) -> str:
    """The verdict, and that of every family."""
    if privacy["status"] != "measured":
        return f"privacy: not measured ({privacy['reason']})\n"
    facts = privacy_facts(privacy)
    lines = [f"privacy: {facts.verdict}. {facts.meaning}"]
    for family in facts.families:
        lines.append(
            f"  {family['name']}: {family['verdict']}" + (f": {family['advice']}" if family["advice"] else "")
        )
    return "\n".join(lines) + "\n"


def _format_utility(utility: dict) -> str:
    if utility["status"] != "measured":
        return f"utility: not measured ({utility['reason']})\n"
    lines = []
    for (target, metric), scores in by_target_and_metric(utility["scores"]).items():
        counts = [scores[0][name] or "too few" for name in ("n_test", "n_test_patients")]
        tested = f"tested on {counts[0]} real records of {counts[1]} patients"
        lines.append(f"{target}: {metric}, {scores[0]['direction']}, {tested}")
        inputs = different("inputs", scores)
        rows = {name: dict.fromkeys(inputs, "") for name in different("trained_on", scores)}
        for score in scores:
            rows[score["trained_on"]][score["inputs"]] = _with_interval(score)
        table = [["trained on", *inputs], *([name, *cells.values()] for name, cells in rows.items())]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for row in table:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            lines.append("  " + "   ".join(cells).rstrip())
        lines.append("")
    lines.append(f"In parentheses: {utility['interval']}.")
    # Each row takes the place of the one with fewer synthetic records before it.
    shares = {(row["target"], row["inputs"]): row for row in utility["headline"] if row["metric"] in CHANCE}
    for (target, inputs), row in shares.items():
        if row["recovered_share"] is None:
            lines.append(f"{target}, {inputs}: no share ({row['reason']})")
        else:
            share = f"{row['recovered_share']:.0%} of the {row['metric']} above chance"
            gap = "{:.3f} ({:.3f} to {:.3f})".format(row["gap"], *row["gap_interval"])
            lines.append(f"{target}, {inputs}: {row['trained_on']} recovers {share}, gap {gap}")
    return "\n".join(lines) + "\n"


def _with_interval(score: dict) -> str:
    if score["value"] is None:
        return "-"
    ends = [f"{end:.2f}" if abs(end) < 10 else f"{end:.1f}" for end in score["interval"] or ()]
    return f"{score['value']:.3f}" + (f" ({' to '.join(ends)})" if ends else "")
