"""Curves of a privacy report: nearest distances of patients, and ROC curves of membership attacks."""

from collections.abc import Iterable

import numpy as np

from hf_hybrid.core.scores import HELD_OUT, TRAINING
from hf_hybrid.metrics.membership import by_patient

_NUM_BINS = 20


def histograms(
    name: str, training: np.ndarray, held_out: np.ndarray, groups: Iterable[np.ndarray], min_patients: int
) -> dict:
    """Shares of patients in bins of their smallest distance, from the 1 % to the 99 % quantile of both sides.

    A bin holds no patients of a side or at least `min_patients`.
    """
    sides = [-by_patient(-side, one) for side, one in zip((training, held_out), groups, strict=True)]
    low, high = np.quantile(np.concatenate(sides), [0.01, 0.99])
    edges = np.linspace(low, max(high, low + 0.01), _NUM_BINS + 1)
    counts = np.stack([np.histogram(side.clip(edges[0], edges[-1]), edges)[0] for side in sides])
    starts, counts = _coarsened(counts, min_patients)
    edges, shares = edges[[*starts, _NUM_BINS]], [row / len(side) for row, side in zip(counts, sides, strict=True)]
    return {
        "kind": "histogram",
        "name": name,
        "edges": [round(float(edge), 4) for edge in edges],
        "shares": {
            side: [round(float(one), 3) for one in share]
            for side, share in zip((TRAINING, HELD_OUT), shares, strict=True)
        },
    }


def _coarsened(counts: np.ndarray, min_patients: int) -> tuple[list[int], np.ndarray]:
    """Joins neighbouring bins `(sides, bins)` with too few patients; returns the first bin of each, and counts."""
    bins = []
    for place, count in enumerate(counts.T):
        if bins and _tells_few(bins[-1][1], min_patients):
            bins[-1][1][:] += count
        else:
            bins.append((place, count.copy()))
    while len(bins) > 1 and _tells_few(bins[-1][1], min_patients):
        _, count = bins.pop()
        bins[-1][1][:] += count
    return [start for start, _ in bins], np.stack([count for _, count in bins], axis=1)


def _tells_few(count: np.ndarray, min_patients: int) -> bool:
    return bool(((count > 0) & (count < min_patients)).any())


def roc_curves(name: str, attacks: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict:
    """True-positive rates of attacks at false-positive rates from 0 to 1 in steps of a twentieth."""
    grid = np.linspace(0, 1, _NUM_BINS + 1)
    curves = {}
    for attack, (training, held_out) in attacks.items():
        thresholds = np.quantile(held_out, 1 - grid[1:-1])
        curves[attack] = [0.0, *((training >= limit).mean().round(3).item() for limit in thresholds), 1.0]
    return {"kind": "roc", "name": name, "false_positives": grid.round(2).tolist(), "curves": curves}
