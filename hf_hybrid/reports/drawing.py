"""How charts are drawn: colours, panels, and markup that follows the light or dark colours of a page."""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hf_hybrid.core.scores import REAL, REPEATED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


TITLES = {"image": "image only", "table": "table only", "both": "image and table"}


@dataclass(frozen=True)
class Colours:
    """What charts are drawn in.

    Args:
        ink: text and lines.
        real: training records.
        repeated: control of the real records.
        synthetic: the release.
        shuffled: control of the release.
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


# Drawn in colours that are used nowhere else; each is then replaced by a variable of the page's style sheet.
VARIABLES = {name: f"#0{place}0{place}0{place}" for place, name in enumerate(vars(Colours()), 1)}


@dataclass(frozen=True)
class Chart:
    """A chart for the page.

    Args:
        markup: an `<svg>` element.
        alt: alternative text for readers who cannot see it.
    """

    markup: str
    alt: str


def blank_figure(width: float, height: float, **options: object) -> "Figure":
    """A figure of that size in inches, without panels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", **options)


def new_figure(
    rows: int, columns: int, width: float, height: float, colours: Colours, shared: bool = False
) -> tuple["Figure", list["Axes"]]:
    """A transparent figure of that size in inches, and its panels; `shared` gives them common axes."""
    figure = blank_figure(width, height, facecolor="none")
    panels = figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False)
    for axis in panels.flat:
        axis.set_facecolor("none")
        axis.tick_params(colors=colours.ink, labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(colours.ink)
    return figure, list(panels.flat)


def write_png(figure: "Figure", path: str | Path) -> None:
    """A PNG file without metadata."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})


def common_legends(figure: "Figure", panels: list["Axes"], colours: Colours) -> None:
    """One legend above all panels, each name once."""
    found = {}
    for axis in panels:
        found |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    place = {"loc": "outside upper center", "ncols": len(found), "fontsize": 8, "frameon": False}
    figure.legend(found.values(), found.keys(), labelcolor=colours.ink, **place)


def markup_of(figure: "Figure") -> str:
    """An `<svg>` element without a fixed size, in the colours of the page."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Type": None, "Format": None}
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hf_hybrid"}):
        FigureCanvasSVG(figure).print_svg(stream, metadata=metadata)  # `savefig` draws everything twice
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (xmlns:xlink|xmlns)="[^"]*"', "", text)
    width = float(re.search(r'width="([\d.]+)pt"', text)[1])
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = text.replace("<svg", f'<svg aria-hidden="true" style="width: {width / 12:.0f}rem"', 1)
    for name, colour in VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    return text


def plain(text: str) -> str:
    """Text escaped so that matplotlib does not read it as mathematics."""
    return text.replace("$", r"\$")
