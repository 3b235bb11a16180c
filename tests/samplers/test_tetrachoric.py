"""Tetrachoric correlations: against scipy's bivariate normal, against simulated answers, and in the copula."""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import multivariate_normal
from tiny import sampled_table

from hf_hybrid.samplers.copula import GaussianCopulaSampler
from hf_hybrid.samplers.tetrachoric import both_above, slope, tetrachoric

THRESHOLDS = np.array([-1.5, -0.3, 0.0, 0.8, 2.2])


@pytest.mark.parametrize("correlation", [-0.98, -0.5, 0.0, 0.3, 0.9, 0.98])
def test_the_probability_of_both_is_that_of_the_bivariate_normal(correlation):
    first, second = (grid.ravel() for grid in np.meshgrid(THRESHOLDS, THRESHOLDS))
    exact = multivariate_normal([0, 0], [[1, correlation], [correlation, 1]])
    expected = [exact.cdf([-one, -other]) for one, other in zip(first, second, strict=True)]
    found = both_above(first, second, np.full(len(first), correlation))
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_correlation_is_found_again_and_cut():
    first, second = (grid.ravel() for grid in np.meshgrid(THRESHOLDS, THRESHOLDS))
    for correlation in (-0.6, 0.1, 0.8):
        asked = np.full(len(first), correlation)
        both = both_above(first, second, asked)
        visible = slope(first, second, asked) > 1e-6  # elsewhere the probability hardly depends on it
        np.testing.assert_allclose(tetrachoric(first, second, both, 0.98)[visible], correlation, atol=1e-4)
    assert tetrachoric(np.zeros(2), np.zeros(2), np.array([0.5, 0.0]), 0.98) == pytest.approx([0.98, -0.98])


@pytest.mark.parametrize(("share", "latent"), [(0.1, 0.5), (0.1, 0.7), (0.05, 0.5)])
def test_two_answers_of_a_copula_go_together_as_the_real_ones(share, latent):
    """First order alone drew .43 for .25, .84 for .40 and .52 for .19."""
    rng = np.random.default_rng(0)
    normal = rng.multivariate_normal([0, 0], [[1, latent], [latent, 1]], 20_000) > ndtri(1 - share)
    cells = {"one": np.where(normal[:, 0], "ill", "well"), "two": np.where(normal[:, 1], "hot", "cold")}
    table = sampled_table(GaussianCopulaSampler(shrinkage=0), cells, 40_000)
    drawn = np.column_stack([table["one"] == "ill", table["two"] == "hot"])
    real, synthetic = (np.corrcoef(side.T.astype(float))[0, 1] for side in (normal, drawn))
    assert synthetic == pytest.approx(real, abs=4 * (1 / np.sqrt(20_000) + 1 / np.sqrt(40_000)))
