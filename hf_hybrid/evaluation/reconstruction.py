"""How well a codec reconstructs images of private patients, with a PCA of as many numbers as baseline."""

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from hf_hybrid.core.randomness import numpy_generator, seed_for
from hf_hybrid.core.scores import Score
from hf_hybrid.data.pixels import to_tensor, to_uint8
from hf_hybrid.data.records import Records
from hf_hybrid.metrics.estimates import bootstrap_weights
from hf_hybrid.models.codec import Codec
from hf_hybrid.models.machine_reader import NUM_READ, Reading, read_images, reader_meaning

_SCORES = {
    "codec L1": ("lower is better", (0.0, 2.0), "mean absolute error of a mean image, grey values from -1 to 1"),
    "codec PSNR": ("higher is better", (0.0, None), "peak signal-to-noise ratio of a mean image, in dB"),
    "codec SSIM": ("higher is better", (-1.0, 1.0), "structural similarity of a mean image"),
}
READER = "codec machine reader AUC"
_DRAWN = "with the detail that it draws"
_GREY = (0.299, 0.587, 0.114)
_ENCODED = 64
_MAX_CELLS = 2**28  # maximum size of the training images of the PCA: 1 GiB


def reconstruct(records: Records, codec: Codec, *details: bool) -> list[np.ndarray]:
    """Images at the codec's resolution and their reconstructions, uint8 `(n, side, side[, 3])` each.

    Args:
        records: whose images.
        codec: encodes and decodes them.
        details: for each kind of reconstruction, whether detail is drawn (True) or it is the mean image.
    """
    config, found = codec.config, []
    with torch.inference_mode():
        for batch in records.iter_pixels(config.resolution, config.in_channels, config.resize_mode, _ENCODED):
            latents = codec.encode(to_tensor(batch).to(codec.device)).latents
            found.append([batch, *(to_uint8(codec.decode(latents, detail=detail).sample) for detail in details)])
    return [np.concatenate(side) for side in zip(*found, strict=True)]


def measure_reconstruction(
    train: Records, test: Records, codec: Codec, num_bootstraps: int, reader_steps: int
) -> list[Score]:
    """L1, PSNR and SSIM on held-out patients, and whether a machine reader tells reconstructions from their images.

    What a codec keeps of an image is scored on its mean image: detail that is drawn is not that of the patient. How
    like an image it looks, which the reader tells, is scored with that detail.

    Args:
        train: training records, from which the PCA learns; the codec has no such advantage.
        test: records of held-out patients.
        codec: the codec of the latents.
        num_bootstraps: patient bootstrap replicates.
        reader_steps: see `EvaluationOptions`.
    """
    pixels, means, drawn = reconstruct(test, codec, False, True)
    baseline, linear = _pca_reconstructions(train, pixels, codec)
    beside = {baseline: linear} | ({} if (means == drawn).all() else {_DRAWN: drawn})
    scored = reconstruction_scores(pixels, means)
    references = {name: reconstruction_scores(pixels, one).mean(axis=0) for name, one in beside.items()}
    weights = bootstrap_weights(test.groups, num_bootstraps, seed=0)
    found, patients = [], len(np.unique(test.groups))
    for place, (name, (direction, limits, meaning)) in enumerate(_SCORES.items()):
        values = scored[:, place]
        ends = np.percentile(weights @ values / weights.sum(axis=1), [2.5, 97.5]).tolist()
        reference = {name: one[place] for name, one in references.items()}
        found.append(Score(name, values.mean(), tuple(ends), direction, limits, patients, reference, meaning))
    return [*found, _reader_score(pixels, drawn, {baseline: linear}, test.groups, num_bootstraps, reader_steps)]


def reconstruction_scores(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """L1 (0 to 2), PSNR in dB (at most 100) and SSIM of each pair of 8-bit images, `(n, 3)`."""
    channel = -1 if images.ndim == 4 else None
    return np.array(
        [
            (
                np.abs(one.astype(np.float64) - other).mean() / 127.5,
                min(peak_signal_noise_ratio(one, other, data_range=255), 100.0) if (one != other).any() else 100.0,
                structural_similarity(one, other, data_range=255, channel_axis=channel),
            )
            for one, other in zip(images, others, strict=True)
        ]
    )


def _pca_reconstructions(train: Records, pixels: np.ndarray, codec: Codec) -> tuple[str, np.ndarray]:
    """The images by a PCA that the training patients' taught, and the name of that baseline."""
    from sklearn.decomposition import PCA

    config = codec.config
    few = max(1, _MAX_CELLS // pixels[0].size)
    learned = train.select(numpy_generator(0, "reconstruction: images of the PCA").permutation(len(train))[:few])
    learned = learned.pixel_values(config.resolution, config.in_channels, config.resize_mode)
    flat, flat_test = (side.reshape(len(side), -1).astype(np.float32) for side in (learned, pixels))
    size = min(config.latent_dim, *flat.shape)
    pca = PCA(size, svd_solver="randomized", random_state=seed_for(0, "reconstruction: PCA", bits=32)).fit(flat)
    found = pca.inverse_transform(pca.transform(flat_test)).reshape(pixels.shape)
    return f"PCA of {size} numbers, learned from the training patients", found.clip(0, 255).round().astype(np.uint8)


def _reader_score(
    pixels: np.ndarray,
    own: np.ndarray,
    beside: dict[str, np.ndarray],
    groups: np.ndarray,
    num_bootstraps: int,
    num_steps: int,
) -> Score:
    """The machine reader of reconstructions against their images, both of a patient in the same fold."""
    rows = numpy_generator(0, "machine reader: folds", 1).permutation(len(groups))[:NUM_READ]
    patients = groups[rows], groups[rows]

    def read(made: np.ndarray) -> Reading:
        return read_images(_grey(made[rows]), _grey(pixels[rows]), patients, num_steps)

    found = read(own).auc(num_bootstraps)
    references = {name: read(made).auc(1).value for name, made in beside.items()}
    meaning = reader_meaning("AUC of readers trained to distinguish reconstructions from their images", num_steps)
    limits, num_patients = (0.0, 1.0), len(np.unique(groups))
    return Score(READER, found.value, found.interval, "lower is better", limits, num_patients, references, meaning)


def _grey(pixels: np.ndarray) -> np.ndarray:
    """8-bit images `(n, side, side[, 3])` -> `(n, side, side)`."""
    return pixels if pixels.ndim == 3 else (pixels @ np.array(_GREY)).round().astype(np.uint8)
