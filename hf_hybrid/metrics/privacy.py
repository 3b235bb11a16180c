"""Privacy: can somebody tell from a release whose records it was learned from."""

import numpy as np
import pandas as pd

from hf_hybrid.metrics.utility import Estimate, auc, bootstrap_weights

_BLOCK_CELLS = 20_000_000  # distances held at once


def nearest_distances(records: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """Euclidean distance of each record `(n, d)` to the nearest synthetic one `(m, d)`, `(n,)`."""
    squares = (synthetic**2).sum(axis=1)
    blocks = np.array_split(records, -(-len(records) * len(synthetic) // _BLOCK_CELLS))
    nearest = [(squares - 2 * block @ synthetic.T).min(axis=1) + (block**2).sum(axis=1) for block in blocks]
    return np.sqrt(np.maximum(np.concatenate(nearest), 0))


def membership(
    members: np.ndarray,
    member_groups: np.ndarray,
    others: np.ndarray,
    other_groups: np.ndarray,
    synthetic: np.ndarray,
    num_bootstraps: int = 500,
) -> Estimate:
    """AUC of telling the patients learned from (members) from others by the distance to the nearest synthetic record.

    0.5 would be none; the floor of an honest sampler lies a little above, so compare with a control that was fitted to
    the same members. A patient counts once, by the nearest of its records.

    Args:
        members: features of the records learned from, `(n, d)`, on one scale.
        member_groups: the patient of each, `(n,)`.
        others: the same of patients that nothing was learned from.
        other_groups: the patient of each.
        synthetic: features of the release, `(m, d)`.
        num_bootstraps: replicates, drawn over patients; the same ones for the same patients, so that two releases
            can be compared pair by pair.
    """
    nearness = [
        -pd.Series(nearest_distances(records, synthetic)).groupby(np.asarray(groups)).min().to_numpy()
        for records, groups in ((members, member_groups), (others, other_groups))
    ]
    is_member = np.repeat([1, 0], [len(one) for one in nearness])
    # Members and others are drawn each among themselves.
    weights = np.concatenate(
        [bootstrap_weights(np.arange(len(one)), num_bootstraps, seed) for seed, one in enumerate(nearness)], axis=1
    )
    return Estimate.of(auc, is_member, np.concatenate(nearness), weights)
