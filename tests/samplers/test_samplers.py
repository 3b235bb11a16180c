"""What all samplers share."""

import inspect
import json
from dataclasses import asdict

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

    known = set(map(sampler_class, SAMPLERS))  # imports them all
    concrete = {one for one in below(Sampler) if not inspect.isabstract(one) and one.__module__.startswith("hf_")}

    assert concrete == known
    assert {name: sampler_class(name).name for name in SAMPLERS} == {name: name for name in SAMPLERS}


def test_a_sampler_without_its_facts_is_refused_when_it_is_defined():
    with pytest.raises(AssertionError, match="expected the facts \\['citation', 'is_closed_form'\\] on Nameless"):

        class Nameless(Sampler):
            name = "nameless"


def test_the_configuration_of_every_sampler_is_what_is_saved_and_hashed():
    trained = {
        "max_train_steps": 1000,
        "batch_size": 500,
        "learning_rate": 2e-4,
        "validation_share": 0.15,
        "validation_steps": 100,
        "patience": 4,
        "seed": 0,
    }
    expected = {
        "bootstrap": {},
        "copula": {"shrinkage": None},
        "ctgan": trained
        | {
            "embedding_dim": 128,
            "generator_dim": (256, 256),
            "discriminator_dim": (256, 256),
            "pac": 10,
            "gradient_penalty": 10.0,
            "temperature": 0.2,
        },
        "diffusion": trained
        | {
            "max_train_steps": 2000,
            "batch_size": 256,
            "learning_rate": 5e-4,
            "hidden_dim": 128,
            "num_layers": 2,
            "dropout": 0.5,
            "given_noise": 0.3,
            "weight_decay": 0.01,
            "ema_decay": 0.995,
            "num_inference_steps": 20,
            "table_first": True,
        },
        "independent": {"shrinkage": None},
        "smote": {"num_neighbours": 5},
    }
    # Compared as text: the order of the fields is saved too.
    assert {name: json.dumps(asdict(sampler_class(name)())) for name in SAMPLERS} == {
        name: json.dumps(options) for name, options in expected.items()
    }


def test_an_unknown_sampler_is_refused(tmp_path, table):
    (tmp_path / "config.json").write_text('{"_class_name": "Pickled"}')

    with pytest.raises(InputError, match="expected a sampler among \\[.*'ctgan'.*\\], found 'Pickled'"):
        load_sampler(tmp_path, table.schema)
