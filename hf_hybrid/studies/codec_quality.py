"""How well a codec reconstructs held-out public images, and how like them its images are, beside a PCA."""

from collections.abc import Sequence

import numpy as np
import torch

from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.data.pixels import to_uint8
from hf_hybrid.evaluation.reconstruction import reconstruction_scores
from hf_hybrid.metrics.estimates import bootstrap_weights
from hf_hybrid.metrics.fidelity import draws_of_patients
from hf_hybrid.metrics.image_fidelity import frechet_distance, multiscale_similarity
from hf_hybrid.models.codec import Codec
from hf_hybrid.models.public_images import shrunk
from hf_hybrid.studies.codec_parts import Part

METRICS = ("l1", "psnr", "ssim")
MEAN, DRAWN, LINEAR = "mean image", "drawn", "PCA"
_PAIRS, _COMPARED = 500, 16
_BATCH = 64


def reconstruction(codec: Codec, part: Part, num_bootstraps: int) -> dict:
    """L1, PSNR and SSIM of reconstructions of held-out images, at the codec's resolution and where its core works.

    Each is `[mean, low, high]`, a 95 % interval over patients.
    """
    held_out = part.held_out
    made = {MEAN: held_out.mean, DRAWN: held_out.drawn, LINEAR: held_out.linear}
    side = codec.config.resolution
    found = {f"{side} px": _reconstruction(held_out.pixels, held_out.patients, made, num_bootstraps)}
    with torch.inference_mode():
        latents = torch.from_numpy(held_out.latents).to(codec.device).split(_BATCH)
        means = np.concatenate([to_uint8(codec.mean_images(one)) for one in latents])
    if (core := means.shape[1]) < side:
        made = {name: shrunk(one, core) for name, one in made.items()} | {MEAN: means}
        pixels = shrunk(held_out.pixels, core)
        found[f"{core} px"] = _reconstruction(pixels, held_out.patients, made, num_bootstraps)
    return found


def _reconstruction(
    pixels: np.ndarray, patients: np.ndarray, made: dict[str, np.ndarray], num_bootstraps: int
) -> dict:
    weights = bootstrap_weights(patients, num_bootstraps, seed=0)
    scores = {name: reconstruction_scores(pixels, one) for name, one in made.items()}
    scores[f"{MEAN} - {LINEAR}"] = scores[MEAN] - scores[LINEAR]
    return {
        metric: {name: _with_interval(values[:, place], weights) for name, values in scores.items()}
        for place, metric in enumerate(METRICS)
    }


def _with_interval(values: np.ndarray, weights: np.ndarray) -> list[float]:
    ends = np.percentile(weights @ values / weights.sum(axis=1), [2.5, 97.5])
    return [round(float(one), 4) for one in (values.mean(), *ends)]


def likeness(sets: dict[str, np.ndarray], held_out: np.ndarray, patients: np.ndarray, num_bootstraps: int) -> dict:
    """Frechet distances of features to those of held-out images, each `[value, low, high]` over draws of patients.

    All sets hold as many images, since the distance depends on their number. The interval is normal, as resampling
    biases a distance upwards.

    Args:
        sets: features `(n, d)` by name.
        held_out: features of held-out images.
        patients: of each of these.
        num_bootstraps: replicates; a tenth of them are made.
    """
    size = min(len(one) for one in sets.values())
    draws = draws_of_patients(patients, max(2, num_bootstraps // 10))
    found = {"images": size, "held-out images": len(held_out)}
    for name, features in sets.items():
        chosen = features[numpy_generator(0, "fidelity: records").permutation(len(features))[:size]]
        value = frechet_distance(chosen, held_out)
        found[name] = _normal(value, float(np.std([frechet_distance(chosen, held_out[one]) for one in draws])))
    return found


def likeness_of_all(parts: Sequence[Part], num_bootstraps: int) -> dict:
    """The same of all groups together, in the proportions of the held-out images."""
    features = parts[0].features  # one scale for all
    counts = [len(part.held_out) for part in parts]
    times = min(len(one) / count for part, count in zip(parts, counts, strict=True) for one in part.sets.values())
    sets = {
        name: np.concatenate(
            [features(part.sets[name])[: int(times * count)] for part, count in zip(parts, counts, strict=True)]
        )
        for name in parts[0].sets
    }
    held_out = np.concatenate([features(part.held_out.pixels) for part in parts])
    return likeness(sets, held_out, np.concatenate([part.held_out.patients for part in parts]), num_bootstraps)


def diversity(part: Part) -> dict:
    """Mean MS-SSIM of pairs of images of different patients, `[value, low, high]`; higher is less varied."""
    compared = {"training images": (part.train.pixels, part.train.patients)}
    compared |= {f"{name} draws": (pixels, np.arange(len(pixels))) for name, pixels in part.draws.items()}
    found = {}
    for name, (pixels, patients) in compared.items():
        pairs = numpy_generator(0, "fidelity: pairs of images").integers(len(pixels), size=(2, _PAIRS))
        pairs = pairs[:, patients[pairs[0]] != patients[pairs[1]]]
        blocks = np.array_split(pairs, max(1, pairs.shape[1] // _COMPARED), axis=1)
        values = np.concatenate([multiscale_similarity(*pixels[block]) for block in blocks])
        found[name] = _normal(float(values.mean()), float(values.std() / np.sqrt(len(values))))
    return found


def _normal(value: float, sd: float) -> list[float]:
    return [round(one, 4) for one in (value, value - 1.96 * sd, value + 1.96 * sd)]
