"""`hf-hybrid benchmark CONFIG.yaml`: several samplers on one split, several seeds, one table and one page."""

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hf_hybrid.commands.fit import SamplerSettings
from hf_hybrid.commands.stages import (
    DataOptions,
    SplitOptions,
    Stages,
    check_records,
    encode_records,
    make_codec,
    private_records,
)
from hf_hybrid.core.errors import InputError, check_above
from hf_hybrid.core.files import write_atomically
from hf_hybrid.samplers.registry import SAMPLERS

if TYPE_CHECKING:
    from hf_hybrid.data.records import Records
    from hf_hybrid.samplers.base import Sampler
    from hf_hybrid.studies.benchmark import SampleScorer, Scores
    from hf_hybrid.synthesis.latent_table import LatentTable

POSITIONAL = ("config",)


@dataclass(kw_only=True)
class Options(DataOptions):
    """Compares samplers; everything but `benchmark.json`, `.md`, `.html` and `.png` in `output_dir` is private.

    Args:
        samplers: names of the samplers to compare, including copula, the reference.
        sampler: their options.
        seeds: number of fits and samples of each.
        multiple: synthetic records per real training record.
        tested_on: the split that scores are tested on: `validation` to choose a sampler, `test` to report its scores.
        bootstraps: patient bootstrap replicates of every interval.
    """

    output_dir: str = "runs/benchmark"
    split: SplitOptions = field(default_factory=lambda: SplitOptions(validation=0.15))
    samplers: list[str] | None = None
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    seeds: int = 3
    multiple: float = 5.0
    tested_on: Literal["validation", "test"] = "validation"
    bootstraps: int = 500

    def __post_init__(self) -> None:
        """Raises InputError for what cannot be compared."""
        self.samplers = self.samplers or sorted(SAMPLERS)
        check_above(self, 0, "seeds", "bootstraps", "multiple")


def main(options: Options) -> int:
    """Runs the remaining stages, writes table and page and prints the table."""
    from hf_hybrid.studies.benchmark import check_names

    check_names(options.samplers)
    stages = Stages(Path(options.output_dir))
    study = _prepare(options, stages)
    samplers = {name: options.sampler.named(name) for name in options.samplers}
    before = dict(stages.done)
    found = {name: [] for name in samplers}
    for seed in range(options.seeds):
        for name, sampler in samplers.items():
            stages.done = dict(before)  # samplers are independent of each other
            found[name].append(_score(options, stages, study, name, sampler, seed))
    _write(_result(options, study, samplers, found), Path(options.output_dir))
    return 0


@dataclass
class _Study:
    """What all samplers share.

    Args:
        latents: folder of the table that they learn.
        table: that table.
        records: training records, and records for testing.
        scorer: scores their draws.
        num_records: number of records that they draw.
    """

    latents: Path
    table: "LatentTable"
    records: "tuple[Records, Records]"
    scorer: "SampleScorer"
    num_records: int


def _prepare(options: Options, stages: Stages) -> _Study:
    """Records, codec and latent table, new or from an earlier run."""
    from hf_hybrid.data.records import load_records
    from hf_hybrid.data.sources import split_names
    from hf_hybrid.studies.benchmark import SampleScorer
    from hf_hybrid.synthesis.latent_table import LatentTable, expressible_records
    from hf_hybrid.synthesis.pipeline import load_codec

    dataset, schema = private_records(options, stages)
    if options.tested_on not in split_names(dataset):
        raise InputError(
            f"expected a split `{options.tested_on}` in the dataset, found {split_names(dataset)}: set "
            "`split.validation` above 0, or `tested_on` test"
        )
    check_records(options, dataset, schema)
    codec_name = make_codec(options, stages)
    latents = encode_records(options, stages, dataset, schema, codec_name)
    table, (codec, _) = LatentTable.load(latents), load_codec(codec_name)
    records = tuple(
        expressible_records(load_records(f"{dataset}:{split}", schema=table.schema), table.schema)
        for split in ("train", options.tested_on)
    )
    scorer = SampleScorer(table, *records, codec, options.bootstraps)
    return _Study(latents, table, records, scorer, round(options.multiple * len(table.dataset)))


def _score(options: Options, stages: Stages, study: _Study, name: str, sampler: "Sampler", seed: int) -> "Scores":
    """Fits, samples and scores one sampler for one seed."""
    from datasets import load_from_disk

    from hf_hybrid.samplers.rows import LatentRows
    from hf_hybrid.studies.benchmark import Scores

    sampler = replace(sampler, seed=seed) if hasattr(sampler, "seed") else sampler
    sample = stages.logs / "samples" / f"{name}-{seed}"
    stages.run(
        f"sample-{name}-{seed}",
        sample,
        {"class": name, **asdict(sampler), "num_records": study.num_records, "seed": seed},
        lambda logs: _in_a_process(study.latents, sampler, study.num_records, seed, sample, logs),
    )
    rows = LatentRows.from_dataset(load_from_disk(sample / "sample"), study.table.schema)
    score = stages.logs / "scores" / f"{name}-{seed}"
    stages.run(
        f"score-{name}-{seed}",
        score,
        {"tested_on": options.tested_on, "bootstraps": options.bootstraps},
        lambda _: study.scorer.score(rows, seed).save(score),
    )
    scores = Scores.load(score)
    scores.numbers |= json.loads((sample / "costs.json").read_text(encoding="utf-8"))
    return scores


def _result(
    options: Options, study: _Study, samplers: "dict[str, Sampler]", found: "dict[str, list[Scores]]"
) -> dict[str, Any]:
    """All numbers with their context, JSON-able."""
    from hf_hybrid.core import provenance
    from hf_hybrid.studies.benchmark import summarise

    return {
        "configuration": {
            **{key: value for key, value in asdict(options).items() if key not in _PLACES},
            "dataset": options.dataset and "private records",
        },
        "versions": provenance.versions(),
        "records": {
            name: {"records": len(one), "patients": len(set(one.groups.tolist()))}
            for name, one in zip(("learned from", "tested on"), study.records, strict=True)
        },
        "synthetic_records": study.num_records,
        **summarise(study.scorer.score(None, 0), found, samplers),
    }


def _write(result: dict[str, Any], output_dir: Path) -> None:
    """The numbers, the chart, the table and the page; prints the table."""
    from hf_hybrid.reports import cards
    from hf_hybrid.reports.benchmark_chart import draw_benchmark

    write_atomically(output_dir / "benchmark.json", json.dumps(result, indent=2) + "\n")
    draw_benchmark(result, output_dir / "benchmark.png")
    markdown = cards.benchmark_table(result)
    write_atomically(output_dir / "benchmark.md", markdown)
    write_atomically(output_dir / "benchmark.html", cards.benchmark_html(result, output_dir / "benchmark.png"))
    sys.stdout.write(f"{markdown}\npage: {output_dir / 'benchmark.html'}\n")


# Paths are not part of a result.
_PLACES = ("output_dir", "dataset", "public_dataset", "pretrained_codec", "schema")


def _in_a_process(latents: Path, sampler: "Sampler", num_records: int, seed: int, output: Path, logs: Path) -> None:
    """Calls `benchmark.fit_and_sample` in a fresh process, so that its peak memory can be measured."""
    import torch

    from hf_hybrid.core.files import private_folder
    from hf_hybrid.studies.benchmark import fit_and_sample

    private_folder(output.parent)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        arguments = (latents, sampler, num_records, seed, output, logs, torch.get_num_threads())
        try:
            pool.submit(fit_and_sample, *arguments).result()
        except BrokenProcessPool:
            raise InputError(
                f"expected {type(sampler).__name__} to be fitted, found its process killed: more memory may be needed"
            ) from None
