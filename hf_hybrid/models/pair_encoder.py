"""Two small encoders that put an image beside its own row and away from the rows of others."""

from typing import Self

import numpy as np

from hf_hybrid.core.randomness import numpy_generator, seed_for

NUM_STEPS, _BATCH, _WIDTH, _DIM, _TEMPERATURE = 400, 128, 128, 32, 0.1


_MISMATCHES = 10  # rows of others that an image is compared with


class PairEncoder:
    """An image encoder and a row encoder that agree on pairs and on nothing else: contrastive learning on real pairs.

    Oord et al. 2018 (arXiv 1807.03748) for the loss, as in CLIP; the features of both sides are given.
    """

    def fit(self, images: np.ndarray, rows: np.ndarray, seed: int = 0) -> Self:
        """Learns from real pairs.

        Args:
            images: features of the images, `(n, d)`.
            rows: features of their rows, `(n, e)`.
            seed: of weights and batches.
        """
        import torch
        from torch import nn
        from torch.nn import functional

        sides = [torch.from_numpy(side).float() for side in (images, rows)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(seed, "pair encoder: steps"))
            self.encoders_ = [
                nn.Sequential(nn.Linear(side.shape[1], _WIDTH), nn.ReLU(), nn.Dropout(0.3), nn.Linear(_WIDTH, _DIM))
                for side in sides
            ]
            weights = [weight for encoder in self.encoders_ for weight in encoder.parameters()]
            optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=1e-1)
            for _ in range(NUM_STEPS):
                batch = torch.randperm(len(images))[:_BATCH]
                one, other = (
                    functional.normalize(encoder(side[batch]))
                    for encoder, side in zip(self.encoders_, sides, strict=True)
                )
                logits, own = one @ other.T / _TEMPERATURE, torch.arange(len(batch))
                loss = functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        for encoder in self.encoders_:
            encoder.eval()
        return self

    def gaps(
        self, images: np.ndarray, rows: np.ndarray, seed: int = 0, groups: np.ndarray | None = None
    ) -> np.ndarray:
        """Cosine of every image with its row, less the mean cosine with `_MISMATCHES` rows of others, `(n,)`.

        Args:
            images: features of the images, `(n, d)`.
            rows: features of their rows, `(n, e)`.
            seed: of the other rows.
            groups: the patient of each, `(n,)`, so that others are other patients; None: each record is a patient.
        """
        import torch
        from torch.nn import functional

        with torch.inference_mode():
            one, other = (
                functional.normalize(encoder(torch.from_numpy(side).float())).double().numpy()
                for encoder, side in zip(self.encoders_, (images, rows), strict=True)
            )
        steps = numpy_generator(seed, "pair encoder: other rows").integers(
            1, max(len(one), 2), size=(_MISMATCHES, len(one))
        )
        others = (np.arange(len(one)) + steps) % len(one)
        is_other = np.ones(others.shape) if groups is None else 1.0 * (groups[others] != groups)
        mismatched = (np.einsum("nd,knd->kn", one, other[others]) * is_other).sum(axis=0)
        return (one * other).sum(axis=1) - mismatched / np.maximum(is_other.sum(axis=0), 1)
