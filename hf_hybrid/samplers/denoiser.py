"""The network of the diffusion sampler: what a table row was before noise, given any of its columns.

It starts as a closed-form solution and learns only the correction. Scalars: the posterior mean of one multivariate
normal over all positions, given the clean columns and the noisy ones. Choices: Bayes' rule for a one-hot block seen
through noise (the posterior mean of a one-hot is its softmax; Dieleman et al. 2022, arXiv 2211.15089), by the linear
discriminant of all columns, the clean ones and the noisy ones (Fisher 1936, doi:10.1111/j.1469-1809.1936.tb02137.x).
The correction is scaled by the noise, as in Karras et al. 2022 (arXiv 2206.00364), and its last layer begins at zero.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from torch import nn

from hf_hybrid.samplers.blocks import OneHotBlocks

_FREQUENCIES = 8
_MIN_SHARE = 1e-4  # the least that a choice may be expected
_MIN_UNEXPLAINED = 0.05  # share of a choice's variance that the given columns leave open at least


@dataclass
class Patterns:
    """Which columns are clean, which noisy, and the normal distribution's answer to that; `p` patterns at once.

    Args:
        given: positions that are known, `(p, width)` bool.
        drawn: positions that are to be drawn, `(p, width)` bool; all other positions are unknown.
        flags: for each column 1 where it is given, then 1 where it is drawn, `(p, 2 * columns)`.
        gain: deviations of given positions -> expected deviations of drawn ones, `(p, width, width)`.
        basis: principal axes of the drawn positions given the rest, `(p, width, width)`.
        spectrum: variances along them, `(p, width)`.
        open: least variance that the other columns leave to a drawn choice, `(p, width)`.
    """

    given: torch.Tensor
    drawn: torch.Tensor
    flags: torch.Tensor
    gain: torch.Tensor
    basis: torch.Tensor
    spectrum: torch.Tensor
    open: torch.Tensor

    def take(self, index: torch.Tensor) -> Self:
        """Some of the patterns."""
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        return type(self)(*(getattr(self, field.name).to(device) for field in fields(self)))


class Denoiser(nn.Module):
    """Scalars first, one-hot blocks behind them, as `TableTransform` lays them out.

    Args:
        column_of: the column of each position, `(width,)`; a column is given, drawn or absent as a whole.
        block_sizes: choices of each one-hot block.
        hidden_dim: width of the network.
        num_layers: residual layers.
        dropout: share of hidden units left out in training.
    """

    def __init__(
        self, column_of: np.ndarray, block_sizes: list[int], hidden_dim: int, num_layers: int, dropout: float
    ) -> None:
        super().__init__()
        width, columns = len(column_of), int(column_of.max()) + 1
        self.num_scalars = width - sum(block_sizes)
        self.blocks = OneHotBlocks(block_sizes)
        self.register_buffer("column_of", torch.from_numpy(column_of), persistent=False)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("covariance", torch.eye(width))
        self.register_buffer("frequencies", 2.0 ** torch.arange(_FREQUENCIES) / 64, persistent=False)
        self.read = nn.Linear(2 * width + 2 * columns + 2 * _FREQUENCIES, hidden_dim)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden_dim), nn.Linear(hidden_dim, hidden_dim), nn.SiLU(), nn.Dropout(dropout))
            for _ in range(num_layers)
        )
        self.write = nn.Sequential(nn.LayerNorm(hidden_dim), nn.Linear(hidden_dim, width))
        nn.init.zeros_(self.write[1].weight)
        nn.init.zeros_(self.write[1].bias)

    def patterns(self, given: np.ndarray, drawn: np.ndarray) -> Patterns:
        """Prepares which columns are given and which drawn.

        Args:
            given: `(p, columns)` bool.
            drawn: `(p, columns)` bool, apart from `given`.

        Returns:
            The patterns, on the device of the network.
        """
        column_of, covariance = self.column_of.cpu().numpy(), self.covariance.double().cpu()
        width = len(column_of)
        mean = self.mean.double().cpu()
        gains, bases, spectra, open_ = [], [], [], []
        for known, wanted in zip(given[:, column_of], drawn[:, column_of], strict=True):
            known, wanted = np.flatnonzero(known), np.flatnonzero(wanted)
            across, within = covariance[wanted][:, known], covariance[wanted][:, wanted]
            answer = torch.linalg.solve(covariance[known][:, known], across.T)
            values, axes = torch.linalg.eigh(within - across @ answer)
            gain, basis, spectrum = torch.zeros(width, width), torch.zeros(width, width), torch.ones(width)
            gain[known[:, None], wanted] = answer.float()
            basis[wanted[:, None], np.arange(len(wanted))] = axes.float()
            spectrum[: len(wanted)] = values.float().clamp(min=0)
            gains.append(gain)
            bases.append(basis)
            spectra.append(spectrum)
            least = torch.ones(width)
            alone = (mean * (1 - mean))[wanted].clamp(min=_MIN_SHARE)
            least[wanted] = (_MIN_UNEXPLAINED * alone).float()
            open_.append(least)
        return Patterns(
            torch.from_numpy(given[:, column_of]),
            torch.from_numpy(drawn[:, column_of]),
            torch.from_numpy(np.concatenate([given, drawn], axis=1)).float(),
            *(torch.stack(one) for one in (gains, bases, spectra, open_)),
        ).to(self.mean.device)

    def forward(
        self, patterns: Patterns, known: torch.Tensor, noisy: torch.Tensor, signal: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the rows were before noise.

        Args:
            patterns: `p` patterns.
            known: clean rows, read where they are given, `(p, n, width)`.
            noisy: `signal * rows + noise * standard normal`, read where they are to be drawn, `(p, n, width)`.
            signal: `(p, n, 1)`.
            noise: above 0, `(p, n, 1)`.

        Returns:
            Scalars `(p, n, num_scalars)` and logarithms of the shares of all choices `(p, n, width - num_scalars)`.
        """
        given, drawn = patterns.given[:, None].float(), patterns.drawn[:, None].float()
        told = ((known - self.mean) * given) @ patterns.gain
        expected = self.mean + told
        deviations = (noisy - signal * expected) @ patterns.basis
        spectrum = patterns.spectrum[:, None]
        shrunk = deviations * signal * spectrum / (signal.square() * spectrum + noise.square())
        expected = expected + shrunk @ patterns.basis.transpose(1, 2)

        angle = torch.log(signal / noise) * self.frequencies
        level = torch.cat([angle.sin(), angle.cos()], dim=2)
        flags = patterns.flags[:, None].expand(-1, known.shape[1], -1)
        seen = torch.cat([known * given + noisy * drawn, expected * drawn, flags, level], dim=2)
        hidden = self.read(seen)
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        correction = self.write(hidden)

        scalars = expected[..., : self.num_scalars] + noise * correction[..., : self.num_scalars]
        left = spectrum * noise.square() / (signal.square() * spectrum + noise.square())
        logits = self._choices(patterns, expected, left, signal, noise)
        return scalars, self.blocks.log_softmax(logits + correction[..., self.num_scalars :])

    def _choices(
        self, patterns: Patterns, expected: torch.Tensor, left: torch.Tensor, signal: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """Logits of the choices, `(p, n, width - num_scalars)`: each against the others of its block.

        Args:
            patterns: `p` patterns.
            expected: posterior means, `(p, n, width)`.
            left: posterior variances along the axes of the patterns, `(p, n, width)`.
            signal: as of `forward`.
            noise: as of `forward`.
        """
        choices = slice(self.num_scalars, None)
        share = self.mean[choices].clamp(_MIN_SHARE, 1 - _MIN_SHARE)
        alone, least = share * (1 - share), patterns.open[:, None, choices]
        # What the other columns leave open at least, seen through the noise on both answers.
        least = least * noise.square() / (2 * signal.square() * least + noise.square())
        variance = torch.maximum(left @ patterns.basis[:, choices].square().transpose(1, 2), least)
        # Fisher's discriminant in terms of a regression of the choice: the logit changes by deviation / variance, and
        # the point between both answers is not the mean unless both are equally frequent.
        logits = torch.logit(share) + (expected[..., choices] - share) / variance
        logits = logits + (share - 0.5) * (1 / variance - 1 / alone)
        return nn.functional.logsigmoid(logits)

    def losses(
        self,
        patterns: Patterns,
        rows: torch.Tensor,
        known: torch.Tensor,
        has_value: torch.Tensor,
        level: tuple[torch.Tensor, torch.Tensor],
        normal: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Square errors of the scalars in units of the noise, and surprises of the choices, where drawn.

        Args:
            patterns: `p` patterns.
            rows: clean ones, `(p, n, width)`.
            known: the same as the network may see them where they are given, `(p, n, width)`.
            has_value: where a scalar is one, `(p, n, width)` bool.
            level: `signal` and `noise` as of `forward`.
            normal: standard normal, `(p, n, width)`.

        Returns:
            Two sums over positions and the number of questions (drawn scalars and blocks), of each row, `(p, n)`.
        """
        signal, noise = level
        # A cell without a value gets pure noise: a value near 0 would reveal that it is missing.
        noisy = torch.where(has_value, signal * rows, 0) + torch.where(has_value, noise, 1) * normal
        scalars, shares = self(patterns, known, noisy, signal, noise)
        drawn = patterns.drawn[:, None]
        counted = (drawn & has_value)[..., : self.num_scalars]
        errors = ((scalars - rows[..., : self.num_scalars]) / noise).square() * counted
        surprises = -(rows[..., self.num_scalars :] * shares) * drawn[..., self.num_scalars :]
        questions = counted.sum(2) + (rows[..., self.num_scalars :] * drawn[..., self.num_scalars :]).sum(2)
        return errors.sum(2), surprises.sum(2), questions
