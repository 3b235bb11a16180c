"""The score of samplers in training: the right order of draws that pair, copy, and do neither."""

import logging

import numpy as np
import pytest
from tiny import tiny_codec, tiny_records

from hf_hybrid.core.errors import InputError
from hf_hybrid.samplers.controls import BootstrapSampler
from hf_hybrid.samplers.copula import GaussianCopulaSampler, IndependentSampler
from hf_hybrid.samplers.ctgan import CTGANSampler
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.samplers.validation import NUM_RECORDS, Validation
from hf_hybrid.synthesis.latent_table import LatentTable


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return LatentTable.encode(tiny_records(tmp_path_factory.mktemp("records") / "messy", 400), tiny_codec())


@pytest.fixture(scope="module")
def validation(table):
    rows = LatentRows.from_dataset(table.dataset, table.schema)
    return Validation(rows, table.groups, table.schema, 0.3, seed=0)


def test_patients_are_held_out_whole(table, validation):
    groups = table.groups
    held = np.setdiff1d(np.arange(len(groups)), validation.learning)

    assert validation.enabled
    assert not set(groups[held]) & set(groups[validation.learning])
    assert len(set(groups[held])) == round(0.3 * len(set(groups)))


def test_pairing_counts_for_a_sampler_and_copying_against_it(table, validation):
    learning = LatentRows.from_dataset(table.dataset, table.schema).take(validation.learning)
    scores = {}
    for sampler in (GaussianCopulaSampler(), IndependentSampler(), BootstrapSampler()):
        sampler.fit(learning.to_dataset(table.schema), table.schema, table.groups[validation.learning])
        draws = LatentRows.from_dataset(sampler.sample(NUM_RECORDS, seed=1), table.schema)
        scores[type(sampler).__name__] = validation.score(draws)
    copula, independent, bootstrap = scores.values()

    assert copula["validation_score"] < independent["validation_score"]
    assert copula["validation_score"] < bootstrap["validation_score"]
    assert copula["pairing"] > independent["pairing"] + 0.02
    assert bootstrap["membership"] > 0.95 > 0.7 > copula["membership"]


def test_draws_that_are_far_off_score_worse(table, validation):
    rows = LatentRows.from_dataset(table.dataset, table.schema)
    moved = LatentRows(rows.latents + 3 * rows.latents.std(axis=0), rows.frame)

    assert validation.score(moved)["distance"] > validation.score(rows)["distance"] + 0.05


def test_few_patients_are_all_learned_from(table, caplog):
    rows = LatentRows.from_dataset(table.dataset, table.schema).take(slice(30))
    with caplog.at_level(logging.WARNING):
        few = Validation(rows, table.groups[:30], table.schema, 0.15, seed=0)

    assert not few.enabled and len(few.learning) == 30
    assert "too few patients to hold 15 % out" in caplog.text


def test_no_share_is_no_validation_and_no_warning(table, caplog):
    rows = LatentRows.from_dataset(table.dataset, table.schema)

    assert not Validation(rows, table.groups, table.schema, 0.0, seed=0).enabled
    assert not caplog.records


@pytest.mark.parametrize("share", [-0.1, 0.9])
def test_shares_that_leave_nobody_are_refused(share):
    with pytest.raises(InputError, match="expected `validation_share` from 0 to below 0.9"):
        CTGANSampler(validation_share=share)
