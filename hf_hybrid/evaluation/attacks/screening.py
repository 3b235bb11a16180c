"""Widely reported distances; they miss leaks that the attacks find, and do not affect the verdict."""

import numpy as np

from hf_hybrid.core.scores import HELD_OUT, Score
from hf_hybrid.evaluation.attacks.base import LOWER
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.metrics.membership import nearest_distances


def screen(spaces: AttackSpaces) -> tuple[Score, ...]:
    """Distance to the closest record (DCR) and nearest-neighbour distance ratio (NNDR)."""
    synthetic, train, held_out, _ = spaces.records
    count = spaces.held_out.num_patients
    patients = np.random.default_rng(0).permutation(np.unique(spaces.train.groups))[:count]
    sides = train[np.isin(spaces.train.groups, patients)], held_out
    near, second = ([nearest_distances(synthetic, side, place) for side in sides] for place in (1, 2))
    ratios = [float(np.median(one / np.maximum(two, 1e-9))) for one, two in zip(near, second, strict=True)]
    meaning, unit = "screening only: releases of copies pass it", (0.0, 1.0)
    closer = float((near[0] < near[1]).mean())
    return (
        Score("DCR share", closer, None, LOWER, unit, 2 * count, {"no difference": 0.5}, meaning),
        Score("NNDR", ratios[0], None, "higher is better", unit, 2 * count, {HELD_OUT: ratios[1]}, meaning),
    )
