"""Validation of a sampler in training, on patients that it does not learn from."""

import logging

import numpy as np

from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.metrics.fidelity import energy_distance
from hf_hybrid.metrics.membership import membership
from hf_hybrid.metrics.pairing import explained_variance
from hf_hybrid.samplers.base import BLOCK, Sampler
from hf_hybrid.samplers.copula import GaussianCopulaSampler
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.samplers.transform import TableTransform
from hf_hybrid.training.run import TrainingRun
from hf_hybrid.training.weights import BestWeights

logger = logging.getLogger(__name__)

MIN_PATIENTS = 10  # minimum number of validation patients
NUM_RECORDS = 2 * BLOCK  # draws that a score looks at


class Validation:
    """Divides the patients and scores draws against those held out.

    The score weighs utility against privacy: the distance of draws from the held-out records, minus their pairing of
    image and row, plus their membership AUC above that of a Gaussian copula of the same records. Lower is better.

    Args:
        rows: all records that the sampler was given.
        groups: the patient of each, `(n,)`.
        schema: their schema.
        share: share of the patients to hold out, from 0 (none, and no score) to below 1.
        seed: seed of the choice of patients.

    Attributes:
        learning: positions of the rows to learn from, `(n_learning,)`.
        enabled: whether there are enough patients to hold some out.
    """

    def __init__(self, rows: LatentRows, groups: np.ndarray, schema: RecordSchema, share: float, seed: int) -> None:
        self._seed = seed
        patients = np.unique(groups)
        count = round(share * len(patients))
        self.enabled = count >= MIN_PATIENTS and len(patients) - count >= MIN_PATIENTS
        rng = numpy_generator(seed, "sampler: validation patients")
        held = rng.permutation(patients)[: count if self.enabled else 0]
        is_held = np.isin(groups, held)
        self.learning = np.flatnonzero(~is_held)
        if not self.enabled:
            if share:
                logger.warning("the last weights are kept: too few patients to hold %d %% out", round(100 * share))
            return
        # A limited number: the distances among them grow with its square.
        scored = np.sort(rng.permutation(np.flatnonzero(is_held))[:NUM_RECORDS])
        learning, held_out = rows.take(self.learning), rows.take(scored)
        self._transform = TableTransform(schema).fit(learning.latents, learning.frame, groups[self.learning])
        self._learned = self._features(learning), groups[self.learning]
        self._held_out = self._features(held_out), groups[scored]
        copula = GaussianCopulaSampler().fit(learning.to_dataset(schema), schema, groups[self.learning])
        baseline = self._draws(copula, "sampler: baseline of the score")
        self._baseline = self._membership(self._features(baseline))

    def score(self, draws: LatentRows) -> dict[str, float]:
        """Scores `NUM_RECORDS` draws: `validation_score` and its parts `distance`, `pairing` and `membership`."""
        features, real = self._features(draws), self._held_out[0]
        latent_dim = draws.latents.shape[1]
        parts = {
            "distance": energy_distance(features, real),
            "pairing": explained_variance(
                *((side[:, :latent_dim], side[:, latent_dim:]) for side in (features, real))
            ),
            "membership": self._membership(features),
        }
        excess = max(0.0, parts["membership"] - self._baseline)
        return {"validation_score": parts["distance"] - parts["pairing"] + excess, **parts}

    def keep_best(self, step: int, sampler: Sampler, run: TrainingRun, best: BestWeights) -> None:
        """Keeps the weights of a step when draws score better than before, or if no patients are held out."""
        if self.enabled:
            scores = self.score(self._draws(sampler, "sampler: draws that are scored"))
            run.log(step, scores, always=True)
        if not self.enabled or run.is_best(scores["validation_score"]):
            best.keep(step)

    def _draws(self, sampler: Sampler, purpose: str) -> LatentRows:
        """`NUM_RECORDS` draws, none of which is in a release of the same seed."""
        blocks = range(NUM_RECORDS // BLOCK)
        return LatentRows.concatenate([sampler.sample_block(self._seed, block, purpose=purpose) for block in blocks])

    def _membership(self, features: np.ndarray) -> float:
        return membership(*self._learned, *self._held_out, features, num_bootstraps=1).value

    def _features(self, rows: LatentRows) -> np.ndarray:
        return joint_features(self._transform, rows)


def joint_features(transform: TableTransform, rows: LatentRows) -> np.ndarray:
    """Latents, then cells, on a scale on which all latents together weigh as much as all cells, `(n, d)` float64.

    Args:
        transform: with normal scores, fitted to real records.
        rows: real or synthetic ones.
    """
    matrix = transform.transform(rows.latents, rows.frame)
    latent_dim = rows.latents.shape[1]
    matrix[:, :latent_dim] /= np.sqrt(latent_dim)
    matrix[:, latent_dim:] /= np.sqrt(max(len(transform.schema.table), 1))
    return matrix
