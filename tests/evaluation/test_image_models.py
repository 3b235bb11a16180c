"""The image model that is shown is chosen on training patients, and features are computed once per image."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from hf_hybrid.core.report import Utility
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.evaluation import feature_store, release_evaluation
from hf_hybrid.evaluation.comparison import EvaluationSet
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.reports import score_tables, terminal

SIDE = 64
OPTIONS = EvaluationOptions(seeds=1, bootstraps=60, parts=["utility"])
SCHEMA = RecordSchema(
    {
        "image": ColumnSchema("image"),
        "texture": ColumnSchema("target", "boolean"),
        "bright": ColumnSchema("target", "boolean"),
        "crp": ColumnSchema("clinical", "numeric", bounds=(-20, 80)),
    }
)


def shrunk(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), 32, 2, 32, 2).mean(axis=(2, 4)).round().astype(np.uint8)


def draw(count: int, seed: int, sign: int = 1) -> EvaluationSet:
    """Images of 64 px: `texture` is a pattern of single pixels, which 32 px cannot show; `bright` is a dim square."""
    rng = np.random.default_rng(seed)
    texture, bright = (np.repeat(rng.random(-(-count // 2)) < 0.5, 2)[:count] for _ in range(2))
    images = rng.normal(110, 6, (count, SIDE, SIDE))
    board = (-1.0) ** np.add.outer(np.arange(SIDE), np.arange(SIDE))
    shown = texture if sign == 1 else ~texture
    images += board * (5 * shown * rng.uniform(0.4, 1.2, count))[:, None, None]
    images[:, 20:24, 20:24] += (9 * bright * rng.uniform(0.3, 1.2, count))[:, None, None]
    images = images.clip(0, 255).astype(np.uint8)
    cells = {
        name: pd.Series(values.tolist(), dtype=object) for name, values in (("texture", texture), ("bright", bright))
    }
    frame = pd.DataFrame(cells | {"crp": rng.normal(20, 5, count).round(2)})
    return EvaluationSet(shrunk(images), frame, np.arange(count) // 2, lambda rows: iter([images[rows]]))


def report(*sets: EvaluationSet, **changes) -> Utility:
    options = dataclasses.replace(OPTIONS, **changes)
    return release_evaluation.measure_sets(*sets, SCHEMA, options).report.utility


def value(utility: Utility, inputs: str, trained_on: str) -> float:
    """The AUC of `texture`."""
    rows = [one for one in utility.scores if (one.target, one.metric) == ("texture", "auc")]
    return next(one.value for one in rows if (one.inputs, one.trained_on) == (inputs, trained_on))


@pytest.fixture(scope="module")
def chosen() -> Utility:
    return report(draw(300, 0), draw(240, 1), draw(200, 2))


def test_each_target_is_shown_of_the_model_that_validation_patients_prefer(chosen):
    texture, bright = chosen.image_models
    assert texture.shown == "features by the random convolutional network (seed 0) at 64 px"
    assert texture.shown_score > 0.8 > 0.65 > texture.beside_score
    assert bright.shown == texture.beside == "components of 32 px images"
    assert bright.shown_score > bright.beside_score
    found = {(one.target, one.inputs): one for one in chosen.headline if one.trained_on == "synthetic 1x"}
    assert 0.8 < found["texture", "image"].recovered_share < 1.2
    assert found["texture", "other"].recovered_share is None  # 32 px cannot do it, with real records either
    assert found["texture", "image"].repeated_share == pytest.approx(1, abs=0.03)


def test_the_other_model_stands_beside_it_in_the_page_and_the_terminal(chosen):
    tables = score_tables.utility_tables(chosen)
    assert tables.inputs[-1] == "Image, other model" and len(tables.image_models) == 2
    assert tables.image_models[1].startswith("bright: components of 32 px images (auc 0.")
    whole = json.loads(json.dumps(chosen.to_dict()))
    assert Utility.from_dict(whole) == chosen
    text = terminal._format_utility(chosen)
    assert "Image models, chosen on validation patients among the training patients:" in text
    assert max(map(len, text.splitlines())) < 140


def test_held_out_patients_have_no_part_in_the_choice(chosen):
    """The opposite in held-out patients changes every score and not the choice."""
    other = report(draw(300, 0), draw(240, 1), draw(200, 2, sign=-1))
    assert other.image_models == chosen.image_models
    real = [
        one.value for one in other.scores if (one.target, one.inputs, one.trained_on) == ("texture", "image", "real")
    ]
    assert real[0] < 0.3


@pytest.mark.parametrize("model", ["features", "linear"])
def test_a_model_that_was_asked_for_is_not_chosen(chosen, model):
    found = report(draw(300, 0), draw(240, 1), draw(200, 2), image_model=model)
    assert found.image_models is None and "image_models" not in found.to_dict()
    assert "other" not in {one.inputs for one in found.scores}
    same = "image" if model == "features" else "other"
    assert value(found, "image", "synthetic 1x") == value(chosen, same, "synthetic 1x")


def test_features_are_computed_once_for_each_image(monkeypatch, tmp_path):
    seen = []

    def counted(batches, extractor):
        batches = list(batches)
        seen.append(sum(map(len, batches)))
        return np.concatenate([one.reshape(len(one), -1)[:, :3] for one in batches]).astype(np.float64)

    monkeypatch.setattr(feature_store, "image_features", counted)
    whole = draw(20, 0)
    some = whole.take(np.array([3, 5, 5, 7])).take(np.array([2, 0]))
    (images,) = whole.iter_images()
    np.testing.assert_array_equal(some.features("random"), images[[5, 3]].reshape(2, -1)[:, :3])
    assert whole.features("random").shape == (20, 3) and some.features("random").shape == (2, 3)
    assert seen == [2, 18]
    for _ in range(2):
        again = draw(20, 0)
        again.feature_store().keep(tmp_path / "features.npz", "records")
        np.testing.assert_array_equal(again.features("random"), whole.features("random"))
    assert seen == [2, 18, 20]
    again.feature_store().keep(tmp_path / "features.npz", "other records")
    again.feature_store()._found.clear()
    again.features("random")
    assert seen == [2, 18, 20, 20]
