"""Trains the networks that are shipped with the package, on public radiographs.

python scripts/train_builtin.py --pack public.npz --sources public_cxr,kids_cxr pack
python scripts/train_builtin.py --pack public.npz --output_dir built features-0=5 core=10 refiner-128-flow=60
python scripts/train_builtin.py --pack public.npz --output_dir built collect

Each task is a training and its minutes (`--steps` limits all of them). A training goes on where it was broken off and
writes its weights below `--output_dir`. `train_builtin.sh` runs all of them in some eight minutes on one data-centre
GPU. Patients of the first tenth (by a hash of their number) are seen by none of them; core and refiners leave out the
second too, whose images the scores in the refiners' logs are made on.
"""

import argparse
import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional

from hf_hybrid.core.randomness import seed_for
from hf_hybrid.models.alphagan import AlphaGAN, resized
from hf_hybrid.models.alphagan_trainer import AlphaGANTrainer
from hf_hybrid.models.options import CodecArguments
from hf_hybrid.models.public_images import HELD_OUT, UNKNOWN, PublicImages
from hf_hybrid.models.radiograph_network import read_radiograph_network
from hf_hybrid.models.radiograph_trainer import RadiographArguments, RadiographTrainer, label_scores
from hf_hybrid.models.refiner import Refiner
from hf_hybrid.models.refiner_trainer import RefinerArguments, RefinerTrainer, seeded

CORE = {"resolution": 64, "latent_dim": 64, "base_channels": 32, "max_channels": 256}
WIDTHS = {128: (32, 64, 128), 256: (24, 48, 64)}
TIMES = {128: (1.0, 0.5), 256: (1.0,)}
BATCH = {128: 256, 256: 96}
LATENT_NOISE = 0.15  # of the core's training and of the codes that the refiner is conditioned on
_COARSE_NOISE = 0.06  # largest sd of noise on the images that the last refiner is conditioned on
QUALITIES = {"public_cxr": 95, "kids_cxr": 75}
KINDS = ("normal", "bacteria", "virus")


def pack(args: argparse.Namespace) -> None:
    """Writes the image folders as one file."""
    import pandas as pd

    images, tables = [], []
    for folder in args.sources:
        table = pd.read_csv(Path(folder) / "train" / "metadata.csv").assign(source=Path(folder).name)
        tables.append(table)
        images += [np.asarray(Image.open(Path(folder) / "train" / name).convert("L")) for name in table.file_name]
    table = pd.concat(tables, ignore_index=True)
    found = table.findings.fillna("").str.split("|")
    names = sorted({name for one in found for name in one if name})
    adult = table.findings.notna()
    labels = {name: found.map(lambda one, name=name: float(name in one)).where(adult, UNKNOWN) for name in names}
    labels["male"] = (table.sex == "M").astype(float).where(adult, UNKNOWN)
    labels["frontal_pa"] = (table["view"] == "PA").astype(float).where(adult, UNKNOWN)
    labels["age"] = table.age.fillna(UNKNOWN).astype(float)
    labels["kind"] = table.finding.map({kind: place for place, kind in enumerate(KINDS)}).fillna(UNKNOWN).astype(float)
    PublicImages(
        np.stack(images),
        table.source.to_numpy(str),
        table.patient_id.to_numpy(str),
        {name: values.to_numpy(np.float32) for name, values in labels.items()},
    ).save(args.pack, QUALITIES)


def features(args: argparse.Namespace) -> None:
    """Trains the feature network of a seed: on the even or on the odd tenths of the patients."""
    images = _images(args.pack)
    images = images.part((images.tenths > 0) & (images.tenths % 2 == args.seed % 2))
    arguments = RadiographArguments(
        **_budget(args), train_batch_size=args.batch_size or 64, ema_decay=0.998, lr_warmup_steps=50
    )
    folder = args.output_dir / f"features-{args.seed}"
    network = RadiographTrainer(images, arguments, folder / "logs").fit()
    _save(network, folder / "weights.safetensors")
    score(args)


def score(args: argparse.Namespace) -> None:
    """Scores a feature network at 128 pixels on the patients that nothing sees."""
    images = _images(args.pack)
    held_out = images.part(images.tenths == HELD_OUT)
    held_out.pixels = _shrunk(held_out.pixels, 128)
    folder = args.output_dir / f"features-{args.seed}"
    network = read_radiograph_network(folder / "weights.safetensors")
    scores = {name: round(value, 3) for name, value in label_scores(network, held_out).items()}
    (folder / "scores.json").write_text(json.dumps({"num_images": len(held_out), **scores}, indent=2))


def core(args: argparse.Namespace) -> None:
    """Trains encoder and generator at 64 pixels."""
    images = _training(_images(args.pack))
    pixels = _shrunk(images.pixels, CORE["resolution"])
    arguments = CodecArguments(
        **_budget(args),
        train_batch_size=args.batch_size or 128,
        adversarial_weight=0.05,
        code_weight=1.0,
        latent_noise=LATENT_NOISE,
        warp=1.0,
        augmentation=0.0,
        lr_warmup_steps=100,
        lr_scheduler="constant_with_warmup",
        ema_decay=0.9985,
        validation_share=0.04,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(args.seed, "codec: weights"))
        codec = AlphaGAN(**CORE)
    folder = args.output_dir / "core"
    trainer = AlphaGANTrainer(codec, pixels, arguments, folder / "logs", images.groups)
    scores = trainer.fit()
    trainer.codec.cpu().save_pretrained(folder)
    (folder / "scores.json").write_text(json.dumps(scores | {"steps": trainer.run.step}, indent=2))


def refine(args: argparse.Namespace) -> None:
    """Trains a stage of the refiner of one resolution."""
    images = _images(args.pack)
    held_out = _shrunk(images.part(images.tenths == 1).pixels[:: args.every], args.resolution)
    images = _training(images)
    arguments = RefinerArguments(
        **_budget(args),
        stage=args.stage,
        train_batch_size=args.batch_size or BATCH[args.resolution],
        lr_warmup_steps=200,
        validation_steps=2000,
    )
    if args.stage == "adversary":
        arguments = replace(arguments, train_batch_size=arguments.train_batch_size // 2)
    if args.stage != "flow":
        arguments = replace(arguments, learning_rate=4e-4 if args.stage == "distillation" else 1e-4, ema_decay=0.998)
    refiner = seeded(args.seed, lambda: Refiner(1, WIDTHS[args.resolution], TIMES[args.resolution]))
    folder = args.output_dir / f"refiner-{args.resolution}"
    if args.stage != "flow":
        before = "flow" if args.stage == "distillation" else "distillation"
        refiner.load_state_dict(_load(folder / f"{before}.safetensors"))
    coarse_of = _from_core(args) if args.resolution == 2 * CORE["resolution"] else _from_smaller
    trainer = RefinerTrainer(
        refiner,
        coarse_of,
        _shrunk(images.pixels, args.resolution),
        images.weights,
        held_out,
        arguments,
        folder / f"logs-{args.stage}",
    )
    _save(trainer.fit(), folder / f"{args.stage}.safetensors")
    steps, seconds = trainer.run.step, trainer.run.seconds
    facts = {"steps": steps, "images": steps * arguments.train_batch_size, "seconds": round(seconds, 1)}
    _add(args.output_dir / "trainings.json", f"refiner-{args.resolution}-{args.stage}", facts)


def collect(args: argparse.Namespace) -> None:
    """Puts core and refiners together and writes the codec's folder."""
    core_codec = AlphaGAN.from_pretrained(args.output_dir / "core")
    resolutions = [side for side in WIDTHS if (args.output_dir / f"refiner-{side}").exists()]
    codec = AlphaGAN(
        **CORE | {"resolution": max(resolutions, default=64)},
        core_resolution=CORE["resolution"],
        detail_widths=[list(WIDTHS[side]) for side in resolutions],
        detail_times=[list(TIMES[side]) for side in resolutions],
    )
    codec.load_state_dict(core_codec.state_dict(), strict=False)
    for refiner, side in zip(codec.refiners, resolutions, strict=True):
        stages = [
            args.output_dir / f"refiner-{side}" / f"{stage}.safetensors" for stage in (args.stage, "distillation")
        ]
        refiner.load_state_dict(_load(next(one for one in stages if one.exists())))
    codec.eval().half().save_pretrained(args.output_dir / "codec")


@functools.cache
def _images(path: Path) -> PublicImages:
    return PublicImages.load(path)


def _training(images: PublicImages) -> PublicImages:
    return images.part(images.tenths > 1)


def _shrunk(pixels: np.ndarray, side: int) -> np.ndarray:
    """8-bit images at another resolution, means of areas."""
    if pixels.shape[-1] == side:
        return pixels
    found = [
        functional.interpolate(torch.from_numpy(part)[:, None].float(), size=side, mode="area")[:, 0]
        .round()
        .byte()
        .numpy()
        for part in np.array_split(pixels, max(1, len(pixels) // 256))
    ]
    return np.concatenate(found)


def _from_core(args: argparse.Namespace):
    """What the core decodes of an image's code, a little noise added to the code."""
    codec = AlphaGAN.from_pretrained(args.output_dir / "core").eval().requires_grad_(False)

    def coarse(fine: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        codec.to(fine.device)
        codes = codec.encode_raw(resized(fine, CORE["resolution"]))
        noise = torch.randn(codes.shape, generator=rng, device=fine.device)
        return resized(codec.decode_raw(codes + LATENT_NOISE * noise).clamp(-1, 1), fine.shape[-1])

    return coarse


def _from_smaller(fine: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """The image at half its resolution, a little noise added: a drawn one is not as clean as a real one."""
    small = resized(fine, fine.shape[-1] // 2)
    sd = _COARSE_NOISE * torch.rand(len(fine), 1, 1, 1, generator=rng, device=fine.device)
    small = small + sd * torch.randn(small.shape, generator=rng, device=fine.device)
    return resized(small, fine.shape[-1])


def _budget(args: argparse.Namespace) -> dict:
    precision = "bf16" if torch.cuda.is_available() else "no"
    return {
        "max_train_steps": args.steps,
        "max_train_minutes": args.minutes,
        "mixed_precision": precision,
        "checkpointing_steps": args.checkpoint,
        "seed": args.seed,
    }


def _add(path: Path, name: str, facts: dict) -> None:
    found = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(found | {name: facts}, indent=2))


def _save(module: torch.nn.Module, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().half().cpu().contiguous() for name, tensor in module.state_dict().items()}, path)


def _load(path: Path) -> dict[str, torch.Tensor]:
    return {name: tensor.float() for name, tensor in load_file(path).items()}


def main() -> None:
    """Runs the tasks one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", help="pack, collect, or TRAINING=MINUTES")
    parser.add_argument("--pack", type=Path, default=Path("public.npz"))
    parser.add_argument("--sources", type=lambda text: text.split(","), default=[])
    parser.add_argument("--output_dir", type=Path, default=Path("built"))
    parser.add_argument("--stage", default="adversary", help="which weights of the refiners are collected")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--checkpoint", type=int, default=5000)
    parser.add_argument("--batch_size", type=int)
    parser.add_argument("--every", type=int, default=4, help="one of so many held-out images is scored in the logs")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for task in asked.tasks:
        args = argparse.Namespace(**vars(asked))
        name, _, minutes = task.partition("=")
        args.minutes = float(minutes) if minutes else None
        kind, *rest = name.split("-")
        if kind in ("features", "score"):
            args.seed = int(rest[0])
        if kind == "refiner":
            args.resolution, args.stage = int(rest[0]), rest[1]
        tasks = {"features": features, "score": score, "core": core, "refiner": refine}
        (tasks | {"pack": pack, "collect": collect})[kind](args)


if __name__ == "__main__":
    main()
