"""The self-supervised embedding: a changed copy stays nearer than any other image, and nothing is left to chance."""

import numpy as np
import pytest
from scipy.ndimage import shift

from hf_hybrid.models import image_encoder
from hf_hybrid.models.image_encoder import ImageEncoder
from hf_hybrid.phantom.cohort import sample_cohort
from hf_hybrid.phantom.drawing import draw_phantom
from hf_hybrid.phantom.parameters import ImageParameters


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    rows = sample_cohort(260, 0).truth.to_dict("records")
    return np.stack([draw_phantom(ImageParameters(**row), 32, rng) for row in rows])


@pytest.fixture(scope="module")
def encoder(images):
    return ImageEncoder().fit(images[:130])


def changed(images, how):
    pixels = images.astype(float)
    if how == "mirrored":
        pixels = pixels[:, :, ::-1]
    elif how == "moved":
        pixels = shift(pixels, (0, 2, -2), mode="nearest")
    elif how == "darker, less contrast, noisy":
        pixels = 0.8 * pixels + 5 + np.random.default_rng(1).normal(0, 6, pixels.shape)
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("how", ["as it is", "mirrored", "moved", "darker, less contrast, noisy"])
def test_a_changed_copy_is_found_among_others(images, encoder, how):
    strangers = images[130:]  # the network never saw them
    similar = encoder.embed(changed(strangers, how)) @ encoder.embed(strangers).T
    recognised = (similar.argmax(axis=1) == np.arange(len(strangers))).mean()
    nearer = (similar < similar.diagonal()[:, None]).mean()  # than other people's
    if how == "moved":  # which the correlation of pixels over shifts covers better
        assert recognised > 0.1 and nearer > 0.9, (recognised, nearer)
    else:
        assert recognised > 0.95 and nearer > 0.99, (recognised, nearer)


def test_products_are_correlations_and_a_seed_gives_the_same_again(images, monkeypatch):
    monkeypatch.setattr(image_encoder, "NUM_STEPS", 10)
    embedded = ImageEncoder().fit(images[:130]).embed(images[:20])
    np.testing.assert_allclose(embedded @ embedded.T, np.corrcoef(embedded), atol=1e-5)
    again = ImageEncoder().fit(images[:130]).embed(images[:20])
    np.testing.assert_array_equal(again, embedded)
    other = ImageEncoder(seed=1).fit(images[:130]).embed(images[:20])
    assert np.abs(other - embedded).max() > 0.1


def test_few_and_blank_images_are_embedded(images, monkeypatch):
    monkeypatch.setattr(image_encoder, "NUM_STEPS", 10)
    few = np.concatenate([images[:3], np.zeros((1, 32, 32), np.uint8)])
    assert np.isfinite(ImageEncoder().fit(few).embed(few)).all()
