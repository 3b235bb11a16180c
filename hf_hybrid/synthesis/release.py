"""A release: the folder that may be published, written by `write_release`, completed by `complete`."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq

from hf_hybrid.core import artifacts
from hf_hybrid.core.artifacts import CARD, DATA, PROVENANCE, REPORT, REPORT_PAGE, SAMPLES, SCHEMA, SHARDS, shard_name
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import check_new, read_json, write_atomically, write_json
from hf_hybrid.core.provenance import hash_files, read_provenance, versions, write_provenance
from hf_hybrid.core.report import Report
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.reports import cards
from hf_hybrid.reports.charts import Chart, report_charts
from hf_hybrid.samplers.conditions import Conditions
from hf_hybrid.synthesis.options import ReleaseInfo
from hf_hybrid.synthesis.pipeline import HybridPipeline, grid_of

MAX_SHARD_BYTES = 300_000_000
_SAMPLE_IMAGES = 32


def write_release(
    pipeline: HybridPipeline,
    output_dir: str | Path,
    num_records: int,
    seed: int = 0,
    conditions: Conditions | None = None,
    info: ReleaseInfo | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> Path:
    """Draws records into parquet shards and writes schema, provenance and a card that says "not evaluated".

    Memory does not grow with `num_records`. A run that was killed is continued after its last whole shard; the bytes
    are the same as without the interruption.

    Args:
        pipeline: what draws the records.
        output_dir: the release folder; must not exist, or be empty.
        num_records: how many, at least 1.
        seed: at least 0.
        conditions: see `Sampler.sample`.
        info: title, licence and source for the card.
        max_shard_bytes: a shard is closed before it grows beyond this; row groups hold 64 records.

    Raises:
        InputError: `output_dir` holds something, or there is an interrupted run of another request.
    """
    output_dir = Path(output_dir)
    check_new(output_dir)
    # Written under another name and renamed at the end: a folder with the final name is complete.
    partial = output_dir.with_name(output_dir.name + ".partial")
    request = {"num_records": num_records, "seed": seed, "conditions": _jsonable(conditions)}
    made_by = {name: pipeline.facts[name] for name in ("codec", "sampler")}
    facts = {"versions": versions(), "release": {**asdict(info or ReleaseInfo()), **request}, **made_by}
    _claim(partial, facts)
    _write_shards(pipeline, partial / DATA, num_records, seed, conditions, max_shard_bytes)
    _write_schema_and_samples(pipeline.schema, partial)
    _finish(partial, facts)
    _give_final_name(partial, output_dir)
    return output_dir


def complete(release_dir: str | Path, report: Report, charts: Mapping[str, list[Chart]] | None = None) -> None:
    """Writes `report.json`, `report.html`, the card and the hashes again, once a release has been evaluated.

    Args:
        release_dir: the release; its `assets/` already hold the charts of the evaluation.
        report: its report.
        charts: charts of the report, if they are drawn already.
    """
    release_dir = Path(release_dir)
    write_json(release_dir / REPORT, report.to_dict())
    facts = {key: value for key, value in read_provenance(release_dir).items() if key != "files"}
    facts["release"].pop("accepted_risk", None)  # it referred to an earlier report
    _finish(release_dir, facts, charts)


def change_facts(release_dir: str | Path, **facts: str) -> None:
    """Writes facts on a release (`license`, `accepted_risk`) into provenance, card and page."""
    found = {key: value for key, value in read_provenance(release_dir).items() if key != "files"}
    found["release"] |= facts
    _finish(Path(release_dir), found)


def _finish(folder: Path, facts: dict, charts: Mapping[str, list[Chart]] | None = None) -> None:
    """Writes card and report from the existing files, then the hashes of all published files."""
    write_provenance(folder, facts)
    cards.release_card(folder).save(folder / CARD)
    if (folder / REPORT).exists():
        charts = charts or report_charts(Report.from_dict(read_json(folder / REPORT)))
        (folder / REPORT_PAGE).write_text(cards.report_html(folder, charts), encoding="utf-8")
    names = [name for name in artifacts.publishable(folder, artifacts.RELEASE) if name != PROVENANCE]
    write_provenance(folder, {**facts, "files": hash_files(folder, names)})


def _claim(partial: Path, facts: dict) -> None:
    """Makes the working folder, or checks that the one there belongs to the same request."""
    request = partial / "request.json"
    if request.exists():
        if json.loads(request.read_text(encoding="utf-8")) != json.loads(json.dumps(facts)):
            raise InputError(
                f"expected the request that {partial} was begun with, found another: "
                "repeat that one, or remove the folder"
            )
        return
    shutil.rmtree(partial, ignore_errors=True)  # killed before the request was written: nothing to continue
    (partial / DATA).mkdir(parents=True)
    write_atomically(request, json.dumps(facts))


def _write_shards(
    pipeline: HybridPipeline, folder: Path, num_records: int, seed: int, conditions: Conditions | None, limit: int
) -> None:
    """Whole shards are `shard-00000.parquet`, ...; their final names contain how many there are, known at the end."""
    if any(folder.glob(Path(SHARDS).name)):  # killed while renaming
        whole = sorted(folder.glob("*.parquet"), key=lambda path: path.name.split("-")[1][:5])
        return _name_shards(whole)
    whole = sorted(folder.glob("shard-*.parquet"))
    done = sum(pq.read_metadata(shard).num_rows for shard in whole)
    writer, size, temporary = None, 0, folder / "shard.tmp"

    def close() -> None:
        writer.close()
        whole.append(folder / f"shard-{len(whole):05d}.parquet")
        os.replace(temporary, whole[-1])

    if done < num_records:
        for block in pipeline.blocks(num_records, seed, conditions, first=done):
            if writer and size + block.nbytes > limit:
                close()
                writer = None
            if writer is None:
                writer, size = pq.ParquetWriter(temporary, block.schema, compression="snappy"), 0
            writer.write_table(block)
            size += block.nbytes
        close()
    _name_shards(whole)
    return None


def _name_shards(whole: list[Path]) -> None:
    for index, shard in enumerate(whole):
        shard.rename(shard.with_name(shard_name(index, len(whole))))


def _give_final_name(partial: Path, output_dir: Path) -> None:
    (partial / "request.json").unlink()
    if output_dir.exists():  # and is empty
        output_dir.rmdir()
    partial.rename(output_dir)


def _write_schema_and_samples(schema: RecordSchema, folder: Path) -> None:
    """Writes the schema, and a grid of the first records' images."""
    from datasets import Image

    schema.save(folder / SCHEMA)
    first = pq.ParquetFile(sorted((folder / DATA).iterdir())[0]).read_row_group(0, columns=[schema.image_column])
    cells = first[schema.image_column].to_pylist()[:_SAMPLE_IMAGES]
    (folder / SAMPLES).parent.mkdir(exist_ok=True)
    (folder / SAMPLES).write_bytes(grid_of([Image().decode_example(cell) for cell in cells]))


def _jsonable(conditions: Conditions | None) -> dict | None:
    if not conditions:
        return None
    return {name: list(value) if isinstance(value, tuple) else value for name, value in conditions.items()}
