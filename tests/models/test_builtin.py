"""Codecs of the package: found by `builtin:NAME`, small on disk, computed in float32, named in facts."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import builtin_codec, tiny_codec

from hf_hybrid.core.artifacts import WEIGHTS
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.provenance import hash_files
from hf_hybrid.data.records import load_records
from hf_hybrid.models import builtin
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.synthesis.pipeline import load_codec


@pytest.fixture
def spots(tmp_path, monkeypatch):
    return builtin_codec(tmp_path, monkeypatch)


def test_it_is_found_by_its_name_and_facts_name_it_with_its_hash(spots):
    codec, facts = load_codec("builtin:spots")

    assert builtin.builtin_codecs() == ["builtin:spots"]
    assert facts["builtin"] == {"name": "builtin:spots", "sha256": hash_files(spots, [WEIGHTS])[WEIGHTS]}
    assert facts["training"]["images"] == "drawn spots"
    assert str(spots) not in str(facts) and str(spots) not in str(dict(codec.config))


def test_its_float16_weights_are_computed_in_float32_and_a_copy_has_the_same_bytes(spots, tmp_path):
    codec = AlphaGAN.from_pretrained("builtin:spots")
    codec.save_pretrained(tmp_path / "copy")

    assert {tensor.dtype for tensor in load_file(spots / WEIGHTS).values()} == {torch.float16}
    assert {tensor.dtype for tensor in codec.state_dict().values()} == {torch.float32}
    assert codec.decode(torch.randn(2, 6)).sample.dtype == torch.float32
    assert (tmp_path / "copy" / WEIGHTS).read_bytes() == (spots / WEIGHTS).read_bytes()


def test_weights_that_float16_does_not_hold_are_saved_as_they_are(tmp_path):
    codec = tiny_codec()
    codec.save_pretrained(tmp_path)

    saved = load_file(tmp_path / WEIGHTS)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in codec.state_dict().items())


@pytest.mark.parametrize("load", [load_codec, AlphaGAN.from_pretrained, builtin.codec_fingerprint])
def test_an_unknown_name_lists_those_that_there_are(spots, load):
    with pytest.raises(InputError, match=r"expected a codec of the package \(builtin:spots\), found 'builtin:lungs'"):
        load("builtin:lungs")


def test_it_changes_stages_when_its_weights_do(spots):
    before = builtin.codec_fingerprint("builtin:spots")
    codec = AlphaGAN.from_pretrained("builtin:spots")
    with torch.no_grad():
        codec.linear_decoder.bias += 1
    codec.half().save_pretrained(spots)

    assert builtin.codec_fingerprint("builtin:spots") != before


SHIPPED = {"builtin:phantoms": 6e6, "builtin:radiographs": 12e6}  # bytes at most


@pytest.mark.parametrize("name", SHIPPED)
def test_a_codec_that_comes_with_the_package_is_small_and_better_than_its_pca(name):
    codec, facts = load_codec(name)
    own, linear = (facts["training"]["scores"][one] for one in ("codec", "pca"))

    assert builtin.builtin_codecs() == sorted(SHIPPED)
    assert (builtin.codec_folder(name) / WEIGHTS).stat().st_size < SHIPPED[name]
    assert own["l1"] < linear["l1"] and own["ssim"] > linear["ssim"] and own["psnr"] > linear["psnr"]
    assert codec.config.resolution == 128 and not codec.config.private_images and facts["training"]["steps"] > 0
    assert any(tensor.abs().max() > 0 for tensor in (codec.encoder.end.weight, codec.generator.end.weight))


def test_the_package_s_codecs_know_their_images_from_others(tmp_path):
    from sklearn.datasets import load_sample_image

    from hf_hybrid.models.calibration import COMPARED, LIMIT, image_errors
    from hf_hybrid.phantom.cohort import write_phantom

    write_phantom(tmp_path, 24, 128, 3)
    phantoms = load_records(str(tmp_path)).pixel_values(128)
    grey = load_sample_image("china.jpg").mean(axis=2).astype(np.uint8)
    photographs = np.stack(
        [grey[row : row + 128, left : left + 128] for row in (0, 200) for left in range(0, 512, 43)]
    )
    for name in SHIPPED:
        codec, facts = load_codec(name)
        limits = facts["training"]["image_range"]

        def is_known(images, codec=codec, limits=limits):
            errors = image_errors(codec, [images])
            return all(np.median(errors[one]) <= limits[one][LIMIT] for one in COMPARED)

        assert not is_known(photographs) and not is_known(255 - phantoms)
        assert is_known(phantoms) or name != "builtin:phantoms"
