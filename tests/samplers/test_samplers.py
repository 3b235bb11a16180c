"""What all samplers share."""

import inspect

import pytest
from tiny import tiny_codec, tiny_records

from hf_hybrid.core.errors import InputError
from hf_hybrid.samplers.base import MAX_DRAWS_A_BLOCK, Sampler
from hf_hybrid.samplers.registry import SAMPLERS, load_sampler, sampler_class
from hf_hybrid.synthesis.latent_table import LatentTable


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return LatentTable.encode(tiny_records(tmp_path_factory.mktemp("records") / "messy"), tiny_codec())


def test_a_bounded_number_of_draws():
    assert 1 < MAX_DRAWS_A_BLOCK < 10_000


def test_every_sampler_is_known_by_its_name():
    def below(one):
        return {one, *(found for child in one.__subclasses__() for found in below(child))}

    concrete = {one for one in below(Sampler) if not inspect.isabstract(one)}

    assert concrete == set(map(sampler_class, SAMPLERS))


def test_an_unknown_sampler_is_refused(tmp_path, table):
    (tmp_path / "config.json").write_text('{"_class_name": "Pickled"}')

    with pytest.raises(InputError, match="expected a sampler among \\[.*'CTGANSampler'.*\\], found 'Pickled'"):
        load_sampler(tmp_path, table.schema)
