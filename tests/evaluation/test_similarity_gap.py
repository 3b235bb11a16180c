"""Pairing by encoders: nobody who is scored, and nobody whom a sampler saw, taught the encoders."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.pairing import _similarity_gap
from hf_hybrid.metrics import predictors
from hf_hybrid.models import pair_encoder
from hf_hybrid.models.pair_encoder import PairEncoder

NUM_COLUMNS = 8
SCHEMA = RecordSchema(
    {"image": ColumnSchema("image")}
    | {f"c{place}": ColumnSchema("clinical", "numeric", bounds=(-9, 9), decimals=3) for place in range(NUM_COLUMNS)}
)


def draw(count: int, seed: int) -> EvaluationSet:
    """Images and rows that share three hidden numbers, two records of each patient."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(99)
    hidden = np.repeat(rng.normal(size=(count // 2, 3)), 2, axis=0)
    patterns = np.kron(fixed.normal(size=(3, 8, 8)), np.ones((2, 2)))
    pixels = 120 + 12 * np.tensordot(hidden, patterns, 1) + rng.normal(0, 20, (count, 16, 16))
    rows = hidden @ fixed.normal(size=(3, NUM_COLUMNS)) + 1.5 * rng.normal(size=(count, NUM_COLUMNS))
    frame = pd.DataFrame(rows.round(3), columns=[f"c{place}" for place in range(NUM_COLUMNS)])
    return EvaluationSet(pixels.clip(0, 255).astype(np.uint8), frame, np.arange(count) // 2)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(pair_encoder, "NUM_STEPS", 150)


def gap(synthetic: EvaluationSet, train: EvaluationSet, test: EvaluationSet):
    return _similarity_gap(Comparison(synthetic, train, test, SCHEMA, EvaluationOptions(bootstraps=200)))


def test_training_records_as_a_release_are_paired_as_well_as_real_ones_are():
    values, spreads, learned = [], [], []
    for seed in range(3):
        train, test = draw(300, 2 * seed), draw(400, 2 * seed + 1)
        found = gap(train, train, test)
        values.append(found.value)
        spreads.append(np.ptp(found.interval) / 3.92)
        images, others = predictors.image_components(train.pixels, test.pixels)
        rows = predictors.scale_table(train.frame.to_numpy(), test.frame.to_numpy())
        encoder = PairEncoder().fit(images, rows[0])
        learned.append(encoder.gaps(images, rows[0]).mean() / encoder.gaps(others, rows[1]).mean())
    # Of the held-out patients, and of the training patients and the encoder, which differ from seed to seed.
    error = max(np.sqrt(np.square(spreads).sum()) / 3, np.std(values, ddof=1) / np.sqrt(3))
    assert np.mean(values) == pytest.approx(1, abs=2.5 * error), (values, error)
    assert np.mean(learned) > 1.4 and np.mean(learned) - 1 > 3 * error  # by encoders of the training records


def test_shuffled_images_have_no_gap_and_few_patients_no_score():
    train, test = draw(300, 0), draw(400, 1)
    order = np.random.default_rng(0).permutation(300)
    found = gap(dataclasses.replace(train, pixels=train.pixels[order]), train, test)
    assert abs(found.value) < 0.2 and abs(found.reference["images shuffled"]) < 0.2
    few = gap(train, train, draw(80, 1))
    assert few.value is None and "fewer than 50 held-out patients" in few.reason
