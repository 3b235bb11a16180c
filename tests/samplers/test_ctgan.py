"""The contract of samplers for the CTGAN, and what is particular to it."""

import json
from pathlib import Path

import numpy as np
import pytest
from sampler_contract import SamplerContract, rows
from tiny import made_up_rows, tiny_codec, tiny_records, tiny_sampler

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.randomness import generator
from hf_hybrid.samplers.blocks import OneHotBlocks
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.synthesis.latent_table import LatentTable


class TestCTGANSampler(SamplerContract):
    def sampler(self):
        return tiny_sampler()

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, tmp_path_factory):
        """A table of 300 records and a sampler that learned it."""
        records = tiny_records(tmp_path_factory.mktemp("records") / "messy", num_records=300)
        table = LatentTable.encode(records, tiny_codec())
        sampler = tiny_sampler(max_train_steps=300, batch_size=200, generator_dim=(64, 64))
        return table, sampler.fit(table.dataset, table.schema, table.groups)

    def test_prevalence_is_kept(self, trained):
        table, sampler = trained
        frame, real = (rows(dataset, table.schema) for dataset in (sampler.sample(3000, seed=0), table.dataset))

        for name, value in (("outcome", "deceased"), ("icu", True), ("sex", "F")):
            assert (frame[name] == value).mean() == pytest.approx((real[name] == value).mean(), abs=0.08), name

    def test_the_share_of_missing_cells_is_kept(self):
        """Half of a number's cells are missing, in a table with few columns: no block may draw values only."""
        import pandas as pd

        from hf_hybrid.data import privacy_rule
        from hf_hybrid.data.schema import RecordSchema

        rng = np.random.default_rng(0)
        frame = pd.DataFrame({"crp": np.where(rng.random(400) < 0.5, np.nan, rng.normal(20, 5, 400))})
        schema = privacy_rule.protect(RecordSchema.infer(frame, "image"), frame, np.arange(400))
        table = LatentRows(rng.normal(size=(400, 2)).astype(np.float32), privacy_rule.restrict(schema, frame))
        sampler = tiny_sampler(max_train_steps=100).fit(table.to_dataset(schema), schema)
        synthetic = rows(sampler.sample(2000, seed=0), schema)

        assert synthetic["crp"].isna().mean() == pytest.approx(frame["crp"].isna().mean(), abs=0.06)

    def test_other_rows_do_not_resume_a_fit(self, table, tmp_path):
        tiny_sampler(max_train_steps=2).fit(table.dataset, table.schema, table.groups, tmp_path)
        others = table.dataset.select(range(len(table.dataset) - 1, -1, -1))

        with pytest.raises(InputError, match="expected the rows that the checkpoints in .* were made with"):
            tiny_sampler(max_train_steps=2).fit(others, table.schema, table.groups, tmp_path)

    def test_missing_asked_of_labels_is_not_the_absence_of_one(self, table):
        sampler = tiny_sampler(max_train_steps=2).fit(table.dataset, table.schema, table.groups)
        sample = rows(sampler.sample(20, seed=0, conditions={"findings": None}), table.schema)
        asked = sampler._asked({"findings": None}) + sampler.transform_.num_scalars_
        (block,) = [one for one in sampler.transform_.blocks_ if one.positions.start <= asked < one.positions.stop]

        assert block.role == "state" and all(cell is None for cell in sample["findings"])

    def test_image_and_row_belong_together(self, trained):
        """One latent tells the outcome; a sampler that pairs at random would show no difference."""
        table, sampler = trained

        def gap(dataset):
            sick = (rows(dataset, table.schema)["outcome"] == "deceased").to_numpy()
            latents = LatentRows.from_dataset(dataset, table.schema).latents
            return latents[sick].mean(0) - latents[~sick].mean(0)

        real, synthetic = gap(table.dataset), gap(sampler.sample(1000, seed=0))
        telling = np.abs(real).argmax()

        assert synthetic[telling] / real[telling] > 0.5

    def test_a_condition_reaches_the_generator(self, table):
        """Without it, the rare category would need many more draws than one block in two."""
        sampler = tiny_sampler(max_train_steps=100).fit(table.dataset, table.schema, table.groups)
        asked = sampler._asked({"icu": True})
        draws = [sampler.draw(generator(index, "release"), {"icu": True}).frame["icu"].mean() for index in range(5)]

        assert asked is not None
        assert np.mean(draws) > 0.8

    def test_a_killed_fit_resumes_to_the_same_sampler(self, table, tmp_path, monkeypatch):
        class Killed(BaseException):
            pass

        monkeypatch.setattr("hf_hybrid.samplers.trained.CHECKPOINTING_STEPS", 20)
        options = {"max_train_steps": 50, "batch_size": 16}
        whole = tiny_sampler(**options).fit(table.dataset, table.schema, table.groups)
        draw, calls = OneHotBlocks.draw, []

        def die_late(self, *arguments):
            calls.append(1)
            if len(calls) == 30:
                raise Killed
            return draw(self, *arguments)

        monkeypatch.setattr(OneHotBlocks, "draw", die_late)
        with pytest.raises(Killed):
            tiny_sampler(**options).fit(table.dataset, table.schema, table.groups, tmp_path)
        assert [path.name for path in Path(tmp_path).glob("checkpoint-*")] == ["checkpoint-20"]
        resumed = tiny_sampler(**options).fit(table.dataset, table.schema, table.groups, tmp_path)

        assert len(calls) < 30 + 50, "it must not begin again"
        assert resumed.sample(10, seed=0).to_dict() == whole.sample(10, seed=0).to_dict()

    def test_the_critic_is_not_saved(self, table, tmp_path):
        from safetensors.numpy import load_file

        sampler = tiny_sampler(max_train_steps=2).fit(table.dataset, table.schema, table.groups)
        sampler.save_pretrained(tmp_path)

        assert set(load_file(tmp_path / "model.safetensors")) == set(sampler.generator_.state_dict())

    @pytest.mark.parametrize(
        "option, value", [("max_train_steps", 0), ("temperature", 0.0), ("generator_dim", ()), ("learning_rate", -1.0)]
    )
    def test_options_out_of_range_are_refused(self, option, value):
        with pytest.raises(InputError, match=f"expected `{option}`"):
            tiny_sampler(**{option: value})

    @pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 10, "pac": 4}, {"pac": 0}])
    def test_batches_that_do_not_divide_are_refused(self, options):
        with pytest.raises(InputError, match="expected `batch_size` above 1 and a multiple of `pac`"):
            tiny_sampler(**options)

    def test_packs_train(self, table):
        sampler = tiny_sampler(pac=4, max_train_steps=3).fit(table.dataset, table.schema, table.groups)

        assert len(sampler.sample(10, seed=0)) == 10


def test_it_starts_as_a_gaussian_with_the_moments_of_the_rows():
    table, schema = made_up_rows(2000)
    sampler = tiny_sampler(max_train_steps=1, learning_rate=1e-12, validation_share=0.0)
    start = LatentRows.from_dataset(sampler.fit(table.to_dataset(schema), schema).sample(4000, seed=0), schema)

    np.testing.assert_allclose(start.latents.mean(0), table.latents.mean(0), atol=0.1)
    np.testing.assert_allclose(np.cov(start.latents.T), np.cov(table.latents.T), atol=0.15)
    for share in (lambda f: f["group"] == "sick", lambda f: f["crp"].isna(), lambda f: np.isinf(f["crp"])):
        assert share(start.frame).mean() == pytest.approx(share(table.frame).mean(), abs=0.04)
    gaps = [one.latents[one.frame["group"] == "sick", 0].mean() for one in (table, start)]
    assert gaps[1] == pytest.approx(gaps[0], rel=0.2)


def test_a_condition_is_obeyed_from_the_start():
    table, schema = made_up_rows(2000)
    sampler = tiny_sampler(max_train_steps=1, learning_rate=1e-12, validation_share=0.0)
    sampler.fit(table.to_dataset(schema), schema)
    sick = sampler.draw(generator(0, "release"), {"group": "sick"})

    assert (sick.frame["group"] == "sick").mean() > 0.9
    assert sick.latents[:, 0].mean() == pytest.approx(2.5, abs=0.3)


def test_the_generator_that_scores_best_is_kept_and_training_ends(tmp_path):
    table, schema = made_up_rows(300)
    options = {"max_train_steps": 200, "validation_share": 0.3, "validation_steps": 10, "patience": 3}
    sampler = tiny_sampler(**options, learning_rate=2e-2).fit(table.to_dataset(schema), schema, logging_dir=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    scores = {line["step"]: line["validation_score"] for line in lines if "validation_score" in line}

    assert sampler.best_step_ == min(scores, key=scores.get)
    assert max(scores) == sampler.best_step_ + 30 < 200
