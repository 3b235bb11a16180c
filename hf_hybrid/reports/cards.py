"""Cards and the report: the facts of a folder, rendered by the templates in `hf_hybrid.templates`.

A missing fact is an error; nothing is guessed and nothing is left blank.
"""

import base64
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pyarrow.parquet as pq
from huggingface_hub import DatasetCard, DatasetCardData, ModelCard, ModelCardData

from hf_hybrid.core.artifacts import SHARDS
from hf_hybrid.core.errors import InputError
from hf_hybrid.reports.benchmark_table import benchmark_facts
from hf_hybrid.reports.card_facts import ModelFacts, ReleaseFacts, codec_facts, pipeline_facts, release_facts

_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")  # the Hub's size categories, in powers of ten from 1,000


def release_card(folder: str | Path) -> DatasetCard:
    """The card of a release, from its data, schema, provenance and (once evaluated) report.

    Raises:
        InputError: a file or a fact is missing.
    """
    facts = release_facts(folder)
    return DatasetCard(render("dataset_card.md.jinja", **vars(facts), card_data=_dataset_card_data(facts)))


@dataclass
class PrivateFacts:
    """What the publisher's own page shows in addition to the report.

    Args:
        pictures: PNG files by name: `real`, `reconstructions` and `closest_images`, where available.
        rows: closest rows, each with its `distance` and `cells`, column -> the private and the synthetic text.
    """

    pictures: dict[str, bytes]
    rows: list[dict]


def report_html(
    folder: str | Path, charts: Mapping[str, list] | None = None, private: PrivateFacts | None = None
) -> str:
    """The report of a release as one self-contained page: no script, no external resources.

    Args:
        folder: the release.
        charts: part of the report -> its `charts.Chart`s.
        private: content of the publisher's own page, which is never in the release.

    Raises:
        InputError: a file or a fact is missing.
    """
    facts = vars(release_facts(folder))
    shown = {name: data_uri(content) for name, content in private.pictures.items()} if private else {}
    samples = data_uri((Path(folder) / facts["samples"]).read_bytes())
    drawn = charts or {}
    return render(
        "report.html.jinja", **facts | {"samples": samples, "charts": drawn}, private=private or {}, pictures=shown
    )


def benchmark_table(result: dict) -> str:
    """The comparison of samplers as a Markdown table, from the content of `benchmark.json`."""
    return render("benchmark.md.jinja", **vars(benchmark_facts(result)))


def benchmark_html(result: dict, chart: str | Path) -> str:
    """The same as one self-contained page with its chart, a PNG file."""
    facts = benchmark_facts(result)
    return render("benchmark.html.jinja", **vars(facts), **result, chart=data_uri(Path(chart).read_bytes()))


def model_card(folder: str | Path) -> ModelCard:
    """The card of a pipeline, which has a sampler, or of a codec."""
    return pipeline_card(folder) if (Path(folder) / "sampler").is_dir() else codec_card(folder)


def codec_card(folder: str | Path) -> ModelCard:
    """The card of a codec.

    Raises:
        InputError: a file or a fact is missing.
    """
    return _model_card(codec_facts(folder), ["medical", "image", "autoencoder"])


def pipeline_card(folder: str | Path) -> ModelCard:
    """The card of a pipeline.

    Raises:
        InputError: a file or a fact is missing.
    """
    return _model_card(pipeline_facts(folder), ["synthetic", "medical", "image", "tabular"])


def _model_card(facts: ModelFacts, tags: list[str]) -> ModelCard:
    data = ModelCardData(
        license=facts.license,
        library_name="hf_hybrid",
        pipeline_tag="unconditional-image-generation",
        tags=[*tags, "hf_hybrid"],
    )
    return ModelCard(render("model_card.md.jinja", **vars(facts), card_data=data))


def data_uri(png: bytes) -> str:
    """A PNG file as a data URL."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _dataset_card_data(facts: ReleaseFacts) -> DatasetCardData:
    """The YAML header, with which `load_dataset` gives the same features from the folder and from the Hub."""
    from datasets import DatasetInfo, Features
    from datasets.info import DatasetInfosDict
    from datasets.splits import SplitDict, SplitInfo
    from datasets.utils.metadata import MetadataConfigs

    footers = [pq.read_metadata(shard) for shard in facts.shards]
    num_bytes = sum(footer.row_group(i).total_byte_size for footer in footers for i in range(footer.num_row_groups))
    info = DatasetInfo(
        features=Features.from_arrow_schema(pq.read_schema(facts.shards[0])),
        splits=SplitDict({"train": SplitInfo("train", num_bytes=num_bytes, num_examples=facts.num_records)}),
        download_size=sum(shard.stat().st_size for shard in facts.shards),
        dataset_size=num_bytes,
    )
    table = facts.schema.table
    predicted = [table[name] for name in facts.schema.targets or table]
    tasks = [] if all(column.is_number for column in predicted) else ["image-classification", "tabular-classification"]
    tasks += ["tabular-regression"] if any(column.is_number for column in predicted) else []
    data = DatasetCardData(
        license=facts.release.get("license"),
        annotations_creators=["machine-generated"],
        size_categories=[_size_category(facts.num_records)],
        task_categories=tasks,
        pretty_name=facts.release.get("pretty_name"),
        tags=["synthetic", "medical", "image", "tabular", "hf_hybrid"],
    )
    files = {"data_files": [{"split": "train", "path": SHARDS.removesuffix(".parquet")}]}
    MetadataConfigs({"default": files}).to_dataset_card_data(data)
    DatasetInfosDict({"default": info}).to_dataset_card_data(data)
    return data


def render(template: str, **facts: object) -> str:
    """A template of `hf_hybrid.templates`; a fact that is missing is an InputError."""
    try:
        return _environment().get_template(template).render(facts)
    except jinja2.UndefinedError as error:
        raise InputError(f"expected every fact that {template} shows, found one missing: {error}") from None


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hf_hybrid.templates", ""),
        undefined=jinja2.StrictUndefined,
        autoescape=lambda template: template.endswith(".html.jinja"),
        finalize=_refuse_none,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": _number, "cell": _cell, "bibtex": _bibtex, "json": json.dumps}
    return environment


def _refuse_none(value: object) -> object:
    if value is None:
        raise jinja2.UndefinedError("it is null")
    return value


def _number(value: int) -> str:
    return f"{int(_refuse_none(value)):,}"


def _cell(value: object) -> str:
    """Text escaped for Markdown, including its tables."""
    text = str(_refuse_none(value))
    for mark in "\\`*_|<>[]#":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _bibtex(value: object) -> str:
    return "".join(character for character in str(_refuse_none(value)) if character not in "{}\\")


def _size_category(num_records: int) -> str:
    above = sum(num_records >= 1000 * 10**power for power in range(len(_SIZES)))
    return f"n<{_SIZES[0]}" if above == 0 else "<n<".join(_SIZES[above - 1 : above + 1])
