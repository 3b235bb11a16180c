"""Planted leaks are caught by the family that is meant for them, and fresh draws never fail."""

import functools
from pathlib import Path

import numpy as np
import pytest

from hf_hybrid.core.errors import InputError
from hf_hybrid.evaluation.attacks.copies import is_no_chance
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.evaluation.comparison import Comparison
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.privacy import measure_privacy
from hf_hybrid.metrics.curves import histograms
from hf_hybrid.models import image_encoder

ROOT = Path(__file__).parents[2]
FAMILIES = ["copies", "membership", "attribute inference", "singling out", "linkability"]


@pytest.fixture(scope="module")
def planted():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        import planted_leaks

        yield planted_leaks


@pytest.fixture(scope="module")
def scored(planted):
    """The part `privacy` of a report on each planted leak and seed, made once."""
    setting = functools.cache(lambda seed: planted.Setting(seed, num_records=240, multiple=2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_encoder, "NUM_STEPS", 40)
        yield functools.cache(lambda plant, seed=0: setting(seed).score(plant))


def families(section: dict) -> dict[str, dict]:
    assert [one["name"] for one in section["families"]] == FAMILIES
    return {one["name"]: one for one in section["families"]}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("plant", ["fresh draws", "copula"])
def test_an_honest_release_never_fails(scored, plant, seed):
    section = scored(plant, seed)
    assert section["verdict"] in ("pass", "inconclusive")
    for name, family in families(section).items():
        assert family["verdict"] != "fail", (name, family["failed"])
        assert (family["patients_needed"] is None) or family["verdict"] == "inconclusive"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "failed"),
    [
        ("training records", {"exact copy: image", "exact copy: row", "near copy: record"}),
        ("small noise", {"near copy: image", "near copy: row", "near copy: record"}),
        ("mirrored images", {"exact copy: image", "near copy: image"}),
        ("rows joined to other images", {"exact copy: image", "exact copy: row"}),
        ("5 % copies", {"exact copy: image", "exact copy: row"}),
        ("overfitted sampler", {"near copy: row"}),
    ],
)
def test_a_planted_leak_fails_the_family_of_copies(scored, plant, failed):
    copies = families(scored(plant))["copies"]
    assert copies["verdict"] == "fail" and failed <= set(copies["failed"]), copies["failed"]
    assert copies["advice"].startswith("use a sampler that copies less")
    if plant in ("mirrored images", "rows joined to other images"):
        assert "near copy: record" not in copies["failed"]


@pytest.mark.slow
def test_a_release_of_training_records_fails_every_attack(scored):
    found = families(scored("training records"))
    assert {name: one["verdict"] for name, one in found.items()} == dict.fromkeys(FAMILIES, "fail")
    assert found["membership"]["scores"][0]["reference"]["AUC on the release"] > 0.85  # one in seven was not drawn


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        ("training records", "expected patients in `test` whose images the release does not know, found those of"),
        (
            "small noise",
            "expected a release that lies nearer to `train`, .*, found it nearer to `test`",
        ),
    ],
    ids=["training records", "small noise"],
)
def test_train_and_test_cannot_be_exchanged(planted, monkeypatch, plant, message):
    monkeypatch.setattr(image_encoder, "NUM_STEPS", 1)
    setting = planted.Setting(0, num_records=120, multiple=1)
    release, options = planted.PLANTS[plant](setting), EvaluationOptions(bootstraps=100)
    with pytest.raises(InputError, match=message):
        measure_privacy(Comparison(release, setting.unseen, setting.train, setting.schema, options))


def test_ordinary_shift_is_no_exchange(planted, monkeypatch):
    """Training patients that lie farther out than unseen ones are farther from any release, and from the control."""
    monkeypatch.setattr(image_encoder, "NUM_STEPS", 1)
    setting = planted.Setting(0, num_records=160, multiple=1)
    middle = setting.train.pixels.mean(axis=0)
    for one, wide in ((setting.train, 1.6), (setting.unseen, 0.6)):
        one.pixels = np.clip(middle + wide * (one.pixels - middle), 0, 255).astype(np.uint8)
    release, options = planted.PLANTS["copula"](setting), EvaluationOptions(bootstraps=100)
    section, _ = measure_privacy(Comparison(release, setting.train, setting.unseen, setting.schema, options))
    distance = families(section.to_dict())["membership"]["scores"][0]["reference"]
    assert distance["AUC on the release"] < 0.35 and distance["AUC on a Gaussian copula"] < 0.35


def test_equal_rows_of_one_patient_are_one_coincidence(planted, monkeypatch):
    setting = planted.Setting(0, num_records=120, multiple=1)
    options = EvaluationOptions(bootstraps=100)
    attacked = AttackSpaces(Comparison(setting.fresh, setting.train, setting.unseen, setting.schema, options))
    hit = np.zeros(len(setting.train), bool)
    hit[:12] = True
    monkeypatch.setattr(
        "hf_hybrid.evaluation.attacks.copies.chance_of_rows", lambda release, frame: np.full(len(frame), 2e-7)
    )
    assert is_no_chance(attacked, hit)  # twelve records of several patients
    attacked.train.groups[:12] = attacked.train.groups[0]
    attacked.train.frame.iloc[:12] = attacked.train.frame.iloc[0]
    assert not is_no_chance(attacked, hit)


def test_a_bin_of_distances_tells_nothing_of_few_patients():
    rng = np.random.default_rng(0)
    members, unseen = rng.normal(2, 1, 90), np.append(rng.normal(3, 1, 28), [9, 9.5])
    found = histograms("nearest image", members, unseen, (np.arange(90), np.arange(30)), min_patients=5)
    for side, values in (("training patients", members), ("held-out patients", unseen)):
        counts = np.round(np.array(found["shares"][side]) * len(values)).astype(int)
        assert counts.sum() == len(values) and not ((counts > 0) & (counts < 5)).any(), counts
    assert len(found["edges"]) - 1 == len(counts) > 3 and (np.diff(found["edges"]) > 0).all()
    few = histograms("nearest image", members[:4], unseen[:4], (np.arange(4), np.arange(4)), min_patients=5)
    assert list(few["shares"].values()) == [[1.0], [1.0]]


@pytest.mark.slow
def test_every_number_says_what_it_is_read_against(scored):
    section = scored("copula")
    scores = [score for family in section["families"] for score in (*family["scores"], *family["details"])]
    assert len(scores) > 30
    for score in scores:
        low, high = score["interval"]
        assert low <= score["value"] <= high and score["n"] > 0 and score["reference"] and score["meaning"]
        assert score["direction"] == "lower is better"
    dcr, nndr = section["screening"]
    assert dcr["reference"] == {"no difference": 0.5} and "held-out patients" in nndr["reference"]
