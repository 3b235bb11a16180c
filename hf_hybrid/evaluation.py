"""The evidence about a release: real train and test records and synthetic ones -> `Report`."""

from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from hf_hybrid.cells import is_missing, to_category
from hf_hybrid.errors import InputError
from hf_hybrid.evaluation_options import EvaluationOptions
from hf_hybrid.metrics import predictors
from hf_hybrid.provenance import read_provenance
from hf_hybrid.schema import RecordSchema, load_description
from hf_hybrid.utility_scores import EvaluationSet, score_targets


def _not_measured() -> dict:
    return {"status": "not measured", "reason": "this version of hf_hybrid does not measure it"}


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
        InputError: a dataset cannot be read, or train and test share patients or all images.
    """
    from hf_hybrid.records import load_records

    description = RecordSchema.load(Path(release) / "schema.json").to_dict()
    for name, entry in (load_description(schema).get("columns") or {} if schema else {}).items():
        description["columns"][name] = {**description["columns"].get(name, {}), **entry}
    schema = RecordSchema.from_dict(description).with_targets(targets)
    spellings = schema.missing_spellings
    resize_mode = read_provenance(release)["codec"]["config"].get("resize_mode", "crop")  # as the codec saw them
    sets, patients = [], []
    for dataset, split in ((release, "train"), (train, "train"), (test, "test")):
        records = load_records(dataset, schema=schema, split=split)
        pixels = records.pixel_values(predictors.RESOLUTION, fit=resize_mode)
        sets.append(EvaluationSet(pixels, records.frame, records.groups))
        cells = records.raw[schema.group_column] if schema.group_column in records.raw else ()
        patients.append({to_category(cell) for cell in cells if not is_missing(cell, spellings)})
    advice = "divide the records with `hf-hybrid split` first"
    if shared := patients[1] & patients[2]:
        found = f"{len(shared)} of {len(patients[2])} in both"
        raise InputError(f"expected other patients in `test` than in `train`, found {found}: {advice}")
    train_images, test_images = ({image.tobytes() for image in one.pixels} for one in sets[1:])
    if shared := test_images & train_images:
        found = f"{len(shared)} of {len(test_images)} in both"
        raise InputError(f"expected other images in `test` than in `train`, found {found}: {advice}")
    return evaluate_sets(*sets, schema, options)


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
    facts = {"configuration": asdict(options), "versions": {name: version(name) for name in packages}}
    if not schema.targets:
        reason = "the schema names no target: name columns to predict with `targets`"
        return Report(utility={"status": "not measured", "reason": reason}, provenance=facts)
    targets = score_targets(synthetic, train, test, schema, options)
    utility = {
        "status": "measured",
        "interval": f"95 % of {options.bootstraps} patient-cluster bootstraps of the mean over {options.seeds} seeds",
        "scores": [row for target in targets for row in target.score_rows()],
        "headline": [row for target in targets for row in target.headline_rows()],
    }
    return Report(utility=utility, provenance=facts)
