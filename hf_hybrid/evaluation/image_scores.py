"""Fidelity of the images of a release, beside training patients and draws of a PCA.

The PCA is the simplest generator of as many numbers as the codec's latents: a Gaussian of the principal components of
the training images. It shows what a score is worth.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.core.scores import TRAINING, Score
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.held_out import HeldOut, Sample
from hf_hybrid.metrics.base import LOWER, MetricFacts
from hf_hybrid.metrics.image_fidelity import ImagePCA, multiscale_similarity
from hf_hybrid.metrics.registry import IMAGE_METRICS
from hf_hybrid.models.machine_reader import NUM_READ, Reading, read_images, reader_meaning

_IMAGES_AUC = "images: classifier AUC (C2ST)"
_SIMILARITY = "similarity of two images (MS-SSIM)"
READER = "images: machine reader AUC"
FACTS = {name: facts for metric in IMAGE_METRICS for name, facts in metric.facts.items()} | {
    _IMAGES_AUC: MetricFacts(
        *(LOWER, (0.0, 1.0), "AUC of a random forest that distinguishes synthetic from real images"),
        "Lopez-Paz and Oquab 2017, arXiv:1610.06545",
    ),
    _SIMILARITY: MetricFacts(
        *(LOWER, (0.0, 1.0), "MS-SSIM of pairs of images: higher means less varied images"),
        "Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216",
    ),
    READER: MetricFacts(
        *(LOWER, (0.0, 1.0), "AUC of readers trained to distinguish synthetic from real images at full resolution"),
        "Lopez-Paz and Oquab 2017, arXiv:1610.06545",
    ),
}
_MAX_CELLS = 2**28  # maximum size of the training images of the PCA: 1 GiB
_PAIRS, _COMPARED = 500, 16
_DRAWN = 256  # images at a time


def measure_images(
    comparison: Comparison, against: HeldOut, synthetic: EvaluationSet, train: EvaluationSet
) -> list[Score]:
    """Scores of images; `synthetic` and `train` hold equally many records of those that are compared."""
    comparison.tell("PCA")
    name, drawn = _pca_draws(comparison.latent_dim, train, len(synthetic))
    comparison.tell("image features")
    features = [
        one.features(comparison.extractor).astype(np.float64) for one in (synthetic, train, drawn, against.held_out)
    ]
    centre, scale = features[-1].mean(axis=0), features[-1].std(axis=0).clip(1e-9)
    *compared, real = [(one - centre) / scale for one in features]
    beside = {TRAINING: train, name: drawn}
    samples = [
        Sample(records, one.groups) for records, one in zip(compared, (synthetic, *beside.values()), strict=True)
    ]
    references = dict(zip(beside, samples[1:], strict=True))
    found = [
        *against.scores(IMAGE_METRICS, compared[0], dict(zip(beside, compared[1:], strict=True)), real),
        against.classifier_auc(_IMAGES_AUC, samples[0], references, real),
        _similarity_score(against, synthetic, beside),
    ]
    comparison.tell("machine reader")
    return [*found, _reader_score(against, synthetic, beside, comparison.options.reader_steps)]


def _pca_draws(latent_dim: int, train: EvaluationSet, count: int) -> tuple[str, EvaluationSet]:
    """Draws of a PCA of the training images, decoded when they are read, and the name of that reference."""
    side = next(train.take(np.arange(1)).iter_images()).shape[1]
    rows = numpy_generator(0, "fidelity: PCA", 0).permutation(len(train))[: max(2, _MAX_CELLS // side**2)]
    pca = ImagePCA(latent_dim).fit(np.concatenate(list(train.take(rows).iter_images())))
    codes = pca.sample_codes(count, numpy_generator(0, "fidelity: PCA", 1))

    def read(places: np.ndarray) -> Iterator[np.ndarray]:
        for part in np.array_split(places, -(-len(places) // _DRAWN)):
            yield pca.images(codes[part])

    nothing = np.zeros((count, 0, 0), np.uint8), pd.DataFrame(index=range(count))
    return f"draws of a PCA of {codes.shape[1]} numbers", EvaluationSet(*nothing, np.arange(count), read)


def _similarity_score(against: HeldOut, synthetic: EvaluationSet, beside: dict[str, EvaluationSet]) -> Score:
    """MS-SSIM of pairs of images of different patients."""
    found, references = _similarity(synthetic), {name: float(_similarity(one).mean()) for name, one in beside.items()}
    return against.score(_SIMILARITY, float(found.mean()), 1.96 * float(found.std() / np.sqrt(len(found))), references)


def _similarity(one: EvaluationSet) -> np.ndarray:
    first, second = numpy_generator(0, "fidelity: pairs of images").integers(len(one), size=(2, _PAIRS))
    pairs = np.stack([first, second])[:, one.groups[first] != one.groups[second]]
    rows, places = np.unique(pairs, return_inverse=True)
    images = np.concatenate(list(one.take(rows).iter_images()))
    blocks = np.array_split(places.reshape(pairs.shape), max(1, pairs.shape[1] // _COMPARED), axis=1)
    return np.concatenate([multiscale_similarity(*images[block]) for block in blocks])


def _reader_score(against: HeldOut, synthetic: EvaluationSet, beside: dict[str, EvaluationSet], steps: int) -> Score:
    """The machine reader of the release, and of the references, each against held-out patients."""
    estimate = _reading(against, synthetic, steps).auc(2 * len(against.draws))
    references = {name: _reading(against, one, steps).auc(1).value for name, one in beside.items()}
    score = against.score(READER, estimate.value, 1.96 * float(np.nanstd(estimate.replicates)), references)
    return replace(score, meaning=reader_meaning(score.meaning, steps))


def _reading(against: HeldOut, one: EvaluationSet, steps: int) -> Reading:
    rng = numpy_generator(0, "machine reader: folds", 1)
    sides = [side.take(rng.permutation(len(side))[:NUM_READ]) for side in (against.held_out, one)]
    real, synthetic = (np.concatenate(list(side.iter_images())) for side in sides)
    patients = against.others(sides[1].groups), sides[0].groups
    return read_images(synthetic, real, patients, steps)
