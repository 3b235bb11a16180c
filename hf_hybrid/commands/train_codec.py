"""`hf-hybrid train-codec`, also as `accelerate launch scripts/train_codec.py`: trains an alphaGAN on public images."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from hf_hybrid.commands.options_parser import pick
from hf_hybrid.core.errors import InputError
from hf_hybrid.models.options import CodecArguments, CodecOptions, ImageFacts, NetworkOptions

if TYPE_CHECKING:
    from hf_hybrid.models.train_codec import Start


@dataclass(kw_only=True)
class Options(CodecOptions):
    """Trains an alphaGAN on public images, or goes on with one, also on private images.

    Args:
        dataset: public images: image folder, parquet, saved `datasets` folder or Hub id; their table is not used.
        pretrained_codec: a codec of public images to start from: `builtin:radiographs` and others of the package, a
            folder or a Hub id. It decides what the codec is. The networks that draw detail stay as they are, so that
            with `private_images` they still know public images alone.
        output_dir: folder of the codec; checkpoints, log and grids are in its `logs/`; interrupted training is
            resumed.
    """

    dataset: str
    output_dir: str
    pretrained_codec: str | None = None


def main(options: Options) -> int:
    """Trains and prints the held-out scores beside those of a PCA."""
    for name, found in _trained(options).items():
        sys.stdout.write(f"{name:6} " + "  ".join(f"{key} {value:.4f}" for key, value in found.items()) + "\n")
    return 0


def _trained(options: Options) -> dict[str, dict[str, float]]:
    if options.pretrained_codec is None:
        return train(options, options.dataset, options.output_dir)
    from hf_hybrid.models.builtin import codec_fingerprint
    from hf_hybrid.models.train_codec import Start
    from hf_hybrid.synthesis.pipeline import load_codec

    codec, facts = load_codec(options.pretrained_codec)
    if codec.config.private_images:
        raise InputError("expected a codec of public images as `pretrained_codec`, found one of private images")
    _check_same_network(options, codec.config)
    start = Start(codec.cpu(), facts, options.private_images)
    return train(
        options, options.dataset, options.output_dir, None, start, codec_fingerprint(options.pretrained_codec)
    )


def _check_same_network(options: Options, config: Mapping) -> None:
    """Raises InputError for an option that would change what the codec is."""
    changed = [
        field.name
        for field in fields(NetworkOptions)
        if field.name != "private_images" and getattr(options, field.name) not in (field.default, config[field.name])
    ]
    if changed:
        raise InputError(
            f"expected the network of `pretrained_codec`, found other values of {', '.join(changed)}: leave them out"
        )


def train(
    options: CodecOptions,
    dataset: str,
    output_dir: str | Path,
    logging_dir: Path | None = None,
    start: "Start | None" = None,
    identity: str = "",
) -> dict[str, dict[str, float]]:
    """Trains a codec on a dataset and writes its folder; see `train_codec`. `identity` is that of the start."""
    from hf_hybrid.data.records import load_records
    from hf_hybrid.data.sources import fingerprint
    from hf_hybrid.models.train_codec import train_codec

    return train_codec(
        lambda: load_records(dataset),
        start or asdict(pick(NetworkOptions, options)),
        pick(CodecArguments, options),
        Path(output_dir),
        pick(ImageFacts, options),
        logging_dir,
        fingerprint(dataset) + identity,
    )
