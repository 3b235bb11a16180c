"""Membership by classifier."""

import numpy as np

from hf_hybrid.core.randomness import seed_for
from hf_hybrid.evaluation.attacks.membership import MembershipAttack
from hf_hybrid.metrics.forests import fit_forest

NUM_TREES = 100


class ClassifierAttack(MembershipAttack):
    """How confidently a classifier assigns a record to the release rather than to a reference population."""

    name = "classifier"
    citation = "Hayes et al. 2019, LOGAN, arXiv:1705.07663"

    @staticmethod
    def score(records: np.ndarray, synthetic: np.ndarray, reference: np.ndarray, seed: int) -> np.ndarray:
        """The share of trees that assign a record to the release."""
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
