"""Plain facts for the cards and the report, gathered from the files of a folder; one that is missing is an error."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.provenance import NO_LICENSE, REPORT, read_provenance
from hf_hybrid.core.verdicts import PARTS
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.reports.score_tables import (
    Privacy,
    Scores,
    by_target_and_metric,
    different,
    fidelity_facts,
    pairing_facts,
    privacy_facts,
)

SAMPLES = "assets/samples.png"
MAX_CATEGORIES_SHOWN = 20

_INPUTS = {"image": "Image only", "table": "Table only", "both": "Image and table"}
_METRICS = {"auc": "AUC", "balanced_accuracy": "balanced accuracy", "r2": "R2", "mae": "mean absolute error"}
_CODEC_SCORES = {
    "l1": "mean absolute error of a reconstruction in [-1, 1] (lower is better)",
    "ssim": "structural similarity of a reconstruction (higher is better)",
    "latent_normality": "distance of the latents from a normal distribution (lower is better)",
    "sharpness": "gradient of the reconstructions relative to that of the images (1 is right)",
    "score": "chooses the weights: l1 + (1 - ssim) + latent_normality + abs(1 - sharpness) / 2 (lower is better)",
}
_COPULA = "- Hoff 2007, Gaussian copula, [arXiv:math/0610413](https://arxiv.org/abs/math/0610413)"
_SAMPLERS = {  # whether it learns in closed form, and whom to cite
    "BootstrapSampler": (True, "- Efron 1979, [doi:10.1214/aos/1176344552](https://doi.org/10.1214/aos/1176344552)"),
    "CTGANSampler": (False, "- Xu et al. 2019, CTGAN, [arXiv:1907.00503](https://arxiv.org/abs/1907.00503)"),
    "DiffusionSampler": (
        False,
        "- Kotelnikov et al. 2023, TabDDPM, [arXiv:2209.15421](https://arxiv.org/abs/2209.15421)",
    ),
    "GaussianCopulaSampler": (True, _COPULA),
    "IndependentSampler": (True, _COPULA),
    "SmoteSampler": (True, "- Chawla et al. 2002, SMOTE, [arXiv:1106.1813](https://arxiv.org/abs/1106.1813)"),
}
_NOT_RUN = {"score": "not run", "difference": ""}
_NOT_EVALUATED = {"status": "not measured", "reason": "the release was generated and not evaluated"}


@dataclass
class ColumnFacts:
    """A column as a card shows it; `missing` is a share of the synthetic records, None where there are none."""

    name: str
    role: str
    kind: str
    unit: str
    values: str
    missing: str | None


@dataclass
class ScoreTable:
    """The scores of one target and metric; a row is what a model was trained on, a column what it saw.

    A row holds `trained_on`, `num_records`, `compared_with` and `cells`, one an input, each the texts `score` and
    `difference`.
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
class Utility:
    """The utility scores; `interval` says what stands in parentheses behind each."""

    interval: str
    headline: list[dict]
    tables: list[ScoreTable]


@dataclass
class ReleaseFacts:
    """What the dataset card and the report tell of a release; `not_measured` maps a section to the reason."""

    release: dict
    codec: dict
    sampler: dict
    versions: dict
    schema: RecordSchema
    shards: list[Path]
    num_records: int
    columns: list[ColumnFacts]
    samples: str
    charts: list[str]
    utility: Utility | None
    fidelity: Scores | None
    pairing: Scores | None
    privacy: Privacy | None
    not_measured: dict[str, str]


@dataclass
class ModelFacts:
    """What the card of a codec or a pipeline tells; a codec has no `sampler` and no `columns`.

    `privacy` is what attacks on the files found, None where they were not made.
    """

    codec: dict
    sampler: dict | None
    versions: dict
    columns: list[ColumnFacts]
    samples: str
    scores: list[dict]
    privacy: Privacy | None = None
    license: str = NO_LICENSE
    accepted_risk: str = ""


def release_facts(folder: str | Path) -> ReleaseFacts:
    """The facts of a release folder.

    Raises:
        InputError: a file or a fact is missing.
    """
    folder = Path(folder)
    provenance = read_provenance(folder)
    schema = RecordSchema.load(folder / "schema.json")
    report = json.loads((folder / REPORT).read_text("utf-8")) if (folder / REPORT).is_file() else {}
    not_measured = {}
    for name in PARTS:
        section = report.get(name, _NOT_EVALUATED)
        if section["status"] == "not measured":
            not_measured[name] = _known(section, "reason", f"{REPORT}, {name}")
    tell = {"utility": _utility, "fidelity": fidelity_facts, "pairing": pairing_facts, "privacy": privacy_facts}
    try:
        told = {name: None if name in not_measured else tell[name](report[name]) for name in PARTS}
    except KeyError as key:
        raise InputError(f"expected the fact {key} in report.json, found none: a card leaves nothing out") from None
    shards = sorted(folder.glob("data/train-*.parquet"))
    if not shards:
        raise InputError(f"expected data/train-*.parquet in {folder}, found none: generate the release first")
    return ReleaseFacts(
        release=_known(provenance, "release"),
        codec=_known(provenance, "codec"),
        sampler=_sampler_facts(provenance),
        versions=_known(provenance, "versions"),
        schema=schema,
        shards=shards,
        num_records=sum(pq.read_metadata(shard).num_rows for shard in shards),
        columns=_release_columns(shards, schema),
        samples=_samples(folder),
        charts=sorted(f"assets/{path.name}" for path in folder.glob("assets/utility_*.png")),
        **told,
        not_measured=not_measured,
    )


def codec_facts(folder: str | Path) -> ModelFacts:
    """The facts of a codec folder.

    Raises:
        InputError: a file or a fact is missing.
    """
    provenance = read_provenance(folder)
    codec = _known(provenance, "codec")
    scores = _codec_scores(_known(_known(codec, "training", "codec"), "scores", "codec.training"))
    facts = ModelFacts(codec, None, _known(provenance, "versions"), [], _samples(Path(folder)), scores)
    if (Path(folder) / REPORT).is_file():
        facts.privacy = privacy_facts(json.loads((Path(folder) / REPORT).read_text("utf-8"))["privacy"])
    facts.license, facts.accepted_risk = provenance.get("license", NO_LICENSE), provenance.get("accepted_risk", "")
    return facts


def pipeline_facts(folder: str | Path) -> ModelFacts:
    """The facts of a pipeline folder.

    Raises:
        InputError: a file or a fact is missing.
    """
    facts = codec_facts(folder)
    facts.sampler = _sampler_facts(read_provenance(folder))
    table = RecordSchema.load(Path(folder) / "schema.json").table
    facts.columns = [_column_facts(name, column, missing=None) for name, column in table.items()]
    return facts


def _sampler_facts(provenance: dict) -> dict:
    """What made the sampler, `how` it learned, and the `reference` of its method."""
    sampler = _known(provenance, "sampler")
    closed_form, reference = _SAMPLERS.get(sampler.get("class"), (False, None))
    how = "in closed form"
    if not closed_form:
        training = _known(sampler, "training", "sampler")
        steps, kept, seed = (_known(training, name, "sampler.training") for name in ("steps", "kept_step", "seed"))
        how = f"at most {steps:,} steps, the weights of step {kept:,} kept, seed {seed}"
    return {**sampler, "how": how, "reference": reference}


def _release_columns(shards: list[Path], schema: RecordSchema) -> list[ColumnFacts]:
    """The image, then the table with its missing shares, counted batch by batch without the images."""
    empty, beyond, num_records = dict.fromkeys(schema.table, 0), dict.fromkeys(schema.table, 0), 0
    for shard in shards:
        for batch in pq.ParquetFile(shard).iter_batches(columns=list(schema.table)):
            num_records += len(batch)
            for name in schema.table:
                column = batch[name]
                empty[name] += column.null_count
                if pa.types.is_floating(column.type):
                    beyond[name] += pc.sum(pc.is_inf(column)).as_py() or 0
    batch = next(pq.ParquetFile(shards[0]).iter_batches(1, columns=[schema.image_column]))
    image = Image.open(io.BytesIO(batch[schema.image_column][0].as_py()["bytes"]))
    mode = {"L": "grey", "RGB": "colour"}.get(image.mode, image.mode)
    values = f"{image.format}, {mode}, {image.width} x {image.height} pixels"
    columns = [ColumnFacts(schema.image_column, "image", "image", "", values, _percent(0))]
    for name, column in schema.table.items():
        facts = _column_facts(name, column, missing=_percent(empty[name] / num_records))
        if beyond[name]:
            facts.values += f", or beyond a detection limit (inf, {_percent(beyond[name] / num_records)})"
        columns.append(facts)
    return columns


def _column_facts(name: str, column: ColumnSchema, missing: str | None) -> ColumnFacts:
    if column.is_number:
        if column.bounds is None:
            raise InputError(f"expected `bounds` of column `{name}` in schema.json, found none: a card shows them")
        low, high = column.bounds
        values = f"{low:.10g} to {high:.10g}"
    elif column.kind == "boolean":
        values = ", ".join(column.categories or ["true", "false"])
    else:
        names = _known(vars(column), "categories", f"schema.json, column `{name}`")
        values = ", ".join(names[:MAX_CATEGORIES_SHOWN])
        if len(names) > MAX_CATEGORIES_SHOWN:
            values += f" and {len(names) - MAX_CATEGORIES_SHOWN} more, listed in schema.json"
        values = f"any of {values}" if column.kind == "multi-label" else values
    return ColumnFacts(name, column.role, column.kind, column.unit or "", values, missing)


def _utility(section: dict) -> Utility:
    """The scores of report.json as one table a target and metric; above them what the most synthetic records keep."""
    groups = by_target_and_metric(section["scores"])
    main_metric = {target: metric for target, metric in reversed(groups)}
    largest = {
        (entry["target"], entry["inputs"]): entry
        for entry in section["headline"]
        if entry["metric"] == main_metric[entry["target"]]
    }
    headline = [
        {
            "target": entry["target"],
            "metric": _METRICS.get(entry["metric"], entry["metric"]),
            "inputs": _INPUTS[entry["inputs"]],
            "trained_on": entry["trained_on"],
            "share": "not given" if entry["recovered_share"] is None else f"{entry['recovered_share']:.0%}",
            "gap": _with_interval(entry, "gap"),
        }
        for entry in largest.values()
    ]
    return Utility(section["interval"], headline, [_score_table(*group, scores) for group, scores in groups.items()])


def _score_table(target: str, metric: str, scores: list[dict]) -> ScoreTable:
    def all_of(key: str, scores: list[dict] = scores) -> str:
        return ", ".join(dict.fromkeys("too few" if score[key] is None else f"{score[key]:,}" for score in scores))

    inputs = [name for name in _INPUTS if any(score["inputs"] == name for score in scores)]
    rows = []
    for trained_on in different("trained_on", scores):
        found = {score["inputs"]: score for score in scores if score["trained_on"] == trained_on}
        rows.append(
            {
                "trained_on": trained_on,
                "num_records": all_of("n_train", list(found.values())),
                "compared_with": next(iter(found.values()))["compared_with"],
                "cells": [_score_cell(found[name]) if name in found else _NOT_RUN for name in inputs],
            }
        )
    low, high = scores[0]["range"]
    return ScoreTable(
        target=target,
        metric=_METRICS.get(metric, metric),
        direction=scores[0]["direction"],
        range=f"{'no lower end' if low is None else f'{low:g}'} to {'no upper end' if high is None else f'{high:g}'}",
        num_records=all_of("n_test"),
        num_patients=all_of("n_test_patients"),
        seeds=all_of("seeds"),
        inputs=[_INPUTS[name] for name in inputs],
        rows=rows,
    )


def _score_cell(score: dict) -> dict[str, str]:
    difference = "" if score["difference"] is None else _with_interval(score, "difference")
    return {"score": _with_interval(score, "value", "interval"), "difference": difference}


def _with_interval(entry: dict, name: str, interval: str | None = None) -> str:
    """A number with its interval, or why there is none."""
    if entry[name] is None:
        return f"not given: {entry['reason']}"
    value, bounds = entry[name], entry[interval or f"{name}_interval"]
    places = 3 if max(map(abs, [value, *(bounds or ())])) < 2 else 1  # an AUC has three, an error in years one
    behind = " to ".join(f"{bound:.{places}f}" for bound in bounds) if bounds else "no interval"
    return f"{value:.{places}f} ({behind})"


def _codec_scores(scores: dict) -> list[dict]:
    """The codec's held-out scores beside those of a PCA; none for a codec that was handed over without them."""
    if not scores:
        return []
    own, pca = _known(scores, "codec", "codec.training.scores"), _known(scores, "pca", "codec.training.scores")
    return [
        {
            "metric": name,
            "meaning": _known(_CODEC_SCORES, name, "what a card can explain"),
            "codec": f"{value:.3f}",
            "pca": f"{_known(pca, name, 'codec.training.scores.pca'):.3f}",
        }
        for name, value in own.items()
    ]


def _samples(folder: Path) -> str:
    if not (folder / SAMPLES).is_file():
        raise InputError(f"expected a grid of synthetic images in {folder / SAMPLES}, found none: make it first")
    return SAMPLES


def _known(facts: Mapping, key: str, where: str = "provenance.json") -> object:
    """A fact that has to be there."""
    if facts.get(key) is None:
        raise InputError(f"expected the fact `{key}` in {where}, found none: a card leaves nothing out")
    return facts[key]


def _percent(share: float) -> str:
    return "below 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"
