"""`hf-hybrid train-codec`, also as `accelerate launch scripts/train_codec.py`: trains an alphaGAN on public images."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from hf_hybrid.commands.options_parser import pick
from hf_hybrid.models.options import CodecArguments, CodecOptions, NetworkOptions


@dataclass(kw_only=True)
class Options(CodecOptions):
    """Trains an alphaGAN on public images.

    Args:
        dataset: public images: image folder, parquet, saved `datasets` folder or Hub id; their table is not used.
        output_dir: folder of the codec; checkpoints, log and grids are in its `logs/`; interrupted training is
            resumed.
    """

    dataset: str
    output_dir: str


def main(options: Options) -> int:
    """Trains and prints the held-out scores beside those of a PCA."""
    for name, found in train(options, options.dataset, options.output_dir).items():
        sys.stdout.write(f"{name:6} " + "  ".join(f"{key} {value:.4f}" for key, value in found.items()) + "\n")
    return 0


def train(
    options: CodecOptions, dataset: str, output_dir: str | Path, logging_dir: Path | None = None
) -> dict[str, dict[str, float]]:
    """Trains a codec on a dataset and writes its folder; see `train_codec`."""
    from hf_hybrid.data.records import load_records
    from hf_hybrid.data.sources import fingerprint
    from hf_hybrid.models.train_codec import train_codec

    return train_codec(
        lambda: load_records(dataset),
        asdict(pick(NetworkOptions, options)),
        pick(CodecArguments, options),
        Path(output_dir),
        options.image_source,
        logging_dir,
        fingerprint(dataset),
    )
