"""Membership: can an attacker who holds a patient's record tell from a release whether it was a training record?

What the attacks share (`evaluation.attacks`, one file an attack): each gives every record a score that is higher for
training records if the release leaks, and this module turns such scores into an AUC over patients.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights
from hf_hybrid.metrics.predictions import auc

NUM_PARTS = 3  # of the patients, for attacks with a reference; the fewest of which no two serve each other
MIN_FALSE_POSITIVES = 10  # held-out patients behind an operating point of an attack
_BLOCK_CELLS = 20_000_000  # distances held at once


def nearest_distances(records: np.ndarray, synthetic: np.ndarray, neighbour: int = 1) -> np.ndarray:
    """Euclidean distance of each record `(n, d)` to the nearest synthetic one `(m, d)`, or a later one, `(n,)`."""
    squares, place = (synthetic**2).sum(axis=1), min(neighbour, len(synthetic)) - 1
    found = []
    for block in np.array_split(records, max(1, -(-len(records) * len(synthetic) // _BLOCK_CELLS))):
        distances = squares - 2 * block @ synthetic.T
        nearest = np.partition(distances, place, axis=1)[:, place] if place else distances.min(axis=1)
        found.append(nearest + (block**2).sum(axis=1))
    return np.sqrt(np.maximum(np.concatenate(found), 0))


def membership(
    training: np.ndarray,
    training_groups: np.ndarray,
    held_out: np.ndarray,
    held_out_groups: np.ndarray,
    synthetic: np.ndarray,
    num_bootstraps: int = 500,
) -> Estimate:
    """AUC of distinguishing training patients from held-out ones by the distance to the nearest synthetic record.

    0.5 is chance; a safe sampler is slightly above it, so compare with a baseline fitted to the same patients. A
    patient counts once, by the nearest of its records.

    Args:
        training: features of the training records, `(n, d)`, on one scale.
        training_groups: the patient of each, `(n,)`.
        held_out: the same of held-out patients.
        held_out_groups: the patient of each.
        synthetic: features of the release, `(m, d)`.
        num_bootstraps: replicates, drawn over patients; the same ones for the same patients, so that two releases
            can be compared pair by pair.
    """
    scores = [-nearest_distances(records, synthetic) for records in (training, held_out)]
    return attack_auc(
        *(by_patient(one, groups) for one, groups in zip(scores, (training_groups, held_out_groups), strict=True)),
        num_bootstraps,
    )


def scores_against_reference(
    score: Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray],
    training: np.ndarray,
    training_groups: np.ndarray,
    held_out: np.ndarray,
    held_out_groups: np.ndarray,
    synthetic: np.ndarray,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Scores of training records `(n,)` and of held-out records `(k,)` by an attack that needs a reference population.

    Each third of the held-out patients is attacked with the next third as reference, in a circle, and a third of the
    training patients with them: no patient is compared with itself, and no two patients serve each other as reference.
    Two halves that do share every chance neighbourhood of two held-out patients, which a bootstrap of the scores does
    not see: the AUC then varied by 1.2 to 1.6 times its standard error.

    Args:
        score: of records `(m, d)`, from the release, the reference and a seed; `(m,)`, higher for training records.
        training: features of the training records, `(n, d)`, on one scale.
        training_groups: the patient of each, `(n,)`.
        held_out: the same of held-out patients, `(k, d)`.
        held_out_groups: the patient of each of these.
        synthetic: features of the release.
        seed: seed of the thirds, and for `score`.

    Returns:
        None if there are fewer than `NUM_PARTS` held-out patients.
    """
    rng = numpy_generator(seed, "attack: parts of the patients")
    part, training_part = (_parts(groups, rng) for groups in (held_out_groups, training_groups))
    if part.max() + 1 < NUM_PARTS:
        return None
    of_training, of_held_out = np.zeros(len(training)), np.zeros(len(held_out))
    for place in range(NUM_PARTS):
        own, others, reference = training_part == place, part == place, part == (place + 1) % NUM_PARTS
        scored = score(np.concatenate([training[own], held_out[others]]), synthetic, held_out[reference], seed)
        of_training[own], of_held_out[others] = np.split(scored, [own.sum()])
    return of_training, of_held_out


def _parts(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The part of each record, from 0 to `NUM_PARTS` - 1, by patient; parts differ by at most one patient."""
    _, patients = np.unique(groups, return_inverse=True)
    return rng.permutation(np.arange(patients.max() + 1) % NUM_PARTS)[patients]


def by_patient(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The highest score among the records of each patient, in the order of patients."""
    return pd.Series(scores).groupby(np.asarray(groups)).max().to_numpy()


def attack_auc(
    training: np.ndarray, held_out: np.ndarray, num_bootstraps: int, draws_held_out: bool = True
) -> Estimate:
    """AUC of scores by patient, with a bootstrap of either side among itself, or of the training patients alone."""
    is_training = np.repeat([1, 0], [len(training), len(held_out)])
    sides = [
        bootstrap_weights(np.arange(len(one)), num_bootstraps, seed) for seed, one in enumerate((training, held_out))
    ]
    weights = np.concatenate([sides[0], sides[1] if draws_held_out else np.ones_like(sides[1])], axis=1)
    return Estimate.of(auc, is_training, np.concatenate([training, held_out]), weights)


def true_positives(training: np.ndarray, held_out: np.ndarray, false_positives: float) -> float | None:
    """True-positive rate at a false-positive rate, as the MIDST challenge (SaTML 2025) ranks attacks at 10 %.

    Args:
        training: scores by patient.
        held_out: likewise.
        false_positives: share of the held-out patients who may score as high.

    Returns:
        None if fewer than `MIN_FALSE_POSITIVES` held-out patients are that share.
    """
    count = int(false_positives * len(held_out) + 1e-9)
    if count < MIN_FALSE_POSITIVES:
        return None
    return float((training > np.sort(held_out)[-count - 1]).mean()) if count < len(held_out) else 1.0


def random_label_auc(training: np.ndarray, num_held_out: int, num_draws: int, seed: int = 0) -> float:
    """The AUC that 97.5 % of random labels among training patients stay below: what their number alone makes.

    Args:
        training: scores by patient.
        num_held_out: how many to label as held out; at most half of the training patients.
        num_draws: of labels.
        seed: of the labels.
    """
    count = min(num_held_out, len(training) // 2)
    if not count:
        return 1.0
    rng = numpy_generator(seed, "attack: random labels")
    drawn = [rng.permutation(training) for _ in range(num_draws)]
    return float(np.quantile([attack_auc(one[count:], one[:count], 0).value for one in drawn], 0.975))
