"""A small convolutional network that predicts a column from images and table features."""

from collections.abc import Sequence

import numpy as np

CNN_STEPS, CNN_BATCH = 250, 64  # of every network, however many records: more data must not mean more training


def predict_cnn(
    train: Sequence[np.ndarray],
    values: np.ndarray,
    test: Sequence[np.ndarray],
    num_classes: int | None,
    seed: int,
    num_first: int = 0,
) -> np.ndarray:
    """A small convolutional network on uint8 pixels `(n, 32, 32)`, other features joining before its last layers.

    Arguments and result are those of `predict_linear`, the pixels first; `seed` is of its weights and batches. To be
    fine-tuned, one half of its steps comes first.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    pixel_mean, pixel_scale = float(train[0].mean()), float(train[0].std()) or 1.0
    mean, scale = (values.mean(), values.std()) if num_classes is None else (0, 1)
    goals = torch.from_numpy(((values - mean) / scale).astype(np.float32) if num_classes is None else values)
    train, test = (
        [
            torch.from_numpy((side[0].astype(np.float32) - pixel_mean) / pixel_scale)[:, None],
            *map(torch.from_numpy, side[1:]),
        ]
        for side in (train, test)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [
            (nn.Conv2d(wide, wider, 3, stride=2, padding=1), nn.ReLU())
            for wide, wider in ((1, 16), (16, 32), (32, 64))
        ]
        convolutions = nn.Sequential(*sum(layers, ()), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        num_features = 256 + sum(side.shape[1] for side in train[1:])
        head = nn.Sequential(nn.Linear(num_features, 64), nn.ReLU(), nn.Linear(64, num_classes or 1))

    def network(parts: Sequence[torch.Tensor]) -> torch.Tensor:
        return head(torch.cat([convolutions(parts[0]), *parts[1:]], dim=1))

    optimizer = torch.optim.AdamW([*convolutions.parameters(), *head.parameters()], lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=CNN_STEPS)
    draws = torch.Generator().manual_seed(seed)
    for step in range(CNN_STEPS):
        low, high = (0, num_first) if step < CNN_STEPS // 2 and num_first else (num_first, len(goals))
        rows = torch.randint(low, high, (CNN_BATCH,), generator=draws)
        found = network([side[rows] for side in train])
        if num_classes is None:
            loss = functional.mse_loss(found[:, 0], goals[rows])
        elif goals.ndim == 1:
            loss = functional.cross_entropy(found, goals[rows])
        else:
            loss = functional.binary_cross_entropy_with_logits(found, goals[rows].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        blocks = zip(*(side.split(1024) for side in test), strict=True)
        found = torch.cat([network(block) for block in blocks]).double()
    if num_classes is None:
        return found[:, 0].numpy() * scale + mean
    return (found.softmax(dim=1) if goals.ndim == 1 else found.sigmoid()).numpy()
