"""Does a codec repeat the public images that trained it?

What a PCA of as many numbers reveals is the floor of an attack: it learns means and correlations of the training
images, and a Gaussian copula of its codes draws images that repeat nobody. Drawn detail has no such counterpart: its
floor is chance. Intervals are 95 %; a verdict asks for what fails a release, one chance in a thousand
(`metrics.risk.FAIL_LEVEL`), since a study makes many attacks.
"""

import numpy as np
from scipy.stats import norm

from hf_hybrid.metrics.copies import near_threshold, nearest
from hf_hybrid.metrics.estimates import Estimate
from hf_hybrid.metrics.membership import attack_auc, by_patient, nearest_distances
from hf_hybrid.metrics.reidentification import mean_by_patient
from hf_hybrid.metrics.risk import FAIL_LEVEL, EstimatedRisk, RateRisk, Risk, interval
from hf_hybrid.models.public_images import shrunk
from hf_hybrid.studies.codec_parts import CODEC, PCA, Part, Side

NOT_ABOVE, ABOVE = "not above its floor", "above its floor"
DIFFERENCE = f"{CODEC} - {PCA}"
_SMALL = 32  # side of the images that copies are looked for in


def copies(part: Part) -> dict:
    """Share of training patients whom a drawn image is near, beyond that of held-out ones, by pixels and by features.

    Near is nearer than training images are to held-out ones, as for a release (`metrics.copies`).

    Returns:
        Attack -> `codec` and `PCA`, each `[risk, low, high]`, and the `verdict`.
    """
    small = [shrunk(side.pixels, _SMALL) for side in part.sides]
    features = [part.features(side.pixels) for side in part.sides]
    limits = {"pixels": _nearest_pixels(small[1], small[0]), "features": nearest_distances(features[1], features[0])}
    found = {f"near copy, {space}": {} for space in limits}
    for name, pixels in part.draws.items():
        library, of_library = shrunk(pixels, _SMALL), part.features(pixels)
        distances = {
            "pixels": [_nearest_pixels(side, library) for side in small],
            "features": [nearest_distances(side, of_library) for side in features],
        }
        for space, sides in distances.items():
            limit = near_threshold(limits[space], len(pixels) / len(part.train))
            hits = [(one <= limit) * 1.0 for one in sides]
            risk = RateRisk(*(mean_by_patient(hit, side.patients) for hit, side in zip(hits, part.sides, strict=True)))
            found[f"near copy, {space}"][name] = risk
    return {
        name: {model: _shown(risk) for model, risk in risks.items()}
        | {"verdict": _verdict(_surely(risks[CODEC]), _surely(risks[CODEC]) - risks[PCA].value)}
        for name, risks in found.items()
    }


def membership(part: Part, num_bootstraps: int) -> dict:
    """AUC above chance of telling training from held-out patients.

    Returns:
        Attack -> `codec`, `PCA` and their paired difference (`DIFFERENCE`), each `[AUC - 0.5, low, high]`, and the
        `verdict`.
    """
    features = [part.features(side.pixels) for side in part.sides]

    def near(library: np.ndarray) -> list[np.ndarray]:
        return [-nearest_distances(one, part.features(library)) for one in features]

    def close(name: str) -> list[np.ndarray]:
        pairs = ((side.pixels.astype(np.float32), getattr(side, name)) for side in part.sides)
        return [-np.abs(pixels - other).mean(axis=(1, 2)) for pixels, other in pairs]

    def close_in_features(name: str) -> list[np.ndarray]:
        others = (part.features(getattr(side, name)) for side in part.sides)
        return [-np.linalg.norm(one - other, axis=1) for one, other in zip(features, others, strict=True)]

    scores = {
        "error of the mean image": {CODEC: close("mean"), PCA: close("linear")},
        "error of the drawn image": {CODEC: close("drawn"), PCA: close("linear")},
        "error of the drawn image, features": {CODEC: close_in_features("drawn"), PCA: close_in_features("linear")},
        "agreement of drawn and true detail": {CODEC: [_detail_agreement(side) for side in part.sides]},
    }
    patients = [side.patients for side in part.sides]
    found = {
        name: {
            model: [mean_by_patient(one, who) for one, who in zip(sides, patients, strict=True)]
            for model, sides in models.items()
        }
        for name, models in scores.items()
    }
    found["nearest draw, features"] = {
        model: [by_patient(one, who) for one, who in zip(near(library), patients, strict=True)]
        for model, library in part.draws.items()
    }
    return {name: _judged(models, num_bootstraps) for name, models in found.items()}


def _judged(models: dict[str, list[np.ndarray]], num_bootstraps: int) -> dict:
    """Scores by training and held-out patient -> risks and verdict."""
    aucs = {model: attack_auc(*sides, num_bootstraps) for model, sides in models.items()}
    found = {model: Estimate(one.value - 0.5, one.replicates - 0.5) for model, one in aucs.items()}
    if PCA in aucs:
        found[DIFFERENCE] = aucs[CODEC].minus(aucs[PCA])
    risks = {model: EstimatedRisk(one, len(models[CODEC][1])) for model, one in found.items()}
    verdict = _verdict(_surely(risks[CODEC]), _surely(risks.get(DIFFERENCE, risks[CODEC])))
    return {model: _shown(risk) for model, risk in risks.items()} | {"verdict": verdict}


def _verdict(above_chance: float, above_pca: float) -> str:
    return ABOVE if above_chance > 0 and above_pca > 0 else NOT_ABOVE


def _surely(risk: Risk) -> float:
    """What the risk is surely above."""
    return risk.bounds(float(norm.isf(FAIL_LEVEL)))[0]


def _shown(risk: Risk) -> list[float]:
    return [round(float(one), 4) for one in (risk.value, *interval(risk))]


def _nearest_pixels(pixels: np.ndarray, library: np.ndarray) -> np.ndarray:
    no_rows = [np.zeros((len(one), 1)) for one in (pixels, library)]
    return nearest(pixels, no_rows[0], library, no_rows[1]).image


def _detail_agreement(side: Side) -> np.ndarray:
    """Correlation of what was drawn beyond the mean image with what the image has beyond it, `(n,)`."""
    drawn, true = (one.astype(np.float32) - side.mean for one in (side.drawn, side.pixels))
    drawn, true = (one - one.mean(axis=(1, 2), keepdims=True) for one in (drawn, true))
    scale = np.sqrt(np.square(drawn).mean(axis=(1, 2)) * np.square(true).mean(axis=(1, 2)))
    return (drawn * true).mean(axis=(1, 2)) / np.maximum(scale, 1e-9)
