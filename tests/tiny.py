"""Tiny real parts for tests: messy records, a codec, a fitted pipeline. Small enough to be made in a second."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hf_hybrid.data import privacy_rule
from hf_hybrid.data.records import Records, load_records
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.samplers.base import Sampler
from hf_hybrid.samplers.ctgan import CTGANSampler
from hf_hybrid.samplers.diffusion import DiffusionSampler
from hf_hybrid.samplers.registry import SAMPLERS, sampler_class
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.synthesis.pipeline import HybridPipeline

CANARY_TEXT = "Zyxwvut^Canary"
CANARY_NUMBER = 98765.4321
CANARY_CATEGORY = "only-one-patient-has-this"
CANARY_FILE = "scan-of-zyxwvut"
RESOLUTION = 32


def messy_table(num_records: int = 160, seed: int = 0) -> pd.DataFrame:
    """Raw cells as hospitals export them, with planted canaries in the first records."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(num_records), rng.choice([1, 2, 3], num_records, p=[0.7, 0.2, 0.1]))[:num_records]
    sick = rng.random(num_records) < 0.4
    crp = np.exp(rng.normal(2 + sick, 1)).round(1).astype(str).astype(object)
    crp[rng.random(num_records) < 0.15] = "inf"
    crp[rng.random(num_records) < 0.15] = ""
    crp[3] = "haemolytic"
    table = pd.DataFrame(
        {
            "patient_id": [f"{CANARY_TEXT}-{patient}" for patient in patients],
            "age": rng.integers(20, 90, num_records).astype(str),
            "crp": crp,
            "sex": rng.choice(["F", "M", "m", "NA", "unknown"], num_records, p=[0.45, 0.3, 0.1, 0.1, 0.05]),
            "icu": np.where(sick & (rng.random(num_records) < 0.5), "Y", "N"),
            "findings": rng.choice(["oedema|effusion", "effusion", "", "pneumonia"], num_records),
            "site": "one hospital",
            "remarks": [f"seen by Dr {CANARY_TEXT} on day {index}" for index in range(num_records)],
            "outcome": np.where(sick, "deceased", "discharged"),
        }
    )
    table.loc[0, "crp"] = str(CANARY_NUMBER)
    table.loc[1, "outcome"] = CANARY_CATEGORY
    return table


def write_image_folder(folder: Path, table: pd.DataFrame, seed: int = 0) -> Path:
    """An image folder whose images show the outcome, with file names and PNG texts that must not travel."""
    rng = np.random.default_rng(seed)
    (folder / "train").mkdir(parents=True)
    names = [f"{CANARY_FILE}-{index:04d}.png" for index in range(len(table))]
    across, down = np.meshgrid(*[np.linspace(-1, 1, RESOLUTION)] * 2)
    for name, outcome in zip(names, table["outcome"], strict=True):
        centre = 0.4 if outcome == "deceased" else -0.4
        spot = np.exp(-4 * ((across - centre + rng.normal(0, 0.1)) ** 2 + (down - rng.normal(0, 0.2)) ** 2))
        pixels = np.clip(60 + 150 * spot + rng.normal(0, 6, spot.shape), 0, 255).astype(np.uint8)
        text = PngInfo()
        text.add_text("PatientName", CANARY_TEXT)
        Image.fromarray(pixels).save(folder / "train" / name, pnginfo=text)
    table.assign(file_name=names).to_csv(folder / "train" / "metadata.csv", index=False)
    return folder


def tiny_records(folder: Path, num_records: int = 160) -> Records:
    """Messy records, loaded."""
    return load_records(str(write_image_folder(folder, messy_table(num_records))), targets=["outcome", "age"])


def tiny_codec(latent_dim: int = 6) -> AlphaGAN:
    """A codec whose linear path is a PCA of drawn spots, as `train-codec` starts one."""
    spots = _spots(60, seed=1)
    torch.manual_seed(0)
    codec = AlphaGAN(resolution=RESOLUTION, latent_dim=latent_dim, base_channels=4, max_channels=8)
    codec.initialise_linear_path(torch.from_numpy(spots).float()[:, None] * 1.2 - 0.6)
    return codec.eval()


def _spots(count: int, seed: int) -> np.ndarray:
    """Bright spots at random places, 0 to 1, `(count, RESOLUTION, RESOLUTION)`."""
    rng = np.random.default_rng(seed)
    across, down = np.meshgrid(*[np.linspace(-1, 1, RESOLUTION)] * 2)
    centres = rng.uniform(-0.6, 0.6, (count, 2))
    return np.stack([np.exp(-4 * ((across - x) ** 2 + (down - y) ** 2)) for x, y in centres])


def drawn_spots(count: int, seed: int) -> np.ndarray:
    """8-bit images like those that `tiny_codec` learned from."""
    return (_spots(count, seed) * 153 + 51).round().astype(np.uint8)


def made_up_rows(num_records: int = 400, latent_dim: int = 3, seed: int = 0) -> tuple[LatentRows, RecordSchema]:
    """Rows in which group, crp and latents tell each other, and crp is often missing or beyond a limit."""
    rng = np.random.default_rng(seed)
    sick = rng.random(num_records) < 0.3
    crp = 20 + 10 * sick + rng.normal(0, 3, num_records)
    crp[rng.random(num_records) < 0.4] = np.nan
    crp[rng.random(num_records) < 0.2] = np.inf
    frame = pd.DataFrame(
        {"crp": crp, "group": np.where(sick, "sick", "well"), "age": rng.integers(20, 90, num_records)}
    )
    schema = privacy_rule.protect(RecordSchema.infer(frame, "image"), frame, np.arange(num_records))
    latents = rng.normal(0, 0.7, (num_records, latent_dim)) + np.where(sick, 2.5, 0)[:, None] * np.eye(latent_dim)[0]
    typed, _ = schema.read(frame)
    return LatentRows(latents.astype(np.float32), privacy_rule.restrict(schema, typed)), schema


def sampled_rows(
    sampler: Sampler,
    cells: dict[str, np.ndarray],
    num_records: int,
    latents: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> LatentRows:
    """What a sampler draws that has learned these columns; without latents, two that are noise."""
    frame = pd.DataFrame(cells)
    groups = np.arange(len(frame)) if groups is None else groups
    latents = np.random.default_rng(9).normal(size=(len(frame), 2)) if latents is None else latents
    schema = RecordSchema.infer(frame.astype(object), "image")
    typed, _ = schema.read(frame.astype(object))
    schema = privacy_rule.protect(schema, typed, groups, warn=False)
    kept = np.flatnonzero(privacy_rule.expressible(schema, typed))
    rows = LatentRows(latents.astype(np.float32), privacy_rule.restrict(schema, typed)).take(kept)
    sampler.fit(rows.to_dataset(schema), schema, groups[kept])
    return LatentRows.from_dataset(sampler.sample(num_records, 0), schema)


def sampled_table(sampler: Sampler, cells: dict[str, np.ndarray], num_records: int) -> pd.DataFrame:
    """The columns of `sampled_rows`."""
    return sampled_rows(sampler, cells, num_records).frame


def tiny_sampler(**options) -> CTGANSampler:
    """A small CTGAN, trained for a moment."""
    defaults = {"max_train_steps": 40, "batch_size": 64, "embedding_dim": 16, "pac": 1, "learning_rate": 2e-3}
    return CTGANSampler(**{**defaults, "generator_dim": (32, 32), "discriminator_dim": (32, 32), **options})


def tiny_samplers() -> dict[str, Sampler]:
    """Every sampler by its name, small where it can be."""
    small = DiffusionSampler(max_train_steps=10, hidden_dim=32, num_layers=1, num_inference_steps=8)
    tiny = {"ctgan": tiny_sampler(max_train_steps=10), "diffusion": small}
    return {name: tiny.get(name) or sampler_class(name)() for name in SAMPLERS}


def tiny_pipeline(folder: Path) -> HybridPipeline:
    """A pipeline fitted on messy records."""
    return HybridPipeline.fit(tiny_records(folder), tiny_codec(), tiny_sampler())


def decode_png(data: bytes) -> np.ndarray:
    """Pixels of a PNG."""
    return np.asarray(Image.open(io.BytesIO(data)))


def builtin_codec(folder: Path, monkeypatch, name: str = "spots", **training) -> Path:
    """Puts `tiny_codec` in float16 among the codecs of the package, as `builtin:NAME`; returns its folder."""
    from hf_hybrid.models import builtin

    monkeypatch.setattr(builtin, "FOLDER", folder / "weights")
    facts = {"images": "drawn spots", "steps": 0, "seed": 0, "scores": {}, **training}
    AlphaGAN.save_with_card(_in_half(tiny_codec()), folder / "weights" / name, facts, license="apache-2.0")
    return folder / "weights" / name


def _in_half(codec: AlphaGAN) -> AlphaGAN:
    """The codec with weights that float16 holds exactly."""
    return codec.half().float()
