"""The contract of codecs: facts and methods on the class, one line in the registry, loading by what a folder says."""

import json

import pytest
import torch
from diffusers.configuration_utils import register_to_config

from hf_hybrid.core.errors import InputError
from hf_hybrid.models.codec import Codec, DecoderOutput, EncoderOutput
from hf_hybrid.models.registry import CODECS, codec_class, load_codec_model

FACTS = {"name": "mean", "citation": "none", "is_closed_form": True}


def encode(self, pixel_values: torch.Tensor) -> EncoderOutput:
    return EncoderOutput(latents=pixel_values.mean((2, 3)))


def decode(self, latents: torch.Tensor, seeds=None, detail=True) -> DecoderOutput:
    return DecoderOutput(
        sample=latents[:, :, None, None].expand(-1, -1, self.config.resolution, self.config.resolution)
    )


@register_to_config
def configure(
    self, resolution: int = 32, in_channels: int = 1, latent_dim: int = 1, resize_mode="crop", private_images=False
) -> None:
    Codec.__init__(self)
    self.register_buffer("unused", torch.zeros(1))


WHOLE = {**FACTS, "encode": encode, "decode": decode, "__init__": configure}


@pytest.mark.parametrize("part", WHOLE)
def test_a_class_that_lacks_a_part_is_refused_when_it_is_defined(part):
    without = {name: value for name, value in WHOLE.items() if name != part}
    expected = "latent_dim" if part == "__init__" else part
    with pytest.raises(AssertionError, match=rf"expected \[.*'{expected}'.*\] on Mean, found none"):
        type("Mean", (Codec,), without)


def test_a_codec_of_one_file_is_saved_with_its_facts_and_comes_back(tmp_path):
    mean = type("Mean", (Codec,), WHOLE)()
    mean.save_with_card(tmp_path)
    codec = json.loads((tmp_path / "provenance.json").read_text())["codec"]
    assert (codec["class"], codec["citation"], codec["config"]["resolution"]) == ("Mean", "none", 32)
    again = type(mean).from_pretrained(tmp_path)
    images = torch.rand(2, 1, 32, 32)
    assert torch.equal(
        again.decode(again.encode(images).latents).sample, mean.decode(mean.encode(images).latents).sample
    )
    with pytest.raises(InputError, match="expected a codec among .*'alphagan'.*, found 'Mean'"):  # not in the registry
        load_codec_model(tmp_path)


@pytest.mark.parametrize("name", CODECS)
def test_the_registry_names_classes_by_their_own_names(name):
    found = codec_class(name)
    assert issubclass(found, Codec) and found.name == name
    assert codec_class(found.__name__) is found
