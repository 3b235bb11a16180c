"""A report for people: the utility scores as text for the terminal and as bar charts."""

import re
from collections import defaultdict
from pathlib import Path

from hf_hybrid.benchmark_facts import scored_tasks
from hf_hybrid.evaluation import Report
from hf_hybrid.metrics.utility import CHANCE
from hf_hybrid.score_facts import privacy_facts
from hf_hybrid.utility_scores import REAL, REPEATED

_TITLES = {"image": "image only", "table": "table only", "both": "image and table"}
_AXES = {"auc": "AUC (dotted: chance)", "r2": "R2 (dotted: no better than the mean)"}


def format_report(report: Report) -> str:
    """All utility scores for the terminal, what the most synthetic records keep, and the verdicts on privacy."""
    return _format_utility(report.utility) + _format_privacy(report.privacy)


def _format_privacy(privacy: dict) -> str:
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
    for (target, metric), scores in _by_target_and_metric(utility["scores"]).items():
        tested = f"tested on {scores[0]['n_test']} real records of {scores[0]['n_test_patients']} patients"
        lines.append(f"{target}: {metric}, {scores[0]['direction']}, {tested}")
        inputs = _different("inputs", scores)
        rows = {name: dict.fromkeys(inputs, "") for name in _different("trained_on", scores)}
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


def draw_charts(report: Report, directory: str | Path) -> list[Path]:
    """Bar charts of the AUC or R2 of every target, `utility_<target>.png`; charts of an earlier report are removed.

    Args:
        report: nothing is drawn where it has no utility scores.
        directory: made where it does not exist.

    Returns:
        The files written.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("utility_*.png"):
        old.unlink()
    paths = []
    for (target, metric), scores in _by_target_and_metric(report.utility.get("scores", [])).items():
        if metric not in CHANCE or not any(score["interval"] for score in scores):
            continue
        stem = "utility_" + (re.sub(r"[^0-9A-Za-z-]+", "_", target).strip("_") or "target")
        if stem in [path.stem for path in paths]:
            stem = f"{stem}_{len(paths) + 1}"
        paths.append(directory / f"{stem}.png")
        _draw_chart(target, metric, scores, paths[-1])
    return paths


def _draw_chart(target: str, metric: str, scores: list[dict], path: Path) -> None:
    """One panel a kind of inputs, one bar a training set, the first one on top."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names, inputs = _different("trained_on", scores)[::-1], _different("inputs", scores)
    figure = Figure(figsize=(2.4 + 2.6 * len(inputs), 1.3 + 0.33 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(inputs), sharex=True, sharey=True, squeeze=False)[0]
    axes = dict(zip(inputs, panels, strict=True))
    drawn = [score for score in scores if score["interval"]]
    for score in drawn:
        axis, row = axes[score["inputs"]], names.index(score["trained_on"])
        axis.barh(row, score["value"], height=0.7, color=_colour(score["trained_on"]))
        axis.hlines(row, *score["interval"], color="black", linewidth=1.2)
        number = f"{score['value']:.2f}".replace("-0.00", "0.00")
        axis.text(1.02, row, number, transform=axis.get_yaxis_transform(), va="center")
    lowest = min(score["interval"][0] for score in drawn)
    for name, axis in axes.items():
        axis.axvline(CHANCE[metric], color="black", linestyle=":", linewidth=1)
        axis.set_xlim(max(min(lowest, 0), -1), 1)
        axis.set_title(_TITLES[name], fontsize=10)
        axis.set_yticks(range(len(names)), names)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(target.replace("$", r"\$"))
    figure.supxlabel(f"{_AXES[metric]}, tested on real patients, 95 % intervals", fontsize=9)
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})


def draw_benchmark(result: dict, path: str | Path) -> None:
    """What samplers keep against what they give away, over membership AUC: recovered share, a panel a task.

    Where no task has a share, the pairing score takes its place.

    Args:
        result: the content of `benchmark.json`.
        path: PNG file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    samplers, tasks = result["samplers"], scored_tasks(result)
    figure = Figure(figsize=(2 + 3.4 * max(len(tasks), 1), 3.8), layout="constrained")
    panels = figure.subplots(1, max(len(tasks), 1), sharex=True, sharey=True, squeeze=False)[0]
    for axis, number in zip(panels, tasks or [None], strict=True):
        for place, (name, one) in enumerate(samplers.items()):
            kept = one["pairing"] if number is None else one["utility"][number]["recovered_share"]
            if kept is None:
                continue
            attack, colour = one["membership"], f"C{place}"
            axis.hlines(kept["value"], *attack["interval"], color=colour, linewidth=1, alpha=0.6)
            axis.vlines(
                attack["value"], *(kept.get("interval") or kept["range"]), color=colour, linewidth=1, alpha=0.6
            )
            marker = "x" if one["contains_training_records"] else "o"
            axis.plot(attack["value"], kept["value"], marker, color=colour, label=name)
        for level in (0, 1) if tasks else (0, result["real"]["pairing"]):
            axis.axhline(level, color="black", linestyle=":", linewidth=1)
        if tasks:
            title = f"{tasks[number]['target']}, {_TITLES[tasks[number]['inputs']]}"
            axis.set_title(title.replace("$", r"\$"), fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("recovered share (dotted: 0 and 1)" if tasks else "pairing (dotted: 0 and real)")
    figure.supxlabel("membership AUC, lower is safer (x: holds training records)", fontsize=9)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})


def _colour(trained_on: str) -> str:
    if trained_on in (REAL, REPEATED):
        return "0.45" if trained_on == REAL else "0.75"
    if trained_on.startswith(REAL):
        return "#3b8c5a"
    return "#b5cfe4" if trained_on.endswith("shuffled") else "#2f6f9f"


def _with_interval(score: dict) -> str:
    if score["value"] is None:
        return "-"
    ends = [f"{end:.2f}" if abs(end) < 10 else f"{end:.1f}" for end in score["interval"] or ()]
    return f"{score['value']:.3f}" + (f" ({' to '.join(ends)})" if ends else "")


def _different(key: str, scores: list[dict]) -> list[str]:
    """The values of `key`, each once, in the order of the report."""
    return list(dict.fromkeys(score[key] for score in scores))


def _by_target_and_metric(scores: list[dict]) -> dict[tuple[str, str], list[dict]]:
    groups = defaultdict(list)
    for score in scores:
        groups[score["target"], score["metric"]].append(score)
    return groups
