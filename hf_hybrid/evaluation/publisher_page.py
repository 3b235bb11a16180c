"""The publisher's own page beside a release, in `<release>-private/`: real images, reconstructions, closest pairs."""

from pathlib import Path

import numpy as np

from hf_hybrid.core.artifacts import REPORT_PAGE, private_folder_of
from hf_hybrid.core.files import private_folder
from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.data.pixels import encode_png, image_grid
from hf_hybrid.evaluation.reconstruction import reconstruct
from hf_hybrid.evaluation.release_evaluation import Evaluation
from hf_hybrid.reports import cards
from hf_hybrid.reports.charts import Chart

_SHOWN = 16


def write_publisher_page(folder: str | Path, evaluation: Evaluation, charts: dict[str, list[Chart]]) -> None:
    """Writes the page and its pictures; they show patients and are never pushed.

    Args:
        folder: the release that was evaluated.
        evaluation: its evaluation.
        charts: charts of its report.
    """
    private = private_folder(private_folder_of(folder))
    pictures = {name: encode_png(pixels) for name, pixels in _pictures(evaluation).items()}
    for name, content in pictures.items():
        (private / f"{name}.png").write_bytes(content)
    page = cards.report_html(folder, charts, cards.PrivateFacts(pictures, _rows(evaluation)))
    (private / REPORT_PAGE).write_text(page, encoding="utf-8")


def _pictures(evaluation: Evaluation) -> dict[str, np.ndarray]:
    compared, codec = evaluation.loaded.compared, evaluation.loaded.codec
    synthetic, train, test = compared.records
    chosen = numpy_generator(0, "publisher page").permutation(len(train))[:_SHOWN]
    config = compared.codec["config"]
    look = {"resolution": config["resolution"], "channels": config.get("in_channels", 1)}
    look["fit"] = config.get("resize_mode", "crop")
    found = {"real": image_grid(train.select(chosen).pixel_values(**look))}
    if codec is not None:
        pixels, kept = reconstruct(test.select(np.arange(min(8, len(test)))), codec, True)
        found["reconstructions"] = image_grid(np.concatenate([pixels, kept]), columns=len(pixels))
    if pairs := [pair for pair in evaluation.closest_pairs if pair.part == "image"]:
        sides = [
            records.select(places).pixel_values(**look)
            for records, places in (
                (train, [pair.train for pair in pairs]),
                (synthetic, [pair.synthetic for pair in pairs]),
            )
        ]
        found["closest_images"] = image_grid(np.concatenate(sides), columns=len(pairs))
    return found


def _rows(evaluation: Evaluation) -> list[dict]:
    """The closest rows, cell by cell."""
    synthetic, train, _ = evaluation.loaded.compared.records
    found = []
    for pair in evaluation.closest_pairs:
        if pair.part == "row":
            sides = train.frame.iloc[pair.train], synthetic.frame.iloc[pair.synthetic]
            columns = evaluation.loaded.compared.schema.table
            cells = {name: [_word(side[name]) for side in sides] for name in columns}
            found.append({"distance": f"{pair.distance:.2f}", "cells": cells})
    return found


def _word(cell: object) -> str:
    if isinstance(cell, list):
        return ", ".join(cell) or "none"
    if cell is None or cell != cell:
        return "missing"
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)
