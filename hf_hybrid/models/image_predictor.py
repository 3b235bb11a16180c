"""A small convolutional network that predicts a column from images and table features."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hf_hybrid.core.randomness import generator, seed_for

CNN_STEPS, CNN_BATCH = 250, 64  # of every network, however many records: more data must not mean more training


def predict_cnn(
    train: Sequence[np.ndarray],
    values: np.ndarray,
    test: Sequence[np.ndarray],
    num_classes: int | None,
    seed: int,
    num_first: int = 0,
) -> np.ndarray:
    """A small convolutional network on uint8 pixels `(n, 32, 32)`; other features join before its last two layers.

    Args:
        train: pixels, then float32 features, each `(n_train, num_features)`.
        values: numbers, class numbers or labels to learn.
        test: the same of the test records.
        num_classes: number of classes or labels, None for numbers.
        seed: of the weights and batches.
        num_first: how many records of `train` the first half of the steps learns from; the second half fine-tunes on
            the rest. 0: all steps learn from all records.

    Returns:
        Numbers `(n_test,)`, or probabilities `(n_test, num_classes)`.
    """
    mean, scale = (values.mean(), values.std()) if num_classes is None else (0, 1)
    goals = torch.from_numpy(((values - mean) / scale).astype(np.float32) if num_classes is None else values)
    train, test = _to_tensors(train, test)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "image predictor: weights"))
        network = _Network(sum(side.shape[1] for side in train[1:]), num_classes or 1)
    _train(network, train, goals, seed, num_first)
    with torch.no_grad():
        blocks = zip(*(side.split(1024) for side in test), strict=True)
        found = torch.cat([network(block) for block in blocks]).double()
    if num_classes is None:
        return found[:, 0].numpy() * scale + mean
    return (found.softmax(dim=1) if goals.ndim == 1 else found.sigmoid()).numpy()


class _Network(nn.Module):
    """Three strided convolutions on the image, then two linear layers that also see the other features."""

    def __init__(self, num_features: int, num_outputs: int) -> None:
        super().__init__()
        layers = [
            (nn.Conv2d(wide, wider, 3, stride=2, padding=1), nn.ReLU())
            for wide, wider in ((1, 16), (16, 32), (32, 64))
        ]
        self.convolutions = nn.Sequential(*sum(layers, ()), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Sequential(nn.Linear(256 + num_features, 64), nn.ReLU(), nn.Linear(64, num_outputs))

    def forward(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        return self.head(torch.cat([self.convolutions(parts[0]), *parts[1:]], dim=1))


def _to_tensors(*sides: Sequence[np.ndarray]) -> list[list[torch.Tensor]]:
    """Pixels, standardised by mean and deviation of the first side, and the other features unchanged."""
    pixels = sides[0][0]
    mean, scale = float(pixels.mean()), float(pixels.std()) or 1.0
    return [
        [torch.from_numpy((side[0].astype(np.float32) - mean) / scale)[:, None], *map(torch.from_numpy, side[1:])]
        for side in sides
    ]


def _train(network: nn.Module, train: Sequence[torch.Tensor], goals: torch.Tensor, seed: int, num_first: int) -> None:
    """Takes `CNN_STEPS` steps; see `predict_cnn`."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=CNN_STEPS)
    draws = generator(seed, "image predictor: order of images")
    for step in range(CNN_STEPS):
        low, high = (0, num_first) if step < CNN_STEPS // 2 and num_first else (num_first, len(goals))
        rows = torch.randint(low, high, (CNN_BATCH,), generator=draws)
        loss = _loss(network([side[rows] for side in train]), goals[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _loss(found: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
    """Squared error of numbers, cross-entropy of class numbers, or binary cross-entropy of labels; the mean."""
    if goals.ndim == 2:
        return functional.binary_cross_entropy_with_logits(found, goals.float())
    if goals.is_floating_point():
        return functional.mse_loss(found[:, 0], goals)
    return functional.cross_entropy(found, goals)
