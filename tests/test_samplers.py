"""The contract of every sampler, and what is particular to the CTGAN."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_codec, tiny_records, tiny_sampler

from hf_hybrid.errors import InputError
from hf_hybrid.latent_table import LatentTable
from hf_hybrid.samplers import SAMPLERS, CTGANSampler, LatentRows, load_sampler
from hf_hybrid.samplers.base import MAX_DRAWS_A_BLOCK


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    return LatentTable.encode(tiny_records(tmp_path_factory.mktemp("records") / "messy"), tiny_codec())


def rows(dataset, schema):
    return LatentRows.from_dataset(dataset, schema).frame


class SamplerContract:
    """A subclass gives `sampler()`, unfitted."""

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, table):
        return cls().sampler().fit(table.dataset, table.schema, table.groups)

    def test_fit_returns_itself_and_keeps_the_configuration(self, table):
        sampler = self.sampler()
        configuration = dict(vars(sampler))

        assert sampler.fit(table.dataset, table.schema, table.groups) is sampler
        assert {name: value for name, value in vars(sampler).items() if not name.endswith("_")} == configuration

    def test_a_sample_has_the_features_of_the_table(self, fitted, table):
        sample = fitted.sample(70, seed=1)

        assert len(sample) == 70
        assert sample.features == table.dataset.features

    def test_cells_keep_to_the_schema(self, fitted, table):
        frame = rows(fitted.sample(300, seed=1), table.schema)
        for name, column in table.schema.table.items():
            if column.is_number:
                finite = frame[name][np.isfinite(frame[name])]
                assert finite.between(*column.bounds).all(), name
                assert frame[name].isna().any() <= ("missing" in column.states), name
            elif column.kind != "multi-label":
                assert frame[name].isna().any() <= ("missing" in column.states), name

    def test_the_first_records_do_not_depend_on_their_number(self, fitted):
        assert fitted.sample(200, seed=3).select(range(70)).to_dict() == fitted.sample(70, seed=3).to_dict()

    def test_another_seed_gives_other_records(self, fitted):
        assert fitted.sample(20, seed=3).to_dict() != fitted.sample(20, seed=4).to_dict()

    def test_two_fits_with_one_seed_are_the_same(self, fitted, table):
        again = self.sampler().fit(table.dataset, table.schema, table.groups)

        assert again.sample(20, seed=0).to_dict() == fitted.sample(20, seed=0).to_dict()

    def test_what_is_saved_is_json_and_safetensors_and_samples_the_same(self, fitted, table, tmp_path):
        fitted.save_pretrained(tmp_path)
        loaded = load_sampler(tmp_path, table.schema)

        assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
        assert json.loads((tmp_path / "config.json").read_text())["contains_training_records"] is False
        assert type(loaded) is type(fitted)
        assert loaded.sample(70, seed=5).to_dict() == fitted.sample(70, seed=5).to_dict()

    def test_no_saved_array_is_as_long_as_the_table(self, fitted, table, tmp_path):
        from safetensors.numpy import load_file

        fitted.save_pretrained(tmp_path)
        arrays = load_file(tmp_path / "model.safetensors")

        assert arrays and not [name for name, array in arrays.items() if len(table.dataset) in array.shape]

    @pytest.mark.parametrize(
        "conditions",
        [
            {"outcome": "deceased"},
            {"outcome": "deceased", "sex": "F", "age": (40, 70)},
            {"icu": True, "crp": None},
            {"findings": "effusion"},
        ],
    )
    def test_conditions_hold_in_every_record(self, fitted, table, conditions):
        sample = fitted.sample(70, seed=2, conditions=conditions)
        frame = rows(sample, table.schema)

        assert len(frame) == 70
        for name, wanted in conditions.items():
            if wanted is None:
                assert frame[name].isna().all()
            elif isinstance(wanted, tuple):
                assert frame[name].between(*wanted).all()
            elif name == "findings":
                assert all(wanted in labels for labels in frame[name])
            else:
                assert (frame[name] == wanted).all()

    @pytest.mark.parametrize(
        "conditions, message",
        [
            ({"weight": 3}, "expected conditions on \\['age', .*\\], found one on `weight`"),
            ({"outcome": "cured"}, "expected `outcome` among .*, found 'cured'"),
            ({"icu": "Y"}, "expected true or false for `icu`, found 'Y'"),
            ({"age": (70, 60)}, "expected a number or a range low..high for `age`"),
            ({"age": 5000}, "expected `age` within .*, found the condition 5000"),
            ({"age": None}, "expected a value for `age`, found missing, which this column never is"),
        ],
    )
    def test_impossible_conditions_are_refused(self, fitted, conditions, message):
        with pytest.raises(InputError, match=message):
            fitted.sample(5, seed=0, conditions=conditions)

    def test_a_condition_that_is_too_rare_ends(self, fitted, monkeypatch):
        monkeypatch.setattr("hf_hybrid.samplers.base.MAX_DRAWS_A_BLOCK", 2)

        with pytest.raises(InputError, match="found {'crp': \\(10.12, 10.13\\)} too rare: widen a range"):
            fitted.sample(5, seed=0, conditions={"crp": (10.12, 10.13)})

    def test_numbers_out_of_range_are_refused(self, fitted):
        for num_records, seed in ((0, 0), (5, -1)):
            with pytest.raises(InputError, match="expected `num_records` of at least 1 and `seed` of at least 0"):
                fitted.sample(num_records, seed)


class TestCTGANSampler(SamplerContract):
    def sampler(self):
        return tiny_sampler()

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, tmp_path_factory):
        """A table of 300 records and a sampler that learned it."""
        records = tiny_records(tmp_path_factory.mktemp("records") / "messy", num_records=300)
        table = LatentTable.encode(records, tiny_codec())
        sampler = tiny_sampler(max_train_steps=600, batch_size=200, generator_dim=(64, 64))
        return table, sampler.fit(table.dataset, table.schema, table.groups)

    def test_prevalence_is_kept(self, trained):
        table, sampler = trained
        frame, real = (rows(dataset, table.schema) for dataset in (sampler.sample(3000, seed=0), table.dataset))

        for name, value in (("outcome", "deceased"), ("icu", True), ("sex", "F")):
            assert (frame[name] == value).mean() == pytest.approx((real[name] == value).mean(), abs=0.08), name

    def test_the_share_of_missing_cells_is_kept(self):
        """Half of a number's cells are missing, in a table with few columns: no block may draw values only."""
        import pandas as pd

        from hf_hybrid import disclosure
        from hf_hybrid.schema import RecordSchema

        rng = np.random.default_rng(0)
        frame = pd.DataFrame({"crp": np.where(rng.random(400) < 0.5, np.nan, rng.normal(20, 5, 400))})
        schema = disclosure.protect(RecordSchema.infer(frame, "image"), frame, np.arange(400))
        table = LatentRows(rng.normal(size=(400, 2)).astype(np.float32), disclosure.restrict(schema, frame))
        sampler = tiny_sampler(max_train_steps=200).fit(table.to_dataset(schema), schema)
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
        (block,) = [one for one in sampler.blocks_ if one.positions.start <= asked < one.positions.stop]

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
        sampler = tiny_sampler(max_train_steps=200).fit(table.dataset, table.schema, table.groups)
        asked = sampler._asked({"icu": True})
        draws = [sampler.draw(_generator(index), {"icu": True}).frame["icu"].mean() for index in range(5)]

        assert asked is not None
        assert np.mean(draws) > 0.8

    def test_a_killed_fit_resumes_to_the_same_sampler(self, table, tmp_path, monkeypatch):
        class Killed(BaseException):
            pass

        monkeypatch.setattr("hf_hybrid.samplers.ctgan.CHECKPOINTING_STEPS", 20)
        options = {"max_train_steps": 50, "batch_size": 16}
        whole = tiny_sampler(**options).fit(table.dataset, table.schema, table.groups)
        conditions, calls = CTGANSampler._conditions, []

        def die_late(self, *arguments):
            calls.append(1)
            if len(calls) == 2 * 30:
                raise Killed
            return conditions(self, *arguments)

        monkeypatch.setattr(CTGANSampler, "_conditions", die_late)
        with pytest.raises(Killed):
            tiny_sampler(**options).fit(table.dataset, table.schema, table.groups, tmp_path)
        assert [path.name for path in Path(tmp_path).glob("checkpoint-*")] == ["checkpoint-20"]
        resumed = tiny_sampler(**options).fit(table.dataset, table.schema, table.groups, tmp_path)

        assert len(calls) < 2 * (30 + 50), "it must not begin again"
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

    @pytest.mark.parametrize("options", [{"batch_size": 9}, {"batch_size": 10, "pac": 4}, {"pac": 0}])
    def test_batches_that_do_not_divide_are_refused(self, options):
        with pytest.raises(InputError, match="expected `batch_size` even and a multiple of `pac`"):
            tiny_sampler(**options)

    def test_packs_train(self, table):
        sampler = tiny_sampler(pac=4, max_train_steps=3).fit(table.dataset, table.schema, table.groups)

        assert len(sampler.sample(10, seed=0)) == 10


def test_a_bounded_number_of_draws():
    assert 1 < MAX_DRAWS_A_BLOCK < 10_000


def test_every_sampler_is_known_by_its_name():
    assert SAMPLERS == {"ctgan": CTGANSampler}


def test_an_unknown_sampler_is_refused(tmp_path, table):
    (tmp_path / "config.json").write_text('{"_class_name": "Pickled"}')

    with pytest.raises(InputError, match="expected a sampler among \\['CTGANSampler'\\], found 'Pickled'"):
        load_sampler(tmp_path, table.schema)


def _generator(seed):
    from hf_hybrid.randomness import generator

    return generator(seed)
