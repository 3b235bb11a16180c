"""The codecs by name: a new one is a module with its class and a line here; listing them imports nothing heavy."""

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from hf_hybrid.core.artifacts import CONFIG
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import read_json

if TYPE_CHECKING:
    from hf_hybrid.models.codec import Codec

CODECS = {"alphagan": "alphagan.AlphaGAN"}  # name -> module and class


def codec_class(name: str) -> "type[Codec]":
    """The class of a codec, by its name in the registry or by its own.

    Raises:
        InputError: there is no such codec.
    """
    for short, place in CODECS.items():
        module, own = place.split(".")
        if name in (short, own):
            return getattr(import_module(f"hf_hybrid.models.{module}"), own)
    raise InputError(f"expected a codec among {sorted(CODECS)}, found {name!r}")


def load_codec_model(folder: str | Path) -> "Codec":
    """Loads a saved codec of whichever known class.

    Raises:
        InputError: no codec there, or one of an unknown class.
    """
    try:
        name = read_json(Path(folder) / CONFIG).get("_class_name")
    except (OSError, json.JSONDecodeError):
        raise InputError(
            f"expected a codec's {CONFIG} in {folder}, found none that reads: name another folder"
        ) from None
    return codec_class(name).from_pretrained(folder)
