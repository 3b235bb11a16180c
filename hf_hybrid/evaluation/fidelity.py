"""Fidelity of a release: is it like real records of other patients, as those that it was learned from are.

Every number is taken between the release and unseen patients, and beside it, as its reference, between the patients
learned from and the same unseen ones: what two honest draws differ by. Both sides hold equally many records. Intervals
come from resampling the unseen patients; they are normal, for resampling by itself moves a distance upwards.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from hf_hybrid.core.report import REFERENCE, Score
from hf_hybrid.data import privacy_rule
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.metrics import fidelity, image_fidelity, predictors
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights
from hf_hybrid.metrics.predictions import auc
from hf_hybrid.models.image_features import extractor_name, image_features

_HIGHER, _LOWER = "higher is better", "lower is better"
_SCORES = {
    "column shapes": (_HIGHER, (0.0, 1.0), "how alike each column is distributed"),
    "pair trends": (_HIGHER, (0.0, 1.0), "how alike each two columns go together"),
    "three-way shares": (_LOWER, (0.0, 1.0), "share by which the joint distributions of three columns differ"),
    "missing shares": (_LOWER, (0.0, 1.0), "the largest difference of a column's missing share"),
    "rows told apart": (_LOWER, (0.0, 1.0), "AUC of a random forest that tells synthetic rows from real ones"),
    "images told apart": (_LOWER, (0.0, 1.0), "AUC of a random forest that tells synthetic from real images"),
    "Frechet distance": (_LOWER, (0.0, None), "how far means and covariances of image features lie apart"),
    "kernel distance": (_LOWER, (None, None), "how far the distributions of image features lie apart"),
    "precision": (_HIGHER, (0.0, 1.0), "share of synthetic images that look like some real one"),
    "recall": (_HIGHER, (0.0, 1.0), "share of real images that some synthetic one looks like"),
    "density": (_HIGHER, (0.0, None), "real images that a synthetic one looks like, as a share of those expected"),
    "coverage": (_HIGHER, (0.0, 1.0), "share of real images that have a synthetic one near by"),
    "likeness of two images": (_LOWER, (0.0, 1.0), "MS-SSIM of pairs of images: the more alike, the less various"),
}
NUM_BINS = 12  # of a histogram
MAX_RECORDS = 4000  # a side: kernels and neighbours hold its square
NUM_TREES = 100
_PAIRS, _COMPARED = 500, 16
_FOLDS = 5


def score_fidelity(comparison: Comparison) -> dict:
    """The part `fidelity` of a report."""
    synthetic, train, unseen = comparison.synthetic, comparison.train, comparison.test
    options = comparison.options
    schema = privacy_rule.protected(comparison.schema, train.frame, train.groups)
    rng = np.random.default_rng(0)
    size = min(len(synthetic), len(train), MAX_RECORDS)
    sides = [*(one.take(rng.permutation(len(one))[:size]) for one in (synthetic, train)), unseen]
    against = _Unseen(unseen, max(options.bootstraps // 5, 2))  # each takes the scores once more
    frames = [privacy_rule.restrict(schema, one.frame) for one in sides]
    rows = [_row_features(schema, frame) for frame in frames]
    images = [image_features(one.iter_images(), options.extractor) for one in sides]
    side = next(unseen.take(np.arange(1)).iter_images()).shape[1]
    centre, scale = images[2].mean(axis=0), images[2].std(axis=0).clip(1e-9)
    images = [(one - centre) / scale for one in images]
    table = [*against.scores(_table_scores, frames), against.told_apart("rows told apart", rows, sides)]
    pictures = [
        *against.scores(_image_scores, images),
        against.told_apart("images told apart", images, sides),
        against.likeness(*sides[:2]),
    ]
    whole = [privacy_rule.restrict(schema, one.frame) for one in (synthetic, train)]
    return {
        "status": "measured",
        "interval": f"95 %, from {len(against.draws)} draws of the unseen patients",
        "extractor": f"{extractor_name(options.extractor)}, images of {side} px",
        "table": [one.to_dict() for one in table],
        "images": [one.to_dict() for one in pictures],
        "marginals": [_marginal(schema, name, *whole, train.groups) for name in schema.table],
        "correlations": _correlations(schema, *whole, train.groups),
    }


class _Unseen:
    """The unseen patients, and draws of them, the same for every score."""

    def __init__(self, unseen: EvaluationSet, num_draws: int) -> None:
        self.unseen = unseen
        patients, of_record = np.unique(unseen.groups, return_inverse=True)
        rows = [np.flatnonzero(of_record == patient) for patient in range(len(patients))]
        rng = np.random.default_rng(0)
        drawn = (rng.integers(len(patients), size=len(patients)) for _ in range(num_draws))
        self.draws = [np.concatenate([rows[patient] for patient in draw]) for draw in drawn]

    def scores(self, score: Callable[..., dict[str, float]], sides: list) -> list[Score]:
        """Scores of the release, with those of patients learned from as references.

        Args:
            score: takes one side and the unseen patients.
            sides: release, patients learned from, unseen ones; arrays or frames.
        """
        synthetic, train, unseen = sides
        values, references = score(synthetic, unseen), score(train, unseen)
        replicates = pd.DataFrame([score(synthetic, _take(unseen, rows)) for rows in self.draws])
        return [
            self._score(name, value, 1.96 * replicates[name].std(ddof=0), references[name])
            for name, value in values.items()
        ]

    def told_apart(self, name: str, features: list[np.ndarray], sides: list[EvaluationSet]) -> Score:
        """Classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv 1610.06545), folds by patient."""
        found, reference = (self._auc(features[place], sides[place].groups, features[2]) for place in (0, 1))
        return self._score(name, found.value, 1.96 * float(np.nanstd(found.replicates)), reference.value)

    def likeness(self, synthetic: EvaluationSet, train: EvaluationSet) -> Score:
        """MS-SSIM of pairs of images of different people."""
        found, reference = (_likeness(one) for one in (synthetic, train))
        spread = 1.96 * float(found.std() / np.sqrt(len(found)))
        return self._score("likeness of two images", float(found.mean()), spread, float(reference.mean()))

    def _auc(self, one: np.ndarray, of_one: np.ndarray, unseen: np.ndarray) -> Estimate:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.model_selection import GroupKFold

        taken = np.random.default_rng(0).permutation(len(one))[: len(unseen)]
        one, of_one = one[taken], of_one[taken]
        features, labels = np.concatenate([one, unseen]), np.repeat([1, 0], [len(one), len(unseen)])
        groups = np.concatenate([self.unseen.groups.max() + 1 + of_one, self.unseen.groups])
        scores = np.zeros(len(features))
        for learned, tested in GroupKFold(_FOLDS).split(features, labels, groups):
            forest = RandomForestClassifier(NUM_TREES, min_samples_leaf=3, random_state=0)
            scores[tested] = forest.fit(features[learned], labels[learned]).predict_proba(features[tested])[:, 1]
        return Estimate.of(auc, labels, scores, bootstrap_weights(groups, 2 * len(self.draws), 0))

    def _score(self, name: str, value: float, spread: float, reference: float) -> Score:
        direction, limits, meaning = _SCORES[name]
        low, high = (-np.inf if limits[0] is None else limits[0], np.inf if limits[1] is None else limits[1])
        interval, n = (max(value - spread, low), min(value + spread, high)), self.unseen.num_patients
        return Score(name, value, interval, direction, limits, n, {REFERENCE: reference}, meaning)


def _take(records: np.ndarray | pd.DataFrame, rows: np.ndarray) -> np.ndarray | pd.DataFrame:
    return records[rows] if isinstance(records, np.ndarray) else records.iloc[rows].reset_index(drop=True)


def _table_scores(one: pd.DataFrame, real: pd.DataFrame) -> dict[str, float]:
    return {
        "column shapes": fidelity.column_shapes(one, real),
        "pair trends": fidelity.pair_trends(one, real),
        "three-way shares": fidelity.three_way_shares(one, real),
        "missing shares": fidelity.missing_shares(one, real),
    }


def _image_scores(one: np.ndarray, real: np.ndarray) -> dict[str, float]:
    return {
        "Frechet distance": image_fidelity.frechet_distance(one, real),
        "kernel distance": image_fidelity.kernel_distance(one, real),
        **image_fidelity.manifold_scores(one, real),
    }


def _marginal(
    schema: RecordSchema, name: str, synthetic: pd.DataFrame, train: pd.DataFrame, groups: np.ndarray
) -> dict:
    """Shares of a column's bins or names; a bin of too few patients is left empty, of the others' sum."""
    column = schema.table[name]
    sides = [predictors.target_values(one[name], column) for one in (synthetic, train)]
    if column.is_number:
        low, high = column.bounds
        edges = np.linspace(low, max(high, low + 1e-9), NUM_BINS + 1)
        held = [(np.digitize(values, edges[1:-1])[:, None] == np.arange(NUM_BINS)) for values, _ in sides]
        bins = {"edges": edges.round(6).tolist()}
    else:
        names = predictors.class_names(column)
        held = [predictors.indicators(values, len(names)) for values, _ in sides]
        bins = {"names": names}
    held = [one & known[:, None] for one, (_, known) in zip(held, sides, strict=True)]
    told = [privacy_rule.count_patients(groups, one) >= schema.min_patients for one in held[1].T]
    counts = [held[0].sum(axis=0), np.where(told, held[1].sum(axis=0), 0)]
    shares = [(one / max(one.sum(), 1)).round(3).tolist() for one in counts]
    missing = [round(float(1 - known.mean()), 3) for _, known in sides]
    return {"name": name, **bins, "synthetic": shares[0], REFERENCE: shares[1], "without a value": missing}


def _correlations(schema: RecordSchema, synthetic: pd.DataFrame, train: pd.DataFrame, groups: np.ndarray) -> dict:
    """Rank correlations of numbers and of yes-or-no questions; 0 where too few patients have both."""
    sides = [predictors.named_features(schema, one) for one in (synthetic, train)]
    features = [np.stack(list(side.values()), axis=1) for side in sides]
    told = privacy_rule.enough_for_correlations(features[1], predictors.are_answers(schema, sides[0]), groups)
    found = [(fidelity.rank_correlations(one) * told).round(2).tolist() for one in features]
    return {"names": list(sides[0]), "synthetic": found[0], REFERENCE: found[1]}


def _row_features(schema: RecordSchema, frame: pd.DataFrame) -> np.ndarray:
    """Cells for a forest: what is no number lies beyond all numbers."""
    features = np.concatenate(list(predictors.table_features(schema, frame).values()), axis=1)
    return np.nan_to_num(features, nan=-1e6, posinf=1e6, neginf=-1e6)


def _likeness(one: EvaluationSet) -> np.ndarray:
    first, second = np.random.default_rng(0).integers(len(one), size=(2, _PAIRS))
    pairs = np.stack([first, second])[:, one.groups[first] != one.groups[second]]
    rows, places = np.unique(pairs, return_inverse=True)
    images = np.concatenate(list(one.take(rows).iter_images()))
    blocks = np.array_split(places.reshape(pairs.shape), max(1, pairs.shape[1] // _COMPARED), axis=1)
    return np.concatenate([image_fidelity.multiscale_similarity(*images[block]) for block in blocks])
