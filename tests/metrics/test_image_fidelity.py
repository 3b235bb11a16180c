"""Fidelity of images: each score against a slow and obvious one."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from skimage.metrics import structural_similarity

from hf_hybrid.core.errors import InputError
from hf_hybrid.metrics import image_fidelity
from hf_hybrid.metrics.image_fidelity import (
    frechet_distance,
    kernel_distance,
    manifold_scores,
    multiscale_similarity,
)
from hf_hybrid.models.image_features import image_features


@pytest.fixture
def sides():
    rng = np.random.default_rng(0)
    return rng.normal(0.3, 1.2, (70, 5)), rng.normal(size=(60, 5))


def test_frechet_distance_is_that_of_the_matrix_root(sides):
    one, other = sides
    covariances = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((one.mean(0) - other.mean(0)) ** 2) + np.trace(sum(covariances) - 2 * root)
    assert frechet_distance(one, other) == pytest.approx(expected)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_kernel_distance_leaves_each_point_with_itself_out(sides):
    one, other = sides

    def kernel(a, b):
        return (a @ b / 5 + 1) ** 3

    def mean(pairs):
        return np.mean([kernel(a, b) for a, b in pairs])

    within = sum(mean((a, b) for i, a in enumerate(side) for j, b in enumerate(side) if i != j) for side in sides)
    assert kernel_distance(one, other) == pytest.approx(within - 2 * mean((a, b) for a in one for b in other))
    rng = np.random.default_rng(1)
    chance = [kernel_distance(rng.normal(size=(40, 3)), rng.normal(size=(40, 3))) for _ in range(200)]
    assert abs(np.mean(chance)) < 3 * np.std(chance) / np.sqrt(200)


def test_manifold_scores_are_those_of_their_definition(sides):
    one, other = sides

    def radius(points):
        return [sorted(np.linalg.norm(points - point, axis=1))[5] for point in points]

    distances = np.linalg.norm(other[:, None] - one[None], axis=2)
    in_real = distances <= np.array(radius(other))[:, None]
    in_synthetic = distances <= np.array(radius(one))
    assert manifold_scores(one, other) == pytest.approx(
        {
            "precision": np.mean([column.any() for column in in_real.T]),
            "recall": np.mean([row.any() for row in in_synthetic]),
            "density": in_real.sum() / (5 * len(one)),
            "coverage": np.mean([row.any() for row in in_real]),
        }
    )


def test_a_release_that_lost_its_variety_covers_little(sides):
    _, real = sides
    narrow = real[:1] + np.random.default_rng(0).normal(0, 0.01, (60, 5))
    found = manifold_scores(narrow, real)
    assert found["precision"] == 1 and found["recall"] < 0.1 and found["coverage"] < 0.3


class TestSimilarity:
    @pytest.fixture
    def images(self):
        rng = np.random.default_rng(0)
        one = np.kron(rng.integers(0, 256, (3, 8, 8)), np.ones((4, 4)))
        return one, (one + rng.normal(0, 20, one.shape)).clip(0, 255)

    def test_one_scale_is_that_of_scikit_image(self, images):
        luminance, structure = image_fidelity._similarity(*images)
        for place in range(3):
            _, expected = structural_similarity(
                *(side[place] for side in images),
                data_range=255,
                gaussian_weights=True,
                use_sample_covariance=False,
                full=True,
            )
            np.testing.assert_allclose((luminance * structure)[place], expected, atol=1e-9)

    def test_equal_images_are_1_and_others_less(self, images):
        one, other = (side.astype(np.uint8) for side in images)
        np.testing.assert_allclose(multiscale_similarity(one, one), 1)
        near, far = multiscale_similarity(one, other), multiscale_similarity(one, np.roll(one, 1, axis=0))
        assert (near < 1).all() and (near > 0.7).all() and (far < near).all()


class TestFeatures:
    def test_are_the_same_always_and_whatever_the_batch(self):
        pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32)).astype(np.uint8)
        whole = image_features([pixels])
        assert whole.shape == (20, 64) and whole.std(axis=0).min() > 0
        np.testing.assert_array_equal(image_features([pixels]), whole)
        np.testing.assert_allclose(image_features(np.array_split(pixels, 7)), whole, atol=1e-5)

    def test_of_large_images_see_what_is_fine_and_what_is_coarse(self):
        rng = np.random.default_rng(0)
        plain = rng.normal(128, 20, (60, 256, 256)) + rng.normal(0, 5, (60, 1, 1))
        grid = np.indices((256, 256)).sum(axis=0)
        fine, coarse = (plain + 40 * (grid // size % 2) - 20 for size in (2, 64))
        sides = [image_features(np.split(one.clip(0, 255).astype(np.uint8), 4)) for one in (plain, fine, coarse)]
        scale = sides[0].std(axis=0)
        for other in sides[1:]:
            assert np.abs((other - sides[0]).mean(axis=0) / scale).max() > 2

    def test_tell_kinds_of_images_apart(self):
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (600, 32, 32)).astype(np.uint8)
        smooth = np.kron(rng.integers(0, 256, (300, 4, 4)), np.ones((8, 8))).astype(np.uint8)
        sides = [image_features([one]) for one in (noise[:300], noise[300:], smooth)]
        assert frechet_distance(sides[0], sides[2]) > 10 * frechet_distance(sides[0], sides[1])

    def test_an_extractor_that_is_not_there_is_refused_in_one_line(self, tmp_path):
        with pytest.raises(InputError, match="expected (`transformers` for|an image model that `transformers` loads)"):
            image_features([np.zeros((2, 32, 32), np.uint8)], str(tmp_path))
