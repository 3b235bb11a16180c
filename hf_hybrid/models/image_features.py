"""Features of images that fidelity is measured in, by a named extractor.

`random` needs no download: a convolutional network whose weights are drawn from a fixed seed. Distances in random
features tell coarse differences of structure and grey values (Naeem et al. 2020, arXiv 2002.09797, section 5.2), not
anatomy. `radiograph` is a network of this package that knows chest radiographs (`weights/README.md`), `xrv:NAME` one
of torchxrayvision. Any other name is a model of the Hub that `transformers` loads.
"""

import functools
import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.randomness import seed_for
from hf_hybrid.models import xrv_features
from hf_hybrid.models.radiograph_network import features_of, load_radiograph_network

RANDOM, RADIOGRAPH = "random", "radiograph"
RADIOGRAPHS = "chest radiographs"  # what a codec's facts say of the images that it was trained on
_CHANNELS = (16, 32, 64)  # then as many as the last
_LAST_SIDE = 4  # of the maps that are averaged: every feature sees a quarter of the image or more, whatever its size


@torch.inference_mode()
def image_features(batches: Iterable[np.ndarray], extractor: str = RANDOM) -> np.ndarray:
    """Features of grey images, float64 `(n, d)`.

    Args:
        batches: uint8 `(batch, side, side)` each.
        extractor: `random`, `radiograph`, `xrv:NAME`, or the name of a model on the Hub or of its folder.

    Raises:
        InputError: the model cannot be loaded.
    """
    if extractor == RANDOM:
        images = (torch.from_numpy(np.array(batch))[:, None] / 127.5 - 1 for batch in batches)
        return torch.cat([_random_network(one.shape[-1])(one) for one in images]).double().numpy()
    if extractor == RADIOGRAPH:
        network = load_radiograph_network(RADIOGRAPH)
        return np.concatenate([features_of(network, batch) for batch in batches]).astype(np.float64)
    if extractor.startswith(xrv_features.PREFIX):
        return xrv_features.xrv_features(batches, extractor)
    model, processor = _load(extractor)
    found = []
    for batch in batches:
        inputs = processor(images=list(np.repeat(batch[..., None], 3, axis=-1)), return_tensors="pt")
        states = model(**inputs).last_hidden_state
        # Tokens `(n, tokens, d)` of a transformer, maps `(n, d, height, width)` of a convolutional network.
        found.append(states[:, 0] if states.ndim == 3 else states.mean(dim=(2, 3)))
    return torch.cat(found).double().numpy()


def default_extractor(codec: Mapping | None) -> str:
    """The extractor for the images of a codec, by the fact `content` of its training.

    Args:
        codec: facts about it, as in provenance; None if they are not known.
    """
    content = ((codec or {}).get("training") or {}).get("content")
    return RADIOGRAPH if content == RADIOGRAPHS else RANDOM


def extractor_name(extractor: str) -> str:
    """How a report names an extractor: a folder of this machine by its last part only."""
    if extractor == RANDOM:
        return "random convolutional network (seed 0)"
    if extractor == RADIOGRAPH:
        return "radiograph network of hf_hybrid"
    return Path(extractor).resolve().name if Path(extractor).exists() else extractor


@functools.cache
def _random_network(side: int) -> nn.Module:
    num_layers = max(1, round(math.log2(side / _LAST_SIDE)))
    widths = [1, *(_CHANNELS[min(place, len(_CHANNELS) - 1)] for place in range(num_layers))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(0, "image features: weights"))
        layers = []
        for narrow, wide in pairwise(widths):
            convolution = nn.Conv2d(narrow, wide, 3, stride=2, padding=1)
            nn.init.orthogonal_(convolution.weight, gain=2**0.5)
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _load(name: str) -> tuple[nn.Module, object]:
    try:
        from transformers import AutoImageProcessor, AutoModel
    except ImportError:
        raise InputError(
            f"expected `transformers` for the features of {name}, found it not installed: "
            "pip install 'hf_hybrid[features]'"
        ) from None
    try:
        return AutoModel.from_pretrained(name).eval(), AutoImageProcessor.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"expected an image model that `transformers` loads, found {name}: {reason}") from None
