"""An invertible map that makes the codes of training images normal (RealNVP, Dinh et al. 2017, arXiv 1605.08803).

A sampler that knows means and correlations alone, as a Gaussian copula, then draws latents whose images are plausible:
what is not normal in the codes is in the map, which public images teach.
"""

import torch
from torch import nn


class Coupling(nn.Module):
    """Rotates codes, then scales and shifts one half of the numbers by a function of the other; starts as a rotation.

    Args:
        size: of a code, even.
        width: of the function's hidden layers.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.half = size // 2
        self.register_buffer("rotation", torch.linalg.qr(torch.randn(size, size))[0])
        self.network = nn.Sequential(
            nn.Linear(self.half, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, size)
        )
        nn.init.zeros_(self.network[-1].weight)
        nn.init.zeros_(self.network[-1].bias)

    def forward(self, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes `(batch, size)` -> codes, and the log of the volume's change `(batch,)`."""
        kept, changed = (codes @ self.rotation).split(self.half, dim=1)
        log_scale, shift = self._change(kept)
        return torch.cat([kept, changed * log_scale.exp() + shift], dim=1), log_scale.sum(1)

    def inverse(self, codes: torch.Tensor) -> torch.Tensor:
        """Undoes `forward`."""
        kept, changed = codes.split(self.half, dim=1)
        log_scale, shift = self._change(kept)
        return torch.cat([kept, (changed - shift) * (-log_scale).exp()], dim=1) @ self.rotation.T

    def _change(self, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        log_scale, shift = self.network(kept).chunk(2, dim=1)
        return torch.tanh(log_scale), shift  # bounded: no code is scaled by more than e


class CodeFlow(nn.Module):
    """Codes `(batch, size)` <-> latents that are normal over the training images.

    Args:
        size: of a code, even.
        num_layers: couplings.
        width: of their hidden layers.
    """

    def __init__(self, size: int, num_layers: int, width: int = 192) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Coupling(size, width) for _ in range(num_layers))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes -> latents."""
        return self._through(codes)[0]

    def inverse(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents -> codes."""
        for layer in reversed(self.layers):
            latents = layer.inverse(latents)
        return latents * self.scale + self.mean

    def loss(self, codes: torch.Tensor) -> torch.Tensor:
        """Mean negative log-likelihood of codes in nats a number, but for a constant; 0.5 at the start."""
        latents, log_volume = self._through(codes)
        return (latents.square().sum(1) / 2 - log_volume).mean() / codes.shape[1]

    def _through(self, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        codes, log_volume = (codes - self.mean) / self.scale, torch.zeros(len(codes), device=codes.device)
        for layer in self.layers:
            codes, change = layer(codes)
            log_volume = log_volume + change
        return codes, log_volume
