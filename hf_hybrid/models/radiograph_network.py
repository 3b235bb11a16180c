"""A small residual network that knows chest radiographs: features that image scores are measured in.

It learns findings, age, sex and view of adults and the kind of pneumonia of children from public radiographs. The
averages of its last maps are the features. It takes any resolution from 64 to 512 pixels, since it sees several in
training.
"""

import functools
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from hf_hybrid.models.layers import HalvingBlock

WIDTHS = (24, 48, 96, 160, 224)
WEIGHTS = Path(__file__).parent / "weights"
_EMBEDDED = 128  # images at a time
_SMALLEST = 96  # below it, images are enlarged: the last maps need a few places to average over


class RadiographNetwork(nn.Module):
    """Radiographs `(batch, 1, side, side)` in [-1, 1] -> features `(batch, 448)`: means and sds of the last maps.

    Args:
        num_binary: labels that are yes or no.
        num_classes: kinds of pneumonia.
    """

    def __init__(self, num_binary: int, num_classes: int) -> None:
        super().__init__()
        self.start = nn.Conv2d(1, WIDTHS[0], 3, padding=1)
        self.blocks = nn.Sequential(*(HalvingBlock(a, b) for a, b in zip(WIDTHS, WIDTHS[1:], strict=False)))
        features = 2 * WIDTHS[-1]
        self.binary, self.age, self.kind = (nn.Linear(features, size) for size in (num_binary, 1, num_classes))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Images -> features."""
        if pixel_values.shape[-1] < _SMALLEST:
            pixel_values = functional.interpolate(pixel_values, size=_SMALLEST, mode="bilinear", align_corners=False)
        maps = self.blocks(self.start(pixel_values)).float()
        return torch.cat([maps.mean(dim=(2, 3)), maps.std(dim=(2, 3))], dim=1)

    def heads(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features -> logits of the binary labels, standardised age, logits of the kind of pneumonia."""
        return self.binary(features), self.age(features).squeeze(1), self.kind(features)


@functools.cache
def load_radiograph_network(name: str) -> RadiographNetwork:
    """A network of the package: `radiograph` (its scores are reported) or `radiograph-training` (it may choose)."""
    return read_radiograph_network(WEIGHTS / f"{name}.safetensors")


def read_radiograph_network(path: Path) -> RadiographNetwork:
    """A trained network from its weights."""
    weights = load_file(path)
    network = RadiographNetwork(*(len(weights[f"{head}.bias"]) for head in ("binary", "kind")))
    network.load_state_dict(weights)
    return network.eval()


@torch.inference_mode()
def features_of(network: RadiographNetwork, pixels: np.ndarray) -> np.ndarray:
    """Features of 8-bit grey images `(n, side, side)`, float32 `(n, d)`."""
    device = next(network.parameters()).device
    parts = (
        torch.from_numpy(np.ascontiguousarray(pixels[i : i + _EMBEDDED])) for i in range(0, len(pixels), _EMBEDDED)
    )
    return np.concatenate([network(one[:, None].to(device).float() / 127.5 - 1).cpu().numpy() for one in parts])
