"""Scores against held-out patients: of the release, with those of other samples as references, and an interval."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hf_hybrid.core.randomness import numpy_generator, seed_for
from hf_hybrid.core.scores import COLUMNS_SHUFFLED, TRAINING, Score
from hf_hybrid.evaluation.comparison import EvaluationSet
from hf_hybrid.metrics import fidelity
from hf_hybrid.metrics.base import FidelityMetric, MetricFacts
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights
from hf_hybrid.metrics.forests import fit_forest
from hf_hybrid.metrics.predictions import auc

_OF_DEPENDENCE = {name: metric for metric in (fidelity.PairTrends, fidelity.ThreeWayShares) for name in metric.facts}
NUM_TREES = 100
_FOLDS = 5


@dataclass(frozen=True)
class Sample:
    """What is scored: features `(n, d)` or a typed frame, and the patient of each record, `(n,)`."""

    records: np.ndarray | pd.DataFrame
    groups: np.ndarray


class HeldOut:
    """The held-out patients and bootstrap draws of them, the same for every score.

    Args:
        held_out: their records.
        num_draws: bootstrap draws of patients; each takes the scores once more.
        facts: facts of every score, by its name.
    """

    def __init__(self, held_out: EvaluationSet, num_draws: int, facts: Mapping[str, MetricFacts]) -> None:
        self.held_out, self.facts = held_out, facts
        self.draws = fidelity.draws_of_patients(held_out.groups, num_draws)

    def scores(
        self,
        metrics: tuple[type[FidelityMetric], ...],
        synthetic: np.ndarray | pd.DataFrame,
        references: Mapping[str, np.ndarray | pd.DataFrame],
        held_out: np.ndarray | pd.DataFrame,
    ) -> list[Score]:
        """Scores of the release, with those of other samples as references.

        Args:
            metrics: metrics that compare one side with the held-out patients.
            synthetic: the release, an array or a frame.
            references: other samples by name.
            held_out: the held-out patients.
        """

        def score(one: np.ndarray | pd.DataFrame, real: np.ndarray | pd.DataFrame) -> dict[str, float]:
            return {name: value for metric in metrics for name, value in metric().scores(one, real).items()}

        values, beside = score(synthetic, held_out), {name: score(one, held_out) for name, one in references.items()}
        replicates = pd.DataFrame([score(synthetic, _take(held_out, rows)) for rows in self.draws])
        return [
            self.score(name, value, 1.96 * replicates[name].std(ddof=0), {one: beside[one][name] for one in beside})
            for name, value in values.items()
        ]

    def beside_shuffled(self, scores: list[Score], sides: list[pd.DataFrame]) -> list[Score]:
        """Adds to scores of dependence those of training patients with all columns shuffled, and a share of the range.

        Columns without any association can be near the score of real ones, if most pairs are hardly associated.

        Args:
            scores: scores of rows.
            sides: release, training patients and held-out ones.
        """
        found = []
        for score in scores:
            metric = _OF_DEPENDENCE.get(score.name)
            if metric is None:
                found.append(score)
                continue
            values, replicates = self._with_shuffled(metric, score.name, sides)
            found.append(replace(score, reference=score.reference | {COLUMNS_SHUFFLED: values[1]}))
            found.append(self._share(score.name, values, replicates))
        return found

    def classifier_auc(
        self, name: str, synthetic: Sample, references: Mapping[str, Sample], held_out: np.ndarray
    ) -> Score:
        """Classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv 1610.06545), folds by patient."""
        found = self._auc(synthetic, held_out)
        beside = {one: self._auc(sample, held_out).value for one, sample in references.items()}
        return self.score(name, found.value, 1.96 * float(np.nanstd(found.replicates)), beside)

    def score(self, name: str, value: float, spread: float, references: dict[str, float]) -> Score:
        """A score whose interval reaches `spread` to either side, within its range."""
        facts = self.facts[name]
        low, high = (
            end if end is not None else open_ for end, open_ in zip(facts.range, (-np.inf, np.inf), strict=True)
        )
        interval, n = (max(value - spread, low), min(value + spread, high)), self.held_out.num_patients
        return Score(name, value, interval, facts.direction, facts.range, n, references, facts.meaning)

    def others(self, groups: np.ndarray) -> np.ndarray:
        """Numbers of other patients, so that none is that of a held-out one."""
        return self.held_out.groups.max() + 1 + groups

    def _with_shuffled(
        self, metric: type[FidelityMetric], name: str, sides: list[pd.DataFrame]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores `(3,)` of the release, of shuffled columns and of training patients, and in each draw `(n, 3)`."""
        synthetic, train, held_out = sides
        compared = synthetic, fidelity.shuffled_columns(train), train

        def score(real: pd.DataFrame) -> list[float]:
            return [metric().scores(one, real)[name] for one in compared]

        drawn = [score(_take(held_out, rows)) for rows in self.draws[: fidelity.SHARE_DRAWS]]
        return np.array(score(held_out)), np.array(drawn)

    def _share(self, name: str, values: np.ndarray, replicates: np.ndarray) -> Score:
        """Where a release is in the range from shuffled columns (0) to training patients (1)."""
        title, meaning = f"{name}, share of the range", "from shuffled columns (0) to training patients (1)"
        n, limits = self.held_out.num_patients, (None, None)
        if not fidelity.is_range(values[1:], replicates[:, 1:]):
            return Score(title, None, None, "1 is best", limits, n, meaning=meaning, reason=fidelity.NO_RANGE)
        shares = [fidelity.share_of_range(*one) for one in replicates]
        value, spread = fidelity.share_of_range(*values), 1.96 * float(np.nanstd(shares))
        reference = {TRAINING: 1.0, COLUMNS_SHUFFLED: 0.0}
        return Score(title, value, (value - spread, value + spread), "1 is best", limits, n, reference, meaning)

    def _auc(self, sample: Sample, held_out: np.ndarray) -> Estimate:
        from sklearn.model_selection import GroupKFold

        taken = numpy_generator(0, "fidelity: classifier", 0).permutation(len(sample.groups))[: len(held_out)]
        one, of_one = sample.records[taken], sample.groups[taken]
        features, labels = np.concatenate([one, held_out]), np.repeat([1, 0], [len(one), len(held_out)])
        groups = np.concatenate([self.others(of_one), self.held_out.groups])
        scores = np.zeros(len(features))
        for learned, tested in GroupKFold(_FOLDS).split(features, labels, groups):
            settings = {
                "n_estimators": NUM_TREES,
                "min_samples_leaf": 3,
                "random_state": seed_for(0, "fidelity: classifier", 1, bits=32),
            }
            forest = fit_forest(features[learned], labels[learned], **settings)
            scores[tested] = forest.predict_proba(features[tested])[:, 1]
        return Estimate.of(auc, labels, scores, bootstrap_weights(groups, 2 * len(self.draws), 0))


def _take(records: np.ndarray | pd.DataFrame, rows: np.ndarray) -> np.ndarray | pd.DataFrame:
    return records[rows] if isinstance(records, np.ndarray) else records.iloc[rows].reset_index(drop=True)
