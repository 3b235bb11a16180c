"""Fidelity of a release: is it as similar to records of held-out patients as the training records are.

Every score compares the release with held-out patients. Its reference compares training patients with the same
held-out patients: the difference between two real samples. Both sides hold equally many records. Intervals come from
resampling held-out patients; they are normal intervals, because resampling biases a distance upwards.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from hf_hybrid.core.randomness import numpy_generator, seed_for
from hf_hybrid.core.report import Fidelity
from hf_hybrid.core.scores import COLUMNS_SHUFFLED, TRAINING, Score
from hf_hybrid.data import privacy_rule
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.metrics import fidelity, image_fidelity, predictors
from hf_hybrid.metrics.base import LOWER, FidelityMetric, MetricFacts
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights
from hf_hybrid.metrics.forests import fit_forest
from hf_hybrid.metrics.predictions import auc
from hf_hybrid.metrics.registry import IMAGE_METRICS, TABLE_METRICS
from hf_hybrid.models.image_features import extractor_name, image_features

_ROWS_AUC, _IMAGES_AUC = "rows: classifier AUC (C2ST)", "images: classifier AUC (C2ST)"
_SIMILARITY = "similarity of two images (MS-SSIM)"
_C2ST = "Lopez-Paz and Oquab 2017, arXiv:1610.06545"
_FACTS = {name: facts for metric in (*TABLE_METRICS, *IMAGE_METRICS) for name, facts in metric.facts.items()} | {
    _ROWS_AUC: MetricFacts(
        LOWER, (0.0, 1.0), "AUC of a random forest that distinguishes synthetic rows from real ones", _C2ST
    ),
    _IMAGES_AUC: MetricFacts(
        LOWER, (0.0, 1.0), "AUC of a random forest that distinguishes synthetic from real images", _C2ST
    ),
    _SIMILARITY: MetricFacts(
        *(LOWER, (0.0, 1.0), "MS-SSIM of pairs of images: higher means less varied images"),
        "Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216",
    ),
}
_OF_DEPENDENCE = {name: metric for metric in (fidelity.PairTrends, fidelity.ThreeWayShares) for name in metric.facts}
NUM_BINS = 12  # of a histogram
MAX_RECORDS = 4000  # per side: kernels and neighbours need its square in memory
NUM_TREES = 100
_PAIRS, _COMPARED = 500, 16
_FOLDS = 5


def measure_fidelity(comparison: Comparison) -> Fidelity:
    """The part `fidelity` of a report."""
    synthetic, train, held_out = comparison.synthetic, comparison.train, comparison.test
    options = comparison.options
    schema = privacy_rule.protected(comparison.schema, train.frame, train.groups)
    synthetic, train, held_out = (one.restricted(schema) for one in (synthetic, train, held_out))
    rng = numpy_generator(0, "fidelity: records")
    size = min(len(synthetic), len(train), MAX_RECORDS)
    sides = [*(one.take(rng.permutation(len(one))[:size]) for one in (synthetic, train)), held_out]
    against = _HeldOut(held_out, max(options.bootstraps // 5, 2))  # each takes the scores once more
    frames = [one.frame for one in sides]
    rows = [_row_features(schema, frame) for frame in frames]
    images = [image_features(one.iter_images(), options.extractor) for one in sides]
    side = next(held_out.take(np.arange(1)).iter_images()).shape[1]
    centre, scale = images[2].mean(axis=0), images[2].std(axis=0).clip(1e-9)
    images = [(one - centre) / scale for one in images]
    table = against.beside_shuffled(against.scores(TABLE_METRICS, frames), frames)
    table.append(against.classifier_auc(_ROWS_AUC, rows, sides))
    pictures = [
        *against.scores(IMAGE_METRICS, images),
        against.classifier_auc(_IMAGES_AUC, images, sides),
        against.similarity(*sides[:2]),
    ]
    whole = [one.frame for one in (synthetic, train)]
    return Fidelity(
        interval=f"95 %, from {len(against.draws)} draws of the held-out patients",
        extractor=f"{extractor_name(options.extractor)}, images of {side} px",
        table=tuple(table),
        images=tuple(pictures),
        marginals=tuple(_marginal(schema, name, *whole, train.groups) for name in schema.table),
        correlations=_correlations(schema, *whole, train.groups),
    )


class _HeldOut:
    """The held-out patients and bootstrap draws of them, the same for every score."""

    def __init__(self, held_out: EvaluationSet, num_draws: int) -> None:
        self.held_out = held_out
        self.draws = fidelity.draws_of_patients(held_out.groups, num_draws)

    def scores(self, metrics: tuple[type[FidelityMetric], ...], sides: list) -> list[Score]:
        """Scores of the release, with those of training patients as references.

        Args:
            metrics: metrics that compare one side with the held-out patients.
            sides: release, training patients, held-out ones; arrays or frames.
        """

        def score(one: np.ndarray | pd.DataFrame, real: np.ndarray | pd.DataFrame) -> dict[str, float]:
            return {name: value for metric in metrics for name, value in metric().scores(one, real).items()}

        synthetic, train, held_out = sides
        values, references = score(synthetic, held_out), score(train, held_out)
        replicates = pd.DataFrame([score(synthetic, _take(held_out, rows)) for rows in self.draws])
        return [
            self._score(name, value, 1.96 * replicates[name].std(ddof=0), references[name])
            for name, value in values.items()
        ]

    def beside_shuffled(self, scores: list[Score], sides: list[pd.DataFrame]) -> list[Score]:
        """Adds to scores of dependence those of training patients with all columns shuffled, and a share of the range.

        Columns without any association can be near the score of real ones, if most pairs are hardly associated.
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

    def classifier_auc(self, name: str, features: list[np.ndarray], sides: list[EvaluationSet]) -> Score:
        """Classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv 1610.06545), folds by patient."""
        found, reference = (self._auc(features[place], sides[place].groups, features[2]) for place in (0, 1))
        return self._score(name, found.value, 1.96 * float(np.nanstd(found.replicates)), reference.value)

    def similarity(self, synthetic: EvaluationSet, train: EvaluationSet) -> Score:
        """MS-SSIM of pairs of images of different patients."""
        found, reference = (_similarity(one) for one in (synthetic, train))
        spread = 1.96 * float(found.std() / np.sqrt(len(found)))
        return self._score(_SIMILARITY, float(found.mean()), spread, float(reference.mean()))

    def _auc(self, one: np.ndarray, of_one: np.ndarray, held_out: np.ndarray) -> Estimate:
        from sklearn.model_selection import GroupKFold

        taken = numpy_generator(0, "fidelity: classifier", 0).permutation(len(one))[: len(held_out)]
        one, of_one = one[taken], of_one[taken]
        features, labels = np.concatenate([one, held_out]), np.repeat([1, 0], [len(one), len(held_out)])
        groups = np.concatenate([self.held_out.groups.max() + 1 + of_one, self.held_out.groups])
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

    def _score(self, name: str, value: float, spread: float, reference: float) -> Score:
        facts = _FACTS[name]
        low, high = (
            end if end is not None else open_ for end, open_ in zip(facts.range, (-np.inf, np.inf), strict=True)
        )
        interval, n = (max(value - spread, low), min(value + spread, high)), self.held_out.num_patients
        return Score(name, value, interval, facts.direction, facts.range, n, {TRAINING: reference}, facts.meaning)


def _take(records: np.ndarray | pd.DataFrame, rows: np.ndarray) -> np.ndarray | pd.DataFrame:
    return records[rows] if isinstance(records, np.ndarray) else records.iloc[rows].reset_index(drop=True)


def _marginal(
    schema: RecordSchema, name: str, synthetic: pd.DataFrame, train: pd.DataFrame, groups: np.ndarray
) -> dict:
    """Shares of a column's bins or categories; a bin of too few patients is empty and not in the total."""
    column = schema.table[name]
    sides = [predictors.target_values(one[name], column) for one in (synthetic, train)]
    if column.is_number:
        low, high = column.bounds
        edges = np.linspace(low, max(high, low + 1e-9), NUM_BINS + 1)
        held = [(np.digitize(values, edges[1:-1])[:, None] == np.arange(NUM_BINS)) for values, _ in sides]
        bins = {"edges": edges.round(max(6, column.decimals)).tolist()}
    else:
        names = predictors.class_names(column)
        held = [predictors.indicators(values, len(names)) for values, _ in sides]
        bins = {"names": names}
    held = [one & known[:, None] for one, (_, known) in zip(held, sides, strict=True)]
    told = [privacy_rule.count_patients(groups, one) >= schema.min_patients for one in held[1].T]
    counts = [held[0].sum(axis=0), np.where(told, held[1].sum(axis=0), 0)]
    shares = [(one / max(one.sum(), 1)).round(3).tolist() for one in counts]
    missing = [round(float(1 - known.mean()), 3) for _, known in sides]
    return {"name": name, **bins, "synthetic": shares[0], TRAINING: shares[1], "without a value": missing}


def _correlations(schema: RecordSchema, synthetic: pd.DataFrame, train: pd.DataFrame, groups: np.ndarray) -> dict:
    """Rank correlations of numbers and of yes-or-no questions; 0 where too few patients have both."""
    sides = [predictors.named_features(schema, one) for one in (synthetic, train)]
    features = [np.stack(list(side.values()), axis=1) for side in sides]
    told = privacy_rule.enough_for_correlations(features[1], predictors.are_answers(schema, sides[0]), groups)
    found = [(fidelity.rank_correlations(one) * told).round(2).tolist() for one in features]
    return {"names": list(sides[0]), "synthetic": found[0], TRAINING: found[1]}


def _row_features(schema: RecordSchema, frame: pd.DataFrame) -> np.ndarray:
    """Cells for a random forest: missing and infinite values are coded beyond all numbers."""
    features = np.concatenate(list(predictors.table_features(schema, frame).values()), axis=1)
    return np.nan_to_num(features, nan=-1e6, posinf=1e6, neginf=-1e6)


def _similarity(one: EvaluationSet) -> np.ndarray:
    first, second = numpy_generator(0, "fidelity: pairs of images").integers(len(one), size=(2, _PAIRS))
    pairs = np.stack([first, second])[:, one.groups[first] != one.groups[second]]
    rows, places = np.unique(pairs, return_inverse=True)
    images = np.concatenate(list(one.take(rows).iter_images()))
    blocks = np.array_split(places.reshape(pairs.shape), max(1, pairs.shape[1] // _COMPARED), axis=1)
    return np.concatenate([image_fidelity.multiscale_similarity(*images[block]) for block in blocks])
