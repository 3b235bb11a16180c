"""Fidelity of images in a feature space: are they as realistic and as diverse as real ones?

All take features `(m, d)` of synthetic and `(n, d)` of real images. The numbers depend on the sample size: compare
only numbers of equally many records, as for every reference here.
"""

from typing import Self

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.spatial.distance import cdist

from hf_hybrid.core.randomness import seed_for
from hf_hybrid.metrics.base import HIGHER, LOWER, FidelityMetric, MetricFacts

NUM_NEIGHBOURS = 5
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def frechet_distance(synthetic: np.ndarray, real: np.ndarray) -> float:
    """Distance of two Gaussians fitted to them (Heusel et al. 2017, arXiv 1706.08500); 0 is equal, no upper end."""
    means = [side.mean(axis=0) for side in (synthetic, real)]
    covariances = [np.cov(side, rowvar=False).reshape(side.shape[1], -1) for side in (synthetic, real)]
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    cross = np.linalg.eigvalsh(root @ covariances[1] @ root)
    trace = np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.sqrt(np.maximum(cross, 0)).sum()
    return float(np.square(means[0] - means[1]).sum() + trace)


def kernel_distance(synthetic: np.ndarray, real: np.ndarray) -> float:
    """Squared maximum mean discrepancy with a cubic kernel, unbiased (Bińkowski et al. 2018, arXiv 1801.01401).

    0 is equal, chance may take it a little below; no upper end.
    """
    dim = real.shape[1]
    kernels = [(one @ other.T / dim + 1) ** 3 for one, other in ((synthetic, synthetic), (real, real))]
    within = [(kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)) for kernel in kernels]
    between = ((synthetic @ real.T / dim + 1) ** 3).mean()
    return float(sum(within) - 2 * between)


def manifold_scores(synthetic: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Precision, recall, density and coverage (Kynkäänniemi et al. 2019; Naeem et al. 2020, arXiv 2002.09797).

    Each point has a ball that reaches to its fifth neighbour in its own set. `precision`: synthetic points in some
    real ball; `recall`: real points in some synthetic ball; `density`: real balls that contain a synthetic point, of
    five expected; `coverage`: real balls that hold a synthetic point. 0 to 1, density without upper end; higher is
    better.
    """
    between = cdist(real, synthetic)
    radius_real, radius_synthetic = (_radii(side) for side in (real, synthetic))
    in_real, in_synthetic = between <= radius_real[:, None], between <= radius_synthetic
    return {
        "precision": float(in_real.any(axis=0).mean()),
        "recall": float(in_synthetic.any(axis=1).mean()),
        "density": float(in_real.sum() / (NUM_NEIGHBOURS * len(synthetic))),
        "coverage": float(in_real.any(axis=1).mean()),
    }


def multiscale_similarity(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """MS-SSIM of pairs of images, `(n,)`; 1 is equal (Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216).

    Of the paper's five scales, those with at least eight pixels per side, their weights scaled to sum to 1.

    Args:
        one: uint8 `(n, side, side)`.
        other: likewise.
    """
    one, other = (side.astype(np.float64) for side in (one, other))
    num_scales = max(1, min(len(_SCALE_WEIGHTS), int(np.log2(one.shape[1] / 8)) + 1))
    weights = np.divide(_SCALE_WEIGHTS[:num_scales], sum(_SCALE_WEIGHTS[:num_scales]))
    found = np.ones(len(one))
    for scale, weight in enumerate(weights):
        luminance, structure = _similarity(one, other)
        last = luminance * structure if scale == num_scales - 1 else structure
        found *= np.maximum(last.mean(axis=(1, 2)), 0) ** weight
        one, other = (uniform_filter(side, (0, 2, 2))[:, 1::2, 1::2] for side in (one, other))
    return found


class ImagePCA:
    """The simplest generator of images: a Gaussian of the principal components of real ones.

    Args:
        num_numbers: components; fewer if there are fewer images.
        seed: of the decomposition.
    """

    def __init__(self, num_numbers: int, seed: int = 0) -> None:
        self.num_numbers, self.seed = num_numbers, seed

    def fit(self, pixels: np.ndarray) -> Self:
        """Learns from 8-bit images `(n, side, side)`."""
        from sklearn.decomposition import PCA

        flat, self.shape_ = pixels.reshape(len(pixels), -1).astype(np.float32), pixels.shape[1:]
        size = max(1, min(self.num_numbers, len(flat) - 1, flat.shape[1]))
        state = seed_for(self.seed, "fidelity: PCA", 0, bits=32)
        self.pca_ = PCA(size, svd_solver="randomized", random_state=state).fit(flat)
        return self

    def sample_codes(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Codes `(count, size)`: each component is normal with the variance that it has over the images."""
        spread = np.sqrt(self.pca_.explained_variance_)
        return (rng.normal(size=(count, len(spread))) * spread).astype(np.float32)

    def images(self, codes: np.ndarray) -> np.ndarray:
        """Codes -> 8-bit images `(n, side, side)`."""
        found = self.pca_.inverse_transform(codes)
        return found.reshape(len(codes), *self.shape_).clip(0, 255).round().astype(np.uint8)


def _similarity(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance and contrast-structure terms in Gaussian windows."""
    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def smooth(images: np.ndarray) -> np.ndarray:
        return gaussian_filter(images, (0, 1.5, 1.5), truncate=3.5)

    mean, other_mean = smooth(one), smooth(other)
    variance, other_variance = smooth(one**2) - mean**2, smooth(other**2) - other_mean**2
    covariance = smooth(one * other) - mean * other_mean
    return (
        (2 * mean * other_mean + first) / (mean**2 + other_mean**2 + first),
        (2 * covariance + second) / (variance + other_variance + second),
    )


def _radii(points: np.ndarray) -> np.ndarray:
    place = min(NUM_NEIGHBOURS, len(points) - 1)
    return np.partition(cdist(points, points), place, axis=1)[:, place]


# --- the same as metrics of a report ---------------------------------------------------------------------------------


class FrechetDistance(FidelityMetric):
    """See `frechet_distance`."""

    facts = {
        "Frechet distance": MetricFacts(
            *(LOWER, (0.0, None), "how far means and covariances of image features lie apart"),
            "Heusel et al. 2017, arXiv:1706.08500",
        ),
    }

    def scores(self, synthetic: np.ndarray, real: np.ndarray) -> dict[str, float]:
        """The number by its name."""
        return {"Frechet distance": frechet_distance(synthetic, real)}


class KernelDistance(FidelityMetric):
    """See `kernel_distance`."""

    facts = {
        "kernel distance": MetricFacts(
            *(LOWER, (None, None), "how far the distributions of image features lie apart"),
            "Bińkowski et al. 2018, arXiv:1801.01401",
        ),
    }

    def scores(self, synthetic: np.ndarray, real: np.ndarray) -> dict[str, float]:
        """The number by its name."""
        return {"kernel distance": kernel_distance(synthetic, real)}


_PRECISION, _DENSITY = "Kynkäänniemi et al. 2019, arXiv:1904.06991", "Naeem et al. 2020, arXiv:2002.09797"


class ManifoldScores(FidelityMetric):
    """See `manifold_scores`."""

    facts = {
        "precision": MetricFacts(
            HIGHER, (0.0, 1.0), "share of synthetic images that look like some real one", _PRECISION
        ),
        "recall": MetricFacts(
            HIGHER, (0.0, 1.0), "share of real images that some synthetic one looks like", _PRECISION
        ),
        "density": MetricFacts(
            *(HIGHER, (0.0, None), "real images that a synthetic one looks like, as a share of those expected"),
            _DENSITY,
        ),
        "coverage": MetricFacts(
            HIGHER, (0.0, 1.0), "share of real images that have a synthetic one near by", _DENSITY
        ),
    }

    def scores(self, synthetic: np.ndarray, real: np.ndarray) -> dict[str, float]:
        """The numbers by name."""
        return manifold_scores(synthetic, real)
