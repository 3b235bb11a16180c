"""Validation patients of a sampler are found by its seed, left out of the attacks, and reported apart."""

import numpy as np
import pandas as pd
import pytest

from hf_hybrid import __version__
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.evaluation.attacks.distance import DistanceAttack
from hf_hybrid.evaluation.attacks.screening import screen
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.training_patients import TrainingPatients, training_patients_of
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.samplers.validation import Validation

COLUMNS = [f"c{place}" for place in range(6)]
SCHEMA = RecordSchema(
    {"image": ColumnSchema("image")}
    | {name: ColumnSchema("clinical", "numeric", bounds=(-9, 9), decimals=3, states=[]) for name in COLUMNS}
)


def facts(share: float = 0.15, seed: int = 3, version: str = __version__) -> dict:
    config = {"validation_share": share, "seed": seed}
    return {"sampler": {"config": config}, "versions": {"hf_hybrid": version}}


def draw(count: int, seed: int) -> EvaluationSet:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(count, 6)).round(3), columns=COLUMNS)
    return EvaluationSet(rng.integers(0, 256, (count, 32, 32), dtype=np.uint8), frame, np.arange(count))


@pytest.mark.parametrize("per_patient", [1, 3])
def test_they_are_those_whom_the_sampler_held_out(per_patient):
    train = draw(300, 0)
    groups = np.arange(300) // per_patient
    rows = LatentRows(np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32), train.frame)
    learning = Validation(rows, groups, SCHEMA, share=0.15, seed=3).learning
    found = training_patients_of(groups, facts())
    np.testing.assert_array_equal(found.learned, learning)
    assert len(found.validation) == 45 and found.reason is None
    assert not set(groups[found.learned]) & set(groups[found.validation])


def test_samplers_that_hold_nobody_out_learned_from_all():
    for sampler in ({"config": {}}, {"config": {"shrinkage": None}}, facts(share=0.0)["sampler"]):
        assert len(training_patients_of(np.arange(100), {"sampler": sampler}).validation) == 0
    assert len(training_patients_of(np.arange(40), facts()).validation) == 0  # too few to hold some out


def test_what_cannot_be_found_again_is_said():
    found = training_patients_of(np.arange(300), facts(version="0.0.1"))
    assert len(found.learned) == 300 and "made by version 0.0.1" in found.reason and "15%" in found.reason
    train, held_out = draw(300, 1), draw(100, 2)
    spaces = AttackSpaces(Comparison(draw(300, 3), train, held_out, SCHEMA, EvaluationOptions(), found))
    (*_, score) = screen(spaces)
    assert score.value is None and "dilute the attacks" in score.reason


def test_an_attack_on_training_patients_is_not_diluted_by_those_held_out():
    """The release repeats 40 % of what it learned; nobody of the others is nearer to it than by chance."""
    train, held_out, fresh = draw(600, 1), draw(300, 2), draw(600, 3)
    training_patients = training_patients_of(train.groups, facts(share=0.4))
    copied = training_patients.learned[: int(0.4 * len(training_patients.learned))]
    for place, row in enumerate(copied):
        fresh.pixels[place], fresh.frame.iloc[place] = train.pixels[row], train.frame.iloc[row]
    options, found = EvaluationOptions(bootstraps=200), {}
    for name, one in (("all", None), ("learned", training_patients)):
        spaces = AttackSpaces(Comparison(fresh, train, held_out, SCHEMA, options, one))
        found[name] = DistanceAttack().run(spaces).tests[1].score.reference["AUC"]
    # A copied patient is always found, others by chance: 0.5 + 0.4 / 2, and with 60 % training patients 0.6 of that.
    error = 3 * np.sqrt((1 / 360 + 1 / 300) / 12)
    assert found["learned"] == pytest.approx(0.7, abs=error)
    assert found["all"] == pytest.approx(0.62, abs=error) and found["learned"] - found["all"] > 0.05
    (*_, apart) = screen(spaces)
    assert apart.name == "validation patients of the sampler" and apart.n == 240 + 300
    assert apart.interval[0] < 0.5 < apart.interval[1] and "240 validation patients" in apart.meaning
    assert apart.reference["AUC of those it learned from"] == pytest.approx(found["learned"])


def test_nobody_apart_changes_nothing():
    train, held_out, fresh = draw(120, 1), draw(60, 2), draw(120, 3)
    every = TrainingPatients(np.arange(120), np.arange(0))
    both = [
        AttackSpaces(Comparison(fresh, train, held_out, SCHEMA, EvaluationOptions(bootstraps=50), one))
        for one in (None, every)
    ]
    for one, other in zip(*(spaces.records for spaces in both), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(screen(both[0])) == len(screen(both[1])) == 2
