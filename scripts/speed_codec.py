"""Images a second of a codec's training loop, of its networks alone, and of a textbook alphaGAN, for `speed.py`."""

import contextlib
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.alphagan_trainer import AlphaGANTrainer
from hf_hybrid.models.discriminators import make_discriminators
from hf_hybrid.models.options import CodecArguments
from hf_hybrid.training.graphs import GraphedStep, can_record, learning_rate_of

COMPONENTS = 384  # of the builtin codecs
KINDS = {"convolutions": {}, "components": {"num_components": COMPONENTS}}
_IMAGES = 2 * COMPONENTS + 64
_NEVER = 10**9


@dataclass
class Setting:
    """What is the same for all arms.

    Args:
        resolution: of the codec.
        kind: of its networks, see `KINDS`.
        batch_size: of each arm.
        mixed_precision: of each arm but the textbook's, `no` or `bf16`.
        warp: strength of the random changes of images; the textbook makes none.
    """

    resolution: int
    kind: str
    batch_size: int
    mixed_precision: str
    warp: float


def codec_speed(setting: Setting, repetitions: int, seconds: float) -> dict:
    """Times the arms of one setting, one after the other in each repetition.

    Args:
        setting: what is timed.
        repetitions: of each arm.
        seconds: of each measurement; at least one step is made.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        pixels = _images_on_disk(Path(folder), setting)
        arguments = CodecArguments(
            train_batch_size=setting.batch_size,
            mixed_precision=setting.mixed_precision,
            warp=setting.warp,
            max_train_steps=_NEVER,
            checkpointing_steps=_NEVER,
        )
        codec = AlphaGAN(resolution=setting.resolution, **KINDS[setting.kind])
        trainer = AlphaGANTrainer(codec, pixels, arguments, Path(folder) / "logs")
        arms = {"loop": stack.enter_context(_loop(trainer)), "ceiling": ceiling(trainer)}
        arms["ceiling, contiguous"] = ceiling(trainer, torch.contiguous_format)
        if trainer.accelerator.device.type == "cuda":
            arms["ceiling, compiled"] = ceiling(trainer, compiled=True)
        arms["textbook"] = textbook(trainer, Path(folder) / "png")
        arms["input alone"] = lambda: trainer.batches(1)
        return _timed(arms, trainer, repetitions, seconds)


def _images_on_disk(folder: Path, setting: Setting) -> np.ndarray:
    """Noise as a memory map, as `train-codec` keeps images, and the first of them as PNG files for the textbook."""
    size = _IMAGES, setting.resolution, setting.resolution
    np.save(folder / "pixels.npy", np.random.default_rng(0).integers(0, 256, size, np.uint8))
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    (folder / "png").mkdir()
    for index in range(max(256, setting.batch_size)):
        Image.fromarray(pixels[index % _IMAGES]).save(folder / "png" / f"{index:04d}.png")
    return pixels


def _timed(
    arms: dict[str, Callable[[], object]], trainer: AlphaGANTrainer, repetitions: int, seconds: float
) -> dict[str, dict | float]:
    wait = torch.cuda.synchronize if trainer.accelerator.device.type == "cuda" else lambda: None

    def duration(step: Callable[[], object], count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        return time.perf_counter() - started

    warm_up = 8 if trainer.accelerator.device.type == "cuda" else 1  # recording a graph, compilation, caches
    once = {name: (duration(step, warm_up), duration(step, 1))[1] for name, step in arms.items()}
    counts = {name: max(1, round(seconds / one)) for name, one in once.items()}
    batch, runs, shares = trainer.arguments.train_batch_size, {name: [] for name in arms}, []
    for _ in range(repetitions):
        for name, step in arms.items():
            waited = trainer.run.waited
            needed = duration(step, counts[name])
            runs[name].append(batch * counts[name] / needed)
            if name == "loop":
                shares.append((trainer.run.waited - waited) / needed)
    medians = {name: statistics.median(one) for name, one in runs.items()}
    found = {
        "images_a_second": {name: float(f"{one:.4g}") for name, one in medians.items()},
        "of_ceiling": round(medians["loop"] / medians["ceiling"], 3),
        "times_textbook": round(medians["loop"] / medians["textbook"], 2),
        "waiting": round(statistics.median(shares), 4),
        "runs": {name: [float(f"{one:.4g}") for one in some] for name, some in runs.items()},
    }
    sys.stderr.write(f"\n{ {name: value for name, value in found.items() if name != 'runs'} }\n")
    return found


# --- the arms --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _loop(trainer: AlphaGANTrainer) -> Iterator[Callable[[], object]]:
    """A step of the loop as `AlphaGANTrainer.fit` makes it, with its input and log; validations are left out."""
    steps = trainer.run.steps("loop")
    with trainer.batches.ahead() as batches_of, contextlib.closing(steps):
        yield lambda: [trainer.advance(step, batches_of) for step in itertools.islice(steps, 1)]


def _networks(trainer: AlphaGANTrainer, layout: torch.memory_format) -> tuple[AlphaGAN, torch.nn.ModuleDict]:
    """The same networks again."""
    config = trainer.codec.arguments
    codec = AlphaGAN(**config)
    codec.load_state_dict(trainer.codec.state_dict())
    discriminators = make_discriminators(codec, 0)
    return tuple(one.to(trainer.accelerator.device, memory_format=layout).train() for one in (codec, discriminators))


def ceiling(
    trainer: AlphaGANTrainer, layout: torch.memory_format = torch.channels_last, compiled: bool = False
) -> Callable[[], object]:
    """The same networks' forward and backward passes and updates on data in place: no input, average or log."""
    codec, discriminators = _networks(trainer, layout)
    if compiled:
        for one in (codec.encoder, codec.generator, discriminators["image"]):
            one.compile()
    accelerator, (batch,) = trainer.accelerator, trainer.batches(1)
    rate, count = learning_rate_of(accelerator, 1e-5), len(batch.noise)
    options = {"lr": rate, "fused": True, "capturable": can_record(accelerator)}
    optimizers = [torch.optim.Adam(one.parameters(), **options) for one in (codec, discriminators)]

    def step(images: torch.Tensor, noise: torch.Tensor) -> dict[str, torch.Tensor]:
        optimizers[0].zero_grad()
        discriminators.requires_grad_(False)
        with accelerator.autocast():
            codes = codec.encode_raw(images)
            fakes = codec.decode_raw(torch.cat([codes, noise]))
            judged = discriminators["image"](fakes), discriminators["code"](codes)
        loss = (fakes[:count].float() - images).abs().mean() + sum(_bce(one, True) for one in judged)
        loss.backward()
        optimizers[0].step()
        optimizers[1].zero_grad()
        discriminators.requires_grad_(True)
        with accelerator.autocast():
            of_images = discriminators["image"](torch.cat([images, fakes.detach()]))
            of_codes = discriminators["code"](torch.cat([noise, codes.detach()]))
        sum(_bce(one[:count], True) + _bce(one[count:], False) for one in (of_images, of_codes)).backward()
        optimizers[1].step()
        return {"loss": loss.detach()}

    made = step if compiled else GraphedStep(accelerator, step, optimizers)
    return lambda: made(batch.pixel_values, batch.noise)


class _Files(torch.utils.data.Dataset):
    """PNG files as tensors in [-1, 1]."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.png"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as image:
            return torch.from_numpy(np.asarray(image, dtype=np.float32))[None] / 127.5 - 1


def _read(folder: Path, trainer: AlphaGANTrainer) -> Iterator[torch.Tensor]:
    """Batches without end; on a CPU workers would take cores from the networks."""
    workers = 4 if trainer.accelerator.device.type == "cuda" else 0
    loader = torch.utils.data.DataLoader(
        _Files(folder), trainer.arguments.train_batch_size, True, num_workers=workers, drop_last=True
    )
    return itertools.chain.from_iterable(iter(loader) for _ in itertools.count())


def textbook(trainer: AlphaGANTrainer, folder: Path) -> Callable[[], object]:
    """The same networks in the loop of Rosca et al. (2017), written as papers' code is.

    A DataLoader reads image files, each kind of image passes the discriminators by itself, in the default layout and
    float32 with the default Adam, and the losses are read each step. Encoder and generator share one backward pass;
    the paper's algorithm has one for each.
    """
    device, weight = trainer.accelerator.device, trainer.arguments.reconstruction_weight
    codec, discriminators = _networks(trainer, torch.contiguous_format)
    of_images, of_codes = discriminators["image"], discriminators["code"]
    optimizers = [torch.optim.Adam(one.parameters(), 1e-5, (0.5, 0.9)) for one in (codec, of_images, of_codes)]
    batches = _read(folder, trainer)

    def update(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> float:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def step() -> list[float]:
        images = next(batches).to(device)
        prior = torch.randn(len(images), codec.config.latent_dim, device=device)
        codes = codec.encode_raw(images)
        reconstructed, sampled = codec.decode_raw(codes), codec.decode_raw(prior)
        loss = weight * functional.l1_loss(reconstructed, images) + _bce(of_codes(codes), True)
        loss = loss + _bce(of_images(reconstructed), True) + _bce(of_images(sampled), True)
        losses = [update(optimizers[0], loss)]
        loss = _bce(of_images(images), True) + _bce(of_images(reconstructed.detach()), False)
        losses.append(update(optimizers[1], loss + _bce(of_images(sampled.detach()), False)))
        loss = _bce(of_codes(prior), True) + _bce(of_codes(codes.detach()), False)
        return [*losses, update(optimizers[2], loss)]

    return step


def _bce(logits: torch.Tensor, real: bool) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, real).float())
