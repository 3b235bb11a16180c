"""The evidence about a pipeline, or a codec trained on private images: what its files reveal to an attacker.

A release shows some draws; with the files one can query the model about any record (`model_attacks`).
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from hf_hybrid.core import artifacts
from hf_hybrid.core.artifacts import CARD, REPORT, Kind
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.families import Limit
from hf_hybrid.core.files import write_json
from hf_hybrid.core.provenance import hash_files, read_provenance, versions, write_provenance
from hf_hybrid.core.report import Privacy, Report
from hf_hybrid.data.records import Records, load_records
from hf_hybrid.evaluation.attacks.base import AttackResult, judged
from hf_hybrid.evaluation.model_attacks import attack_model
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.privacy import files_family
from hf_hybrid.evaluation.records import check_apart, check_encoded_from, check_learned_from, private_strings
from hf_hybrid.evaluation.training_patients import training_patients_of
from hf_hybrid.hub.audit import find_leaks
from hf_hybrid.metrics.predictors import RESOLUTION
from hf_hybrid.models.codec import Codec
from hf_hybrid.reports import cards
from hf_hybrid.synthesis.latent_table import expressible_records
from hf_hybrid.synthesis.pipeline import HybridPipeline, load_codec


@dataclass(frozen=True)
class _Loaded:
    """A model and the real records of the attacks, of training and held-out patients."""

    folder: Path
    kind: Kind
    pipeline: HybridPipeline | None
    codec: Codec
    sides: list[Records]
    private_strings: set[str]


def evaluate_model(
    folder: str | Path,
    train: str | Path,
    test: str | Path,
    options: EvaluationOptions | None = None,
    schema: str | Path | None = None,
) -> Report:
    """Attacks the files of a pipeline or codec and writes `report.json` and the card into its folder.

    Args:
        folder: a pipeline, or a codec that was trained with `private_images`.
        train: `DATASET[:split]` of the training records; split "train" by default.
        test: `DATASET[:split]` of records of held-out patients; split "test" by default.
        options: replicates and the limit of membership.
        schema: schema file to read the records of a codec with.

    Returns:
        The report.

    Raises:
        InputError: a dataset cannot be read, `train` does not hold the training records, or both share patients or
            images.
    """
    options = options or EvaluationOptions()
    loaded = _load(Path(folder), train, test, schema)
    training_patients = (
        training_patients_of(loaded.sides[0].groups, read_provenance(loaded.folder)) if loaded.pipeline else None
    )
    found = attack_model(loaded.pipeline, loaded.codec, loaded.sides, options, training_patients)
    report = _judge(loaded, found, options)
    _write(loaded.folder, report)
    return report


def _load(folder: Path, train: str | Path, test: str | Path, schema: str | Path | None) -> _Loaded:
    """Loads a model and its records, and checks that they fit together."""
    kind = artifacts.kind_of(folder)
    pipeline = HybridPipeline.from_pretrained(folder) if kind is artifacts.PIPELINE else None
    codec, facts = (pipeline.codec, pipeline.facts["codec"]) if pipeline else load_codec(folder)
    if not pipeline and not codec.config.private_images:
        raise InputError(
            "expected a pipeline, or a codec of private images, found one of public images: it needs no report"
        )
    if pipeline and schema:
        raise InputError("expected `schema` for a codec or a release: a pipeline has its own, leave it out")
    schema = pipeline.schema if pipeline else schema
    sides = [load_records(one, schema=schema, split=split) for one, split in ((train, "train"), (test, "test"))]
    check_apart(sides, [one.pixel_values(RESOLUTION) for one in sides])
    check_encoded_from(sides[0], facts)
    private = set().union(*map(private_strings, sides))
    if pipeline:
        sides = [expressible_records(one, schema) for one in sides]
        check_learned_from(sides[0], pipeline.facts["sampler"]["training"])
    return _Loaded(folder, kind, pipeline, codec, sides, private)


def _judge(loaded: _Loaded, found: AttackResult, options: EvaluationOptions) -> Report:
    """Families of attacks on the model, and the family `files`."""
    names = [name for name in artifacts.publishable(loaded.folder, loaded.kind) if name != REPORT]
    leaks = find_leaks(loaded.folder, names, loaded.private_strings)
    limit = options.privacy.membership_above_chance
    families = judged("membership", found.tests, Limit(limit, limit)), files_family(leaks)
    facts = {
        "configuration": {"bootstraps": options.bootstraps, "privacy": asdict(options.privacy)},
        "versions": versions(),
        "files": hash_files(loaded.folder, artifacts.evaluated_files(loaded.kind, names)),
    }
    return Report(privacy=Privacy(families, (), found.curves), provenance=facts)


def _write(folder: Path, report: Report) -> None:
    """Writes report, hashes and card."""
    write_json(folder / REPORT, report.to_dict())
    facts = {key: value for key, value in read_provenance(folder).items() if key != "accepted_risk"}
    facts["files"] |= hash_files(folder, [REPORT])
    write_provenance(folder, facts)
    cards.model_card(folder).save(folder / CARD)
