"""The critic of a table GAN, and the gradient of its scores in closed form."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

_SLOPE = 0.2


class Critic(nn.Module):
    """Linear layers with leaky ReLU and a dropout of one half (Xu et al. 2019, section 4.4).

    Args:
        width: of a row.
        hidden_dims: widths of the layers.
        pac: rows that are scored together (Lin et al. 2018, arXiv 1712.04086).
    """

    def __init__(self, width: int, hidden_dims: Sequence[int], pac: int) -> None:
        super().__init__()
        self.pac = pac
        self.layers = nn.ModuleList(nn.Linear(*sizes) for sizes in pairwise([pac * width, *hidden_dims]))
        self.last = nn.Linear(hidden_dims[-1], 1)
        bits = torch.arange(256)[:, None] >> torch.arange(8) & 1
        self.register_buffer("kept_by_byte", 2.0 * bits, persistent=False)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Scores rows `(n, width)`: one number per pack, `(n / pac, 1)`, higher for what looks real."""
        hidden = rows.reshape(len(rows) // self.pac, -1)
        for layer in self.layers:
            hidden = nn.functional.leaky_relu(layer(hidden), _SLOPE)
            hidden = hidden * self._kept(hidden)
        return self.last(hidden)

    def gradient(self, rows: torch.Tensor) -> torch.Tensor:
        """Gradients of the scores by packs of rows `(n, width)`: `(n / pac, pac * width)`.

        Between its kinks the critic is linear, so they are a product of its weights; no graph is differentiated twice.
        """
        slopes = []
        with torch.no_grad():
            hidden = rows.reshape(len(rows) // self.pac, -1)
            for layer in self.layers:
                hidden = layer(hidden)
                slopes.append(((1 - _SLOPE) * (hidden > 0) + _SLOPE) * self._kept(hidden))
                hidden = hidden * slopes[-1]
        gradient = self.last.weight * slopes.pop()
        for layer in reversed(self.layers[1:]):
            gradient = (gradient @ layer.weight) * slopes.pop()
        return gradient @ self.layers[0].weight

    def _kept(self, hidden: torch.Tensor) -> torch.Tensor:
        """Dropout of one half: 0 or 2 with equal chance; one random number makes 64 of them, and costs most."""
        words = torch.randint(-(2**63), 2**63 - 1, (-(-hidden.numel() // 64),), device=hidden.device)
        kept = self.kept_by_byte.index_select(0, words.view(torch.uint8).int())
        return kept.view(-1)[: hidden.numel()].view(hidden.shape)
