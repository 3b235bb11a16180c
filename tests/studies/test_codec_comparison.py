"""Codecs compared on the same divisions: differences are paired, and a codec that sees nothing loses the pairing."""

import json

import numpy as np
import pytest
import torch
from tiny import tiny_codec, tiny_records

from hf_hybrid.studies.codec_comparison import LIKENESS, MEMBERSHIP, SKILL, ComparisonSettings, compare_codecs

SETTINGS = ComparisonSettings(divisions=(0, 1), multiple=2, bootstraps=40, resolution=32, extractor="random")
SHARE = "recovered share of outcome, image"


class Blind(type(tiny_codec())):
    """A codec whose latents say nothing of the image."""

    def encode(self, pixel_values):
        found = super().encode(pixel_values)
        rng = torch.Generator().manual_seed(int(pixel_values.shape[0]))
        return type(found)(latents=torch.randn(found.latents.shape, generator=rng))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    records = tiny_records(tmp_path_factory.mktemp("records"))
    blind = Blind(**tiny_codec().arguments).eval()
    blind.load_state_dict(tiny_codec().state_dict())
    return compare_codecs(records, {"sees": tiny_codec(), "same": tiny_codec(), "blind": blind}, SETTINGS)


def test_the_same_codec_differs_by_nothing(found):
    differences = found["differences from sees"]["same"]

    assert {SKILL, MEMBERSHIP, LIKENESS, SHARE, "L1 of mean images"} <= set(differences)
    assert all(one["value"] == 0 and one["interval"] == [0, 0] for one in differences.values())
    json.dumps(found)  # nothing but numbers and words


def test_a_codec_that_sees_nothing_loses_what_images_tell(found):
    difference = found["differences from sees"]["blind"]

    assert found["pooled"]["sees"][SHARE]["value"] > 0.8
    assert difference[SHARE]["interval"][1] < 0 and difference[SKILL]["interval"][1] < 0
    assert difference["L1 of mean images"]["interval"][0] > 0
    assert SHARE in found["divisions"]["0"]["blind"] and found["pooled"]["blind"][SHARE]["divisions"] == 2


def test_a_difference_is_the_mean_of_the_divisions(found):
    of = {name: [found["divisions"][seed][name][SKILL]["value"] for seed in "01"] for name in ("sees", "blind")}
    expected = np.mean(of["blind"]) - np.mean(of["sees"])

    assert found["differences from sees"]["blind"][SKILL]["value"] == pytest.approx(expected, abs=2e-4)


def test_a_share_that_real_records_do_not_allow_has_a_reason(found):
    share = found["divisions"]["0"]["sees"]["recovered share of age, image"]

    assert set(share) == {"reason"} and "with real data" in share["reason"]
