"""Codecs of the package: found by `builtin:NAME`, small on disk, computed in float32, named in facts."""

import pytest
import torch
from safetensors.torch import load_file
from tiny import builtin_codec, tiny_codec

from hf_hybrid.core.artifacts import WEIGHTS
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.provenance import hash_files
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
