"""Charts of a report: PNG files for the card, and markup for the page that follows its light or dark colours."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hf_hybrid.core.artifacts import CHARTS
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.report import Fidelity, NotMeasured, Pairing, Privacy, Report, Utility
from hf_hybrid.core.scores import CHANCE, HELD_OUT, REAL, SHUFFLED, TRAINING, UtilityScore
from hf_hybrid.reports.drawing import (
    TITLES,
    VARIABLES,
    Chart,
    Colours,
    common_legends,
    markup_of,
    new_figure,
    plain,
    write_png,
)
from hf_hybrid.reports.score_tables import by_target_and_metric, different

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AXES = {"auc": "AUC (dotted: chance)", "r2": "R2 (dotted: no better than the mean)"}
_PANELS, _CURVES = 4, 3  # side by side


def report_charts(report: Report) -> dict[str, list[Chart]]:
    """Charts of every part of a report that was measured.

    Raises:
        InputError: a fact is missing, as in a report of another version.
    """
    colours = Colours(**VARIABLES)
    draw = {"utility": _utility, "fidelity": _fidelity, "pairing": _pairing, "privacy": _privacy}
    try:
        return {
            name: [Chart(markup_of(figure), alt) for figure, alt in draw[name](part, colours)]
            for name, part in report.measured().items()
        }
    except KeyError as key:
        raise InputError(
            f"expected the fact {key} in report.json, found none: run `hf-hybrid evaluate` again"
        ) from None


def draw_charts(report: Report, directory: str | Path) -> list[Path]:
    """Bar charts of the AUC or R2 of every target, `utility_<target>.png`; charts of an earlier report are removed.

    Args:
        report: nothing is drawn where it has no utility scores.
        directory: created if absent.

    Returns:
        The files written.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob(Path(CHARTS).name):
        old.unlink()
    paths = []
    for target, metric, scores in _drawn_scores(report.utility):
        stem = Path(CHARTS).stem.replace("*", re.sub(r"[^0-9A-Za-z-]+", "_", target).strip("_") or "target")
        if stem in [path.stem for path in paths]:
            stem = f"{stem}_{len(paths) + 1}"
        paths.append(directory / f"{stem}.png")
        figure = _bars(target, metric, scores, Colours())
        figure.set_facecolor("white")
        write_png(figure, paths[-1])
    return paths


# --- parts of a report -----------------------------------------------------------------------------------------------


def _utility(part: Utility, colours: Colours) -> Iterator[tuple["Figure", str]]:
    for target, metric, scores in _drawn_scores(part):
        alt = f"Bar chart of the {metric} of {target} by what a model was trained on; the table above has the numbers"
        yield _bars(target, metric, scores, colours), alt


def _drawn_scores(part: Utility | NotMeasured | None) -> Iterator[tuple[str, str, list[UtilityScore]]]:
    scores = [one for one in part.scores if one.inputs in TITLES] if isinstance(part, Utility) else ()
    for (target, metric), some in by_target_and_metric(scores).items():
        if metric in CHANCE and any(score.interval for score in some):
            yield target, metric, some


def _bars(target: str, metric: str, scores: list[UtilityScore], colours: Colours) -> "Figure":
    """One panel per kind of inputs, one bar per training set, the first one on top."""
    names, inputs = different("trained_on", scores)[::-1], different("inputs", scores)
    figure, panels = new_figure(1, len(inputs), 2.4 + 2.6 * len(inputs), 1.3 + 0.33 * len(names), colours, shared=True)
    axes = dict(zip(inputs, panels, strict=True))
    drawn = [score for score in scores if score.interval]
    for score in drawn:
        axis, row = axes[score.inputs], names.index(score.trained_on)
        axis.barh(row, score.value, height=0.7, color=colours.of(score.trained_on))
        axis.hlines(row, *score.interval, color=colours.ink, linewidth=1.2)
        number = f"{score.value:.2f}".replace("-0.00", "0.00")
        axis.text(1.02, row, number, transform=axis.get_yaxis_transform(), va="center", color=colours.ink)
    lowest = min(score.interval[0] for score in drawn)
    for name, axis in axes.items():
        axis.axvline(CHANCE[metric], color=colours.ink, linestyle=":", linewidth=1)
        axis.set_xlim(max(min(lowest, 0), -1), 1)
        axis.set_title(TITLES[name], fontsize=10, color=colours.ink)
        axis.set_yticks(range(len(names)), names)
    figure.suptitle(plain(target), color=colours.ink)
    figure.supxlabel(f"{_AXES[metric]}, tested on held-out patients, 95 % intervals", fontsize=9, color=colours.ink)
    return figure


def _fidelity(part: Fidelity, colours: Colours) -> Iterator[tuple["Figure", str]]:
    yield _marginals(part.marginals, colours), f"Distribution of each column among synthetic records and {TRAINING}"
    found = part.correlations
    difference = np.abs(np.subtract(found["synthetic"], found[TRAINING])).max()
    alt = f"Two heat maps of rank correlations, synthetic and {TRAINING}; they differ by at most {difference:.2f}"
    yield _correlations(found, colours), alt


def _marginals(marginals: Sequence[dict], colours: Colours) -> "Figure":
    rows = -(-len(marginals) // _PANELS)
    figure, panels = new_figure(rows, _PANELS, 9.5, 1.9 * rows + 0.4, colours)
    for axis, column in zip(panels, marginals, strict=False):
        axis.set_title(plain(column["name"]), fontsize=9, color=colours.ink)
        axis.set_yticks([])
        if "edges" in column:
            edges = column["edges"]
            axis.stairs(column["synthetic"], edges, fill=True, color=colours.synthetic, alpha=0.55)
            axis.stairs(column[TRAINING], edges, color=colours.ink, linewidth=1.2)
            axis.set_xticks([edges[0], edges[-1]])
        else:
            places = np.arange(len(column["names"]))
            axis.bar(places - 0.2, column["synthetic"], 0.4, color=colours.synthetic, alpha=0.55)
            axis.bar(places + 0.2, column[TRAINING], 0.4, fill=False, edgecolor=colours.ink, linewidth=1.2)
            names = [plain(name if len(name) < 11 else f"{name[:9]}…") for name in column["names"]]
            shown = places if len(places) <= 8 else places[:: -(-len(places) // 8)]
            axis.set_xticks(shown, [names[place] for place in shown], rotation=30 if len(names) > 2 else 0)
    for axis in panels[len(marginals) :]:
        axis.remove()
    caption = f"filled: synthetic; outline: {TRAINING}, without bins of too few of them"
    figure.supxlabel(caption, fontsize=9, color=colours.ink)
    return figure


def _correlations(found: dict, colours: Colours) -> "Figure":
    names = found["names"]
    side = 1.2 + 0.16 * len(names)
    figure, panels = new_figure(1, 2, 2 * side + 1.2, side + 0.5, colours, shared=True)
    for axis, key in zip(panels, ("synthetic", TRAINING), strict=True):
        image = axis.pcolormesh(np.array(found[key]), cmap="RdBu_r", vmin=-1, vmax=1, edgecolors="none")
        axis.set_aspect("equal")
        axis.set_title(key, fontsize=10, color=colours.ink)
        axis.set_xticks([])
        axis.set_yticks(np.arange(len(names)) + 0.5, list(map(plain, names)), fontsize=7)
    panels[0].invert_yaxis()
    bar = figure.colorbar(image, ax=panels, fraction=0.03)
    bar.ax.tick_params(colors=colours.ink, labelsize=8)
    bar.outline.set_visible(False)
    figure.supxlabel("0 also where a pair rests on too few patients", fontsize=9, color=colours.ink)
    return figure


def _pairing(part: Pairing, colours: Colours) -> Iterator[tuple["Figure", str]]:
    scored = [one for one in (*part.scores[:1], *part.columns) if one.value is not None]
    scored = [one for one in scored if {REAL, SHUFFLED} <= set(one.reference)][::-1]
    if not scored:
        return
    figure, panels = new_figure(1, 1, 8, 1 + 0.3 * len(scored), colours)
    axis = panels[0]
    for row, one in enumerate(scored):
        axis.hlines(row, *one.interval, color=colours.synthetic, linewidth=1.5)
    for key, marker, colour in ((REAL, "D", colours.real), (SHUFFLED, "x", colours.ink)):
        axis.plot([one.reference[key] for one in scored], range(len(scored)), marker, color=colour, label=key)
    values = [one.value for one in scored]
    axis.plot(values, range(len(scored)), "o", color=colours.synthetic, label="synthetic")
    axis.set_yticks(range(len(scored)), [plain(one.name) for one in scored])
    axis.set_xlim(max(min(one.interval[0] for one in scored) - 0.02, -1), 1)
    common_legends(figure, panels, colours)
    label = "skill, or AUC or R2 of a column predicted from the image; tested on held-out patients"
    figure.supxlabel(label, fontsize=9, color=colours.ink)
    yield figure, "How well each column is predicted from the image, learned on synthetic, real and shuffled records"


def _privacy(part: Privacy, colours: Colours) -> Iterator[tuple["Figure", str]]:
    alt = "The risk of every attack with its interval and its limit; the tables below have the numbers"
    yield _risks(part, colours), alt
    words = f"Histograms of the distance to the nearest synthetic record, of {TRAINING} and {HELD_OUT}"
    alt = f"{words}; ROC curves of the membership attacks on the release and on a Gaussian copula"
    yield _curves(part.curves, colours), alt


def _risks(part: Privacy, colours: Colours) -> "Figure":
    risks = [
        (f"{family.name}: {one.name}", one, family.limit_of(one.name).pass_below)
        for family in part.families
        for one in family.scores
    ][::-1]
    figure, panels = new_figure(1, 1, 8.5, 1 + 0.24 * len(risks), colours)
    axis = panels[0]
    for row, (_, one, limit) in enumerate(risks):
        low, high = (float(np.clip(end, -0.3, 1)) for end in one.interval)
        axis.hlines(row, low, high, color=colours.synthetic, linewidth=1.5)
        axis.plot(np.clip(one.value, -0.3, 1), row, "o", color=colours.synthetic, markersize=4)
        axis.plot(limit, row, "|", color=colours.ink, markersize=9)
    axis.axvline(0, color=colours.ink, linestyle=":", linewidth=1)
    axis.set_yticks(range(len(risks)), [name for name, *_ in risks], fontsize=8)
    axis.set_xlim(-0.3, 1)
    label = f"risk: what an attack does better on {TRAINING} (bars: limits); 95 % intervals"
    figure.supxlabel(label, fontsize=9, color=colours.ink)
    return figure


def _curves(curves: Sequence[dict], colours: Colours) -> "Figure":
    rows = -(-len(curves) // _CURVES)
    figure, panels = new_figure(rows, _CURVES, 9.5, 2.6 * rows + 0.3, colours)
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
    common_legends(figure, panels[: len(curves)], colours)
    return figure
