"""Speed as ratios, measured side by side in one run: medians of several repetitions, alternating.

    python scripts/speed.py codec codec.json            a codec's training against its networks alone and a textbook
    python scripts/speed.py codec codec_gpu.json --batch_size 256 --mixed_precision bf16      the same on a GPU
    python scripts/speed.py table                           ctgan.CTGAN against CTGANSampler: time, memory, conditions
    python scripts/speed.py quality runs/demo               what either learns of a cohort in as many updates
    python scripts/speed.py cost                            CTGANSampler against the number of columns and of rows

The last three write `speed_<name>.json` and a table or a plot beside it into `runs/speed`, or into the folder given.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from jsonargparse import auto_cli
from speed_codec import KINDS, Setting, codec_speed
from speed_samplers import BATCH_SIZE, Stock, draw_table, ours

from hf_hybrid.commands.cli import guarded
from hf_hybrid.core import provenance
from hf_hybrid.core.memory import peak_memory
from hf_hybrid.samplers.rows import LatentRows

ARMS = ("ctgan", "hf_hybrid")
MEASURED = ("fit_seconds", "sample_seconds", "forward_seconds", "memory_mb")


def codec(
    output: Path,
    resolutions: list[int] | None = None,
    kinds: list[str] | None = None,
    batch_size: int = 32,
    mixed_precision: str = "no",
    warp: float = 0.0,
    repetitions: int = 5,
    seconds: float = 5.0,
) -> int:
    """Compares a codec's training loop with its networks' passes alone and with a textbook alphaGAN, alternating.

    Args:
        output: JSON file for images a second, their ratios and the share of waiting for input.
        resolutions: of the codec, one after the other; 64, 128 and 256 by default.
        kinds: of its networks, `convolutions` and `components`; both by default.
        batch_size: of each.
        mixed_precision: of loop and ceiling, `no` or `bf16`.
        warp: strength of the loop's random changes of images; `scripts/train_builtin.py` uses 1.
        repetitions: of each measurement; the median counts.
        seconds: of each measurement; at least one step is made.
    """
    found = {"batch_size": batch_size, "mixed_precision": mixed_precision, "warp": warp, "repetitions": repetitions}
    for resolution in resolutions or [64, 128, 256]:
        for kind in kinds or list(KINDS):
            setting = Setting(resolution, kind, batch_size, mixed_precision, warp)
            found.setdefault(str(resolution), {})[kind] = codec_speed(setting, repetitions, seconds)
            _save(output, found)
    return _write(output, found)


def table(
    output: Path = Path("runs/speed"),
    rows: int = 1342,
    latent_dims: list[int] | None = None,
    updates: int = 600,
    records: int = 6710,
    repetitions: int = 5,
    ctgan_updates: int | None = None,
) -> int:
    """Compares fit, sampling and memory, one process per measurement, and how often conditions are met.

    Args:
        output: folder for `speed_table.json` and `.md`.
        rows: of the table, with 13 clinical columns.
        latent_dims: of the tables, one after the other; 128 and 512 by default.
        updates: of the generator.
        records: to sample.
        repetitions: of each measurement; those of an earlier call are not repeated.
        ctgan_updates: how many ctgan.CTGAN makes, where `updates` of it would take hours: what they took, without its
            transform, is scaled up to `updates`. Its conditions are not measured then.
    """
    setting = {"rows": rows, "clinical_columns": 13, "updates": updates, "records": records, "batch_size": BATCH_SIZE}
    found = _measured(output / "speed_table.json", setting)
    for latent_dim in map(str, latent_dims or [128, 512]):
        runs = found[latent_dim]["runs"] if latent_dim in found else {arm: [] for arm in ARMS}
        for repetition in range(len(runs[ARMS[0]]), repetitions):
            for arm in ARMS:
                words = ["arm", arm, rows, latent_dim, updates, records, repetition]
                if arm == "ctgan" and ctgan_updates:
                    words += ["--ctgan_updates", ctgan_updates]
                runs[arm].append(_in_a_process(*words))
            found[latent_dim] = _summary(runs)
            _save(output / "speed_table.json", {"setting": setting, "latents": found})
    return _write(output / "speed_table.json", {"setting": setting, "latents": found}, _table_lines(setting, found))


def _measured(path: Path, setting: dict) -> dict[str, dict]:
    """Measurements of an earlier call with the same settings and versions, which take hours to repeat."""
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    same = (earlier.get("setting"), earlier.get("versions")) == (setting, provenance.versions())
    return earlier["latents"] if same else {}


def _summary(runs: dict[str, list[dict]]) -> dict:
    medians = {arm: _medians(one) for arm, one in runs.items()}
    ours, theirs = medians["hf_hybrid"], medians["ctgan"]
    times = {key: round(theirs[key] / ours[key], 1) for key in MEASURED}
    return {"repetitions": len(runs["ctgan"]), **medians, "times": times, "runs": runs}


def _table_lines(setting: dict, found: dict[str, dict]) -> str:
    updates, records = setting["updates"], setting["records"]
    lines = [
        "| Latents | Median of | | ctgan.CTGAN | CTGANSampler | Ratio |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for latent_dim, one in found.items():
        first, made = f"| {latent_dim} | {one['repetitions']} |", one["ctgan"].get("updates_made")
        fit = f"Fit, {updates} updates" + (f" (ctgan.CTGAN: {made:g}, scaled up)" if made else "")
        for key, words in (
            ("fit_seconds", f"{fit}, s"),
            ("sample_seconds", f"Sampling {records:,} records, s"),
            ("forward_seconds", "Of that the generator's forward passes alone, s"),
            ("memory_mb", "Peak memory above imports, MB"),
        ):
            values = " | ".join(f"{one[arm][key]:,.3g}" for arm in ARMS)
            lines.append(f"{first} {words} | {values} | {one['times'][key]:,.1f} |")
        for key in one["ctgan"]["obeyed"]:
            values = " | ".join(_percent(one[arm]["obeyed"][key]) for arm in ARMS)
            lines.append(f"{first} Condition on {key}, obeyed | {values} | |")
    return "\n".join(lines) + "\n"


def arm(
    name: str,
    rows: int,
    latent_dim: int,
    updates: int,
    records: int,
    seed: int,
    ctgan_updates: int | None = None,
) -> int:
    """One measurement of `table`, in a process of its own; prints JSON."""
    made_up, schema = draw_table(rows, latent_dim)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - ctgan's generator
    sampler = Stock(ctgan_updates or updates) if name == "ctgan" else ours(updates, seed)
    sampler.prepare(made_up, schema)
    with peak_memory() as peak:
        seconds = [time.perf_counter()]
        sampler.fit()
        seconds.append(time.perf_counter())
        sampler.sample(records)
        seconds.append(time.perf_counter())
    bare = time.perf_counter()
    sampler.forward(records)
    found = {
        "forward_seconds": time.perf_counter() - bare,
        "fit_seconds": seconds[1] - seconds[0],
        "sample_seconds": seconds[2] - seconds[1],
        "memory_mb": peak.megabytes,
    }
    if ctgan_updates:
        found |= {"updates_made": ctgan_updates, "updates_seconds": sampler.loop_seconds, "obeyed": {}}
        found["fit_seconds"] += sampler.loop_seconds * (updates / ctgan_updates - 1)
    else:
        found["obeyed"] = {
            "the first discrete column": sampler.obeyed("category_0", "a"),
            "the second discrete column": sampler.obeyed("category_1", "a"),
            "the last discrete column": sampler.obeyed("category_6", "a"),
            "a numeric range": sampler.obeyed("number_0", (8, 12)),
        }
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def quality(
    cohort: Path,
    output: Path = Path("runs/speed"),
    codec_name: str = "builtin:phantoms",
    updates: int = 600,
    seeds: int = 5,
) -> int:
    """Compares what both learn in equally many updates, on the test patients of a cohort.

    Args:
        cohort: output folder of `hf-hybrid run` or `hf-hybrid benchmark`.
        output: folder for `speed_quality.json` and `.md`.
        codec_name: `builtin:NAME` or the folder of the codec that made its latents.
        updates: of the generator.
        seeds: fits and samples of each.
    """
    from hf_hybrid.data.records import load_records
    from hf_hybrid.studies import benchmark
    from hf_hybrid.synthesis.latent_table import LatentTable, expressible_records
    from hf_hybrid.synthesis.pipeline import load_codec

    latents = LatentTable.load(cohort / "logs" / "latent-table")
    learned = LatentRows.from_dataset(latents.dataset, latents.schema)
    records_dir = cohort / "logs" / "records"
    records = [
        expressible_records(load_records(f"{records_dir}:{one}", schema=latents.schema), latents.schema)
        for one in ("train", "test")
    ]
    model, _ = load_codec(codec_name)
    scorer = benchmark.SampleScorer(latents, *records, model, 500)
    found = {arm: [] for arm in ARMS}
    for seed in range(seeds):
        for name in ARMS:
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002 - ctgan's generator
            sampler = Stock(updates) if name == "ctgan" else ours(updates, seed)
            sampler.prepare(learned, latents.schema)
            sampler.fit()
            scores = scorer.score(sampler.sample(5 * len(learned)), seed)
            found[name].append(scores)
            sys.stderr.write(f"{name} {seed} {scores.numbers}\n")
    real = scorer.score(None, 0)
    summary = {name: benchmark.over_seeds(real, scores) for name, scores in found.items()}
    shown = ("column_shapes", "pair_trends", "pairing")
    targets = [row["target"] for row in summary["ctgan"]["utility"] if row["inputs"] == "image"]
    head = ["Column shapes", "Pair trends", "Pairing", *(f"Recovered from the image: {target}" for target in targets)]
    lines = [f"| {updates} updates | {' | '.join(head)} |", "| --- " * (len(head) + 1) + "|"]
    for name in ARMS:
        cells = ["{value:.3f} ({low:.3f} to {high:.3f})".format(**_spread(summary[name][key])) for key in shown]
        for row in summary[name]["utility"]:
            if row["inputs"] == "image":
                share = row["recovered_share"]
                cells.append(share and "{:.2f} ({:.2f} to {:.2f})".format(share["value"], *share["interval"]) or "–")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    result = {"updates": updates, "seeds": seeds, "batch_size": BATCH_SIZE, "arms": summary}
    return _write(output / "speed_quality.json", result, "\n".join(lines) + "\n")


def cost(
    output: Path = Path("runs/speed"),
    latent_dims: list[int] | None = None,
    rows: list[int] | None = None,
    updates: int = 100,
    repetitions: int = 3,
) -> int:
    """Times `CTGANSampler` against the number of columns and of rows.

    Args:
        output: folder for `speed_cost.json` and `.png`.
        latent_dims: of tables with 1,342 rows; 16 to 512 by default.
        rows: of tables with 64 latents; 300 to 100,000 by default.
        updates: of the generator; the transform, the fit and the sampling are timed apart.
        repetitions: of each measurement; the median counts.
    """
    sizes = {
        "latents": [(1342, latent_dim) for latent_dim in latent_dims or [16, 32, 64, 128, 256, 512]],
        "rows": [(count, 64) for count in rows or [300, 1000, 3000, 10_000, 30_000, 100_000]],
    }
    output.mkdir(parents=True, exist_ok=True)
    found = {axis: [_cost(*size, updates, repetitions) for size in one] for axis, one in sizes.items()}
    draw_cost(found, output / "speed_cost.png")
    return _write(output / "speed_cost.json", {"updates": updates, "repetitions": repetitions, **found})


def _cost(rows: int, latent_dim: int, updates: int, repetitions: int) -> dict[str, float]:
    from hf_hybrid.samplers.transform import TableTransform

    made_up, schema = draw_table(rows, latent_dim)
    groups, runs = np.arange(rows), []
    for seed in range(repetitions):
        sampler = ours(updates, seed)
        sampler.prepare(made_up, schema)
        seconds = [time.perf_counter()]
        transform = TableTransform(schema).fit(made_up.latents, made_up.frame, groups)
        matrix = transform.transform(made_up.latents, made_up.frame)
        seconds.append(time.perf_counter())
        transform.inverse(matrix)
        seconds.append(time.perf_counter())
        sampler.fit()
        seconds.append(time.perf_counter())
        sampler.sample(rows)
        seconds.append(time.perf_counter())
        names = ("transform_seconds", "inverse_seconds", "fit_seconds", "sample_seconds")
        runs.append(dict(zip(names, np.diff(seconds).tolist(), strict=True)))
    return {"rows": rows, "latents": latent_dim, **_medians(runs)}


def draw_cost(found: dict[str, list[dict]], path: Path) -> None:
    """Plots seconds against latents and against rows, on logarithmic axes, with a line of slope 1 beside them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    words = {"transform": "fit of the transform", "inverse": "its inverse", "fit": "fit", "sample": "sampling"}
    for axis, (name, points) in zip(figure.subplots(1, 2), found.items(), strict=True):
        sizes = [one[name] for one in points]
        for key, label in words.items():
            axis.loglog(sizes, [one[f"{key}_seconds"] for one in points], "o-", markersize=3, label=label)
        low = min(one["inverse_seconds"] for one in points)
        axis.loglog(sizes, [low * size / sizes[0] / 2 for size in sizes], ":", color="black", label="linear")
        axis.set_xlabel(name)
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("seconds")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=8)
    figure.savefig(path, metadata={"Software": None})


# --- measuring -------------------------------------------------------------------------------------------------------


def _in_a_process(*words: object) -> dict:
    done = subprocess.run([sys.executable, __file__, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    sys.stderr.write(f"{words} {found}\n")
    return found


def _medians(runs: list[dict]) -> dict:
    return {
        key: _medians([run[key] for run in runs])
        if isinstance(value, dict)
        else (None if value is None else round(statistics.median(run[key] for run in runs), 5))
        for key, value in runs[0].items()
    }


def _percent(share: float | None) -> str:
    return "cannot be asked" if share is None else f"{100 * share:.1f} %"


def _spread(number: dict) -> dict:
    return {"value": number["value"], "low": number["range"][0], "high": number["range"][1]}


def _write(output: Path, found: dict, markdown: str | None = None) -> int:
    text = _save(output, found)
    if markdown:
        output.with_suffix(".md").write_text(markdown, encoding="utf-8")
    sys.stdout.write(markdown or text)
    return 0


def _save(output: Path, found: dict) -> str:
    machine = {"threads": torch.get_num_threads(), "cuda": torch.cuda.is_available()}
    text = json.dumps({"machine": machine, "versions": provenance.versions(), **found}, indent=2) + "\n"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    return text


if __name__ == "__main__":
    sys.exit(guarded(lambda: auto_cli([codec, table, arm, quality, cost], as_positional=True)))
