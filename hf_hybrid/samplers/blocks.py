"""One-hot blocks of a table row side by side in a network: one softmax for all of them."""

import torch
from torch import nn


class OneHotBlocks(nn.Module):
    """Blocks of choices, one behind the other; has no weights, and moves with the network it belongs to.

    Args:
        sizes: choices of each block.
    """

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        blocks, longest = len(sizes), max(sizes, default=1)
        block_of = torch.repeat_interleave(torch.arange(blocks), torch.tensor(sizes, dtype=torch.long))
        first = torch.tensor([0, *sizes]).cumsum(0)
        place = torch.arange(len(block_of)) - first[block_of]
        # Rows of equal length, so that all blocks go through one softmax; the padding is never chosen.
        index = torch.zeros(blocks, longest, dtype=torch.long)
        index[block_of, place] = torch.arange(len(block_of))
        filling = torch.ones(blocks, longest, dtype=torch.bool)
        filling[block_of, place] = False
        for name, tensor in (
            ("block_of", block_of),
            ("first", first[:-1]),
            ("index", index),
            ("filling", filling),
            ("places", block_of * longest + place),
        ):
            self.register_buffer(name, tensor, persistent=False)

    @property
    def num_choices(self) -> int:
        """Choices of all blocks together."""
        return len(self.block_of)

    def one_hot(self, choice: torch.Tensor) -> torch.Tensor:
        """One-hot vectors over all choices, `(n, choices)`; without any choice `(n, 0)`."""
        if not self.num_choices:
            return torch.zeros(len(choice), 0, device=choice.device)
        return nn.functional.one_hot(choice, self.num_choices).float()

    def draw(self, weights: torch.Tensor, count: int, rng: torch.Generator | None = None) -> torch.Tensor:
        """Draws a block uniformly and a choice in it by `weights`, `(count,)`; zeros where there is no choice."""
        if not self.num_choices:
            return torch.zeros(count, dtype=torch.long, device=weights.device)
        total = self.rows(weights, 0.0).sum(1).clamp(min=1e-12)
        return torch.multinomial(weights / total[self.block_of], count, replacement=True, generator=rng)

    def rows(self, choices: torch.Tensor, filling: float = -torch.inf) -> torch.Tensor:
        """Values of all choices `(..., choices)` -> one row a block, `(..., blocks, longest block)`."""
        rows = choices.index_select(-1, self.index.flatten()).unflatten(-1, self.index.shape)
        return rows.masked_fill(self.filling, filling)

    def flat(self, rows: torch.Tensor) -> torch.Tensor:
        """Inverse of `rows`."""
        return rows.flatten(-2).index_select(-1, self.places)

    def log_softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """Logarithms of shares that add up to 1 in each block; `(..., choices)` both."""
        return self.flat(torch.log_softmax(self.rows(logits), dim=-1))

    def softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """Shares that add up to 1 in each block; `(..., choices)` both."""
        return self.flat(torch.softmax(self.rows(logits), dim=-1))

    def choose(self, scores: torch.Tensor) -> torch.Tensor:
        """The choice of each block with the highest score, as one-hot; `(n, choices)` both."""
        best = self.first + self.rows(scores).argmax(dim=-1)
        return torch.zeros_like(scores).scatter_(1, best, 1.0)


def gumbel(uniform: torch.Tensor) -> torch.Tensor:
    """Gumbel noise from uniform noise: the highest of logits plus it is drawn with the softmax of the logits."""
    return -torch.log(-torch.log(uniform.clamp(1e-10, 1 - 1e-7)))
