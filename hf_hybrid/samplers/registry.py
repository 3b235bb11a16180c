"""The samplers by name: a new one is a module with its class and a line here; listing them imports nothing heavy."""

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from hf_hybrid.core.errors import InputError
from hf_hybrid.samplers.options import CopulaOptions, CTGANOptions, DiffusionOptions, SmoteOptions

if TYPE_CHECKING:
    from hf_hybrid.data.schema import RecordSchema
    from hf_hybrid.samplers.base import Sampler


@dataclass(frozen=True)
class Entry:
    """Where a sampler is, and its options.

    Args:
        place: module and class.
        options: class of its options, if it has any.
        section: sampler whose options it shares.
    """

    place: str
    options: type | None = None
    section: str | None = None


SAMPLERS = {
    "bootstrap": Entry("controls.BootstrapSampler"),
    "copula": Entry("copula.GaussianCopulaSampler", CopulaOptions),
    "ctgan": Entry("ctgan.CTGANSampler", CTGANOptions),
    "diffusion": Entry("diffusion.DiffusionSampler", DiffusionOptions),
    "independent": Entry("copula.IndependentSampler", section="copula"),
    "smote": Entry("controls.SmoteSampler", SmoteOptions),
}


def sampler_class(name: str) -> "type[Sampler]":
    """The class of a sampler, by its name in the registry or by its own.

    Raises:
        InputError: there is no such sampler.
    """
    for short, entry in SAMPLERS.items():
        module, own = entry.place.split(".")
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
