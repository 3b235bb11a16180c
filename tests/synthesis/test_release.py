"""The release folder: what is in it, that a killed run continues to the same bytes, and that no private cell is."""

import base64
import io
import json
import re
import zipfile

import pyarrow.parquet as pq
import pytest
from tiny import (
    CANARY_CATEGORY,
    CANARY_FILE,
    CANARY_NUMBER,
    CANARY_TEXT,
    messy_table,
    tiny_codec,
    tiny_records,
    tiny_sampler,
    write_image_folder,
)

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.provenance import check_files
from hf_hybrid.core.report import Report
from hf_hybrid.synthesis.options import ReleaseInfo
from hf_hybrid.synthesis.pipeline import HybridPipeline
from hf_hybrid.synthesis.release import complete, write_release

pytestmark = pytest.mark.usefixtures("small_evidence")

NOT_MEASURED = {"status": "not measured", "reason": "of this test"}
REPORT = {name: NOT_MEASURED for name in ("utility", "fidelity", "pairing", "privacy")} | {"provenance": {}}
SMALL_SHARD = 60_000  # about two blocks of images


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("private")
    pipeline = HybridPipeline.fit(tiny_records(folder / "records"), tiny_codec(), tiny_sampler())
    pipeline.save_pretrained(folder / "pipeline")
    return HybridPipeline.from_pretrained(folder / "pipeline")


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_in_a_release(pipeline, tmp_path):
    release = write_release(pipeline, tmp_path / "release", 100)

    assert sorted(contents(release)) == [
        "README.md",
        "assets/samples.png",
        "data/train-00000-of-00001.parquet",
        "provenance.json",
        "schema.json",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["release"]
    assert sorted(check_files(release)) == sorted(set(contents(release)) - {"provenance.json"})
    assert "has not been evaluated" in (release / "README.md").read_text().lower()


def test_the_folder_loads_as_what_the_pipeline_draws(pipeline, tmp_path):
    from datasets import load_dataset

    release = write_release(pipeline, tmp_path / "release", 150, seed=2)
    loaded = load_dataset(str(release), split="train", cache_dir=str(tmp_path / "cache"))
    streamed = load_dataset(str(release), split="train", streaming=True)
    drawn = pipeline(150, seed=2)

    assert loaded.features == drawn.features
    assert loaded.with_format("arrow")[:].to_pydict() == drawn.with_format("arrow")[:].to_pydict()
    assert [row["age"] for row in streamed] == drawn["age"]


def test_after_evaluation_report_and_card_are_complete(pipeline, tmp_path):
    release = write_release(pipeline, tmp_path / "release", 70)
    complete(release, Report.from_dict(REPORT))

    assert json.loads((release / "report.json").read_text()) == REPORT
    assert "of this test" in (release / "report.html").read_text()
    assert {"report.json", "report.html", "README.md"} <= set(check_files(release))


def test_what_does_not_belong_to_a_release_is_not_listed(pipeline, tmp_path):
    release = write_release(pipeline, tmp_path / "release", 70)
    (release / "secret.csv").write_text("private")
    complete(release, Report.from_dict(REPORT))

    assert "secret" not in (release / "provenance.json").read_text()


def test_shards_keep_to_their_size_and_row_groups_are_small(pipeline, tmp_path):
    release = write_release(pipeline, tmp_path / "release", 400, max_shard_bytes=SMALL_SHARD)
    shards = sorted((release / "data").iterdir())

    assert len(shards) > 2
    assert [path.name for path in shards] == [
        f"train-{index:05d}-of-{len(shards):05d}.parquet" for index in range(len(shards))
    ]
    for shard in shards:
        metadata = pq.read_metadata(shard)
        assert shard.stat().st_size <= SMALL_SHARD
        assert max(metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)) <= 64


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def whole(pipeline, tmp_path_factory):
    return write_release(pipeline, tmp_path_factory.mktemp("whole") / "release", 400, max_shard_bytes=SMALL_SHARD)


@pytest.mark.parametrize("when", range(8))
def test_a_killed_run_continues_to_the_same_bytes(pipeline, whole, tmp_path, monkeypatch, when):
    blocks, drawn = HybridPipeline.blocks, []

    def die_after_some(self, *arguments, **options):
        for block in blocks(self, *arguments, **options):
            if len(drawn) == when:
                raise Killed
            drawn.append(1)
            yield block

    monkeypatch.setattr(HybridPipeline, "blocks", die_after_some)
    if when < 7:
        with pytest.raises(Killed):
            write_release(pipeline, tmp_path / "killed", 400, max_shard_bytes=SMALL_SHARD)
        assert not (tmp_path / "killed").exists()
        monkeypatch.setattr(HybridPipeline, "blocks", blocks)
    resumed = write_release(pipeline, tmp_path / "killed", 400, max_shard_bytes=SMALL_SHARD)

    assert contents(resumed) == contents(whole)


def test_a_run_killed_while_its_shards_got_their_names_continues(pipeline, tmp_path):
    whole = write_release(pipeline, tmp_path / "whole", 400, max_shard_bytes=SMALL_SHARD)
    killed = tmp_path / "killed.partial"
    (killed / "data").mkdir(parents=True)
    for index, shard in enumerate(sorted((whole / "data").iterdir())):
        name = shard.name if index == 0 else f"shard-{index:05d}.parquet"
        (killed / "data" / name).write_bytes(shard.read_bytes())
    facts = json.loads((whole / "provenance.json").read_text())
    (killed / "request.json").write_text(json.dumps({key: facts[key] for key in facts if key != "files"}))

    assert contents(write_release(pipeline, tmp_path / "killed", 400, max_shard_bytes=SMALL_SHARD)) == contents(whole)


def test_a_broken_run_with_another_request_is_left_alone(pipeline, tmp_path):
    partial = tmp_path / "release.partial"
    partial.mkdir()
    (partial / "request.json").write_text("{}")

    with pytest.raises(InputError, match="expected the request that .* was begun with, found another"):
        write_release(pipeline, tmp_path / "release", 10)
    assert partial.exists()


def test_an_existing_folder_is_refused(pipeline, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("ten years")

    with pytest.raises(InputError, match="expected a new or empty folder as `output_dir`, found files at"):
        write_release(pipeline, tmp_path / "mine", 10)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "ten years"


def test_the_source_is_named_only_when_asked(pipeline, tmp_path):
    quiet = write_release(pipeline, tmp_path / "quiet", 10)
    named = write_release(pipeline, tmp_path / "named", 10, info=ReleaseInfo(source_name="General Hospital"))

    assert "General Hospital" not in (quiet / "README.md").read_text()
    assert "General Hospital" in (named / "README.md").read_text()


# --- canaries --------------------------------------------------------------------------------------------------------


def every_text(folder):
    """All bytes of a folder, and beside them what is inside parquet, PNG and zip."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        yield path.name, data
        for encoded in re.findall(rb"base64,([A-Za-z0-9+/=]+)", data):
            yield path.name, base64.b64decode(encoded)
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield path.name, repr(table.drop_columns("image").to_pydict()).encode()
            yield path.name, repr(table.schema.metadata).encode()
            for cell in table["image"].to_pylist():
                yield path.name, cell["bytes"] + repr(cell["path"]).encode()
        assert not zipfile.is_zipfile(io.BytesIO(data)), f"{path.name} is a pickled or zipped file"


def test_no_canary_is_in_a_pipeline_or_release(tmp_path, pipeline):
    """A unique text, an extreme number, one patient's category, a file name and a PNG text were planted in `tiny`."""
    from hf_hybrid.evaluation.model_evaluation import evaluate_model
    from hf_hybrid.evaluation.options import EvaluationInputs, EvaluationOptions
    from hf_hybrid.evaluation.publication import evaluate_and_complete

    pipeline.save_pretrained(tmp_path / "pipeline")
    release = write_release(pipeline, tmp_path / "release", 300)
    train = write_image_folder(tmp_path / "train", messy_table())
    others = messy_table(80, seed=5)
    others["patient_id"] += "-of-the-test"
    test = write_image_folder(tmp_path / "test", others, seed=5)
    inputs = EvaluationInputs(release, str(train), str(test))
    report = evaluate_and_complete(inputs, EvaluationOptions(seeds=1, bootstraps=20, reader_steps=2))
    assert "utility" in report.measured()
    evaluate_model(tmp_path / "pipeline", str(train), str(test), EvaluationOptions(bootstraps=20))
    number = str(CANARY_NUMBER).split(".")[0]
    canaries = [CANARY_TEXT, CANARY_TEXT.split("^")[0], CANARY_CATEGORY, CANARY_FILE, number, "haemolytic", "remarks"]

    found = [
        (name, canary)
        for folder in ("pipeline", "release")
        for name, data in every_text(tmp_path / folder)
        for canary in canaries
        if canary.lower().encode() in data.lower()
    ]
    assert found == []
    written = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "release").rglob("*.*")}
    assert {"release/report.html", "release/report.json", "release/README.md"} <= written
    assert (tmp_path / "pipeline" / "report.json").exists()
    numbers = [
        *pq.read_table(release / "data")["crp"].drop_null().to_pylist(),
        *(value for path in (tmp_path / "pipeline").rglob("*.safetensors") for value in _floats(path)),
    ]
    near = [value for value in numbers if abs(value - CANARY_NUMBER) < 0.01 * CANARY_NUMBER]
    assert len(numbers) > 5_000 and near == []


def _floats(path):
    from safetensors.numpy import load_file

    return [value for array in load_file(path).values() for value in array.ravel().tolist()]


def test_the_search_would_find_them(tmp_path):
    """The private folder itself holds every one of them."""
    write_image_folder(tmp_path / "records", messy_table(20))
    data = b"".join(data for _, data in every_text(tmp_path / "records"))
    names = " ".join(path.name for path in (tmp_path / "records" / "train").iterdir())

    assert CANARY_FILE in names
    for canary in (CANARY_TEXT, CANARY_CATEGORY, str(CANARY_NUMBER).split(".")[0]):
        assert canary.encode() in data, canary


def test_no_number_is_an_extreme_of_the_private_table(tmp_path, pipeline):
    records = tiny_records(tmp_path / "records")
    values = records.frame["crp"].replace([float("inf")], float("nan")).dropna()
    saved = json.loads(json.dumps(pipeline.schema.to_dict()))["columns"]["crp"]["bounds"]
    knots = pipeline.sampler.transform_.numbers_["crp"].values

    assert values.max() == CANARY_NUMBER
    assert max(*saved, *knots) < values.nlargest(5).min() * 1.5
    assert saved[0] != values.min() and saved[1] != values.max()
