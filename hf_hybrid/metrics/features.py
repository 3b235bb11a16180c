"""Features of images that fidelity is measured in, by a named extractor.

`random` needs no download: a convolutional network whose weights are drawn from a fixed seed. Distances in random
features tell coarse differences of structure and grey values (Naeem et al. 2020, arXiv 2002.09797, section 5.2), not
anatomy; a chest radiograph encoder tells more. Any other name is a model of the Hub that `transformers` loads.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from hf_hybrid.errors import InputError

RANDOM = "random"
_CHANNELS = (1, 16, 32, 64)
_BATCH = 256


@torch.inference_mode()
def image_features(pixels: np.ndarray, extractor: str = RANDOM) -> np.ndarray:
    """Features of grey images, float64 `(n, d)`.

    Args:
        pixels: uint8 `(n, side, side)`.
        extractor: `random`, or the name of a model on the Hub or of its folder.

    Raises:
        InputError: the model cannot be loaded.
    """
    if extractor == RANDOM:
        network = _random_network()
        batches = (torch.from_numpy(np.array(batch))[:, None] / 127.5 - 1 for batch in _batches(pixels))
        return torch.cat([network(batch) for batch in batches]).double().numpy()
    model, processor = _load(extractor)
    found = []
    for batch in _batches(pixels):
        inputs = processor(images=list(np.repeat(batch[..., None], 3, axis=-1)), return_tensors="pt")
        states = model(**inputs).last_hidden_state
        # Tokens `(n, tokens, d)` of a transformer, maps `(n, d, height, width)` of a convolutional network.
        found.append(states[:, 0] if states.ndim == 3 else states.mean(dim=(2, 3)))
    return torch.cat(found).double().numpy()


def extractor_name(extractor: str) -> str:
    """How a report names an extractor: a folder of this machine by its last part only."""
    if extractor == RANDOM:
        return "random convolutional network (seed 0)"
    return Path(extractor).resolve().name if Path(extractor).exists() else extractor


def _batches(pixels: np.ndarray) -> list[np.ndarray]:
    return np.array_split(pixels, max(1, -(-len(pixels) // _BATCH)))


def _random_network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = []
        for narrow, wide in zip(_CHANNELS, _CHANNELS[1:], strict=False):
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
