"""The closed form in which CTGAN's last layer starts: noise and condition -> scalars and logits of choices."""

import numpy as np
import torch

from hf_hybrid.samplers.blocks import OneHotBlocks, gumbel

_DRAWS, _ROUNDS, _RATE = 16384, 12, 0.5  # of the calibration
_FILLINGS = 5  # rounds in which lifts within a block are replaced
_LIFTS = 4.0  # largest absolute lift
_OBEYED = 6.0  # added to the logit of a condition's own choice


class GaussianStart:
    """A linear map whose draws have the moments of the rows.

    Scalars are a multivariate normal of the noise, shifted by the condition. The logits of choices are linear
    discriminants of that noise; some of the noise, which no scalar sees, carries the rest of the associations between
    choices of different blocks (factors of their lifts, as in joint correspondence analysis, Greenacre 1988,
    doi:10.1093/biomet/75.3.457). How far softmax and condition weaken or repeat associations has no closed form:
    `calibrate` draws and corrects.

    Args:
        mean: of all positions, scalars first, `(width,)`.
        covariance: of all positions, `(width, width)`.
        sizes: choices of each block.
        embedding_dim: length of the noise.

    Attributes:
        weight: `(width, embedding_dim + choices)`.
        bias: `(width,)`.
    """

    def __init__(self, mean: np.ndarray, covariance: np.ndarray, sizes: list[int], embedding_dim: int) -> None:
        count, blocks = sum(sizes), max(len(sizes), 1)
        self._s, self._dim = len(mean) - count, embedding_dim
        scalars, choices = slice(0, self._s), slice(self._s, None)
        self._block = np.repeat(np.arange(len(sizes)), sizes)
        self._share = mean[choices].clip(1e-3)
        self._shift = covariance[scalars, choices] / self._share  # of the scalars' means among holders of a choice
        self._lift = _lifts(covariance[choices, choices] + np.outer(self._share, self._share), self._share)
        between = self._shift * self._share / blocks @ self._shift.T
        values, axes = np.linalg.eigh(covariance[scalars, scalars] - between)
        self._num_factors = min(len(sizes), embedding_dim // 4)
        self._kept = min(len(values), embedding_dim - self._num_factors)
        values, axes = values[::-1][: self._kept].clip(1e-6), axes[:, ::-1][:, : self._kept]
        self._back = axes / np.sqrt(values)  # scalars -> the noise behind them
        self._remaining = np.zeros_like(self._lift)  # lifts that the factors have to make
        self.weight, self.bias = np.zeros((len(mean), embedding_dim + count)), mean.copy()
        self.weight[scalars, : self._kept] = axes * np.sqrt(values)
        self.weight[scalars, embedding_dim:] = self._shift
        self.weight[choices, : self._kept] = self._shift.T @ self._back
        self.weight[choices, embedding_dim:] = self._lift + _OBEYED * np.eye(count)
        # As in a linear discriminant: what the noise adds to a choice's odds is 1 on average.
        self.bias[choices] = np.log(self._share) - (self.weight[choices, :embedding_dim] ** 2).sum(axis=1) / 2

    def calibrate(self, blocks: OneHotBlocks, frequencies: torch.Tensor, rng: torch.Generator) -> None:
        """Corrects shares and associations by what draws lack.

        Args:
            blocks: of the choices.
            frequencies: of the choices as conditions, `(choices,)`.
            rng: of the draws.
        """
        if not blocks.num_choices:
            return
        choices = slice(self._s, None)
        condition = blocks.one_hot(blocks.draw(frequencies, _DRAWS, rng))
        seen = torch.cat([torch.randn(_DRAWS, self._dim, generator=rng), condition], 1).numpy()
        noise = gumbel(torch.rand(_DRAWS, blocks.num_choices, generator=rng))
        for _ in range(_ROUNDS):
            drawn = seen @ self.weight.T + self.bias
            chosen = blocks.choose(torch.from_numpy(drawn[:, choices]).float() + noise).double().numpy()
            share = chosen.mean(axis=0).clip(1e-4)
            scalars = drawn[:, : self._s]
            shift = (scalars - scalars.mean(axis=0)).T @ chosen / _DRAWS / share
            self.weight[choices, : self._kept] += _RATE * (self._shift - shift).T @ self._back
            self._remaining += _RATE * (self._lift - _lifts(chosen.T @ chosen / _DRAWS, share))
            self.weight[choices, self._kept : self._kept + self._num_factors] = self._factors()
            self.bias[choices] += np.log(self._share / share)

    def _factors(self) -> np.ndarray:
        """Factors `(choices, num_factors)` whose products approximate the remaining lifts between blocks.

        The choices of one block exclude each other, so their lifts say nothing of a factor: they are replaced by those
        of the factors found so far. Choices count by their shares.
        """
        same, root = self._block[:, None] == self._block, np.sqrt(self._share)
        weighted = (self._remaining + self._remaining.T) / 2 * root * root[:, None]
        factors = np.zeros((len(root), self._num_factors))
        for _ in range(_FILLINGS):
            values, axes = np.linalg.eigh(np.where(same, factors @ factors.T, weighted))
            count = min(self._num_factors, len(values))
            factors[:, :count] = (axes * np.sqrt(values.clip(min=0)))[:, ::-1][:, :count]
        return factors / root[:, None]


def _lifts(together: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Logarithms of P(j and k) / (P(j) P(k)), `(choices, choices)`."""
    return np.log((together / share / share[:, None]).clip(np.exp(-_LIFTS), np.exp(_LIFTS)))
