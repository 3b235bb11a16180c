"""What a publisher says of a folder, and what only he sees, in `<release>-private/`: real images and closest pairs."""

import re
from pathlib import Path

import numpy as np

from hf_hybrid.core import provenance
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import private_folder
from hf_hybrid.data.pixels import encode_png, image_grid
from hf_hybrid.evaluation.reconstruction import reconstruct
from hf_hybrid.evaluation.release_evaluation import Report, look_through_files
from hf_hybrid.hub import gate
from hf_hybrid.reports import cards
from hf_hybrid.reports.charts import draw_charts, report_charts
from hf_hybrid.synthesis import release

_SHOWN = 16


def private_folder_of(folder: str | Path) -> Path:
    """The folder beside a release that is never uploaded."""
    folder = Path(folder).resolve()
    return folder.with_name(folder.name + "-private")


def write_evidence(folder: str | Path, report: Report) -> None:
    """Completes a release with its report, charts, card and page, and the publisher's own page beside it.

    Args:
        folder: the release that was evaluated.
        report: as `evaluate_release` returned it.
    """
    draw_charts(report.to_dict(), Path(folder) / "assets")
    charts = report_charts(report.to_dict())
    release.complete(folder, report.to_dict(), charts)
    if look_through_files(report, folder):  # what was written since it was evaluated holds a private name
        release.complete(folder, report.to_dict(), charts)
    private = private_folder(private_folder_of(folder))
    pictures = {name: encode_png(pixels) for name, pixels in _pictures(report).items()}
    for name, content in pictures.items():
        (private / f"{name}.png").write_bytes(content)
    page = cards.report_html(folder, charts, cards.PrivateFacts(pictures, _rows(report)))
    (private / "report.html").write_text(page, encoding="utf-8")


def state(folder: str | Path, license: str | None = None, accepted_risk: str | None = None) -> None:
    """Writes into card and provenance what a publisher says of a codec, a pipeline or a release.

    Args:
        folder: that may be pushed.
        license: an identifier of the Hub; stands also in what `load_dataset` shows of a release.
        accepted_risk: why it may be public although its privacy is not settled.

    Raises:
        InputError: nothing that could be an identifier of the Hub, no reason, or one for a codec of public images.
        PushRefused: it may not be pushed: no reason excuses a failed attack or a missing report.
    """
    folder, kind = Path(folder), gate.check(folder).kind
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license):
        raise InputError(f"expected a licence of the Hub, such as cc-by-4.0, found {license!r}")
    if accepted_risk is not None and not (accepted_risk.strip() and (folder / provenance.REPORT).exists()):
        raise InputError(
            f"expected a reason for what learned from private records, found {accepted_risk!r} for a {kind.name}: "
            "leave it out, or say one"
        )
    said = {"license": license, "accepted_risk": accepted_risk}
    said = {name: words for name, words in said.items() if words is not None}
    if kind is gate.RELEASE:
        release.change_facts(folder, **said)
        return
    provenance.write_provenance(folder, {**provenance.read_provenance(folder), **said})
    cards.model_card(folder).save(folder / "README.md")


def _pictures(report: Report) -> dict[str, np.ndarray]:
    compared, codec = report.findings.compared, report.findings.codec
    synthetic, train, test = compared.records
    chosen = np.random.default_rng(0).permutation(len(train))[:_SHOWN]
    config = compared.codec["config"]
    look = {"resolution": config["resolution"], "channels": config.get("in_channels", 1)}
    look["fit"] = config.get("resize_mode", "crop")
    found = {"real": image_grid(train.select(chosen).pixel_values(**look))}
    if codec is not None:
        pixels, kept = reconstruct(test.select(np.arange(min(8, len(test)))), codec)
        found["reconstructions"] = image_grid(np.concatenate([pixels, kept]), columns=len(pixels))
    if pairs := [pair for pair in report.closest_pairs if pair["part"] == "image"]:
        sides = [
            records.select([pair[name] for pair in pairs]).pixel_values(**look)
            for name, records in (("train", train), ("synthetic", synthetic))
        ]
        found["closest_images"] = image_grid(np.concatenate(sides), columns=len(pairs))
    return found


def _rows(report: Report) -> list[dict]:
    """The closest rows, cell by cell."""
    synthetic, train, _ = report.findings.compared.records
    found = []
    for pair in report.closest_pairs:
        if pair["part"] == "row":
            sides = [records.frame.iloc[pair[name]] for name, records in (("train", train), ("synthetic", synthetic))]
            columns = report.findings.compared.schema.table
            cells = {name: [_word(side[name]) for side in sides] for name in columns}
            found.append({"distance": f"{pair['distance']:.2f}", "cells": cells})
    return found


def _word(cell: object) -> str:
    if isinstance(cell, list):
        return ", ".join(cell) or "none"
    if cell is None or cell != cell:
        return "missing"
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)
