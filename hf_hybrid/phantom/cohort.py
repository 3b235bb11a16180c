"""The built-in cohort: drawn chest radiographs linked with 13 clinical variables.

Everything is drawn from formulas, so the cohort may be shared, and the truth behind every image is known. The images
have the geometry and the grey scale of frontal chest radiographs; they are no anatomical or radiological model.
"""

import dataclasses
import os

import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import expit
from scipy.stats import beta, norm

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import new_folder
from hf_hybrid.phantom.drawing import ImageParameters, check_resolution, draw_phantom

PHANTOM_UNITS = {
    "age": "years",
    "bmi": "kg/m2",
    "spo2": "%",
    "crp": "mg/l",
    "lymphocytes": "10^9/l",
    "temperature": "°C",
}
_BOUNDS = {
    "age": [18, 95],
    "bmi": [15.0, 55.0],
    "spo2": [60, 100],
    "crp": [0.3, 500.0],
    "lymphocytes": [0.1, 6.0],
    "temperature": [35.0, 41.5],
}
_CATEGORIES = {
    "sex": ["F", "M"],
    "view": ["PA", "AP"],
    "icu": ["no", "yes"],
    "intubated": ["no", "yes"],
    "oxygen": ["none", "low_flow", "high_flow"],
    "comorbidity": ["none", "cardiac", "pulmonary", "diabetes", "immunosuppressed"],
    "outcome": ["discharged", "deceased"],
}


@dataclasses.dataclass(frozen=True)
class Cohort:
    """A sampled cohort, before anything is drawn: two tables with one row a record, in the same order.

    Attributes:
        table: `patient_id` and the 13 variables, with missing cells.
        truth: The fields of `ImageParameters`, complete.
    """

    table: pd.DataFrame
    truth: pd.DataFrame


def phantom_schema() -> dict:
    """Role, kind, unit, bounds or categories of every column of the cohort, in plain types."""
    columns = {"patient_id": {"role": "group"}}
    for name, unit in PHANTOM_UNITS.items():
        kind = "integer" if isinstance(_BOUNDS[name][0], int) else "numeric"
        columns[name] = {"role": "clinical", "kind": kind, "unit": unit, "bounds": list(_BOUNDS[name])}
    for name, categories in _CATEGORIES.items():
        columns[name] = {"role": "clinical", "kind": "categorical", "categories": list(categories)}
    for target in ("age", "outcome"):
        columns[target]["role"] = "target"
    return {"columns": columns}


def sample_cohort(num_records: int, seed: int) -> Cohort:
    """Sample tables and linked image parameters of patients with pneumonia.

    Severity, age and comorbidity drive everything. The opacities hold a part of the disease that the table does not
    show, the oxygen saturation one that the image does not show, and the outcome depends on both. About 15 % of the
    patients have two or three records: same person and outcome, while the disease moves towards that outcome.

    Args:
        num_records: 1 or more. A larger cohort starts with the records of a smaller one.
        seed: 0 or more.
    """
    if num_records < 1:
        raise InputError(f"expected `num_records` of at least 1, found {num_records}")
    several = _stream(seed, "visits").random(num_records)
    patient = np.repeat(np.arange(num_records), 1 + (several < 0.15) + (several < 0.05))[:num_records]
    visit = np.arange(num_records) - np.searchsorted(patient, patient)
    person = _sample_patients(num_records, _stream(seed, "patients")).iloc[patient].reset_index(drop=True)
    return _sample_records(person, visit, _stream(seed, "uniform"), _stream(seed, "normal"))


def write_phantom(
    output_dir: str | os.PathLike,
    num_records: int = 1342,
    resolution: int = 64,
    seed: int = 0,
    images_only: bool = False,
) -> None:
    """Write a cohort as an image folder that `datasets.load_dataset("imagefolder", data_dir=output_dir)` reads.

    Writes `train/*.png` (8-bit grey), `train/metadata.csv` (`file_name`, `patient_id` and the 13 variables) and,
    outside of what is loaded, `truth.csv` (the image parameters by `file_name`). The same arguments give the same
    bytes, and more records leave the first ones as they are. The folder appears only when it is complete.

    Args:
        output_dir: A new or an empty folder.
        num_records: 1 or more.
        resolution: Side of the images in pixels, 32 to 512.
        seed: 0 or more.
        images_only: Only the images, no table and no truth: the public image set. Its people are never those of the
            cohort of the same seed.

    Raises:
        InputError: For a folder with something in it, or a number out of range.
    """
    check_resolution(resolution)
    if images_only:
        seed = int(_stream(seed, "public").integers(2**63))
    with new_folder(output_dir) as folder:
        cohort = sample_cohort(num_records, seed)
        file_names = [f"{index:05d}.png" for index in range(num_records)]
        (folder / "train").mkdir()
        for index, (file_name, row) in enumerate(zip(file_names, cohort.truth.to_dict("records"), strict=True)):
            image = draw_phantom(ImageParameters(**row), resolution, _stream(seed, "image", index))
            Image.fromarray(image).save(folder / "train" / file_name)
        if not images_only:
            for table, path in ((cohort.table, "train/metadata.csv"), (cohort.truth, "truth.csv")):
                table.assign(file_name=file_names)[["file_name", *table.columns]].to_csv(
                    folder / path, index=False, lineterminator="\n"
                )


_STREAMS = ("visits", "patients", "uniform", "normal", "image", "public")


def _stream(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """An independent generator for every purpose and record, so that none depends on the number of records."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAMS.index(purpose), index)))


def _sample_patients(number: int, rng: np.random.Generator) -> pd.DataFrame:
    """What stays the same for a patient: the person, the latent disease (standard deviations) and its outcome."""
    draw = rng.random((number, 12))
    age = np.round(18 + 77 * beta.ppf(draw[:, 0], 2.4, 2.2)).astype(int)
    older = (age - 58) / 16
    logits = np.array([0, -1.1, -1.5, -1.6, -2.6]) + np.outer(older, [0, 0.9, 0.35, 0.4, 0])
    comorbidity = np.argmax(logits - np.log(-np.log(draw[:, 1:6])), 1)  # Gumbel-max: a draw from the softmax
    severity, image_only, table_only, build = norm.ppf(draw[:, 6:10]).T
    severity = severity + 0.3 * older + np.array([0, 0.3, 0.35, 0.3, 0.6])[comorbidity]
    opacity = 0.55 * severity + 0.85 * image_only
    desaturation = 0.6 * severity + 0.75 * table_only
    risk = -2.95 + 0.75 * older + 0.8 * opacity + 0.65 * desaturation + np.array([0, 0.5, 0.3, 0.1, 0.8])[comorbidity]
    return pd.DataFrame(
        {
            "patient_id": [f"phantom-{index:05d}" for index in range(number)],
            "female": draw[:, 10] < 0.44,
            "age": age,
            "older": older,
            "bmi": 27 * np.exp(0.17 * build) + np.array([0, 0.5, -1.5, 3.0, -1.0])[comorbidity],
            "comorbidity": comorbidity,
            "severity": severity,
            "opacity": opacity,
            "desaturation": desaturation,
            "deceased": draw[:, 11] < expit(risk),
        }
    )


def _sample_records(
    person: pd.DataFrame, visit: np.ndarray, uniform_rng: np.random.Generator, normal_rng: np.random.Generator
) -> Cohort:
    """What changes from record to record: the state of the disease, the laboratory and the image."""
    # Row by row, one column a use: the first records stay the same when there are more.
    uniform = iter(uniform_rng.random((len(person), 13)).T)
    normal = iter(normal_rng.standard_normal((len(person), 22)).T)

    def bounded(name: str, values: pd.Series, decimals: int) -> pd.Series:
        return values.clip(*_BOUNDS[name]).round(decimals)

    older, female, deceased = person["older"], person["female"], person["deceased"]
    change = np.where(deceased, 0.45, -0.25) * visit + np.where(visit > 0, 0.25, 0) * next(normal)
    severity, opacity, desaturation = (person[part] + change for part in ("severity", "opacity", "desaturation"))
    bmi = bounded("bmi", person["bmi"] + 0.2 * next(normal), 1)
    need = 0.6 * severity + 0.5 * desaturation + 0.5 * next(normal)
    icu = next(uniform) < expit(-2.6 + 1.3 * severity + 0.5 * opacity)
    intubated = icu & (next(uniform) < expit(-0.6 + 0.7 * severity))
    bedside = next(uniform) < np.where(icu, 0.95, expit(-1.4 + 0.5 * older + 0.5 * severity))
    codes = {
        "sex": ~female,
        "view": bedside,
        "icu": icu,
        "intubated": intubated,
        "oxygen": np.where(intubated, 2, np.maximum(np.digitize(need, [0.25, 1.35]), icu)),
        "comorbidity": person["comorbidity"],
        "outcome": deceased,
    }
    table = pd.DataFrame(
        {
            "patient_id": person["patient_id"],
            "age": person["age"],
            "bmi": bmi,
            "spo2": bounded("spo2", 100 - 4 * np.exp(0.55 * desaturation), 0).astype(int),
            "crp": bounded("crp", 42 * np.exp(0.75 * severity + 0.75 * next(normal)), 1),
            "lymphocytes": bounded("lymphocytes", np.exp(0.2 - 0.3 * severity - 0.1 * older + 0.38 * next(normal)), 2),
            "temperature": bounded("temperature", 37.5 + 0.35 * severity + 0.65 * next(normal), 1),
        }
        | {name: np.array(_CATEGORIES[name])[np.asarray(code, int)] for name, code in codes.items()}
    )
    # The milder the disease, the less is measured.
    omission = {"bmi": -2.2, "crp": -1.8, "lymphocytes": -1.4, "temperature": -3.1, "oxygen": -3.6}
    for name, logit in omission.items():
        table[name] = table[name].mask(next(uniform) < expit(logit - 0.6 * severity))

    heavy = (bmi - 27) / 5
    cardiac, pulmonary = (table["comorbidity"] == name for name in ("cardiac", "pulmonary"))
    heart = 0.45 + 0.012 * older + 0.065 * cardiac - 0.03 * pulmonary + 0.055 * bedside + 0.022 * next(normal)
    inflation = 0.95 * pulmonary - 0.4 * bedside - 0.12 * heavy - 0.15 * severity + 0.25 * next(normal)
    truth = pd.DataFrame(
        {
            "anteroposterior": bedside,
            "heart_width": heart.clip(0.33, 0.7),
            "inflation": inflation.clip(-1, 1.5),
            "soft_tissue": expit(-0.6 + 1.1 * heavy + 0.3 * next(normal)),
            "breast": expit(-0.4 + 0.9 * heavy + 0.5 * next(normal)).where(female, 0),
            "bone_density": (0.66 - (0.09 + 0.05 * female) * older + 0.1 * next(normal)).clip(0, 1),
            "aortic_knob": expit(-0.7 + 0.9 * older + 0.7 * next(normal)),
            "opacity_extent": expit(-1.5 + 1.05 * opacity),
            "opacity_density": (0.72 + 0.1 * opacity + 0.07 * next(normal)).clip(0.2, 1),
            "endotracheal_tube": intubated,
            "central_line": icu & (next(uniform) < 0.7),
            "electrodes": np.where(icu, 2 + 4 * next(uniform), 2 * next(uniform) * bedside).astype(int),
            "marker": next(uniform) < 0.6,
            "exposure": (0.25 * heavy + 0.35 * next(normal)).clip(-1, 1),
            "contrast": (1.12 - 0.1 * bedside - 0.05 * heavy + 0.1 * next(normal)).clip(0.7, 1.4),
            "noise": (0.45 + 0.15 * heavy + 0.2 * bedside + 0.1 * next(normal)).clip(0.15, 1.5),
            "rotation": np.clip((1 + 1.5 * bedside) * next(normal), -6, 6),
            "shift_x": 0.02 * next(normal),
            "shift_y": 0.025 * next(normal),
            "zoom": np.clip(1.08 + 0.06 * next(normal), 0.9, 1.25),
        }
    )
    return Cohort(table=table, truth=truth.round(4))
