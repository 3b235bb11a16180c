"""`hf-hybrid train-codec`, also as `accelerate launch scripts/train_codec.py`: trains an alphaGAN on public images."""

import sys
from dataclasses import dataclass, fields
from pathlib import Path

from hf_hybrid.models.train_alphagan import CodecArguments


@dataclass(kw_only=True)
class CodecOptions(CodecArguments):
    """What the codec is and how it is trained.

    Args:
        image_source: what the images are, for the cards.
        resolution: height and width in pixels, a power of two from 32 to 512.
        in_channels: 1 (grey) or 3 (RGB).
        latent_dim: length of a latent.
        base_channels: channels at half the resolution, doubled at each halving.
        max_channels: where the doubling stops.
        layers_per_block: convolutions at each resolution.
        norm: `group` or `none`.
        linear_path: whether a PCA-initialised linear path runs beside the convolutions.
        resize_mode: how images that are not square become so, `crop` (their middle) or `pad` (all, on black).
        private_images: whether the images are not public; the codec is pushed only with a report on attacks then.
    """

    image_source: str | None = None
    resolution: int = 64
    in_channels: int = 1
    latent_dim: int = 64
    base_channels: int = 32
    max_channels: int = 256
    layers_per_block: int = 1
    norm: str = "group"
    linear_path: bool = True
    resize_mode: str = "crop"
    private_images: bool = False

    def train(
        self, dataset: str, output_dir: str | Path, logging_dir: Path | None = None
    ) -> dict[str, dict[str, float]]:
        """Trains and writes the codec's folder; see `train_codec`."""
        from hf_hybrid.data.records import load_records
        from hf_hybrid.data.sources import fingerprint
        from hf_hybrid.models.train_codec import train_codec

        arguments = {entry.name for entry in fields(CodecArguments)}
        shape = {entry.name for entry in fields(CodecOptions)} - arguments - {"image_source"}
        return train_codec(
            lambda: load_records(dataset),
            {name: getattr(self, name) for name in sorted(shape)},
            CodecArguments(**{name: getattr(self, name) for name in arguments}),
            Path(output_dir),
            self.image_source,
            logging_dir,
            fingerprint(dataset),
        )


@dataclass(kw_only=True)
class Options(CodecOptions):
    """Trains an alphaGAN on public images.

    Args:
        dataset: public images: image folder, parquet, saved `datasets` folder or Hub id; their table is not used.
        output_dir: the codec; checkpoints, log and grids lie in its `logs/`, from which a broken training is resumed.
    """

    dataset: str
    output_dir: str


def main(options: Options) -> int:
    """Trains and prints the held-out scores beside those of a PCA."""
    for name, found in options.train(options.dataset, options.output_dir).items():
        sys.stdout.write(f"{name:6} " + "  ".join(f"{key} {value:.4f}" for key, value in found.items()) + "\n")
    return 0
