"""Patients of the built-in cohort and their records, drawn from formulas: clinical table and image parameters."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import beta, norm

from hf_hybrid.phantom.findings import heart_width, names_of, opacity_density, sample_lasting, sample_passing
from hf_hybrid.phantom.parameters import ImageParameters
from hf_hybrid.phantom.variables import BOUNDS, CATEGORIES


@dataclasses.dataclass(frozen=True)
class Cohort:
    """A sampled cohort, before anything is drawn: two tables with one row per record, in the same order.

    Attributes:
        table: `patient_id` and the 14 variables, with missing cells.
        truth: The fields of `ImageParameters`, complete.
    """

    table: pd.DataFrame
    truth: pd.DataFrame


def sample_patients(number: int, rng: np.random.Generator) -> pd.DataFrame:
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
    person = pd.DataFrame(
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
    return person.assign(**sample_lasting(person, rng.spawn(1)[0]))


def sample_records(
    person: pd.DataFrame, visit: np.ndarray, uniform_rng: np.random.Generator, normal_rng: np.random.Generator
) -> Cohort:
    """What changes from record to record: the state of the disease, the laboratory and the image.

    Args:
        person: the patient of each record, as of `sample_patients`.
        visit: number of the record among those of its patient, from 0.
        uniform_rng: for uniform draws.
        normal_rng: for normal draws.
    """
    # Drawn row by row, one column for each use: the first records stay the same when there are more. The order in
    # which the steps take their columns determines the result of a seed.
    uniform = iter(uniform_rng.random((len(person), 13)).T)
    normal = iter(normal_rng.standard_normal((len(person), 22)).T)
    record = _sample_state(person, visit, uniform, normal)
    table = _omit_cells(_sample_table(record, normal), record["severity"], uniform)
    image = _sample_anatomy(record, normal) | sample_passing(record, uniform_rng.spawn(1)[0])
    image |= _sample_devices(record, uniform) | _sample_exposure(record, normal)
    truth = pd.DataFrame({field.name: image[field.name] for field in dataclasses.fields(ImageParameters)}).round(4)
    return Cohort(table=table.assign(findings=names_of(truth)), truth=truth)


def _sample_state(
    person: pd.DataFrame, visit: np.ndarray, uniform: Iterator[np.ndarray], normal: Iterator[np.ndarray]
) -> pd.DataFrame:
    """The persons at a visit: the disease, which moves towards its outcome, and how it is treated."""
    older, deceased = person["older"], person["deceased"]
    change = np.where(deceased, 0.45, -0.25) * visit + np.where(visit > 0, 0.25, 0) * next(normal)
    severity, opacity, desaturation = (person[part] + change for part in ("severity", "opacity", "desaturation"))
    bmi = _bounded("bmi", person["bmi"] + 0.2 * next(normal), 1)
    need = 0.6 * severity + 0.5 * desaturation + 0.5 * next(normal)
    icu = next(uniform) < expit(-2.6 + 1.3 * severity + 0.5 * opacity)
    intubated = icu & (next(uniform) < expit(-0.6 + 0.7 * severity))
    bedside = next(uniform) < np.where(icu, 0.95, expit(-1.4 + 0.5 * older + 0.5 * severity))
    return person.assign(
        severity=severity,
        opacity=opacity,
        desaturation=desaturation,
        bmi=bmi,
        icu=icu,
        intubated=intubated,
        bedside=bedside,
        oxygen=np.where(intubated, 2, np.maximum(np.digitize(need, [0.25, 1.35]), icu)),
    )


def _sample_table(record: pd.DataFrame, normal: Iterator[np.ndarray]) -> pd.DataFrame:
    """The 13 variables, complete."""
    severity = record["severity"]
    crp = 42 * np.exp(0.75 * severity + 0.75 * next(normal))
    lymphocytes = np.exp(0.2 - 0.3 * severity - 0.1 * record["older"] + 0.38 * next(normal))
    codes = {
        "sex": ~record["female"],
        "view": record["bedside"],
        "icu": record["icu"],
        "intubated": record["intubated"],
        "oxygen": record["oxygen"],
        "comorbidity": record["comorbidity"],
        "outcome": record["deceased"],
    }
    return pd.DataFrame(
        {
            "patient_id": record["patient_id"],
            "age": record["age"],
            "bmi": record["bmi"],
            "spo2": _bounded("spo2", 100 - 4 * np.exp(0.55 * record["desaturation"]), 0).astype(int),
            "crp": _bounded("crp", crp, 1),
            "lymphocytes": _bounded("lymphocytes", lymphocytes, 2),
            "temperature": _bounded("temperature", 37.5 + 0.35 * severity + 0.65 * next(normal), 1),
        }
        | {name: np.array(CATEGORIES[name])[np.asarray(code, int)] for name, code in codes.items()}
    )


def _omit_cells(table: pd.DataFrame, severity: pd.Series, uniform: Iterator[np.ndarray]) -> pd.DataFrame:
    """The table with missing cells: the milder the disease, the less is measured."""
    omission = {"bmi": -2.2, "crp": -1.8, "lymphocytes": -1.4, "temperature": -3.1, "oxygen": -3.6}
    missing = {name: next(uniform) < expit(logit - 0.6 * severity) for name, logit in omission.items()}
    return table.assign(**{name: table[name].mask(where) for name, where in missing.items()})


def _sample_anatomy(record: pd.DataFrame, normal: Iterator[np.ndarray]) -> dict[str, pd.Series]:
    """The image parameters of the body and of its opacities."""
    older, female, bedside, heavy = record["older"], record["female"], record["bedside"], _heaviness(record)
    cardiac, pulmonary = (
        record["comorbidity"] == CATEGORIES["comorbidity"].index(name) for name in ("cardiac", "pulmonary")
    )
    heart = 0.45 + 0.012 * older + 0.065 * cardiac - 0.03 * pulmonary + 0.055 * bedside + 0.022 * next(normal)
    inflation = 0.95 * pulmonary - 0.4 * bedside - 0.12 * heavy - 0.15 * record["severity"] + 0.25 * next(normal)
    return {
        "anteroposterior": bedside,
        "heart_width": heart_width(heart, bedside),
        "inflation": inflation.clip(-1, 1.5),
        "soft_tissue": expit(-0.6 + 1.1 * heavy + 0.3 * next(normal)),
        "breast": expit(-0.4 + 0.9 * heavy + 0.5 * next(normal)).where(female, 0),
        "bone_density": (0.66 - (0.09 + 0.05 * female) * older + 0.1 * next(normal)).clip(0, 1),
        "aortic_knob": expit(-0.7 + 0.9 * older + 0.7 * next(normal)),
        "opacity_extent": expit(-1.5 + 1.05 * record["opacity"]),
        "opacity_density": opacity_density(record["opacity"], next(normal)),
    }


def _sample_devices(record: pd.DataFrame, uniform: Iterator[np.ndarray]) -> dict[str, pd.Series | np.ndarray]:
    """The image parameters of tubes, lines, electrodes and marker."""
    icu = record["icu"]
    return {
        "pacemaker": record["pacemaker"],
        "endotracheal_tube": record["intubated"],
        "central_line": icu & (next(uniform) < 0.7),
        "electrodes": np.where(icu, 2 + 4 * next(uniform), 1.25 * next(uniform) * record["bedside"]).astype(int),
        "marker": next(uniform) < 0.6,
    }


def _sample_exposure(record: pd.DataFrame, normal: Iterator[np.ndarray]) -> dict[str, pd.Series | np.ndarray]:
    """The image parameters of the exposure and the position."""
    bedside, heavy = record["bedside"], _heaviness(record)
    return {
        "exposure": (0.25 * heavy + 0.35 * next(normal)).clip(-1, 1),
        "contrast": (1.12 - 0.1 * bedside - 0.05 * heavy + 0.1 * next(normal)).clip(0.7, 1.4),
        "noise": (0.45 + 0.15 * heavy + 0.2 * bedside + 0.1 * next(normal)).clip(0.15, 1.5),
        "rotation": np.clip((1 + 1.5 * bedside) * next(normal), -6, 6),
        "shift_x": 0.02 * next(normal),
        "shift_y": 0.025 * next(normal),
        "zoom": np.clip(1.08 + 0.06 * next(normal), 0.9, 1.25),
    }


def _heaviness(record: pd.DataFrame) -> pd.Series:
    """How far the body mass index is above 27, in units of 5."""
    return (record["bmi"] - 27) / 5


def _bounded(name: str, values: pd.Series, decimals: int) -> pd.Series:
    return values.clip(*BOUNDS[name]).round(decimals)
