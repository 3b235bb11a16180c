"""What a trained sampler draws before its first step: the associations of the rows, columns of any kind."""

import numpy as np
import pytest
from tiny import sampled_rows

from hf_hybrid.samplers.ctgan import CTGANSampler
from hf_hybrid.samplers.diffusion import DiffusionSampler

UNTRAINED = {"max_train_steps": 1, "learning_rate": 1e-12, "validation_share": 0.0}


def associated(num_records: int, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two numbers, three answers and two latents that share one factor."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=num_records)
    one, other, *rest = (factor + rng.normal(size=num_records) for _ in range(5))
    cells = {
        "one": (50 + 10 * one).round(2),
        "other": (5 + other).round(3),
        **{f"answer {place}": np.where(side > 0.7, "high", "low") for place, side in enumerate(rest)},
    }
    latents = np.column_stack([factor + rng.normal(size=num_records), rng.normal(size=num_records)])
    return cells, latents


def correlations(cells, latents) -> np.ndarray:
    columns = [np.asarray(cells[name] == "high" if "answer" in name else cells[name], float) for name in cells]
    return np.corrcoef(np.column_stack([*columns, latents[:, 0]]).T)


@pytest.fixture(scope="module", params=[DiffusionSampler, CTGANSampler], ids=["diffusion", "ctgan"])
def drawn(request):
    """Real and drawn correlations."""
    cells, latents = associated(4000)
    rows = sampled_rows(request.param(**UNTRAINED), cells, 8000, latents)
    return correlations(cells, latents), correlations(rows.frame, rows.latents)


@pytest.mark.parametrize(
    ("pairs", "least"),
    [
        ("numbers", 0.8),
        ("number and answer", 0.75),
        ("answers", 0.6),
        ("latent and number", 0.8),
        ("latent and answer", 0.75),
    ],
)
def test_associations_of_every_kind_are_there_before_training(drawn, pairs, least):
    """Slopes of drawn on real correlations; diffusion drew .17 (number and answer) and .01 (answers) before."""
    places = {
        "numbers": [(0, 1)],
        "number and answer": [(number, answer) for number in (0, 1) for answer in (2, 3, 4)],
        "answers": [(2, 3), (2, 4), (3, 4)],
        "latent and number": [(5, 0), (5, 1)],
        "latent and answer": [(5, 2), (5, 3), (5, 4)],
    }[pairs]
    real, synthetic = (np.array([side[place] for place in places]) for side in drawn)
    assert least < (real @ synthetic) / (real @ real) < 1.2


def test_noise_on_given_cells_keeps_the_effect_of_a_rare_category():
    """Noise of the same size on every position took the mean latent of a category of 6 % from 2.05 to .97."""
    rng = np.random.default_rng(0)
    rare = rng.random(3000) < 0.06
    latents = np.column_stack([rng.normal(0, 0.5, 3000) + 2.0 * rare, rng.normal(size=3000)])
    options = {
        "max_train_steps": 300,
        "validation_share": 0.0,
        "hidden_dim": 64,
        "learning_rate": 2e-3,
        "dropout": 0.0,
    }
    rows = sampled_rows(DiffusionSampler(**options), {"kind": np.where(rare, "rare", "usual")}, 8000, latents)
    held = rows.frame["kind"].to_numpy() == "rare"
    assert held.mean() == pytest.approx(rare.mean(), abs=0.025)
    assert rows.latents[held, 0].mean() == pytest.approx(latents[rare, 0].mean(), abs=0.3)
