"""Charts of a report: PNG files for the card, and markup for the page that follows its light or dark colours."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.report import CHANCE, REAL, REFERENCE, REPEATED, SHUFFLED
from hf_hybrid.reports.benchmark_table import scored_tasks
from hf_hybrid.reports.score_tables import by_target_and_metric, different

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLES = {"image": "image only", "table": "table only", "both": "image and table"}
_AXES = {"auc": "AUC (dotted: chance)", "r2": "R2 (dotted: no better than the mean)"}
_PANELS, _CURVES = 4, 3  # side by side


@dataclass(frozen=True)
class Colours:
    """What charts are drawn in.

    Args:
        ink: text and lines.
        real: records learned from.
        repeated: their control.
        synthetic: the release.
        shuffled: its control.
        both: real and synthetic records together.
    """

    ink: str = "#000000"
    real: str = "#737373"
    repeated: str = "#bfbfbf"
    synthetic: str = "#2f6f9f"
    shuffled: str = "#b5cfe4"
    both: str = "#3b8c5a"

    def of(self, trained_on: str) -> str:
        """The colour of a training set."""
        if trained_on in (REAL, REPEATED):
            return self.real if trained_on == REAL else self.repeated
        if trained_on.startswith(REAL) or trained_on.endswith(REAL):
            return self.both
        return self.shuffled if trained_on.endswith("shuffled") else self.synthetic


# Drawn in colours that occur nowhere else, each of which then becomes a variable of the page's style sheet.
_VARIABLES = {name: f"#0{place}0{place}0{place}" for place, name in enumerate(vars(Colours()), 1)}


@dataclass(frozen=True)
class Chart:
    """A chart for the page.

    Args:
        markup: an `<svg>` element.
        alt: what it shows, for those who do not see it.
    """

    markup: str
    alt: str


def report_charts(report: dict) -> dict[str, list[Chart]]:
    """Charts of every part of a report that was measured.

    Args:
        report: the content of `report.json`.

    Raises:
        InputError: it lacks what is drawn, as one of another version does.
    """
    colours = Colours(**_VARIABLES)
    draw = {"utility": _utility, "fidelity": _fidelity, "pairing": _pairing, "privacy": _privacy}
    try:
        return {
            part: [Chart(_markup(figure), alt) for figure, alt in draw[part](report[part], colours)]
            for part in draw
            if report[part]["status"] == "measured"
        }
    except KeyError as key:
        raise InputError(
            f"expected the fact {key} in report.json, found none: run `hf-hybrid evaluate` again"
        ) from None


def draw_charts(report: dict, directory: str | Path) -> list[Path]:
    """Bar charts of the AUC or R2 of every target, `utility_<target>.png`; charts of an earlier report are removed.

    Args:
        report: nothing is drawn where it has no utility scores.
        directory: made where it does not exist.

    Returns:
        The files written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("utility_*.png"):
        old.unlink()
    paths = []
    for target, metric, scores in _drawn_scores(report["utility"]):
        stem = "utility_" + (re.sub(r"[^0-9A-Za-z-]+", "_", target).strip("_") or "target")
        if stem in [path.stem for path in paths]:
            stem = f"{stem}_{len(paths) + 1}"
        paths.append(directory / f"{stem}.png")
        figure = _bars(target, metric, scores, Colours())
        figure.set_facecolor("white")
        FigureCanvasAgg(figure).print_png(paths[-1], metadata={"Software": None})
    return paths


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
            axis.set_title(_plain(title), fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("recovered share (dotted: 0 and 1)" if tasks else "pairing (dotted: 0 and real)")
    figure.supxlabel("membership AUC, lower is safer (x: holds training records)", fontsize=9)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})


# --- parts of a report -----------------------------------------------------------------------------------------------


def _utility(section: dict, colours: Colours) -> Iterator[tuple["Figure", str]]:
    for target, metric, scores in _drawn_scores(section):
        alt = f"Bar chart of the {metric} of {target} by what a model was trained on; the table above has the numbers"
        yield _bars(target, metric, scores, colours), alt


def _drawn_scores(section: dict) -> Iterator[tuple[str, str, list[dict]]]:
    for (target, metric), scores in by_target_and_metric(section.get("scores", [])).items():
        if metric in CHANCE and any(score["interval"] for score in scores):
            yield target, metric, scores


def _bars(target: str, metric: str, scores: list[dict], colours: Colours) -> "Figure":
    """One panel a kind of inputs, one bar a training set, the first one on top."""
    names, inputs = different("trained_on", scores)[::-1], different("inputs", scores)
    figure, panels = _figure(1, len(inputs), 2.4 + 2.6 * len(inputs), 1.3 + 0.33 * len(names), colours, shared=True)
    axes = dict(zip(inputs, panels, strict=True))
    drawn = [score for score in scores if score["interval"]]
    for score in drawn:
        axis, row = axes[score["inputs"]], names.index(score["trained_on"])
        axis.barh(row, score["value"], height=0.7, color=colours.of(score["trained_on"]))
        axis.hlines(row, *score["interval"], color=colours.ink, linewidth=1.2)
        number = f"{score['value']:.2f}".replace("-0.00", "0.00")
        axis.text(1.02, row, number, transform=axis.get_yaxis_transform(), va="center", color=colours.ink)
    lowest = min(score["interval"][0] for score in drawn)
    for name, axis in axes.items():
        axis.axvline(CHANCE[metric], color=colours.ink, linestyle=":", linewidth=1)
        axis.set_xlim(max(min(lowest, 0), -1), 1)
        axis.set_title(_TITLES[name], fontsize=10, color=colours.ink)
        axis.set_yticks(range(len(names)), names)
    figure.suptitle(_plain(target), color=colours.ink)
    figure.supxlabel(f"{_AXES[metric]}, tested on real patients, 95 % intervals", fontsize=9, color=colours.ink)
    return figure


def _fidelity(section: dict, colours: Colours) -> Iterator[tuple["Figure", str]]:
    marginals = section["marginals"]
    rows = -(-len(marginals) // _PANELS)
    figure, panels = _figure(rows, _PANELS, 9.5, 1.9 * rows + 0.4, colours)
    for axis, column in zip(panels, marginals, strict=False):
        axis.set_title(_plain(column["name"]), fontsize=9, color=colours.ink)
        axis.set_yticks([])
        if "edges" in column:
            edges = column["edges"]
            axis.stairs(column["synthetic"], edges, fill=True, color=colours.synthetic, alpha=0.55)
            axis.stairs(column[REFERENCE], edges, color=colours.ink, linewidth=1.2)
            axis.set_xticks([edges[0], edges[-1]])
        else:
            places = np.arange(len(column["names"]))
            axis.bar(places - 0.2, column["synthetic"], 0.4, color=colours.synthetic, alpha=0.55)
            axis.bar(places + 0.2, column[REFERENCE], 0.4, fill=False, edgecolor=colours.ink, linewidth=1.2)
            names = [_plain(name if len(name) < 11 else f"{name[:9]}…") for name in column["names"]]
            shown = places if len(places) <= 8 else places[:: -(-len(places) // 8)]
            axis.set_xticks(shown, [names[place] for place in shown], rotation=30 if len(names) > 2 else 0)
    for axis in panels[len(marginals) :]:
        axis.remove()
    caption = f"filled: synthetic; outline: {REFERENCE}, without bins of too few of them"
    figure.supxlabel(caption, fontsize=9, color=colours.ink)
    yield figure, f"Distribution of each column among synthetic records and {REFERENCE}"

    names, found = section["correlations"]["names"], section["correlations"]
    side = 1.2 + 0.16 * len(names)
    figure, panels = _figure(1, 2, 2 * side + 1.2, side + 0.5, colours, shared=True)
    for axis, key in zip(panels, ("synthetic", REFERENCE), strict=True):
        image = axis.pcolormesh(np.array(found[key]), cmap="RdBu_r", vmin=-1, vmax=1, edgecolors="none")
        axis.set_aspect("equal")
        axis.set_title(key, fontsize=10, color=colours.ink)
        axis.set_xticks([])
        axis.set_yticks(np.arange(len(names)) + 0.5, list(map(_plain, names)), fontsize=7)
    panels[0].invert_yaxis()
    bar = figure.colorbar(image, ax=panels, fraction=0.03)
    bar.ax.tick_params(colors=colours.ink, labelsize=8)
    bar.outline.set_visible(False)
    figure.supxlabel("0 also where a pair rests on too few patients", fontsize=9, color=colours.ink)
    difference = np.abs(np.subtract(found["synthetic"], found[REFERENCE])).max()
    alt = f"Two heat maps of rank correlations, synthetic and {REFERENCE}; they differ by at most {difference:.2f}"
    yield figure, alt


def _pairing(section: dict, colours: Colours) -> Iterator[tuple["Figure", str]]:
    scored = [one for one in (*section["scores"][:1], *section["columns"]) if one["value"] is not None]
    scored = [one for one in scored if {REAL, SHUFFLED} <= set(one["reference"])][::-1]
    if not scored:
        return
    figure, panels = _figure(1, 1, 8, 1 + 0.3 * len(scored), colours)
    axis = panels[0]
    for row, one in enumerate(scored):
        axis.hlines(row, *one["interval"], color=colours.synthetic, linewidth=1.5)
    for key, marker, colour in ((REAL, "D", colours.real), (SHUFFLED, "x", colours.ink)):
        axis.plot([one["reference"][key] for one in scored], range(len(scored)), marker, color=colour, label=key)
    values = [one["value"] for one in scored]
    axis.plot(values, range(len(scored)), "o", color=colours.synthetic, label="synthetic")
    axis.set_yticks(range(len(scored)), [_plain(one["name"]) for one in scored])
    axis.set_xlim(max(min(one["interval"][0] for one in scored) - 0.02, -1), 1)
    _common_legends(figure, panels, colours)
    label = "skill, or AUC or R2 of a column predicted from the image; tested on real patients"
    figure.supxlabel(label, fontsize=9, color=colours.ink)
    yield figure, "How well each column is predicted from the image, learned on synthetic, real and shuffled records"


def _privacy(section: dict, colours: Colours) -> Iterator[tuple["Figure", str]]:
    risks = [
        (f"{family['name']}: {one['name']}", one, family["limit"])
        for family in section["families"]
        for one in family["scores"]
    ][::-1]
    figure, panels = _figure(1, 1, 8.5, 1 + 0.24 * len(risks), colours)
    axis = panels[0]
    for row, (_, one, limit) in enumerate(risks):
        low, high = (float(np.clip(end, -0.3, 1)) for end in one["interval"])
        axis.hlines(row, low, high, color=colours.synthetic, linewidth=1.5)
        axis.plot(np.clip(one["value"], -0.3, 1), row, "o", color=colours.synthetic, markersize=4)
        axis.plot(limit, row, "|", color=colours.ink, markersize=9)
    axis.axvline(0, color=colours.ink, linestyle=":", linewidth=1)
    axis.set_yticks(range(len(risks)), [name for name, *_ in risks], fontsize=8)
    axis.set_xlim(-0.3, 1)
    label = "risk: what an attack does better on patients learned from (bars: limits); 95 % intervals"
    figure.supxlabel(label, fontsize=9, color=colours.ink)
    yield figure, "The risk of every attack with its interval and its limit; the tables below have the numbers"

    curves = section["curves"]
    rows = -(-len(curves) // _CURVES)
    figure, panels = _figure(rows, _CURVES, 9.5, 2.6 * rows + 0.3, colours)
    for axis, curve in zip(panels, curves, strict=False):
        axis.set_title(curve["name"], fontsize=9, color=colours.ink)
        if curve["kind"] == "roc":
            axis.plot([0, 1], [0, 1], ":", color=colours.ink, linewidth=1)
            for (name, points), colour in zip(curve["curves"].items(), (colours.synthetic, colours.real), strict=True):
                axis.plot(curve["false_positives"], points, color=colour, label=name)
            axis.set_xlabel("false positives", fontsize=8, color=colours.ink)
        else:
            for (name, shares), colour in zip(curve["shares"].items(), (colours.both, colours.ink), strict=True):
                density = np.divide(shares, np.diff(curve["edges"]))  # bins are of several widths
                axis.stairs(density, curve["edges"], color=colour, label=name, linewidth=1.3)
            axis.axvline(1, color=colours.ink, linestyle=":", linewidth=1)
            axis.set_yticks([])
            axis.set_xlabel("distance (1: a near copy)", fontsize=8, color=colours.ink)
    for axis in panels[len(curves) :]:
        axis.remove()
    _common_legends(figure, panels[: len(curves)], colours)
    words = "Histograms of the distance to the nearest synthetic record, of patients learned from and unseen ones"
    yield figure, f"{words}; ROC curves of the membership attacks on the release and on a Gaussian copula"


# --- drawing ---------------------------------------------------------------------------------------------------------


def _figure(
    rows: int, columns: int, width: float, height: float, colours: Colours, shared: bool = False
) -> tuple["Figure", list["Axes"]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    panels = figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False)
    for axis in panels.flat:
        axis.set_facecolor("none")
        axis.tick_params(colors=colours.ink, labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(colours.ink)
    return figure, list(panels.flat)


def _common_legends(figure: "Figure", panels: list["Axes"], colours: Colours) -> None:
    found = {}
    for axis in panels:
        found |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    place = {"loc": "outside upper center", "ncols": len(found), "fontsize": 8, "frameon": False}
    figure.legend(found.values(), found.keys(), labelcolor=colours.ink, **place)


def _markup(figure: "Figure") -> str:
    """An `<svg>` element without a fixed size, in the colours of the page."""
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hf_hybrid"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (xmlns:xlink|xmlns)="[^"]*"', "", text)
    width = float(re.search(r'width="([\d.]+)pt"', text)[1])
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = text.replace("<svg", f'<svg aria-hidden="true" style="width: {width / 12:.0f}rem"', 1)
    for name, colour in _VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    return text


def _plain(text: str) -> str:
    """Without the mathematics that matplotlib would read into it."""
    return text.replace("$", r"\$")
