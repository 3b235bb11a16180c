"""Real rows that hold a given choice, drawn for training-by-sampling (Xu et al. 2019, section 4.3)."""

import torch


class RowsByChoice:
    """All rows, and which of them hold each choice.

    Args:
        matrix: `(n, width)`, on the device.
        num_scalars: where the one-hot blocks begin.

    Attributes:
        counts: rows that hold each choice, `(choices,)`.
    """

    def __init__(self, matrix: torch.Tensor, num_scalars: int) -> None:
        self._matrix = matrix
        flags = matrix[:, num_scalars:]
        held = torch.nonzero(flags.T)
        self._rows = held[:, 1]
        self.counts = torch.bincount(held[:, 0], minlength=flags.shape[1])
        self._first = self.counts.cumsum(0) - self.counts

    def draw(self, choice: torch.Tensor) -> torch.Tensor:
        """One row for each choice, uniformly among its holders; among all where there is no choice to hold."""
        share = torch.rand(len(choice), device=choice.device)
        if not len(self.counts):
            return self._matrix[_pick(share, torch.full_like(choice, len(self._matrix)))]
        return self._matrix[self._rows[self._first[choice] + _pick(share, self.counts[choice])]]


def _pick(share: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Uniform positions below `count`; rounding of the product must not reach it."""
    return torch.minimum((share * count).long(), count - 1)
