"""Plain facts for the cards and the report, gathered from the files of a folder; one that is missing is an error."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from hf_hybrid.core.artifacts import CHARTS, PROVENANCE, REPORT, SAMPLES, SCHEMA, SHARDS
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import read_json
from hf_hybrid.core.provenance import NO_LICENSE, read_provenance
from hf_hybrid.core.report import PARTS, NotMeasured, Report
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.reports.codec_tables import EvidenceTables, evidence_tables
from hf_hybrid.reports.column_facts import ColumnFacts, column_facts, release_columns
from hf_hybrid.reports.score_tables import (
    PrivacyTables,
    ScoreTables,
    UtilityTables,
    fidelity_tables,
    pairing_tables,
    privacy_tables,
    utility_tables,
)

_CODEC_SCORES = {
    "l1": "mean absolute error of a reconstruction in [-1, 1] (lower is better)",
    "psnr": "peak signal-to-noise ratio of the reconstructions in dB (higher is better)",
    "ssim": "structural similarity of a reconstruction (higher is better)",
    "latent_normality": "distance of the latents from a normal distribution (lower is better)",
    "score": "chooses the weights: l1 + (1 - ssim) + latent_normality (lower is better)",
}
_NOT_EVALUATED = NotMeasured("the release was generated and not evaluated")
_TABLES = {
    "utility": utility_tables,
    "fidelity": fidelity_tables,
    "pairing": pairing_tables,
    "privacy": privacy_tables,
}


@dataclass
class ReleaseFacts:
    """Facts of a release for the dataset card and the report; `not_measured` maps a section to the reason."""

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
    utility: UtilityTables | None
    fidelity: ScoreTables | None
    pairing: ScoreTables | None
    privacy: PrivacyTables | None
    not_measured: dict[str, str]


@dataclass
class ModelFacts:
    """Facts for the card of a codec or a pipeline; a codec has no `sampler` and no `columns`.

    `privacy` is the result of attacks on the files, None if they were not made; `image_range` are the errors on
    held-out public images, `evidence` the scores of a study of a codec; None if they were not measured.
    """

    codec: dict
    sampler: dict | None
    versions: dict
    columns: list[ColumnFacts]
    samples: str
    scores: list[dict]
    privacy: PrivacyTables | None = None
    license: str = NO_LICENSE
    accepted_risk: str = ""
    image_range: dict | None = None
    evidence: EvidenceTables | None = None


def release_facts(folder: str | Path) -> ReleaseFacts:
    """The facts of a release folder.

    Raises:
        InputError: a file or a fact is missing.
    """
    folder = Path(folder)
    provenance = read_provenance(folder)
    schema = RecordSchema.load(folder / SCHEMA)
    report = read_report(folder) or Report(**dict.fromkeys(PARTS, _NOT_EVALUATED))
    measured = report.measured()
    not_measured = {name: (getattr(report, name) or _NOT_EVALUATED).reason for name in PARTS if name not in measured}
    shards = sorted(folder.glob(SHARDS))
    if not shards:
        raise InputError(f"expected {SHARDS} in {folder}, found none: generate the release first")
    return ReleaseFacts(
        release=known_fact(provenance, "release"),
        codec=known_fact(provenance, "codec"),
        sampler=_sampler_facts(provenance),
        versions=known_fact(provenance, "versions"),
        schema=schema,
        shards=shards,
        num_records=sum(pq.read_metadata(shard).num_rows for shard in shards),
        columns=release_columns(shards, schema),
        samples=_samples(folder),
        charts=sorted(path.relative_to(folder).as_posix() for path in folder.glob(CHARTS)),
        **{name: _TABLES[name](measured[name]) if name in measured else None for name in PARTS},
        not_measured=not_measured,
    )


def codec_facts(folder: str | Path) -> ModelFacts:
    """The facts of a codec folder.

    Raises:
        InputError: a file or a fact is missing.
    """
    provenance = read_provenance(folder)
    codec = known_fact(provenance, "codec")
    scores = _codec_scores(known_fact(known_fact(codec, "training", "codec"), "scores", "codec.training"))
    facts = ModelFacts(codec, None, known_fact(provenance, "versions"), [], _samples(Path(folder)), scores)
    if report := read_report(folder):
        facts.privacy = privacy_tables(report.privacy)
    facts.image_range = codec["training"].get("image_range")
    if evidence := provenance.get("evidence"):
        facts.evidence = evidence_tables(evidence)
    facts.license, facts.accepted_risk = provenance.get("license", NO_LICENSE), provenance.get("accepted_risk", "")
    return facts


def pipeline_facts(folder: str | Path) -> ModelFacts:
    """The facts of a pipeline folder.

    Raises:
        InputError: a file or a fact is missing.
    """
    facts = codec_facts(folder)
    facts.sampler = _sampler_facts(read_provenance(folder))
    table = RecordSchema.load(Path(folder) / SCHEMA).table
    facts.columns = [column_facts(name, column, missing=None) for name, column in table.items()]
    return facts


def read_report(folder: str | Path) -> Report | None:
    """The report in a folder, None if it was not evaluated.

    Raises:
        InputError: a fact is missing in it.
    """
    path = Path(folder) / REPORT
    return Report.from_dict(read_json(path)) if path.is_file() else None


def _sampler_facts(provenance: dict) -> dict:
    """Provenance of the sampler, and `how` it learned."""
    sampler = known_fact(provenance, "sampler")
    return {**sampler, "how": how_it_learned(sampler)}


def how_it_learned(sampler: dict) -> str:
    """How a sampler learned, and which of its weights were kept, from its facts in provenance."""
    if known_fact(sampler, "is_closed_form", "sampler"):
        return "in closed form"
    training = known_fact(sampler, "training", "sampler")
    steps, kept, seed = (known_fact(training, name, "sampler.training") for name in ("steps", "kept_step", "seed"))
    weights = f"the weights of step {kept:,}" if kept else "the start in closed form, which no step improved,"
    return f"at most {steps:,} steps, {weights} kept, seed {seed}"


def _codec_scores(scores: dict) -> list[dict]:
    """The codec's held-out scores and those of a PCA; none for a codec that was provided without them."""
    if not scores:
        return []
    own, pca = known_fact(scores, "codec", "codec.training.scores"), known_fact(scores, "pca", "codec.training.scores")
    return [
        {
            "metric": name,
            "meaning": known_fact(_CODEC_SCORES, name, "what a card can explain"),
            "codec": f"{value:.3f}",
            "pca": f"{known_fact(pca, name, 'codec.training.scores.pca'):.3f}",
        }
        for name, value in own.items()
    ]


def _samples(folder: Path) -> str:
    if not (folder / SAMPLES).is_file():
        raise InputError(f"expected a grid of synthetic images in {folder / SAMPLES}, found none: make it first")
    return SAMPLES


def known_fact(facts: Mapping, key: str, where: str = PROVENANCE) -> object:
    """A required fact."""
    if facts.get(key) is None:
        raise InputError(f"expected the fact `{key}` in {where}, found none: a card needs every fact")
    return facts[key]
