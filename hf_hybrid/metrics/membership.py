"""Membership: can an attacker who holds a patient's record tell from a release whether it was a training record?

Three attacks give every record a score that is higher for training records if the release leaks: how near the nearest
synthetic record is (`distance`), the density of synthetic records there relative to records of a reference population
(`density ratio`; van Breugel et al. 2023, DOMIAS, arXiv 2302.12580, with neighbours for densities), and how
confidently a classifier assigns it to the release rather than to that reference (`classifier`). The reference is one
half of the held-out patients while the other half is attacked, so that no patient is compared with itself.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hf_hybrid.core.randomness import numpy_generator, seed_for
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights
from hf_hybrid.metrics.forests import fit_forest
from hf_hybrid.metrics.predictions import auc

ATTACKS = ("distance", "density ratio", "classifier")
MIN_FALSE_POSITIVES = 10  # held-out patients behind an operating point of an attack
NUM_TREES = 100
_NUM_NEIGHBOURS = 5
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
    members: np.ndarray,
    member_groups: np.ndarray,
    others: np.ndarray,
    other_groups: np.ndarray,
    synthetic: np.ndarray,
    num_bootstraps: int = 500,
) -> Estimate:
    """AUC of distinguishing training patients (members) from others by the distance to the nearest synthetic record.

    0.5 is chance; a safe sampler is slightly above it, so compare with a control that was fitted to the same members.
    A patient counts once, by the nearest of its records.

    Args:
        members: features of the training records, `(n, d)`, on one scale.
        member_groups: the patient of each, `(n,)`.
        others: the same of held-out patients.
        other_groups: the patient of each.
        synthetic: features of the release, `(m, d)`.
        num_bootstraps: replicates, drawn over patients; the same ones for the same patients, so that two releases
            can be compared pair by pair.
    """
    scores = [-nearest_distances(records, synthetic) for records in (members, others)]
    return attack_auc(
        *(by_patient(one, groups) for one, groups in zip(scores, (member_groups, other_groups), strict=True)),
        num_bootstraps,
    )


def attack_scores(
    members: np.ndarray,
    member_groups: np.ndarray,
    others: np.ndarray,
    other_groups: np.ndarray,
    synthetic: np.ndarray,
    attacks: Sequence[str] = ATTACKS,
    seed: int = 0,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Scores of members `(n,)` and of others `(k,)` by each attack.

    Args:
        members: features of the training records, `(n, d)`, on one scale.
        member_groups: the patient of each, `(n,)`.
        others: the same of held-out patients, `(k, d)`.
        other_groups: the patient of each of these.
        synthetic: features of the release, `(m, d)`.
        attacks: which ones; all but `distance` are left out if one half of the others would be empty.
        seed: seed of the halves and of the classifier.
    """
    rng = numpy_generator(seed, "attack: halves of the patients")
    half, member_half = (_half(groups, rng) for groups in (other_groups, member_groups))
    found = {}
    for name in attacks:
        if name != "distance" and not half.any():  # no patients are left for the reference
            continue
        if name == "distance":
            found[name] = tuple(-nearest_distances(side, synthetic) for side in (members, others))
            continue
        score = _density_ratio if name == "density ratio" else _classifier
        of_members, of_others = np.zeros(len(members)), np.zeros(len(others))
        for reference, own in ((half, member_half), (~half, ~member_half)):
            scored = score(np.concatenate([members[own], others[~reference]]), synthetic, others[reference], seed)
            of_members[own], of_others[~reference] = np.split(scored, [own.sum()])
        found[name] = of_members, of_others
    return found


def _half(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which records are those of one half of the patients."""
    patients = np.unique(groups)
    return np.isin(groups, rng.permutation(patients)[: len(patients) // 2])


def by_patient(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The highest score among the records of each patient, in the order of patients."""
    return pd.Series(scores).groupby(np.asarray(groups)).max().to_numpy()


def attack_auc(members: np.ndarray, others: np.ndarray, num_bootstraps: int, draws_others: bool = True) -> Estimate:
    """AUC of scores by patient, with a bootstrap of members and others each among themselves, or of members alone."""
    is_member = np.repeat([1, 0], [len(members), len(others)])
    sides = [
        bootstrap_weights(np.arange(len(one)), num_bootstraps, seed) for seed, one in enumerate((members, others))
    ]
    weights = np.concatenate([sides[0], sides[1] if draws_others else np.ones_like(sides[1])], axis=1)
    return Estimate.of(auc, is_member, np.concatenate([members, others]), weights)


def true_positives(members: np.ndarray, others: np.ndarray, false_positives: float) -> float | None:
    """True-positive rate at a false-positive rate, as the MIDST challenge (SaTML 2025) ranks attacks at 10 %.

    Args:
        members: scores by patient.
        others: likewise.
        false_positives: share of the others who may score as high.

    Returns:
        None if fewer than `MIN_FALSE_POSITIVES` others are that share.
    """
    count = int(false_positives * len(others) + 1e-9)
    if count < MIN_FALSE_POSITIVES:
        return None
    return float((members > np.sort(others)[-count - 1]).mean()) if count < len(others) else 1.0


def random_label_auc(members: np.ndarray, num_others: int, num_draws: int, seed: int = 0) -> float:
    """The AUC that 97.5 % of random labels among members stay below: what the number of patients alone makes.

    Args:
        members: scores by patient.
        num_others: how many to label as others; at most half of the members.
        num_draws: of labels.
        seed: of the labels.
    """
    count = min(num_others, len(members) // 2)
    if not count:
        return 1.0
    rng = numpy_generator(seed, "attack: random labels")
    drawn = [rng.permutation(members) for _ in range(num_draws)]
    return float(np.quantile([attack_auc(one[count:], one[:count], 0).value for one in drawn], 0.975))


def _density_ratio(records: np.ndarray, synthetic: np.ndarray, reference: np.ndarray, seed: int) -> np.ndarray:
    """Log ratio of the distances to a near record of the reference and to a near synthetic one, in equal shares."""
    # As many neighbours among each side's own number as make the same share of it, at least the nearest one.
    share = _NUM_NEIGHBOURS / max(len(synthetic), len(reference))
    distances = [nearest_distances(records, side, max(1, round(share * len(side)))) for side in (reference, synthetic)]
    return np.log(distances[0] + 1e-9) - np.log(distances[1] + 1e-9)


def _classifier(records: np.ndarray, synthetic: np.ndarray, reference: np.ndarray, seed: int) -> np.ndarray:
    forest = fit_forest(
        np.concatenate([synthetic, reference]),
        np.repeat([1, 0], [len(synthetic), len(reference)]),
        n_estimators=NUM_TREES,
        min_samples_leaf=3,
        max_samples=0.5,
        class_weight="balanced",
        random_state=seed_for(seed, "attack: classifier", bits=32),
    )
    return forest.predict_proba(records)[:, 1]
