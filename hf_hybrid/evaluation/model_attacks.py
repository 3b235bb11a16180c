"""Attacks by someone who holds the files of a model and can query it about any record.

White-box membership inference (Shokri et al. 2017, arXiv 1610.05820; for generators Chen et al. 2020, arXiv
1909.03935). The sampler scores how well it knows a record (`Sampler.familiarity`); for the codec the score is its
reconstruction of an image. Training patients should be known no better than held-out ones: the reference is chance.
"""

from dataclasses import replace

import numpy as np

from hf_hybrid.core.errors import InputError
from hf_hybrid.data.records import Records
from hf_hybrid.evaluation.attacks.base import AttackResult
from hf_hybrid.evaluation.attacks.membership import chance_test
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.reconstruction import reconstruct
from hf_hybrid.evaluation.training_patients import TrainingPatients
from hf_hybrid.metrics.curves import roc_curves
from hf_hybrid.metrics.membership import attack_auc
from hf_hybrid.metrics.reidentification import mean_by_patient
from hf_hybrid.models.codec import Codec
from hf_hybrid.samplers.copula import GaussianCopulaSampler
from hf_hybrid.samplers.marginals import patient_weights
from hf_hybrid.synthesis.latent_table import encode_rows
from hf_hybrid.synthesis.pipeline import HybridPipeline

_SAME_MEAN = 0.01  # of latents, in their standard deviations: rounding on another machine
_BASELINE = "AUC by the likelihood of a Gaussian copula"
_MEANING = "how much better than chance who holds the files tells training patients from others (AUC)"


def attack_model(
    pipeline: HybridPipeline | None,
    codec: Codec,
    sides: list[Records],
    options: EvaluationOptions,
    training_patients: TrainingPatients | None = None,
) -> AttackResult:
    """Attacks a model with training and held-out patients, by every score that it offers.

    Args:
        pipeline: None for a codec alone.
        codec: attacked too if its images were private.
        sides: records of training patients and of held-out patients.
        options: patient bootstrap replicates, and the limit against chance.
        training_patients: which records of `train` the sampler learned from; None: all.

    Raises:
        InputError: the records are not the training records of the pipeline.
    """
    asked = _of_sampler(pipeline, sides) if pipeline else {}
    if codec.config.private_images:
        asked |= {"codec: reconstruction": [_closeness(codec, one) for one in sides]}
    groups, tests, curves = [one.groups for one in sides], [], []
    baseline = _by_patient(asked.pop(_BASELINE), groups) if pipeline else None
    is_validation = np.zeros(len(groups[0]), dtype=bool)
    is_validation[training_patients.validation if training_patients else []] = True
    for name, scores in asked.items():
        known = _by_patient(scores, groups)
        more = {_BASELINE: attack_auc(*baseline, 1).value} if baseline else {}
        if is_validation.any() and name.startswith("sampler"):  # a codec of private images learned from all of them
            validation, known[0] = (
                mean_by_patient(scores[0][side], groups[0][side]) for side in (is_validation, ~is_validation)
            )
            more[f"AUC of {len(validation)} validation patients, left out"] = attack_auc(validation, known[1], 0).value
        test = chance_test(name, known, options, more)
        tests.append(replace(test, score=replace(test.score, meaning=_MEANING)))
        curves.append(roc_curves(name, {"model": known} | ({"Gaussian copula": baseline} if baseline else {})))
    return AttackResult(tests, tuple(curves))


def _of_sampler(pipeline: HybridPipeline, sides: list[Records]) -> dict[str, list[np.ndarray]]:
    rows = [encode_rows(one, pipeline.schema, pipeline.codec) for one in sides]
    learned = pipeline.sampler.transform_
    # Another split may have as many records of as many patients.
    mean = np.average(rows[0].latents, axis=0, weights=patient_weights(sides[0].groups))
    if np.abs((mean - learned.latents_mean_) / learned.latents_std_).max() > _SAME_MEAN:
        raise InputError(
            "expected in `train` the records that the pipeline was learned from, found others: give the original "
            "training split"
        )
    found = [pipeline.sampler.familiarity(one) for one in rows]
    copula = GaussianCopulaSampler().fit(rows[0].to_dataset(pipeline.schema), pipeline.schema, sides[0].groups)
    baseline = [copula.familiarity(one)["likelihood"] for one in rows]
    return {f"sampler: {name}": [one[name] for one in found] for name in found[0]} | {_BASELINE: baseline}


def _closeness(codec: Codec, records: Records) -> np.ndarray:
    """The negative mean absolute error of each mean image, `(n,)`: drawn detail would hide what the codec knows."""
    pixels, kept = (side.astype(np.float32) for side in reconstruct(records, codec, False))
    return -np.abs(pixels - kept).reshape(len(pixels), -1).mean(axis=1).astype(np.float64)


def _by_patient(scores: list[np.ndarray], groups: list[np.ndarray]) -> list[np.ndarray]:
    """Means, since the maximum of more records would be higher by chance."""
    return [mean_by_patient(side, one) for side, one in zip(scores, groups, strict=True)]
