"""Trains the networks that are shipped with the package, on public radiographs or on drawn phantoms.

python scripts/train_builtin.py --pack public.npz --sources public_cxr,kids_cxr pack
python scripts/train_builtin.py --pack public.npz --output_dir built core-0.003=5 core-0.01=5 choose
python scripts/train_builtin.py --pack public.npz --output_dir built refiner-128-flow=60 collect

Each task is a training and its minutes (`--steps` limits all of them). A training goes on where it was broken off and
writes its weights below `--output_dir`. `train_builtin.sh` runs all of them in some eight minutes on one data-centre
GPU. A core is trained for each weight of the noise on its codes; `choose` takes the one whose samples are most like
images of the second tenth of the patients (a hash of their number), among those that reconstruct them no worse than a
PCA. The first tenth is seen by nothing here; core and refiners do not learn from the second.
"""

import argparse
import functools
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from hf_hybrid.data.pixels import to_tensor, to_uint8
from hf_hybrid.metrics.image_fidelity import frechet_distance
from hf_hybrid.models.alphagan import AlphaGAN, resized
from hf_hybrid.models.alphagan_trainer import AlphaGANTrainer
from hf_hybrid.models.calibration import reconstruction_error_range
from hf_hybrid.models.codec_scores import held_out_score, is_no_worse
from hf_hybrid.models.image_features import RADIOGRAPHS
from hf_hybrid.models.options import CodecArguments
from hf_hybrid.models.public_images import HELD_OUT, UNKNOWN, PublicImages, shrunk
from hf_hybrid.models.radiograph_network import features_of, load_radiograph_network, read_radiograph_network
from hf_hybrid.models.radiograph_trainer import RadiographArguments, RadiographTrainer, label_scores
from hf_hybrid.models.refiner import Refiner
from hf_hybrid.models.refiner_trainer import RefinerArguments, RefinerImages, RefinerTrainer, seeded

CORE = {"resolution": 64, "latent_dim": 64, "num_components": 384, "code_noise": 0.3}
PHANTOM_CORE = CORE | {"num_components": 224}  # with its refiner at most 6 MB
WIDTHS = {128: (32, 64, 128), 256: (24, 48, 64)}
PHANTOM_WIDTHS = {128: (24, 48, 96)}  # a third of the weights
TIMES = {128: (1.0, 0.5), 256: (1.0,)}
BATCH = {128: 256, 256: 96}
LEARNING_RATES = {"flow": 1e-3, "distillation": 4e-4}  # of a refiner
WARP = {"public_cxr": 1.0, "kids_cxr": 1.0, "phantoms": 0.3}  # of these there are as many as one likes
SOURCES = {  # of phantoms or not
    False: {
        "images": "frontal radiographs of adults (NIH ChestX-ray8, Wang et al. 2017), children (Kermany et al. 2018)",
        "content": RADIOGRAPHS,
    },
    True: {"images": "chests drawn by hf-hybrid phantom"},
}
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
    held_out.pixels = shrunk(held_out.pixels, 128)
    folder = args.output_dir / f"features-{args.seed}"
    network = read_radiograph_network(folder / "weights.safetensors")
    scores = {name: round(value, 3) for name, value in label_scores(network, held_out).items()}
    (folder / "scores.json").write_text(json.dumps({"num_images": len(held_out), **scores}, indent=2))


def core(args: argparse.Namespace) -> None:
    """Trains encoder and generator at 64 pixels, with a weight of the noise on codes."""
    images = _training(_images(args.pack)).with_equal_sources()
    pixels = shrunk(images.pixels, CORE["resolution"])
    arguments = CodecArguments(
        **_budget(args),
        train_batch_size=args.batch_size or 128,
        learning_rate=1e-3,
        lr_warmup_steps=200,
        linear_learning_rate_scale=0.1,
        discriminator_learning_rate=4e-4,
        adversarial_weight=args.adversary,
        sample_adversary=True,
        code_weight=0.1,
        code_noise_weight=args.weight,
        warp=_warp(images),
        augmentation=0.0,
        ema_decay=0.9985,
        validation_share=0.04,
        validation_steps=args.validation,
    )
    config = (PHANTOM_CORE if _is_phantoms(images) else CORE) | {"latent_dim": args.latent_dim}
    if config.get("num_components"):
        config["num_components"] = max(config["num_components"], args.latent_dim)
    codec = seeded(args.seed, lambda: AlphaGAN(**config))
    folder = args.output_dir / f"core-{args.weight}"
    trainer = AlphaGANTrainer(codec, pixels, arguments, folder / "logs", images.groups)
    scores = trainer.fit()
    trainer.codec.cpu().save_pretrained(folder)
    facts = {"steps": trainer.run.step, "seconds": round(trainer.run.seconds, 1), "noise_weight": args.weight}
    (folder / "scores.json").write_text(json.dumps(facts | scores, indent=2))


def choose(args: argparse.Namespace) -> None:
    """Chooses a core by its reconstructions of the second tenth and by the likeness of its samples."""
    images, side = _images(args.pack), 2 * CORE["resolution"]
    held_out = images.part(images.tenths == 1)
    fine, training = to_tensor(shrunk(held_out.pixels, side)), to_tensor(shrunk(_training(images).pixels, side))
    refiner = Refiner(1, _widths(images)[side], TIMES[side]).eval()
    started = args.start and args.start.exists()
    if started:
        refiner.load_state_dict(_load(args.start, "distillation."))
    found = {}
    for folder in sorted(args.output_dir.glob("core-*")):
        codec = AlphaGAN.from_pretrained(folder).eval()
        scores = core_scores(codec, refiner if started else None, training, fine)
        found[folder.name] = scores | json.loads((folder / "scores.json").read_text())
    linear = AlphaGAN(resolution=CORE["resolution"], latent_dim=args.latent_dim, base_channels=8).eval()
    linear.initialise_linear_path(resized(training, CORE["resolution"]))
    pca = core_scores(linear, refiner if started else None, training, fine)
    good = [name for name, one in found.items() if is_no_worse(one, pca)] or list(found)
    chosen = min(good, key=lambda name: found[name]["likeness"])
    shutil.copytree(args.output_dir / chosen, args.output_dir / "core", dirs_exist_ok=True)
    facts = {"pca": pca, **found, "chosen": chosen}
    (args.output_dir / "cores.json").write_text(json.dumps(facts, indent=2))


@torch.inference_mode()
def core_scores(
    codec: AlphaGAN, refiner: Refiner | None, training: torch.Tensor, held_out: torch.Tensor
) -> dict[str, float]:
    """L1, PSNR and SSIM of mean images of held-out images, and the Frechet distance of as many samples to them.

    Samples are decoded from a Gaussian copula of training codes. Features are those of `radiograph-training`.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    codec, side = codec.to(device), CORE["resolution"]

    def encode(images: torch.Tensor) -> torch.Tensor:
        return torch.cat([codec.encode_raw(part.to(device)) for part in images.split(256)])

    codes = encode(training)
    small = resized(held_out, side)
    latents = codec.standardise(encode(held_out))
    means = torch.cat([codec.decode(part, detail=False).sample for part in latents.split(256)]).cpu()
    scores = held_out_score(lambda _: (latents.cpu(), means), small)
    drawn = _copula_draws(codec.standardise(codes).double().cpu().numpy(), len(held_out)).to(device)
    images = resized(codec.decode(drawn).sample, held_out.shape[-1])
    if refiner:
        rng = torch.Generator(device).manual_seed(0)
        refiner, parts = refiner.to(device), images.split(256)
        noise = [torch.randn(part.shape, generator=rng, device=device) for part in parts]
        images = torch.cat([refiner.draw(*one).clamp(-1, 1) for one in zip(parts, noise, strict=True)])
    network = load_radiograph_network("radiograph-training").to(device)
    real, synthetic = (features_of(network, to_uint8(one)).astype(float) for one in (held_out, images))
    centre, scale = real.mean(0), real.std(0).clip(1e-9)
    scores["likeness"] = frechet_distance((synthetic - centre) / scale, (real - centre) / scale)
    return {name: round(value, 4) for name, value in scores.items()}


def _copula_draws(codes: np.ndarray, count: int) -> torch.Tensor:
    """Draws of a Gaussian copula of codes `(n, d)`, `(count, d)`; the sampler of that name needs `datasets`."""
    places = (rankdata(codes, axis=0) - 0.5) / len(codes)
    rng = np.random.default_rng(0)
    normal = rng.multivariate_normal(np.zeros(codes.shape[1]), np.corrcoef(ndtri(places).T), count, method="eigh")
    columns = [np.quantile(codes[:, place], ndtr(normal[:, place])) for place in range(codes.shape[1])]
    return torch.from_numpy(np.stack(columns, axis=1)).float()


def refine(args: argparse.Namespace) -> None:
    """Trains a stage of the refiner of one resolution."""
    images = _images(args.pack)
    widths = _widths(images)[args.resolution]
    held_out = shrunk(images.part(images.tenths == 1).pixels[:: args.every], args.resolution)
    images = _training(images)
    arguments = RefinerArguments(
        **_budget(args),
        stage=args.stage,
        train_batch_size=args.batch_size or BATCH[args.resolution],
        warp=_warp(images),
        learning_rate=args.learning_rate or LEARNING_RATES[args.stage],
        lr_warmup_steps=200,
        ema_decay=0.999 if args.stage == "flow" else 0.998,
        validation_steps=2000,
    )
    refiner = seeded(args.seed, lambda: Refiner(1, widths, TIMES[args.resolution]))
    folder = args.output_dir / f"refiner-{args.resolution}"
    started, teacher = args.start and args.start.exists(), None
    if args.stage == "distillation":
        teacher = Refiner(1, widths, TIMES[args.resolution])
        teacher.load_state_dict(_load(folder / "flow.safetensors"))
        refiner.load_state_dict((started and _load(args.start, "distillation.")) or teacher.state_dict())
    elif started:
        refiner.load_state_dict(_load(args.start, "flow."))
    coarse_of = _from_core(args) if args.resolution == 2 * CORE["resolution"] else _from_smaller
    trainer = RefinerTrainer(
        refiner,
        coarse_of,
        RefinerImages(shrunk(images.pixels, args.resolution), images.weights, held_out),
        arguments,
        folder / f"logs-{args.stage}",
        teacher,
    )
    _save(trainer.fit(), folder / f"{args.stage}.safetensors")
    steps, seconds = trainer.run.step, trainer.run.seconds
    facts = {"steps": steps, "images": steps * arguments.train_batch_size, "seconds": round(seconds, 1)}
    _add(args.output_dir / "trainings.json", f"refiner-{args.resolution}-{args.stage}", facts)


def collect(args: argparse.Namespace) -> None:
    """Puts core and refiners together and writes the codec's folder, with its card."""
    core_codec, images = AlphaGAN.from_pretrained(args.output_dir / "core"), _images(args.pack)
    widths = _widths(images)
    resolutions = [side for side in widths if (args.output_dir / f"refiner-{side}").exists()]
    codec = AlphaGAN(
        **core_codec.arguments
        | {
            "resolution": max(resolutions, default=CORE["resolution"]),
            "core_resolution": CORE["resolution"],
            "detail_widths": [list(widths[side]) for side in resolutions],
            "detail_times": [list(TIMES[side]) for side in resolutions],
        }
    )
    codec.load_state_dict(core_codec.state_dict(), strict=False)
    for refiner, side in zip(codec.refiners, resolutions, strict=True):
        refiner.load_state_dict(_load(args.output_dir / f"refiner-{side}" / "distillation.safetensors"))
    codec = codec.eval().half().float()
    held_out, training = (
        images.part(images.tenths == HELD_OUT),
        json.loads((args.output_dir / "core" / "scores.json").read_text()),
    )
    facts = SOURCES[_is_phantoms(images)] | {
        "num_images": len(_training(images)),
        "steps": training["steps"],
        "seed": args.seed,
        "scores": {name: {key: round(value, 4) for key, value in training[name].items()} for name in ("codec", "pca")},
        "image_range": reconstruction_error_range(codec, held_out.pixels, held_out.weights),
    }
    codec.save_with_card(args.output_dir / "codec", facts, license="apache-2.0")


@functools.cache
def _images(path: Path) -> PublicImages:
    return PublicImages.load(path)


def _training(images: PublicImages) -> PublicImages:
    return images.part(images.tenths > 1)


def _is_phantoms(images: PublicImages) -> bool:
    return set(images.sources) == {"phantoms"}


def _widths(images: PublicImages) -> dict[int, tuple[int, ...]]:
    return PHANTOM_WIDTHS if _is_phantoms(images) else WIDTHS


def _warp(images: PublicImages) -> float:
    return min(WARP.get(str(source), 1.0) for source in set(images.sources))


def _from_core(args: argparse.Namespace):
    """What the core decodes of an image's code and of the noise on it."""
    codec = AlphaGAN.from_pretrained(args.output_dir / "core").eval().requires_grad_(False)

    def coarse(fine: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        codec.to(fine.device)
        codes = codec.encode_raw(resized(fine, CORE["resolution"]))
        noise = torch.randn(codes.shape, generator=rng, device=fine.device)
        return resized(codec.decode_raw(codec.with_noise(codes, noise)).clamp(-1, 1), fine.shape[-1])

    return coarse


def _from_smaller(fine: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """The image at half its resolution."""
    return resized(resized(fine, fine.shape[-1] // 2), fine.shape[-1])


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


def _load(path: Path, prefix: str = "") -> dict[str, torch.Tensor]:
    """Weights in float32; of those whose names begin with a prefix, without it."""
    found = load_file(path).items()
    return {name.removeprefix(prefix): tensor.float() for name, tensor in found if name.startswith(prefix)}


def main() -> None:
    """Runs the tasks one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", help="pack, choose, collect, or TRAINING=MINUTES")
    parser.add_argument("--pack", type=Path, default=Path("public.npz"))
    parser.add_argument("--sources", type=lambda text: text.split(","), default=[])
    parser.add_argument("--output_dir", type=Path, default=Path("built"))
    parser.add_argument(
        "--start", type=Path, help="state that the stages of a refiner start from, and that draws in `choose`"
    )
    parser.add_argument("--latent_dim", type=int, default=CORE["latent_dim"], help="of a core")
    parser.add_argument("--adversary", type=float, default=0.1, help="weight of a core's image discriminator")
    parser.add_argument("--validation", type=int, default=1000, help="steps between two scores of a core")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--checkpoint", type=int, default=5000)
    parser.add_argument("--batch_size", type=int)
    parser.add_argument("--learning_rate", type=float, help="of a refiner")
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
        if kind == "core":
            args.weight = float(name.removeprefix("core-"))
        if kind == "refiner":
            args.resolution, args.stage = int(rest[0]), rest[1]
        tasks = {"features": features, "score": score, "core": core, "refiner": refine}
        (tasks | {"pack": pack, "choose": choose, "collect": collect})[kind](args)


if __name__ == "__main__":
    main()
