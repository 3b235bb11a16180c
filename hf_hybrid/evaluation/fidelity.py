"""Fidelity of a release: is it as similar to records of held-out patients as the training records are.

Every score compares the release with held-out patients. Its reference compares training patients with the same
held-out patients: the difference between two real samples. Both sides hold equally many records. Intervals come from
resampling held-out patients; they are normal intervals, because resampling biases a distance upwards.
"""

import numpy as np
import pandas as pd

from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.core.report import Fidelity
from hf_hybrid.core.scores import TRAINING
from hf_hybrid.data import privacy_rule
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.evaluation import image_scores
from hf_hybrid.evaluation.comparison import Comparison
from hf_hybrid.evaluation.held_out import HeldOut, Sample
from hf_hybrid.metrics import fidelity, predictors
from hf_hybrid.metrics.base import LOWER, MetricFacts
from hf_hybrid.metrics.registry import TABLE_METRICS

_ROWS_AUC = "rows: classifier AUC (C2ST)"
_FACTS = (
    {name: facts for metric in TABLE_METRICS for name, facts in metric.facts.items()}
    | image_scores.FACTS
    | {
        _ROWS_AUC: MetricFacts(
            *(LOWER, (0.0, 1.0), "AUC of a random forest that distinguishes synthetic rows from real ones"),
            "Lopez-Paz and Oquab 2017, arXiv:1610.06545",
        ),
    }
)
NUM_BINS = 12  # of a histogram
MAX_RECORDS = 4000  # per side: kernels and neighbours need its square in memory


def measure_fidelity(comparison: Comparison) -> Fidelity:
    """The part `fidelity` of a report."""
    synthetic, train, held_out = comparison.synthetic, comparison.train, comparison.test
    options = comparison.options
    schema = privacy_rule.protected(comparison.schema, train.frame, train.groups)
    synthetic, train, held_out = (one.restricted(schema) for one in (synthetic, train, held_out))
    rng = numpy_generator(0, "fidelity: records")
    size = min(len(synthetic), len(train), MAX_RECORDS)
    sides = [*(one.take(rng.permutation(len(one))[:size]) for one in (synthetic, train)), held_out]
    against = HeldOut(held_out, max(options.bootstraps // 5, 2), _FACTS)
    frames = [one.frame for one in sides]
    rows = [_row_features(schema, frame) for frame in frames]
    side = next(held_out.take(np.arange(1)).iter_images()).shape[1]
    scores = against.scores(TABLE_METRICS, frames[0], {TRAINING: frames[1]}, frames[2])
    samples = [Sample(features, one.groups) for features, one in zip(rows[:2], sides[:2], strict=True)]
    table = [
        *against.beside_shuffled(scores, frames),
        against.classifier_auc(_ROWS_AUC, samples[0], {TRAINING: samples[1]}, rows[2]),
    ]
    images = image_scores.measure_images(comparison, against, *sides[:2])
    whole = [one.frame for one in (synthetic, train)]
    return Fidelity(
        interval=f"95 %, from {len(against.draws)} draws of the held-out patients",
        extractor=f"{comparison.extractor_name}, images of {side} px",
        table=tuple(table),
        images=tuple(images),
        marginals=tuple(_marginal(schema, name, *whole, train.groups) for name in schema.table),
        correlations=_correlations(schema, *whole, train.groups),
    )


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
