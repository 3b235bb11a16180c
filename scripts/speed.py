"""Speed as ratios, measured side by side in one run: medians of several repetitions, alternating.

    python scripts/speed.py speed.json                                        what two cores can tell
    python scripts/speed.py speed_gpu.json --resolution 256 --batch_size 64   on a GPU: bf16 and compile too

Compared are the codec's training step in several forms, and the table transform with that of ctgan.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jsonargparse import auto_cli

from hf_hybrid import disclosure, provenance
from hf_hybrid.commands.cli import guarded
from hf_hybrid.models import AlphaGAN
from hf_hybrid.models.train_alphagan import AlphaGANTrainer, CodecArguments
from hf_hybrid.samplers.transform import TableTransform
from hf_hybrid.schema import RecordSchema


@dataclass
class Options:
    """What is measured.

    Args:
        output: JSON file for the figures.
        resolution: of the codec.
        batch_size: of the codec.
        rows: of the table.
        latent_dim: latents in the table.
        repetitions: of each measurement.
    """

    output: Path
    resolution: int = 64
    batch_size: int = 32
    rows: int = 1342
    latent_dim: int = 64
    repetitions: int = 5


def main(options: Options) -> int:
    """Measures, prints and writes the figures."""
    found = {
        "machine": {"threads": torch.get_num_threads(), "cuda": torch.cuda.is_available()},
        "versions": provenance.versions(),
        "codec_step": compare(codec_steps(options), options.repetitions),
        "transform": compare(transforms(options), options.repetitions),
    }
    text = json.dumps(found, indent=2) + "\n"
    options.output.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


def compare(candidates: dict[str, Callable[[], object]], repetitions: int) -> dict[str, dict[str, float]]:
    """Median seconds of each candidate, and how many times as fast as the first it is."""
    seconds = {name: [] for name in candidates}
    for run in candidates.values():
        run()  # compilation, caches
    for _ in range(repetitions):
        for name, run in candidates.items():
            started = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    first = next(iter(medians.values()))
    return {name: {"seconds": round(value, 5), "times": round(first / value, 2)} for name, value in medians.items()}


def codec_steps(options: Options) -> dict[str, Callable[[], object]]:
    """One training step: plain memory format, channels last; on a GPU in bf16 and compiled as well."""
    pixels = np.random.default_rng(0).integers(
        0, 256, (2 * options.batch_size + 40, *[options.resolution] * 2), np.uint8
    )

    def step(precision: str = "no", plain: bool = False, compiled: bool = False) -> Callable[[], object]:
        arguments = CodecArguments(train_batch_size=options.batch_size, mixed_precision=precision)
        codec = AlphaGAN(resolution=options.resolution, latent_dim=32)
        trainer = AlphaGANTrainer(codec, pixels, arguments, Path(tempfile.mkdtemp()))
        if plain:
            trainer.codec.to(memory_format=torch.contiguous_format)
            trainer.critics.to(memory_format=torch.contiguous_format)
        if compiled:
            trainer.codec.encoder.compile()
            trainer.codec.generator.compile()
            trainer.critics["image"].compile()
        batches = trainer.batches(1)
        return lambda: trainer.train_step(batches)

    found = {"contiguous": step(plain=True), "channels last": step()}
    if torch.cuda.is_available():
        found |= {"bf16": step("bf16"), "bf16, compiled": step("bf16", compiled=True)}
    return found


def transforms(options: Options) -> dict[str, Callable[[], object]]:
    """Fit and transform of latents and two clinical columns: ctgan's, and ours."""
    from ctgan.data_transformer import DataTransformer

    rng = np.random.default_rng(0)
    latents = rng.normal(size=(options.rows, options.latent_dim)).astype(np.float32)
    frame = pd.DataFrame(
        {"age": rng.normal(60, 15, options.rows).round(1), "sex": rng.choice(["F", "M"], options.rows)}
    )
    schema = disclosure.protect(RecordSchema.infer(frame, "image"), frame, np.arange(options.rows))
    table = pd.concat([pd.DataFrame(latents).add_prefix("z_"), frame], axis=1)

    def stock() -> None:
        transformer = DataTransformer()
        transformer.fit(table, ["sex"])
        transformer.transform(table)

    def ours() -> None:
        TableTransform(schema).fit(latents, frame, np.arange(options.rows)).transform(latents, frame)

    return {"ctgan": stock, "hf_hybrid": ours}


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(auto_cli(Options, as_positional=True))))
