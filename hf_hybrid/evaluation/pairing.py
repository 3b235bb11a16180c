"""Pairing of a release: does an image belong to its row?

Each column is predicted from the image alone by a model trained on the release and tested on held-out patients. The
references are the same model trained on the release with its images shuffled (no pairing) and on real records (full
pairing).
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from hf_hybrid.core.report import Pairing
from hf_hybrid.core.scores import CHANCE, REAL, SHUFFLED, Score
from hf_hybrid.evaluation.comparison import Comparison
from hf_hybrid.evaluation.target import Target
from hf_hybrid.evaluation.training_sets import shuffled_release, training_sets, whole_release
from hf_hybrid.evaluation.utility import score_targets
from hf_hybrid.metrics import predictors
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights
from hf_hybrid.models.pair_encoder import PairEncoder

_HIGHER = "higher is better"


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
    skills = [_skills(target, scored[target.name]) for target in targets if target.name in scored]
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
    meaning = f"{target.name} predicted from the image ({metric}), learned on the release"
    return Score(target.name, own.value, own.interval, _HIGHER, limits, target.num_patients, reference, meaning)


def _unscored(target: Target) -> Score:
    reason = target.reason or "the release holds one value only"
    return Score(target.name, None, None, _HIGHER, (None, 1.0), target.num_told, reason=reason)


def _skills(target: Target, found: dict[str, Estimate]) -> dict[str, Estimate]:
    """The score above chance, as a share of its maximum; an R2 below -1 counts as -1."""
    chance = CHANCE[target.metrics[0]]
    return {
        name: Estimate(*(np.maximum((numbers - chance) / (1 - chance), -1) for numbers in (one.value, one.replicates)))
        for name, one in found.items()
    }


def _overall(found: list[dict[str, Estimate]], num_patients: int) -> Score:
    skills = {name: Estimate.mean([one[name] for one in found]) for name in found[0]}
    own = skills["synthetic"]
    reference = {REAL: skills[REAL].value, SHUFFLED: skills[SHUFFLED].value}
    meaning = "what the image tells of a column above chance (2 AUC - 1, or R2), mean over columns"
    return Score("skill", own.value, own.interval, _HIGHER, (None, 1.0), num_patients, reference, meaning)


def _similarity_gap(comparison: Comparison) -> Score:
    """How much nearer an image is to its own row than to others (DP-TabImage, Chen et al. 2026)."""
    synthetic, train, unseen = comparison.synthetic, comparison.train, comparison.test
    sides = (train, synthetic, unseen)
    pixels = np.concatenate([one.pixels for one in sides[1:]])
    ends = np.cumsum([len(one) for one in sides[1:]])[:-1]
    images, others = predictors.image_components(train.pixels, pixels, seed=0)
    images = [images, *np.split(others, ends)]
    raw = predictors.table_features(comparison.schema, pd.concat([one.frame for one in sides], ignore_index=True))
    count = len(train)
    columns = [predictors.scale_table(cells[:count], cells[count:]) for cells in raw.values()]
    rows, others = (np.concatenate(side, axis=1) for side in zip(*columns, strict=True))
    rows = [rows, *np.split(others, ends)]
    encoder = PairEncoder().fit(images[0], rows[0])
    own, real = (encoder.gaps(images[place], rows[place]) for place in (1, 2))
    turned = np.random.default_rng(0).permutation(len(synthetic))
    shuffled = float(encoder.gaps(images[1][turned], rows[1]).mean())
    weights = bootstrap_weights(unseen.groups, comparison.options.bootstraps, seed=0)
    replicates = weights @ real / weights.sum(axis=1)
    name, limits, n = "embedding similarity gap", (None, None), unseen.num_patients
    meaning = "how much nearer an image lies to its own row than to others', as a share of that of real pairs"
    if not np.percentile(replicates, 2.5) > 0:
        reason = "on unseen patients the encoders do not surely tell real pairs apart"
        return Score(name, None, None, _HIGHER, limits, n, meaning=meaning, reason=reason)
    ends = np.percentile(own.mean() / replicates, [2.5, 97.5]).tolist()
    reference = {"real, unseen patients": 1.0, SHUFFLED: shuffled / real.mean()}
    return Score(name, own.mean() / real.mean(), tuple(ends), _HIGHER, limits, n, reference, meaning)
