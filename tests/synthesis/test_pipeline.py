"""HybridPipeline: typed records, repeatable bytes, folders and the Hub."""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from example_folders import evaluate_model
from PIL import Image as PillowImage
from tiny import (
    RESOLUTION,
    decode_png,
    tiny_codec,
    tiny_pipeline,
    tiny_records,
    tiny_sampler,
    tiny_samplers,
    write_image_folder,
)

from hf_hybrid.core.errors import InputError, PushRefused
from hf_hybrid.data.records import load_records
from hf_hybrid.hub import gate
from hf_hybrid.samplers.registry import SAMPLERS, sampler_class
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.synthesis.latent_table import LatentTable
from hf_hybrid.synthesis.pipeline import HybridPipeline
from hf_hybrid.synthesis.release import write_release


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return tiny_pipeline(tmp_path_factory.mktemp("private") / "records")


@pytest.fixture(scope="module")
def folder(pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline") / "pipeline"
    pipeline.save_pretrained(folder)
    return folder


def raw(dataset):
    """Every byte of a dataset, images undecoded."""
    return dataset.with_format("arrow")[:].to_pydict()


def test_records_are_typed(pipeline):
    from datasets import ClassLabel, Image, List, Value

    dataset = pipeline(100, seed=0)

    assert dataset.features == {
        "image": Image(),
        "age": Value("int64"),
        "crp": Value("float64"),
        "sex": ClassLabel(names=["F", "M"]),
        "icu": Value("bool"),
        "findings": List(ClassLabel(names=["effusion", "oedema", "pneumonia"])),
        "site": ClassLabel(names=["one hospital"]),
        "outcome": ClassLabel(names=["deceased", "discharged"]),
    }
    assert dataset[0]["image"].size == (RESOLUTION, RESOLUTION) and dataset[0]["image"].mode == "L"


def test_missing_is_none_and_beyond_a_limit_is_infinite(pipeline):
    crp = pipeline(300, seed=0)["crp"]

    assert None in crp and float("inf") in crp
    assert not [value for value in crp if value is not None and np.isnan(value)]


def test_the_first_records_do_not_depend_on_their_number(pipeline):
    assert raw(pipeline(300, seed=1).select(range(100))) == raw(pipeline(100, seed=1))


def test_another_seed_gives_other_records(pipeline):
    assert raw(pipeline(10, seed=1)) != raw(pipeline(10, seed=2))


def test_conditions_hold(pipeline):
    dataset = pipeline(20, seed=0, conditions={"outcome": "deceased", "age": (40, 60)})

    assert set(dataset["outcome"]) == {0}
    assert all(40 <= age <= 60 for age in dataset["age"])


def test_images_are_the_decoded_latents_and_nothing_travels_with_them(pipeline):
    import torch

    record = pipeline(1, seed=4).with_format("arrow")[:].to_pylist()[0]["image"]
    latents = pipeline.sampler.sample_block(4, 0).latents
    with torch.inference_mode():
        expected = pipeline.codec.decode(torch.from_numpy(latents)).sample[0, 0]

    assert record["path"] is None
    assert PillowImage.open(io.BytesIO(record["bytes"])).info == {}
    np.testing.assert_allclose(decode_png(record["bytes"]), (expected + 1) * 127.5, atol=0.51)


def test_records_can_be_mapped_again_and_again(pipeline):
    older = pipeline(70, seed=0).map(lambda row: {"age": row["age"] + 1})
    ages = older.map(lambda row: {"age": row["age"] - 1})["age"]

    assert list(ages) == list(pipeline(70, seed=0)["age"])


def test_memory_does_not_grow_with_the_number_of_records(pipeline):
    """Blocks are given on as they are drawn."""
    blocks = pipeline.blocks(10**9, seed=0)

    assert next(blocks).num_rows == 64 and next(blocks).num_rows == 64


def test_a_loaded_folder_draws_the_same_bytes(pipeline, folder):
    assert raw(HybridPipeline.from_pretrained(folder)(100, seed=0)) == raw(pipeline(100, seed=0))


def test_what_is_in_the_folder(folder):
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == [
        "README.md",
        "assets/samples.png",
        "codec/config.json",
        "codec/diffusion_pytorch_model.safetensors",
        "config.json",
        "provenance.json",
        "sampler/config.json",
        "sampler/model.safetensors",
        "schema.json",
    ]


def test_from_the_hub_it_draws_the_bytes_of_the_local_folder(hub, repo_id, folder):
    """And equal to the first 100 of a thousand."""
    with pytest.raises(PushRefused, match="in which privacy was measured, found none"):
        HybridPipeline.from_pretrained(folder).push_to_hub(repo_id)
    HybridPipeline.from_pretrained(evaluate_model(folder)).push_to_hub(repo_id)
    remote = raw(HybridPipeline.from_pretrained(repo_id)(num_records=100, seed=0))
    local = HybridPipeline.from_pretrained(folder)

    assert hub.repo(repo_id).private
    assert remote == raw(local(num_records=100, seed=0))
    assert remote == raw(local(num_records=1000, seed=0).select(range(100)))


def test_nothing_there_is_one_clear_line(hub):
    with pytest.raises(
        InputError, match="expected a folder or Hub id, found none that loads at `owner/nothing-there`"
    ):
        HybridPipeline.from_pretrained("owner/nothing-there")


@pytest.mark.parametrize("name", ["no/such/folder", "./pipeline", "/pipelines/mine"])
def test_a_mistyped_path_is_not_asked_of_the_hub(hub, name):
    with pytest.raises(InputError, match=f"expected a folder or Hub id, found no folder `{name}`: correct the path"):
        HybridPipeline.from_pretrained(name)
    assert hub.log == []


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"_class_name": "AlphaGAN"}')

    with pytest.raises(InputError, match="expected a HybridPipeline at .*, found AlphaGAN"):
        HybridPipeline.from_pretrained(tmp_path)


def test_an_unknown_sampler_is_refused(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "pipeline")
    config = tmp_path / "pipeline" / "sampler" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "_class_name": "Unheard"}))

    with pytest.raises(InputError, match="expected a sampler among .*, found 'Unheard'"):
        HybridPipeline.from_pretrained(tmp_path / "pipeline")


# --- the latent table ------------------------------------------------------------------------------------------------


def test_the_latent_table_holds_latents_and_clinical_columns_only(tmp_path):
    records = tiny_records(tmp_path / "records")
    table = LatentTable.encode(records, tiny_codec())
    names = table.dataset.column_names

    assert names == [f"z_{index:03d}" for index in range(6)] + list(table.schema.table)
    assert not {"patient_id", "remarks", "image"} & set(names)
    assert set(table.schema.columns) == {"image", "patient_id", *table.schema.table}


def test_a_saved_latent_table_reads_back(tmp_path):
    table = LatentTable.encode(tiny_records(tmp_path / "records"), tiny_codec())
    table.save(tmp_path / "table")
    loaded = LatentTable.load(tmp_path / "table")

    assert (tmp_path / "table").stat().st_mode & 0o777 == 0o700
    assert loaded.dataset.to_dict() == table.dataset.to_dict()
    assert loaded.schema.to_dict() == table.schema.to_dict()
    assert (loaded.groups == table.groups).all()


def test_encoding_does_not_depend_on_the_other_records(tmp_path):
    records = tiny_records(tmp_path / "records")
    codec = tiny_codec()
    few = LatentTable.encode(records.select(range(100)), codec)
    many = LatentTable.encode(records, codec)
    one, other = (LatentRows.from_dataset(table.dataset, table.schema).latents for table in (few, many))

    assert len(one) == 99, "the outcome of record 1 is one that nobody else has"
    np.testing.assert_allclose(one, other[:99], atol=1e-5)


def test_too_few_patients_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected at least 10 patients, found"):
        LatentTable.encode(tiny_records(tmp_path / "records").select(range(8)), tiny_codec())


def test_too_few_patients_left_by_the_rule_on_rare_answers_are_refused(tmp_path):
    """Each of six columns has another four patients with a rare answer: 24 of 30 are left out."""
    answers = {f"c{column}": ["y" if 4 * column <= place < 4 * column + 4 else "x" for place in range(30)]
               for column in range(6)}  # fmt: skip
    table = pd.DataFrame({"patient_id": range(30), "outcome": ["alive", "deceased"] * 15, **answers})
    records = load_records(str(write_image_folder(tmp_path / "records", table)))
    with pytest.raises(InputError, match="at least 10 patients, found 6: their other records hold rare answers"):
        LatentTable.encode(records, tiny_codec())


def test_records_without_a_table_are_refused(tmp_path):
    from hf_hybrid.data.records import load_records
    from hf_hybrid.phantom.cohort import write_phantom

    write_phantom(tmp_path / "images", num_records=12, resolution=32, images_only=True)

    with pytest.raises(InputError, match="expected at least one clinical column that can be released, found none"):
        LatentTable.encode(load_records(str(tmp_path / "images")), tiny_codec())


def test_a_pipeline_fitted_with_a_codec_at_hand_says_that_its_training_is_not_stated(pipeline, folder):
    assert re.search("not stated", (folder / "README.md").read_text())


def test_fit_resumes_from_its_folder(tmp_path):
    records = tiny_records(tmp_path / "records")
    first = HybridPipeline.fit(records, tiny_codec(), tiny_sampler(), tmp_path / "logs")
    again = HybridPipeline.fit(records, tiny_codec(), tiny_sampler(), tmp_path / "logs")

    assert raw(first(10, seed=0)) == raw(again(10, seed=0))


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_comes_back_and_those_that_hold_rows_go_nowhere(name, tmp_path):
    """The pipeline, and what is drawn from it."""
    records = tiny_records(tmp_path / "records", num_records=60)
    pipeline = HybridPipeline.fit(records, tiny_codec(), tiny_samplers()[name])
    pipeline.save_pretrained(tmp_path / "pipeline")
    again = HybridPipeline.from_pretrained(tmp_path / "pipeline")
    release = write_release(again, tmp_path / "release", num_records=70)
    holds = sampler_class(name).contains_training_records

    assert type(again.sampler) is sampler_class(name)
    assert raw(again(70, seed=3)) == raw(pipeline(70, seed=3))
    for folder in (tmp_path / "pipeline", release):
        assert ("holds real training records" in (folder / "README.md").read_text()) is holds
        refused = "says `contains_training_records`" if holds else "in which privacy was measured, found none"
        with pytest.raises(PushRefused, match=refused):
            gate.check(folder)
