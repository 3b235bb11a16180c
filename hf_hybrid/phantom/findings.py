"""Findings of the built-in cohort: how often they are there, and which of them the parameters of an image show."""

import numpy as np
import pandas as pd
from scipy.special import expit

from hf_hybrid.phantom.variables import CATEGORIES, FINDINGS

_DENSE = 0.5  # opacity density from which an opacity is a finding, rather than a haze
_OPACITY = 0.65  # standard deviations of the latent opacity above which there is one


def heart_limit(anteroposterior: pd.Series) -> np.ndarray:
    """Cardiothoracic ratio above which a heart is enlarged: 0.50, or 0.55 where the beam comes from the front."""
    return np.where(anteroposterior, 0.55, 0.50)


def heart_width(ratio: pd.Series, anteroposterior: pd.Series) -> pd.Series:
    """Cardiothoracic ratios with a gap at the limit, so that the eye can tell what the table says."""
    return (ratio + np.where(ratio > heart_limit(anteroposterior), 0.025, -0.005)).clip(0.33, 0.7)


def opacity_density(opacity: pd.Series, spread: np.ndarray) -> pd.Series:
    """Density of the opacities by the latent opacity: dense where they are a finding, a haze elsewhere."""
    haze, dense = 0.2 + 0.06 * opacity + 0.04 * spread, 0.76 + 0.06 * opacity + 0.06 * spread
    return dense.clip(_DENSE + 0.1, 1).where(opacity > _OPACITY, haze.clip(0.05, _DENSE - 0.1))


def sample_lasting(person: pd.DataFrame, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What a patient keeps from visit to visit: the diameter of the nodule, 0 for none, and the pacemaker."""
    draw, has = rng.random((len(person), 3)).T, _comorbidities(person)
    nodule = draw[0] < expit(-2.5 + 0.4 * person["older"] + 0.9 * has["pulmonary"] + 0.8 * has["immunosuppressed"])
    pacemaker = draw[1] < expit(-4.2 + 0.9 * person["older"] + 2.2 * has["cardiac"])
    return {"nodule": np.where(nodule, 0.05 + 0.03 * draw[2], 0), "pacemaker": pacemaker.to_numpy()}


def sample_passing(record: pd.DataFrame, rng: np.random.Generator) -> dict[str, pd.Series | np.ndarray]:
    """The image parameters of nodule and effusion, which comes and goes with the disease."""
    draw, has, severity = rng.random((len(record), 4)).T, _comorbidities(record), record["severity"]
    logit = -2.2 + 0.55 * severity + 0.35 * record["older"] + 1.1 * has["cardiac"] + 0.5 * record["icu"]
    wet = draw[0] < expit(logit)
    right, left = (
        (0.1 + 0.02 * severity + 0.13 * share**1.5).clip(0.09, 0.3).where(wet & on, 0)
        for share, on in ((draw[2], draw[1] < 0.7), (draw[3], draw[1] > 0.4))  # between the two: on both sides
    )
    return {"effusion_right": right, "effusion_left": left, "nodule": record["nodule"]}


def names_of(truth: pd.DataFrame) -> list[str]:
    """The findings that the parameters of each image show, separated by "|"; "none" where there are none."""
    shown = {
        "cardiomegaly": truth["heart_width"] > heart_limit(truth["anteroposterior"]),
        "device": truth[["pacemaker", "endotracheal_tube", "central_line", "electrodes"]].any(axis=1),
        "effusion": truth[["effusion_right", "effusion_left"]].gt(0).any(axis=1),
        "nodule": truth["nodule"] > 0,
        "opacity": truth["opacity_density"] > _DENSE,
    }
    rows = np.stack([shown[name] for name in FINDINGS], axis=1)
    return ["|".join(name for name, one in zip(FINDINGS, row, strict=True) if one) or "none" for row in rows]


def _comorbidities(people: pd.DataFrame) -> dict[str, pd.Series]:
    return {name: people["comorbidity"] == code for code, name in enumerate(CATEGORIES["comorbidity"])}
