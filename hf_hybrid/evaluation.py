"""The evidence about a release: real train and test records and synthetic ones -> `Report`."""

from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from hf_hybrid import gate
from hf_hybrid.audit import find_leaks
from hf_hybrid.cells import is_missing, to_category
from hf_hybrid.errors import InputError
from hf_hybrid.evaluation_options import PARTS, EvaluationOptions
from hf_hybrid.fidelity_scores import score_fidelity
from hf_hybrid.metrics import predictors
from hf_hybrid.metrics.features import extractor_name
from hf_hybrid.pairing_scores import score_pairing
from hf_hybrid.privacy_scores import files_family, overall, score_privacy
from hf_hybrid.provenance import hash_files, read_provenance
from hf_hybrid.schema import RecordSchema, load_description
from hf_hybrid.utility_scores import EvaluationSet, score_targets

if TYPE_CHECKING:
    from hf_hybrid.records import Records


def _not_measured(reason: str = "it was not asked for") -> dict:
    return {"status": "not measured", "reason": reason}


@dataclass
class Report:
    """The evidence about a release; every part says in `status` whether it was measured, or else its `reason`."""

    utility: dict = field(default_factory=_not_measured)
    fidelity: dict = field(default_factory=_not_measured)
    pairing: dict = field(default_factory=_not_measured)
    privacy: dict = field(default_factory=_not_measured)
    provenance: dict = field(default_factory=dict)

    def to_dict(self) -> dict:
        """The content of `report.json`: the same for the same records, options and versions."""
        return asdict(self)


def evaluate_release(
    release: str | Path,
    train: str | Path,
    test: str | Path,
    options: EvaluationOptions | None = None,
    schema: str | Path | None = None,
    targets: list[str] | None = None,
) -> Report:
    """Scores a release folder against real records.

    Args:
        release: folder that `hf-hybrid generate` wrote.
        train: `DATASET[:split]` of the real records that the release was learned from; split "train" if not said.
        test: `DATASET[:split]` of real records of other patients; split "test" if not said.
        options: how to score.
        schema: schema file whose columns override those of the release.
        targets: columns to predict; the schema's when None.

    Raises:
        InputError: a dataset cannot be read, train is not what the release was learned from, or train and test share
            patients or images.
    """
    from hf_hybrid.records import load_records

    released = RecordSchema.load(Path(release) / "schema.json")
    description = released.to_dict()
    for name, entry in (load_description(schema).get("columns") or {} if schema else {}).items():
        description["columns"][name] = {**description["columns"].get(name, {}), **entry}
    schema = RecordSchema.from_dict(description).with_targets(targets)
    changed = [name for name in {**released.table, **schema.table} if _kept(released, name) != _kept(schema, name)]
    if changed:
        raise InputError(
            f"expected `schema` to leave released columns as they are, found other kinds, bounds or categories of "
            f"{changed}: change only how private records are read, or generate the release again"
        )
    spellings = schema.missing_spellings
    resize_mode = read_provenance(release)["codec"]["config"].get("resize_mode", "crop")  # as the codec saw them
    sets, patients, private = [], [], set()
    for dataset, split in ((release, "train"), (train, "train"), (test, "test")):
        records = load_records(dataset, schema=schema, split=split)
        pixels = records.pixel_values(predictors.RESOLUTION, fit=resize_mode)
        sets.append(EvaluationSet(pixels, records.frame, records.groups))
        cells = records.raw[schema.group_column] if schema.group_column in records.raw else ()
        patients.append({to_category(cell) for cell in cells if not is_missing(cell, spellings)})
        if dataset is not release and schema.group_column and not patients[-1]:
            raise InputError(
                f"expected the patients of {split} in a column `{schema.group_column}`, found none: without it images "
                "of one patient would count as several"
            )
        if dataset is not release:
            private |= _private_strings(records)
    advice = "divide the records with `hf-hybrid split` first"
    if shared := patients[1] & patients[2]:
        found = f"{len(shared)} of {len(patients[2])} in both"
        raise InputError(f"expected other patients in `test` than in `train`, found {found}: {advice}")
    training = read_provenance(release)["sampler"]["training"]
    found = {"num_records": len(sets[1]), "num_patients": sets[1].num_patients}
    expected = {name: training[name] for name in found}
    if found != expected:
        raise InputError(
            f"expected in `train` the records that the release was learned from, {expected}, found {found}: name those"
        )
    train_images, test_images = ({image.tobytes() for image in one.pixels} for one in sets[1:])
    if shared := test_images & train_images:
        found = f"{len(shared)} of {len(test_images)} in both"
        raise InputError(f"expected other images in `test` than in `train`, found {found}: {advice}")
    report = evaluate_sets(*sets, schema, options)
    names = [path.relative_to(release).as_posix() for path in Path(release).rglob("*") if path.is_file()]
    names = [name for name in names if gate.RELEASE.allowed.fullmatch(name)]
    if report.privacy["status"] == "measured":
        families = [*report.privacy["families"], files_family(find_leaks(release, names, private))]
        report.privacy |= overall(families)
    report.provenance["files"] = hash_files(release, gate.evaluated_files(names))
    return report


def _kept(schema: RecordSchema, name: str) -> tuple | None:
    column = schema.table.get(name)
    return column and (column.kind, column.bounds, column.categories, column.decimals, column.states)


def _private_strings(records: "Records") -> set[str]:
    """Names of files, ids, patients, and texts of columns left out that few patients have: they tell who it is."""
    schema, found = records.schema, set()
    for name in records.raw:
        if name in schema.table:
            continue
        is_id = name in schema.columns and schema.columns[name].role in ("id", "group")
        held = pd.Series(records.groups).groupby(records.raw[name].map(str).to_numpy()).nunique()
        # A plain word of few patients ("normal") stands in any report; what tells a person has a name or a number.
        found |= {
            text for text, patients in held.items() if is_id or (patients < schema.min_patients and not text.islower())
        }
    paths = [Path(cell["path"]) if cell and cell.get("path") else None for cell in records.images]
    for part in ("name", "stem"):
        names = pd.Series([getattr(path, part, "") for path in paths])
        held = pd.Series(records.groups).groupby(names.to_numpy()).nunique()
        found |= {text for text, patients in held.items() if patients < schema.min_patients}
    public = {name for column in schema.table.values() for name in column.categories or ()} | set(schema.columns)
    return {text for text in found - public if not _is_common_number(text)}


def _is_common_number(text: str) -> bool:
    """A number stands somewhere by chance, unless it is a long whole one."""
    try:
        float(text)
    except ValueError:
        return False
    return not (text.isdigit() and len(text) >= 7)


def evaluate_sets(
    synthetic: EvaluationSet,
    train: EvaluationSet,
    test: EvaluationSet,
    schema: RecordSchema,
    options: EvaluationOptions | None = None,
) -> Report:
    """Scores synthetic records against real ones that are already in memory.

    Args:
        synthetic: the release.
        train: real records that the release was learned from.
        test: real records of other patients.
        schema: of the release; each of its targets is predicted from the image and from all other columns.
        options: how to score.
    """
    options = options or EvaluationOptions()
    packages = ("numpy", "scikit-learn", *(("torch",) if options.image_model == "cnn" else ()))
    configuration = asdict(options)
    configuration["extractor"] = extractor_name(options.extractor)  # never a path of this machine
    facts = {"configuration": configuration, "versions": {name: version(name) for name in packages}}
    report = Report(provenance=facts)
    for name, score in zip(PARTS, (_utility, score_fidelity, score_pairing, score_privacy), strict=True):
        asked = name in options.parts
        section = score(synthetic, train, test, schema, options) if asked else _not_measured()
        setattr(report, name, section)
    return report


def _utility(
    synthetic: EvaluationSet,
    train: EvaluationSet,
    test: EvaluationSet,
    schema: RecordSchema,
    options: EvaluationOptions,
) -> dict:
    if not schema.targets:
        return _not_measured("the schema names no target: name columns to predict with `targets`")
    targets = score_targets(synthetic, train, test, schema, options)
    return {
        "status": "measured",
        "interval": f"95 % of {options.bootstraps} patient-cluster bootstraps of the mean over {options.seeds} seeds",
        "scores": [row for target in targets for row in target.score_rows()],
        "headline": [row for target in targets for row in target.headline_rows()],
    }
