"""Pairing of a release: does an image belong to its row?

Each column is predicted from the image alone by a model trained on the release and tested on held-out patients. The
references are the same model trained on the release with its images shuffled (no pairing) and on real records (full
pairing).
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.core.report import Pairing
from hf_hybrid.core.scores import CHANCE, HELD_OUT, REAL, SHUFFLED, Score
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.target import Target
from hf_hybrid.evaluation.training_sets import shuffled_release, training_sets, whole_release
from hf_hybrid.evaluation.utility import score_targets
from hf_hybrid.metrics import predictors
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights
from hf_hybrid.models.pair_encoder import PairEncoder

_HIGHER = "higher is better"
NUM_FOLDS = 5  # of held-out patients, for the encoders of the similarity gap
MIN_PATIENTS = 10  # of each fold


def measure_pairing(comparison: Comparison) -> Pairing:
    """The part `pairing` of a report; every column is predicted."""
    sets = training_sets(len(comparison.train), len(comparison.synthetic), seed=0)
    names = {REAL: REAL, "synthetic": whole_release(sets).name, SHUFFLED: shuffled_release(sets).name}
    targets = score_targets(
        replace(
            comparison,
            schema=comparison.schema.with_targets(list(comparison.schema.table)),
            options=replace(comparison.options, seeds=1),
        ),
        keep=lambda all_of: [one for one in all_of if one.name in names.values()],
        inputs=["image"],
    )
    found = {target.name: _estimates(target, names) for target in targets}
    scored = {name: one for name, one in found.items() if None not in one.values()}
    columns = [
        _column(target, scored[target.name]) if target.name in scored else _unscored(target) for target in targets
    ]
    skills = [
        {name: skill_of(target.metrics[0], one) for name, one in scored[target.name].items()}
        for target in targets
        if target.name in scored
    ]
    scores = [_overall(skills, comparison.test.num_patients)] if skills else []
    scores.append(_similarity_gap(comparison))
    interval = f"95 % of {comparison.options.bootstraps} patient-cluster bootstraps"
    return Pairing(interval, tuple(scores), tuple(columns))


def _estimates(target: Target, names: dict[str, str]) -> dict[str, Estimate | None]:
    return {shown: target.mean(target.metrics[0], "image", name) for shown, name in names.items()}


def _column(target: Target, found: dict[str, Estimate]) -> Score:
    metric = target.metrics[0]
    own = found["synthetic"]
    reference = {REAL: found[REAL].value, SHUFFLED: found[SHUFFLED].value}
    limits = (0.0, 1.0) if metric == "auc" else (None, 1.0)
    by = f" by {target.choice.shown}" if target.choice else ""
    meaning = f"{target.name} predicted from the image{by} ({metric}), learned on the release"
    return Score(target.name, own.value, own.interval, _HIGHER, limits, target.num_patients, reference, meaning)


def _unscored(target: Target) -> Score:
    reason = target.reason or "the release holds one value only"
    return Score(target.name, None, None, _HIGHER, (None, 1.0), target.num_told, reason=reason)


def skill_of(metric: str, estimate: Estimate) -> Estimate:
    """A score above chance, as a share of its maximum; an R2 below -1 counts as -1."""
    chance = CHANCE[metric]
    numbers = (np.maximum((numbers - chance) / (1 - chance), -1) for numbers in (estimate.value, estimate.replicates))
    return Estimate(*numbers)


def _overall(found: list[dict[str, Estimate]], num_patients: int) -> Score:
    skills = {name: Estimate.mean([one[name] for one in found]) for name in found[0]}
    own = skills["synthetic"]
    reference = {REAL: skills[REAL].value, SHUFFLED: skills[SHUFFLED].value}
    meaning = "what the image tells of a column above chance (2 AUC - 1, or R2), mean over columns"
    return Score("skill", own.value, own.interval, _HIGHER, (None, 1.0), num_patients, reference, meaning)


def _similarity_gap(comparison: Comparison) -> Score:
    """How much nearer an image is to its own row than to others (DP-TabImage, Chen et al. 2026).

    The encoders learn from held-out patients, who are cross-fitted: those of one fold are scored by encoders that
    learned from the other folds. Encoders that learned from the training records would know the pairs of a release
    that repeats them, and score it above real pairs of other people.
    """
    synthetic, held_out = comparison.synthetic, comparison.test
    name, limits, n = "embedding similarity gap", (None, None), held_out.num_patients
    meaning = "how much nearer an image lies to its own row than to others', as a share of that of real pairs"
    if n < NUM_FOLDS * MIN_PATIENTS:
        reason = f"fewer than {NUM_FOLDS * MIN_PATIENTS} held-out patients: too few to learn from"
        return Score(name, None, None, _HIGHER, limits, n, meaning=meaning, reason=reason)
    patients = np.unique(held_out.groups)
    folds = np.array_split(numpy_generator(0, "pair encoder: folds of patients").permutation(patients), NUM_FOLDS)
    turned = numpy_generator(0, "shuffled images").permutation(len(synthetic))
    own, shuffled, real = 0.0, 0.0, np.zeros(len(held_out))
    for fold in folds:
        is_left_out = np.isin(held_out.groups, fold)
        learned, left_out = (held_out.take(np.flatnonzero(one)) for one in (~is_left_out, is_left_out))
        sides = _pair_features(comparison, learned, (synthetic, left_out))
        encoder = PairEncoder().fit(*sides[0])
        real[is_left_out] = encoder.gaps(*sides[2], groups=left_out.groups)
        share = is_left_out.mean()
        own += share * float(encoder.gaps(*sides[1]).mean())
        shuffled += share * float(encoder.gaps(sides[1][0][turned], sides[1][1]).mean())
    weights = bootstrap_weights(held_out.groups, comparison.options.bootstraps, seed=0)
    replicates = weights @ real / weights.sum(axis=1)
    if not np.percentile(replicates, 2.5) > 0:
        reason = "on held-out patients the encoders do not distinguish real pairs from shuffled ones significantly"
        return Score(name, None, None, _HIGHER, limits, n, meaning=meaning, reason=reason)
    ends = np.percentile(own / replicates, [2.5, 97.5]).tolist()
    reference = {f"real, {HELD_OUT}": 1.0, SHUFFLED: shuffled / real.mean()}
    return Score(name, own / real.mean(), tuple(ends), _HIGHER, limits, n, reference, meaning)


def _pair_features(
    comparison: Comparison, learned: EvaluationSet, others: tuple[EvaluationSet, ...]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Features of images and rows of each side, first of `learned`, on whose records alone the scales are found."""
    ends = np.cumsum([len(one) for one in others])[:-1]
    images, rest = predictors.image_components(learned.pixels, np.concatenate([one.pixels for one in others]))
    frame = pd.concat([one.frame for one in (learned, *others)], ignore_index=True)
    raw = predictors.table_features(comparison.schema, frame)
    columns = [predictors.scale_table(cells[: len(learned)], cells[len(learned) :]) for cells in raw.values()]
    rows, other_rows = (np.concatenate(side, axis=1) for side in zip(*columns, strict=True))
    sides = zip([images, *np.split(rest, ends)], [rows, *np.split(other_rows, ends)], strict=True)
    return list(sides)
