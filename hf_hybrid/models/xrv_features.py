"""Features of the networks of torchxrayvision (Cohen et al. 2022, arXiv 2111.00595), from images of many hospitals.

The package and its weights are the user's: nothing is downloaded here. torchxrayvision reads weights that it has
downloaded itself, which are a pickle; nothing that hf_hybrid writes is one.
"""

import functools
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from types import ModuleType

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hf_hybrid.core.errors import InputError

PREFIX = "xrv:"
_RANGE = 1024.0  # their networks take grey values from -1024 to 1024
_SIDE = 224
_ARCHITECTURE = "densenet"
_EMBEDDED = 64  # images at a time


@torch.inference_mode()
def xrv_features(batches: Iterable[np.ndarray], name: str) -> np.ndarray:
    """Averages of the last maps of a network, float64 `(n, 1024)`.

    Args:
        batches: uint8 `(batch, side, side)` each; resized to 224 pixels.
        name: `xrv:WEIGHTS`, such as `xrv:densenet121-res224-all`.

    Raises:
        InputError: torchxrayvision or the weights are not there, or it knows none of that name.
    """
    network, found = _load(name.removeprefix(PREFIX)), []
    for batch in batches:
        for part in torch.from_numpy(np.array(batch))[:, None].split(_EMBEDDED):
            values = (part.float() / 127.5 - 1) * _RANGE
            resized = functional.interpolate(values, size=(_SIDE, _SIDE), mode="bilinear", antialias=True)
            found.append(network.features2(resized))
    return torch.cat(found).double().numpy()


@functools.cache
def _load(weights: str) -> nn.Module:
    models, utils = _package()
    known = sorted(one for one in models.model_urls if one.startswith(_ARCHITECTURE) and f"res{_SIDE}" in one)
    if weights not in known:
        raise InputError(f"expected a network among {', '.join(PREFIX + one for one in known)}, found {weights!r}")
    folder = Path(utils.get_cache_dir()).expanduser()
    if not (folder / PurePosixPath(models.model_urls[weights]["weights_url"]).name).is_file():
        raise InputError(
            f"expected the weights of {weights} in {folder}, found none: nothing is downloaded here; get them by "
            f"`python -c \"import torchxrayvision; torchxrayvision.models.get_model('{weights}')\"`"
        )
    return models.get_model(weights).eval()


def _package() -> tuple[ModuleType, ModuleType]:
    try:
        from torchxrayvision import models, utils
    except (ImportError, RuntimeError) as error:  # a torchvision made for another torch raises the latter
        reason = "it not installed" if isinstance(error, ModuleNotFoundError) else str(error).splitlines()[0]
        raise InputError(
            f"expected `torchxrayvision` for features of its networks, found {reason}: pip install 'hf_hybrid[cxr]'"
        ) from None
    return models, utils
