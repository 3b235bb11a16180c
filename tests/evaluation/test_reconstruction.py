"""Scores of a codec's reconstructions: the mean image is scored, the one with drawn detail stands beside it."""

import numpy as np
import pytest

from hf_hybrid.data.pixels import to_tensor
from hf_hybrid.evaluation.reconstruction import measure_reconstruction, reconstruct, reconstruction_scores
from hf_hybrid.models.alphagan import AlphaGAN
from tests.tiny import tiny_records

DRAWN = "with the detail that it draws"


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tiny_records(tmp_path_factory.mktemp("records"))


def scores_of(codec, records):
    half = len(records) // 2
    sides = records.select(np.arange(half)), records.select(np.arange(half, len(records)))
    return {one.name: one for one in measure_reconstruction(*sides, codec, 20, 0)}, sides[1]


def test_drawn_detail_does_not_count_against_what_a_codec_keeps(records):
    codec = AlphaGAN(32, 1, 6, 8, num_components=12, code_noise=2.0).eval()
    codec.initialise_linear_path(to_tensor(records.pixel_values(32)))
    scores, test = scores_of(codec, records)
    pixels, means, drawn = reconstruct(test, codec, False, True)

    for place, name in enumerate(("codec L1", "codec PSNR", "codec SSIM")):
        assert scores[name].value == pytest.approx(reconstruction_scores(pixels, means)[:, place].mean())
        found = reconstruction_scores(pixels, drawn)[:, place].mean()
        assert scores[name].reference[DRAWN] == pytest.approx(found)
    assert (means != drawn).any()


def test_a_codec_that_draws_nothing_has_no_second_figure(records):
    scores, _ = scores_of(AlphaGAN(32, 1, 6, 8).eval(), records)
    assert all(len(one.reference) == 1 and DRAWN not in one.reference for one in scores.values())
