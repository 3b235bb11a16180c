"""The contract of samplers for the diffusion model, and what is particular to it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sampler_contract import SamplerContract, rows
from tiny import made_up_rows

from hf_hybrid.core.errors import InputError
from hf_hybrid.samplers.denoiser import Denoiser
from hf_hybrid.samplers.diffusion import DiffusionSampler
from hf_hybrid.samplers.given_columns import LATENTS
from hf_hybrid.samplers.rows import LatentRows


def small(**options):
    defaults = {"max_train_steps": 30, "batch_size": 64, "hidden_dim": 32, "num_layers": 1, "num_inference_steps": 8}
    return DiffusionSampler(**{**defaults, "validation_steps": 30, "validation_share": 0.0, **options})


@pytest.fixture(scope="module", params=[True, False], ids=["row first", "all at once"])
def learned(request):
    """Rows, their schema, and a sampler that learned them."""
    table, schema = made_up_rows()
    sampler = small(
        max_train_steps=300, learning_rate=5e-3, dropout=0.1, num_inference_steps=16, table_first=request.param
    )
    return table, schema, sampler.fit(table.to_dataset(schema), schema)


def complete(sampler, table, *given, **options):
    """What `complete` makes of rows, as rows."""
    found = sampler.complete(table.to_dataset(sampler.schema_), given, **options)
    return LatentRows.from_dataset(found, sampler.schema_)


def gap(table):
    """How far sick and well lie apart in the first latent."""
    sick = (table.frame["group"] == "sick").to_numpy()
    return table.latents[sick, 0].mean() - table.latents[~sick, 0].mean()


class TestDiffusionSampler(SamplerContract):
    def sampler(self):
        return small()

    def test_a_killed_fit_resumes_to_the_same_sampler(self, table, tmp_path, monkeypatch):
        class Killed(BaseException):
            pass

        monkeypatch.setattr("hf_hybrid.samplers.trained.CHECKPOINTING_STEPS", 8)
        options = {"max_train_steps": 20, "validation_share": 0.2, "validation_steps": 8}
        whole = small(**options).fit(table.dataset, table.schema, table.groups)
        loss, calls = Denoiser.losses, []

        def die_late(self, *arguments):
            calls.append(1)
            if len(calls) == 12:
                raise Killed
            return loss(self, *arguments)

        monkeypatch.setattr(Denoiser, "losses", die_late)
        with pytest.raises(Killed):
            small(**options).fit(table.dataset, table.schema, table.groups, tmp_path)
        assert [path.name for path in Path(tmp_path).glob("checkpoint-*")] == ["checkpoint-8"]
        resumed = small(**options).fit(table.dataset, table.schema, table.groups, tmp_path)

        assert len(calls) == 12 + 20 - 8, "it must not begin again"
        assert resumed.sample(10, seed=0).to_dict() == whole.sample(10, seed=0).to_dict()

    def test_other_rows_do_not_resume_a_fit(self, table, tmp_path):
        small(max_train_steps=2).fit(table.dataset, table.schema, table.groups, tmp_path)
        others = table.dataset.select(range(len(table.dataset) - 1, -1, -1))

        with pytest.raises(InputError, match="expected the rows that the checkpoints in .* were made with"):
            small(max_train_steps=2).fit(others, table.schema, table.groups, tmp_path)

    def test_labels_can_be_given(self, table, fitted):
        asked = LatentRows.from_dataset(table.dataset, table.schema)
        completed = complete(fitted, asked, "findings", "sex")

        assert completed.frame["findings"].tolist() == asked.frame["findings"].tolist()
        assert completed.frame["sex"].tolist() == asked.frame["sex"].tolist()


def test_what_is_given_comes_out_exactly(learned):
    table, schema, sampler = learned
    completed = complete(sampler, table, "crp", LATENTS)

    pd.testing.assert_series_equal(completed.frame["crp"], table.frame["crp"])
    np.testing.assert_array_equal(completed.latents, table.latents)
    assert (completed.frame["age"] != table.frame["age"]).mean() > 0.9
    assert completed.to_dataset(schema).features == table.to_dataset(schema).features


def test_completion_is_the_same_for_a_seed(learned):
    table, _, sampler = learned
    once, again, other = (complete(sampler, table, "age", seed=seed) for seed in (1, 1, 2))

    np.testing.assert_array_equal(once.latents, again.latents)
    pd.testing.assert_frame_equal(once.frame, again.frame)
    assert not np.array_equal(once.latents, other.latents)


def test_latents_belong_to_the_row_they_are_drawn_for(learned):
    table, schema, sampler = learned
    completed = complete(sampler, table, *schema.table)
    sampled = LatentRows.from_dataset(sampler.sample(2000, seed=0), schema)

    assert gap(completed) == pytest.approx(gap(table), rel=0.25)
    assert gap(sampled) == pytest.approx(gap(table), rel=0.35)


def test_the_row_follows_from_latents(learned):
    table, _, sampler = learned
    completed = complete(sampler, table, LATENTS)
    agree = (completed.frame["group"] == table.frame["group"]).mean()
    known = np.isfinite(completed.frame["crp"])
    sick = table.frame["group"] == "sick"

    assert agree > 0.8, "0.58 is chance"
    assert completed.frame["crp"][known & sick].mean() > completed.frame["crp"][known & ~sick].mean() + 4


def test_missing_cells_are_filled_where_asked(learned):
    table, _, sampler = learned
    kept = complete(sampler, table, "crp", "group", "age")
    filled = complete(sampler, table, "crp", "group", "age", fill_missing=True)
    hole = table.frame["crp"].isna()
    sick = table.frame["group"] == "sick"

    assert kept.frame["crp"].isna().equals(hole) and hole.any()
    assert np.isfinite(filled.frame["crp"][hole]).all()
    pd.testing.assert_series_equal(filled.frame["crp"][~hole], table.frame["crp"][~hole])
    assert filled.frame["crp"][hole & sick].mean() > filled.frame["crp"][hole & ~sick].mean() + 4


def test_shares_of_categories_missing_and_infinite_cells_are_kept(learned):
    table, schema, sampler = learned
    synthetic = rows(sampler.sample(4000, seed=0), schema)

    for share in (lambda f: f["group"] == "sick", lambda f: f["crp"].isna(), lambda f: np.isinf(f["crp"])):
        assert share(synthetic).mean() == pytest.approx(share(table.frame).mean(), abs=0.06)


def test_conditions_on_single_values_are_met_at_once(learned, monkeypatch):
    _, schema, sampler = learned
    monkeypatch.setattr("hf_hybrid.samplers.base.MAX_DRAWS_A_BLOCK", 1)
    asked = {"group": "sick", "crp": np.inf, "age": 50}
    sample = rows(sampler.sample(1000, seed=0, conditions=asked), schema)

    assert all((sample[name] == value).all() for name, value in asked.items())


def test_the_rest_of_a_record_follows_from_a_range(learned):
    _, schema, sampler = learned
    high, low = (rows(sampler.sample(300, 0, {"crp": limits}), schema) for limits in ((28, 40), (10, 22)))

    assert (high["group"] == "sick").mean() > (low["group"] == "sick").mean() + 0.4


def test_columns_that_are_not_given_may_be_absent(learned):
    table, schema, sampler = learned
    dataset = table.to_dataset(schema)
    names = [name for name in dataset.column_names if name.startswith("z_")]

    alone = LatentRows.from_dataset(sampler.complete(dataset.select_columns(names)), schema)
    pd.testing.assert_frame_equal(alone.frame, complete(sampler, table, LATENTS).frame)
    rows_only = LatentRows.from_dataset(sampler.complete(dataset.remove_columns(names)), schema)
    np.testing.assert_array_equal(rows_only.latents, complete(sampler, table, *schema.table).latents)


@pytest.mark.parametrize(
    "given, change, message",
    [
        (["weight"], {}, "expected `given` among \\['latents', 'crp', 'group', 'age'\\], .*, found \\['weight'\\]"),
        (["group"], {"group": None}, "expected a value in every cell of `group`, found a missing one"),
        (["crp"], {"crp": -np.inf}, "expected finite numbers in `crp`, found an infinite one"),
    ],
)
def test_what_cannot_be_given_is_refused(learned, given, change, message):
    table, _, sampler = learned
    wrong = LatentRows(table.latents, table.frame.assign(**change))

    with pytest.raises(InputError, match=message):
        complete(sampler, wrong, *given)


def test_other_features_are_refused(learned):
    from datasets import Dataset

    _, _, sampler = learned
    with pytest.raises(InputError, match="expected the features of a latent table, found others in \\['group'\\]"):
        sampler.complete(Dataset.from_dict({"group": ["sick"], "age": [50]}))


def test_the_best_weights_are_kept_and_a_fit_that_gets_no_better_ends(tmp_path):
    table, schema = made_up_rows(num_records=60, latent_dim=8, seed=1)
    options = {"max_train_steps": 300, "validation_share": 0.3, "validation_steps": 10, "patience": 2}
    sampler = small(**options, learning_rate=1e-2).fit(table.to_dataset(schema), schema, logging_dir=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    scores = {line["step"]: line["validation_score"] for line in lines if "validation_score" in line}

    assert sampler.best_step_ == min(scores, key=scores.get)
    assert max(scores) == sampler.best_step_ + 20 < 300


@pytest.mark.parametrize(
    "option, value",
    [
        ("batch_size", 10),
        ("max_train_steps", 0),
        ("learning_rate", -1.0),
        ("dropout", 1.0),
        ("given_noise", -0.1),
        ("num_inference_steps", 1),
        ("patience", 0),
        ("validation_share", 0.95),
    ],
)
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(InputError, match=f"expected `{option}`"):
        small(**{option: value})
