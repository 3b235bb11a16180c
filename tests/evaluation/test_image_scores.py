"""Scores of images beside draws of a PCA, and the machine reader in a report."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from hf_hybrid.core.scores import TRAINING
from hf_hybrid.data.schema import ColumnSchema, RecordSchema
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.fidelity import measure_fidelity
from hf_hybrid.evaluation.image_scores import READER
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.metrics.image_fidelity import ImagePCA
from hf_hybrid.models import machine_reader

SCHEMA = RecordSchema({"image": ColumnSchema("image"), "age": ColumnSchema("clinical", "numeric", bounds=(0, 100))})
OPTIONS = EvaluationOptions(bootstraps=50, reader_steps=0, parts=["fidelity"])
CODEC = {"config": {"latent_dim": 3}, "training": {"content": "chest radiographs"}}


def images(count, seed, blur=1.5, side=32):
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(count, side, side)), (0, blur, blur))
    rough = rng.normal(size=smooth.shape)
    return (128 + 40 * smooth / smooth.std() + 6 * rough).clip(0, 255).astype(np.uint8)


def records(pixels, seed=0):
    count = len(pixels)
    frame = pd.DataFrame({"age": np.random.default_rng(seed).normal(50, 10, count).clip(0, 100).round()})
    return EvaluationSet(pixels, frame, np.arange(count) // 2)


@pytest.fixture(scope="module")
def comparison():
    sides = [records(images(160, seed), seed) for seed in range(3)]
    return Comparison(*sides, SCHEMA, OPTIONS, codec=CODEC | {"training": {}})


def scores_of(comparison):
    return {one.name: one for one in measure_fidelity(comparison).images}


def test_every_image_score_stands_beside_a_pca_of_as_many_numbers_as_the_latents(comparison):
    scores, name = scores_of(comparison), "draws of a PCA of 3 numbers"

    assert len(scores) == 9
    assert all(set(one.reference) == {TRAINING, name} for one in scores.values())
    for worse in ("Frechet distance", "images: classifier AUC (C2ST)", READER):
        assert scores[worse].reference[name] > 2 * scores[worse].reference[TRAINING] - 0.1, worse
        assert scores[worse].value < scores[worse].reference[name]
    assert scores["coverage"].reference[name] < scores["coverage"].value


def test_the_reader_tells_what_was_drawn_and_not_what_is_real(comparison):
    score = scores_of(comparison)[READER]

    assert abs(score.value - 0.5) < 0.12 and abs(score.reference[TRAINING] - 0.5) < 0.12
    assert score.interval[0] < score.value < score.interval[1]
    assert score.reference["draws of a PCA of 3 numbers"] > 0.99
    assert "texture statistics, at most 400 images of each side" in score.meaning and "steps" not in score.meaning
    smoothed = np.uint8(gaussian_filter(comparison.synthetic.pixels.astype(float), (0, 0.6, 0.6)))
    assert scores_of(dataclasses.replace(comparison, synthetic=records(smoothed)))[READER].value > 0.95


def test_the_report_says_how_large_the_reader_was(comparison, monkeypatch):
    trained = []
    own = machine_reader._train
    monkeypatch.setattr(machine_reader, "_train", lambda *some: trained.append(some[2]) or own(*some))
    score = scores_of(dataclasses.replace(comparison, options=dataclasses.replace(OPTIONS, reader_steps=2)))[READER]

    assert "a network (2 steps)" in score.meaning
    assert trained == [2] * 3 * machine_reader.FOLDS
    assert EvaluationOptions().reader_steps == machine_reader.NUM_STEPS


def test_the_extractor_follows_what_the_codecs_images_are(comparison):
    radiographs = dataclasses.replace(comparison, codec=CODEC)
    asked = dataclasses.replace(radiographs, options=dataclasses.replace(OPTIONS, extractor="random"))
    unknown = [dataclasses.replace(comparison, codec=codec) for codec in (None, {"config": CODEC["config"]})]

    assert comparison.extractor == asked.extractor == "random"
    assert [one.extractor for one in unknown] == ["random"] * 2
    assert radiographs.extractor == "radiograph"
    assert radiographs.extractor_name == "radiograph network of hf_hybrid (the codec's images are chest radiographs)"
    wanted = dataclasses.replace(asked, options=dataclasses.replace(OPTIONS, extractor="radiograph"))
    assert wanted.extractor_name == "radiograph network of hf_hybrid"
    assert measure_fidelity(asked).extractor == "random convolutional network (seed 0), images of 32 px"


def test_draws_of_a_pca_have_its_mean_and_spread_and_are_seeded():
    real = images(200, 0)
    pca = ImagePCA(20).fit(real)
    drawn, again, other = (pca.images(pca.sample_codes(400, np.random.default_rng(seed))) for seed in (0, 0, 1))

    assert drawn.shape == (400, 32, 32) and drawn.dtype == np.uint8
    assert np.abs(drawn.mean(axis=0) - real.mean(axis=0)).mean() < 5
    codes = pca.pca_.transform(drawn.reshape(400, -1).astype(np.float32))
    spread = codes.std(axis=0) / np.sqrt(pca.pca_.explained_variance_)
    assert np.abs(spread - 1).max() < 0.15
    assert (again == drawn).all() and (other != drawn).any()
    few = ImagePCA(64).fit(real[:5])
    assert few.images(few.sample_codes(3, np.random.default_rng(0))).shape == (3, 32, 32)
