"""From an image set to the folder of a codec: pixels, training, provenance and card.

A training may start from a codec. Encoder and generator learn then, and its refiners stay as they are, byte for byte:
what is drawn comes from public images alone, and what is private goes through the latents.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState

from hf_hybrid.core.artifacts import CARD
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import private_folder
from hf_hybrid.core.provenance import refuse_paths
from hf_hybrid.core.randomness import seed_for
from hf_hybrid.data.records import Records
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.alphagan_trainer import AlphaGANTrainer
from hf_hybrid.models.calibration import reconstruction_error_range
from hf_hybrid.models.options import CodecArguments, ImageFacts


@dataclass(frozen=True)
class Start:
    """A codec of public images that a training starts from.

    Args:
        codec: the codec; not changed.
        facts: what its provenance says of it.
        private_images: whether the images of the training are not public.
    """

    codec: AlphaGAN
    facts: dict
    private_images: bool = False

    def core(self) -> AlphaGAN:
        """Its encoder and generator alone, as a codec at their resolution."""
        alone = {"core_resolution": None, "detail_widths": None, "detail_times": None}
        core = AlphaGAN(**{**self._arguments, "resolution": self.codec.core_side, **alone})
        core.load_state_dict({name: self.codec.state_dict()[name] for name in core.state_dict()})
        return core

    def whole(self, core: AlphaGAN) -> AlphaGAN:
        """The codec with another core."""
        codec = AlphaGAN(**self._arguments)
        codec.load_state_dict({**self.codec.state_dict(), **core.state_dict()})
        return codec.eval()

    @property
    def told(self) -> dict:
        """What the facts of the new codec say of this one."""
        training = self.facts["training"]
        return {name: training[name] for name in ("images", "steps", "seed")} | self.facts.get("builtin", {})

    @property
    def _arguments(self) -> dict:
        return {**self.codec.arguments, "private_images": self.private_images}


def train_codec(
    load: Callable[[], Records],
    config: dict | Start,
    arguments: CodecArguments,
    output_dir: Path,
    images: ImageFacts | None = None,
    logging_dir: Path | None = None,
    identity: str = "",
) -> dict[str, dict[str, float]]:
    """Trains a codec and writes its folder: config, safetensors, provenance, sample grid and card.

    Args:
        load: loads the images; not called when an interrupted run left their pixels.
        config: arguments of `AlphaGAN`, or the codec to start from.
        arguments: the options of the training.
        output_dir: the codec's folder; holds nothing but `logs/` before.
        images: what provenance and cards say of the images.
        logging_dir: private folder for checkpoints, log and grids; `output_dir/logs` if None.
        identity: changes when the images do, or the codec to start from; what a run on others left is not used.

    Returns:
        The held-out scores of the codec and of a PCA.
    """
    output_dir, images = Path(output_dir), images or ImageFacts()
    refuse_paths(asdict(images))
    if (output_dir / CARD).exists():  # written last
        raise InputError(f"expected a new `output_dir`, found a codec in {output_dir}: name another folder")
    logging_dir = private_folder(logging_dir or output_dir / "logs")
    start = config if isinstance(config, Start) else None
    codec = start.core() if start else _new(config, arguments.seed)
    pixels, groups = _pixels(load, codec, logging_dir, identity)
    trainer = AlphaGANTrainer(codec, pixels, arguments, logging_dir, groups, keep_weights=start is not None)
    scores = trainer.fit()
    if trainer.accelerator.is_main_process:
        facts = _training_facts(trainer, scores, images, start)
        trained = trainer.codec.cpu()
        (start.whole(trained) if start else trained).save_with_card(output_dir, facts)
    trainer.accelerator.wait_for_everyone()
    return scores


def _new(config: dict, seed: int) -> AlphaGAN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "codec: weights"))
        return AlphaGAN(**config)


def _training_facts(
    trainer: AlphaGANTrainer, scores: dict[str, dict[str, float]], images: ImageFacts, start: Start | None
) -> dict:
    """The facts about the training for provenance and card."""
    count = len(trainer.pixels)
    private = trainer.codec.config.private_images  # of these no range is stated: it would rest on held-out patients
    known = None if private else reconstruction_error_range(trainer.codec, trainer.pixels[trainer.held_out])
    content = images.image_content or (start.facts["training"].get("content") if start else None)
    return {
        "images": images.image_source or f"{count} images whose source is not named",
        **({"content": content} if content else {}),
        "num_images": count,
        "steps": trainer.run.step,
        "seed": trainer.arguments.seed,
        "scores": {name: {key: round(value, 4) for key, value in found.items()} for name, found in scores.items()},
        **({"image_range": known} if known else {}),
        **({"start": start.told} if start else {}),
    }


def _pixels(
    load: Callable[[], Records], codec: AlphaGAN, logging_dir: Path, identity: str
) -> tuple[np.ndarray, np.ndarray]:
    """All images at the codec's resolution, decoded once into a file that is memory-mapped, and their patients."""
    config = codec.config
    wanted = f"{identity} {config.resolution} {config.in_channels} {config.resize_mode}"
    path = logging_dir / f"pixels-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}.npy"
    with PartialState().main_process_first():
        if not path.exists():
            records, temporary = load(), path.with_suffix(".tmp")
            side, first = (config.resolution, config.resolution), 0
            shape = (len(records), *side) if config.in_channels == 1 else (len(records), *side, 3)
            pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            for batch in records.iter_pixels(config.resolution, config.in_channels, config.resize_mode):
                pixels[first : first + len(batch)] = batch
                first += len(batch)
            pixels.flush()
            np.save(path.with_suffix(".groups.npy"), records.groups)
            temporary.rename(path)
    pixels = np.load(path, mmap_mode="r")
    if len(pixels) <= config.latent_dim:
        raise InputError(
            f"expected more images than `latent_dim` {config.latent_dim}, found {len(pixels)}: add images or lower it"
        )
    return pixels, np.load(path.with_suffix(".groups.npy"))
