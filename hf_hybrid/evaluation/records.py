"""The three sets of records of an evaluation, loaded and checked: they fit together and share no patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hf_hybrid.core.artifacts import SCHEMA
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.provenance import read_provenance
from hf_hybrid.data.cells import is_missing, to_category
from hf_hybrid.data.columns import names_a_person
from hf_hybrid.data.records import Records, load_records
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.schema_description import check_entry, load_description
from hf_hybrid.evaluation.comparison import EvaluationSet
from hf_hybrid.evaluation.options import EvaluationInputs
from hf_hybrid.evaluation.training_patients import TrainingPatients, training_patients_of
from hf_hybrid.metrics import predictors
from hf_hybrid.synthesis.latent_table import expressible_records

_SPLITS = ("train", "train", "test")  # unless another is named
_ADVICE = "divide the records with `hf-hybrid split` first"


@dataclass
class ComparedRecords:
    """Release, training records and held-out records.

    Args:
        records: the three sets, in that order; of the training records those that the sampler learned from.
        sets: the same in the form that scores need.
        schema: the schema that all were read with.
        codec: facts of the release about its codec.
        training_patients: which records of `train` the sampler learned from.
        private_strings: names of files, ids, patients, and texts that few patients have, of all real records.
    """

    records: list[Records]
    sets: list[EvaluationSet]
    schema: RecordSchema
    codec: dict
    private_strings: set[str]
    training_patients: TrainingPatients | None = None


def load_compared(inputs: EvaluationInputs) -> ComparedRecords:
    """Loads a release and real records.

    Raises:
        InputError: a dataset cannot be read, `train` does not hold the training records, or train and test share
            patients or images.
    """
    schema = _read_schema(inputs.release, inputs.schema).with_targets(inputs.targets)
    provenance = read_provenance(inputs.release)
    every = [
        load_records(one, schema=schema, split=split)
        for one, split in zip((inputs.release, inputs.train, inputs.test), _SPLITS, strict=True)
    ]
    check_encoded_from(every[1], provenance["codec"])
    private = set().union(*map(private_strings, every[1:]))
    every[1] = expressible_records(every[1], schema)
    sets = [_evaluation_set(one, provenance["codec"]["config"]) for one in every]
    check_apart(every[1:], [one.pixels for one in sets[1:]])
    check_learned_from(every[1], provenance["sampler"]["training"])
    is_private = provenance["codec"]["config"].get("private_images")  # a codec that learned from all of them
    training_patients = None if is_private else training_patients_of(every[1].groups, provenance)
    return ComparedRecords(every, sets, schema, provenance["codec"], private, training_patients)


def _evaluation_set(records: Records, codec: dict) -> EvaluationSet:
    """Records as scores need them, their images resized as the codec's configuration says."""
    resolution, fit = codec["resolution"], codec.get("resize_mode", "crop")
    return EvaluationSet(
        records.pixel_values(predictors.RESOLUTION, fit=fit, by_way_of=resolution),
        records.frame,
        records.groups,
        lambda rows: records.select(rows).iter_pixels(resolution, fit=fit),
    )


def check_apart(sides: list[Records], pixels: Sequence[np.ndarray] = ()) -> None:
    """Checks that patients are known, and that no patient and no image is on both sides.

    Args:
        sides: train and test.
        pixels: their images, `(n, side, side)` each; not compared if not given.

    Raises:
        InputError: patients are not known, or a patient or an image is on both sides.
    """
    patients = []
    for records, split in zip(sides, ("train", "test"), strict=True):
        name = records.schema.group_column
        cells = records.raw[name] if name in records.raw else ()
        patients.append(
            {to_category(cell) for cell in cells if not is_missing(cell, records.schema.missing_spellings)}
        )
        if name and not patients[-1]:
            raise InputError(
                f"expected the patients of {split} in a column `{name}`, found none: without it images "
                "of one patient would count as several"
            )
    if shared := patients[0] & patients[1]:
        found = f"{len(shared)} of {len(patients[1])} in both"
        raise InputError(f"expected other patients in `test` than in `train`, found {found}: {_ADVICE}")
    if not len(pixels):
        return
    # A blank image does not identify a patient.
    images = [{image.tobytes() for image in one if image.min() < image.max()} for one in pixels]
    if shared := images[0] & images[1]:
        found = f"{len(shared)} of {len(images[1])} in both"
        raise InputError(f"expected other images in `test` than in `train`, found {found}: {_ADVICE}")


def check_learned_from(train: Records, training: dict) -> None:
    """Checks the numbers of records and patients against those of a sampler's training.

    Raises:
        InputError: they differ.
    """
    found = {"num_records": len(train), "num_patients": len(np.unique(train.groups))}
    expected = {name: training[name] for name in found}
    if found != expected:
        raise InputError(
            f"expected in `train` the records that the release was learned from, {expected}, found {found}: "
            "give the original training split"
        )


def check_encoded_from(train: Records, codec: dict) -> None:
    """Checks that a codec of private images was trained on as many images as there are training records.

    Raises:
        InputError: the numbers differ.
    """
    learned = codec["training"].get("num_images") if codec["config"].get("private_images") else None
    if learned not in (None, len(train)):
        found = f"{learned:,}, found {len(train):,}"
        raise InputError(
            f"expected in `train` the images that the codec learned from, {found}: give the original training split"
        )


def _read_schema(release: str | Path, changes: str | Path | None) -> RecordSchema:
    """The schema of the release, with changes to columns that are not released."""
    released = RecordSchema.load(Path(release) / SCHEMA)
    description = released.to_dict()
    for name, entry in (load_description(changes).get("columns") or {} if changes else {}).items():
        check_entry(name, entry)
        description["columns"][name] = {**description["columns"].get(name, {}), **(entry or {})}
    schema = RecordSchema.from_dict(description)
    changed = [name for name in {**released.table, **schema.table} if _kept(released, name) != _kept(schema, name)]
    if changed:
        raise InputError(
            f"expected `schema` to leave released columns as they are, found other kinds, bounds or categories of "
            f"{changed}: change only how private records are read, or generate the release again"
        )
    return schema


def _kept(schema: RecordSchema, name: str) -> tuple | None:
    column = schema.table.get(name)
    return column and (column.kind, column.bounds, column.categories, column.decimals, column.states)


def private_strings(records: Records) -> set[str]:
    """Names of files, ids, patients, and texts that few patients have: they identify a person."""
    schema, found = records.schema, set()
    for name in records.raw:
        column = schema.table.get(name)
        if column and column.is_number:
            continue
        is_id = name not in schema.table and names_a_person(name)
        held = pd.Series(records.groups).groupby(records.raw[name].map(str).to_numpy()).nunique()
        # A plain word of few patients ("normal") occurs in any report; identifying text has a name or a number.
        found |= {
            text
            for text, patients in held.items()
            if is_id or (patients < schema.min_patients and not (text.isalpha() and text.islower()))
        }
    paths = [Path(cell["path"]) if cell and cell.get("path") else None for cell in records.images]
    for part in ("name", "stem"):
        names = pd.Series([getattr(path, part, "") for path in paths])
        held = pd.Series(records.groups).groupby(names.to_numpy()).nunique()
        found |= {text for text, patients in held.items() if patients < schema.min_patients}
    public = {name for column in schema.table.values() for name in column.categories or ()} | set(schema.columns)
    return {text for text in found - public if not _is_common_number(text)}


def _is_common_number(text: str) -> bool:
    """Whether the text is a number that occurs by chance: any but a long whole number."""
    try:
        float(text)
    except ValueError:
        return False
    return not (text.isdigit() and len(text) >= 7)
