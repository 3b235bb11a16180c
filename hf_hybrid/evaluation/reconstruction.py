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

_SCORES = {
    "codec L1": ("lower is better", (0.0, 2.0), "mean absolute error of a reconstruction, grey values from -1 to 1"),
    "codec PSNR": ("higher is better", (0.0, None), "peak signal-to-noise ratio of a reconstruction, in dB"),
    "codec SSIM": ("higher is better", (-1.0, 1.0), "structural similarity of a reconstruction"),
}
_ENCODED = 64
_MAX_CELLS = 2**28  # maximum size of the training images of the PCA: 1 GiB


def reconstruct(records: Records, codec: Codec) -> tuple[np.ndarray, np.ndarray]:
    """Images at the codec's resolution and their reconstructions, uint8 `(n, side, side[, 3])` each."""
    config, found = codec.config, []
    with torch.inference_mode():
        for batch in records.iter_pixels(config.resolution, config.in_channels, config.resize_mode, _ENCODED):
            found.append((batch, to_uint8(codec(to_tensor(batch).to(codec.device)).sample)))
    pixels, reconstructions = (np.concatenate(side) for side in zip(*found, strict=True))
    return pixels, reconstructions


def measure_reconstruction(train: Records, test: Records, codec: Codec, num_bootstraps: int) -> list[Score]:
    """L1, PSNR and SSIM on held-out patients.

    Args:
        train: training records, from which the PCA learns; the codec has no such advantage.
        test: records of held-out patients.
        codec: the codec of the latents.
        num_bootstraps: patient bootstrap replicates.
    """
    from sklearn.decomposition import PCA

    pixels, own = reconstruct(test, codec)
    config = codec.config
    few = max(1, _MAX_CELLS // pixels[0].size)
    learned = train.select(numpy_generator(0, "reconstruction: images of the PCA").permutation(len(train))[:few])
    learned = learned.pixel_values(config.resolution, config.in_channels, config.resize_mode)
    flat, flat_test = (side.reshape(len(side), -1).astype(np.float32) for side in (learned, pixels))
    size = min(config.latent_dim, *flat.shape)
    baseline = f"PCA of {size} numbers, learned from the training patients"
    pca = PCA(size, svd_solver="randomized", random_state=seed_for(0, "reconstruction: PCA", bits=32)).fit(flat)
    linear = (
        pca.inverse_transform(pca.transform(flat_test)).reshape(pixels.shape).clip(0, 255).round().astype(np.uint8)
    )
    scored = [reconstruction_scores(pixels, side) for side in (own, linear)]
    weights = bootstrap_weights(test.groups, num_bootstraps, seed=0)
    found, patients = [], len(np.unique(test.groups))
    for place, (name, (direction, limits, meaning)) in enumerate(_SCORES.items()):
        values, reference = (side[:, place] for side in scored)
        ends = np.percentile(weights @ values / weights.sum(axis=1), [2.5, 97.5]).tolist()
        references = {baseline: reference.mean()}
        found.append(Score(name, values.mean(), tuple(ends), direction, limits, patients, references, meaning))
    return found


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
