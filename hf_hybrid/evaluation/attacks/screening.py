"""What does not affect the verdict: widely reported distances, which miss leaks, and validation patients."""

from collections.abc import Iterator

import numpy as np

from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.core.scores import HELD_OUT, Score
from hf_hybrid.evaluation.attacks.base import LOWER
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.metrics.membership import attack_auc, by_patient, nearest_distances


def screen(spaces: AttackSpaces) -> tuple[Score, ...]:
    """Distance to the closest record (DCR) and nearest-neighbour distance ratio (NNDR)."""
    synthetic, train, held_out, _ = spaces.records
    count = spaces.held_out.num_patients
    patients = numpy_generator(0, "attack: patients").permutation(np.unique(spaces.train.groups))[:count]
    sides = train[np.isin(spaces.train.groups, patients)], held_out
    near, second = ([nearest_distances(synthetic, side, place) for side in sides] for place in (1, 2))
    ratios = [float(np.median(one / np.maximum(two, 1e-9))) for one, two in zip(near, second, strict=True)]
    meaning, unit = "screening only: releases of copies pass it", (0.0, 1.0)
    closer = float((near[0] < near[1]).mean())
    return (
        Score("DCR share", closer, None, LOWER, unit, 2 * count, {"no difference": 0.5}, meaning),
        Score("NNDR", ratios[0], None, "higher is better", unit, 2 * count, {HELD_OUT: ratios[1]}, meaning),
        *_validation(spaces),
    )


def _validation(spaces: AttackSpaces) -> Iterator[Score]:
    """The distance attack on the patients on whom the sampler chose its weights."""
    name, unit = "validation patients of the sampler", (0.0, 1.0)
    if spaces.training_patients.reason:
        yield Score(name, None, None, LOWER, unit, None, reason=spaces.training_patients.reason)
    features, groups = spaces.validation
    if not len(groups):
        return
    synthetic, train, held_out, _ = spaces.records
    known = (groups, spaces.train.groups, spaces.held_out.groups)
    validation, learned, others = (
        by_patient(-nearest_distances(records, synthetic), of_records)
        for records, of_records in zip((features, train, held_out), known, strict=True)
    )
    found = attack_auc(validation, others, spaces.options.bootstraps)
    reference = {"AUC of chance": 0.5, "AUC of those it learned from": attack_auc(learned, others, 0).value}
    meaning = (
        f"AUC of the distance attack on the {len(validation)} validation patients, on whom the sampler chose its "
        "weights; no attack above counts them (the seed of the sampler and the order of `train` identify them)"
    )
    yield Score(name, found.value, found.interval, LOWER, unit, len(validation) + len(others), reference, meaning)
