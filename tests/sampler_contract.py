"""The contract of every sampler, as tests that a class of tests inherits."""

import json

import numpy as np
import pytest
from tiny import tiny_codec, tiny_records

from hf_hybrid.core.errors import InputError
from hf_hybrid.samplers.registry import load_sampler
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.synthesis.latent_table import LatentTable


def rows(dataset, schema):
    return LatentRows.from_dataset(dataset, schema).frame


class SamplerContract:
    """A subclass gives `sampler()`, unfitted."""

    holds_training_records = False

    @pytest.fixture(scope="class")
    @classmethod
    def table(cls, tmp_path_factory):
        return LatentTable.encode(tiny_records(tmp_path_factory.mktemp("records") / "messy"), tiny_codec())

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, table):
        return cls().sampler().fit(table.dataset, table.schema, table.groups)

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

    def test_fit_returns_itself_keeps_the_configuration_and_is_the_same_for_a_seed(self, fitted, table):
        sampler = self.sampler()
        configuration = dict(vars(sampler))

        assert sampler.fit(table.dataset, table.schema, table.groups) is sampler
        assert {name: value for name, value in vars(sampler).items() if not name.endswith("_")} == configuration
        assert sampler.sample(20, seed=0).to_dict() == fitted.sample(20, seed=0).to_dict()

    def test_what_is_saved_is_json_and_safetensors_and_samples_the_same(self, fitted, table, tmp_path):
        fitted.save_pretrained(tmp_path)
        loaded = load_sampler(tmp_path, table.schema)

        assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
        config = json.loads((tmp_path / "config.json").read_text())
        assert config["contains_training_records"] is self.holds_training_records
        assert type(loaded) is type(fitted)
        assert loaded.sample(70, seed=5).to_dict() == fitted.sample(70, seed=5).to_dict()

    def test_it_says_how_well_it_knows_records_and_so_does_what_is_saved(self, fitted, table, tmp_path):
        learned = LatentRows.from_dataset(table.dataset, table.schema)
        fitted.save_pretrained(tmp_path)
        loaded = load_sampler(tmp_path, table.schema)

        found, again = (one.familiarity(learned) for one in (fitted, loaded))
        assert found and list(found) == list(again)
        nonsense = LatentRows(learned.latents + 8, learned.frame)
        for name, scores in found.items():
            assert scores.shape == (len(learned),) and np.isfinite(scores).all()
            np.testing.assert_allclose(again[name], scores, rtol=1e-4, atol=1e-4)
            assert np.median(scores) > np.median(fitted.familiarity(nonsense)[name]), name

    def test_no_saved_array_is_as_long_as_the_table(self, fitted, table, tmp_path):
        from safetensors.numpy import load_file

        fitted.save_pretrained(tmp_path)
        arrays = load_file(tmp_path / "model.safetensors")
        long = [name for name, array in arrays.items() if len(table.dataset) in array.shape]

        assert arrays and bool(long) is self.holds_training_records

    @pytest.mark.parametrize(
        "conditions",
        [
            {"sex": "F"},
            {"icu": True},
            {"outcome": "deceased"},
            {"age": (50, 60)},
            {"outcome": "deceased", "sex": "F", "age": (40, 70)},
            {"icu": True, "crp": None},
            {"findings": "effusion"},
            {"icu": np.True_, "age": np.array([40, 70])},
            {"age": [50, 60], "crp": float("inf")},
        ],
    )
    def test_conditions_hold_in_every_record(self, fitted, table, conditions):
        sample = fitted.sample(70, seed=2, conditions=conditions)
        frame = rows(sample, table.schema)

        assert len(frame) == 70
        for name, wanted in conditions.items():
            if wanted is None:
                assert frame[name].isna().all()
            elif isinstance(wanted, tuple | list | np.ndarray):
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
            ({"age": 60.5}, "expected `age` with 0 decimals, found the condition 60.5, which no such number meets"),
            ({"crp": (10.12, 10.13)}, "expected `crp` with 1 decimals, found the condition \\(10.12, 10.13\\)"),
            ({"age": (None, 60)}, "expected a number or a range low..high for `age`"),
            ({"age": [1, 2, 3]}, "expected a number or a range low..high for `age`"),
            ({"age": np.array([70, 60])}, "expected a number or a range low..high for `age`"),
            ({"outcome": ["deceased"]}, "expected `outcome` among .*, found \\['deceased'\\]"),
        ],
    )
    def test_impossible_conditions_are_refused(self, fitted, conditions, message):
        with pytest.raises(InputError, match=message):
            fitted.sample(5, seed=0, conditions=conditions)

    def test_a_condition_that_is_too_rare_ends(self, fitted, monkeypatch):
        monkeypatch.setattr("hf_hybrid.samplers.base.MAX_DRAWS_A_BLOCK", 2)

        rare = {"crp": (10.1, 10.2), "age": (33, 34), "sex": "F", "icu": True}
        with pytest.raises(InputError, match="found {'crp': \\(10.1, 10.2\\), .*} too rare, `crp` most of all"):
            fitted.sample(100, seed=0, conditions=rare)

    def test_numbers_out_of_range_are_refused(self, fitted):
        for num_records, seed in ((0, 0), (5, -1)):
            with pytest.raises(InputError, match="expected `num_records` of at least 1 and `seed` of at least 0"):
                fitted.sample(num_records, seed)
