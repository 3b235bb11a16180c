"""Samplers of the latent table, each with the contract of `samplers.base.Sampler`."""

import json
from pathlib import Path

from hf_hybrid.errors import InputError
from hf_hybrid.samplers.base import BLOCK, Conditions, LatentRows, Sampler, latent_names
from hf_hybrid.samplers.controls import BootstrapSampler, SmoteSampler
from hf_hybrid.samplers.copula import GaussianCopulaSampler, IndependentSampler
from hf_hybrid.samplers.ctgan import CTGANSampler
from hf_hybrid.samplers.diffusion import DiffusionSampler
from hf_hybrid.schema import RecordSchema

SAMPLERS: dict[str, type[Sampler]] = {
    "bootstrap": BootstrapSampler,
    "copula": GaussianCopulaSampler,
    "ctgan": CTGANSampler,
    "diffusion": DiffusionSampler,
    "independent": IndependentSampler,
    "smote": SmoteSampler,
}

__all__ = [
    "BLOCK",
    "SAMPLERS",
    "BootstrapSampler",
    "CTGANSampler",
    "Conditions",
    "DiffusionSampler",
    "GaussianCopulaSampler",
    "IndependentSampler",
    "LatentRows",
    "Sampler",
    "SmoteSampler",
    "latent_names",
    "load_sampler",
]


def load_sampler(folder: str | Path, schema: RecordSchema) -> Sampler:
    """Loads a saved sampler of whichever known class.

    Raises:
        InputError: no sampler there, or one of an unknown class.
    """
    try:
        name = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")).get("_class_name")
    except (OSError, json.JSONDecodeError):
        raise InputError(f"expected a sampler's config.json in {folder}, found none that reads") from None
    known = {one.__name__: one for one in SAMPLERS.values()}
    if name not in known:
        raise InputError(f"expected a sampler among {sorted(known)}, found {name!r} in {folder}")
    return known[name].from_pretrained(folder, schema)
