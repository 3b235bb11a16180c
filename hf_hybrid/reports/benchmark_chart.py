"""The chart of a benchmark: utility of samplers against privacy."""

from pathlib import Path
from typing import TYPE_CHECKING

from hf_hybrid.reports.benchmark_table import scored_tasks
from hf_hybrid.reports.drawing import TITLES, blank_figure, plain, write_png

if TYPE_CHECKING:
    pass


def draw_benchmark(result: dict, path: str | Path) -> None:
    """Utility against privacy: recovered share over membership AUC, one panel per task.

    If no task has a share, the pairing score is shown instead.

    Args:
        result: the content of `benchmark.json`.
        path: PNG file to write.
    """
    samplers, tasks = result["samplers"], scored_tasks(result)
    figure = blank_figure(2 + 3.4 * max(len(tasks), 1), 3.8)
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
            title = f"{tasks[number]['target']}, {TITLES[tasks[number]['inputs']]}"
            axis.set_title(plain(title), fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("recovered share (dotted: 0 and 1)" if tasks else "pairing (dotted: 0 and real)")
    figure.supxlabel("membership AUC, lower is safer (x: holds training records)", fontsize=9)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    write_png(figure, path)
