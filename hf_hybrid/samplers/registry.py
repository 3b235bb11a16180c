"""The samplers by name: a new one is a module with its class and a line here; listing them imports nothing heavy."""

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from hf_hybrid.core.errors import InputError

if TYPE_CHECKING:
    from hf_hybrid.data.schema import RecordSchema
    from hf_hybrid.samplers.base import Sampler

SAMPLERS = {  # name -> module and class
    "bootstrap": "controls.BootstrapSampler",
    "copula": "copula.GaussianCopulaSampler",
    "ctgan": "ctgan.CTGANSampler",
    "diffusion": "diffusion.DiffusionSampler",
    "independent": "copula.IndependentSampler",
    "smote": "controls.SmoteSampler",
}


def sampler_class(name: str) -> "type[Sampler]":
    """The class of a sampler, by its name in the registry or by its own.

    Raises:
        InputError: there is no such sampler.
    """
    for short, place in SAMPLERS.items():
        module, own = place.split(".")
        if name in (short, own):
            return getattr(import_module(f"hf_hybrid.samplers.{module}"), own)
    raise InputError(f"expected a sampler among {sorted(SAMPLERS)}, found {name!r}")


def load_sampler(folder: str | Path, schema: "RecordSchema") -> "Sampler":
    """Loads a saved sampler of whichever known class.

    Raises:
        InputError: no sampler there, or one of an unknown class.
    """
    try:
        name = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")).get("_class_name")
    except (OSError, json.JSONDecodeError):
        raise InputError(f"expected a sampler's config.json in {folder}, found none that reads") from None
    return sampler_class(name).from_pretrained(folder, schema)
