"""The evidence about a pipeline, or a codec trained on private images: what its files themselves tell an attacker.

A release shows some draws; whoever holds the files can ask the model about any record (white-box membership inference:
Shokri et al. 2017, arXiv 1610.05820; for generators Chen et al. 2020, arXiv 1909.03935). How well the sampler knows a
record is told by the sampler itself (`Sampler.familiarity`), how well a codec knows an image by its reconstruction.
Patients learned from should be known no better than unseen ones: here the floor is chance.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import write_json
from hf_hybrid.core.provenance import REPORT, hash_files, read_provenance, versions, write_provenance
from hf_hybrid.core.report import Score
from hf_hybrid.data.records import Records, load_records
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.privacy import Test, family_of, files_family, overall
from hf_hybrid.evaluation.reconstruction import reconstruct
from hf_hybrid.evaluation.records import check_apart, check_encoded_from, check_learned_from, private_strings
from hf_hybrid.hub import gate
from hf_hybrid.hub.audit import find_leaks
from hf_hybrid.metrics.curves import roc_curves
from hf_hybrid.metrics.estimates import Estimate
from hf_hybrid.metrics.membership import attack_auc, lowest_false_positives
from hf_hybrid.metrics.predictors import RESOLUTION
from hf_hybrid.metrics.reidentification import mean_by_patient
from hf_hybrid.metrics.risk import EstimatedRisk, Limit, interval
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.reports import cards
from hf_hybrid.samplers.copula import GaussianCopulaSampler
from hf_hybrid.synthesis.latent_table import encode_rows
from hf_hybrid.synthesis.pipeline import HybridPipeline, load_codec

_LOWER = "lower is better"
_SAME_MEAN = 0.01  # of latents, in their standard deviations: rounding on another machine
_CONTROL = "AUC by the likelihood of a Gaussian copula"


def evaluate_model(
    folder: str | Path,
    train: str | Path,
    test: str | Path,
    options: EvaluationOptions | None = None,
    schema: str | Path | None = None,
) -> dict:
    """Attacks the files of a pipeline or codec and writes `report.json` and the card into its folder.

    Args:
        folder: of a pipeline, or of a codec that was trained with `private_images`.
        train: `DATASET[:split]` of the real records that it learned from; split "train" if not said.
        test: `DATASET[:split]` of real records of other patients; split "test" if not said.
        options: replicates and the limit of membership.
        schema: schema file to read the records of a codec with.

    Returns:
        The report.

    Raises:
        InputError: a dataset cannot be read, train is not what the model learned from, or both share patients or
            images.
    """
    folder, options = Path(folder), options or EvaluationOptions()
    kind = gate.kind_of(folder)
    pipeline = HybridPipeline.from_pretrained(folder) if kind is gate.PIPELINE else None
    codec, facts = (pipeline.codec, pipeline.facts["codec"]) if pipeline else load_codec(folder)
    if not pipeline and not codec.config.private_images:
        raise InputError(
            "expected a pipeline, or a codec of private images, found one of public images: it needs no report"
        )
    if pipeline and schema:
        raise InputError("expected `schema` for a codec or a release: a pipeline has its own, leave it out")
    schema = pipeline.schema if pipeline else schema
    sides = [load_records(one, schema=schema, split=split) for one, split in ((train, "train"), (test, "test"))]
    check_apart(sides, [one.pixel_values(RESOLUTION) for one in sides])
    if pipeline:
        check_learned_from(sides[0], pipeline.facts["sampler"]["training"])
    check_encoded_from(sides[0], facts)
    asked = _of_sampler(pipeline, sides) if pipeline else {}
    if codec.config.private_images:
        asked |= {"codec: reconstruction": [_closeness(codec, one) for one in sides]}
    tests, curves = [], []
    groups = [one.groups for one in sides]
    control = _by_patient(asked.pop(_CONTROL), groups) if pipeline else None
    for name, scores in asked.items():
        known = _by_patient(scores, groups)
        tests.append(_test(name, known, control, options.bootstraps))
        curves.append(roc_curves(name, {"model": known} | ({"Gaussian copula": control} if control else {})))
    limit = Limit(options.privacy.membership, options.privacy.membership)
    names = [name for name in gate.publishable(folder, kind) if name != REPORT]
    leaks = find_leaks(folder, names, set().union(*map(private_strings, sides)))
    families = [family_of("membership", tests, limit), files_family(leaks)]
    report = {
        "privacy": {"status": "measured", **overall(families), "screening": [], "curves": curves},
        "provenance": {
            "configuration": {"bootstraps": options.bootstraps, "privacy": asdict(options.privacy)},
            "versions": versions(),
            "files": hash_files(folder, gate.evaluated_files(kind, names)),
        },
    }
    _complete(folder, report)
    return report


def _of_sampler(pipeline: HybridPipeline, sides: list[Records]) -> dict[str, list[np.ndarray]]:
    rows = [encode_rows(one, pipeline.schema, pipeline.codec) for one in sides]
    learned = pipeline.sampler.transform_
    # As many records of as many patients may be those of another split.
    if np.abs((rows[0].latents.mean(axis=0) - learned.latents_mean_) / learned.latents_std_).max() > _SAME_MEAN:
        raise InputError(
            "expected in `train` the records that the pipeline was learned from, found others: name those"
        )
    found = [pipeline.sampler.familiarity(one) for one in rows]
    copula = GaussianCopulaSampler().fit(rows[0].to_dataset(pipeline.schema), pipeline.schema, sides[0].groups)
    control = [copula.familiarity(one)["likelihood"] for one in rows]
    return {f"sampler: {name}": [one[name] for one in found] for name in found[0]} | {_CONTROL: control}


def _closeness(codec: AlphaGAN, records: Records) -> np.ndarray:
    """Less the mean absolute error of each reconstruction, `(n,)`."""
    pixels, kept = (side.astype(np.float32) for side in reconstruct(records, codec))
    return -np.abs(pixels - kept).reshape(len(pixels), -1).mean(axis=1).astype(np.float64)


def _by_patient(scores: list[np.ndarray], groups: list[np.ndarray]) -> list[np.ndarray]:
    """Means, since the highest of many would be higher by chance."""
    return [mean_by_patient(side, one) for side, one in zip(scores, groups, strict=True)]


def _test(name: str, known: list[np.ndarray], control: list[np.ndarray] | None, num_bootstraps: int) -> Test:
    found = attack_auc(*known, num_bootstraps)
    risk = EstimatedRisk(Estimate(found.value - 0.5, found.replicates - 0.5), len(known[1]))
    reference = {"AUC": found.value, "AUC of chance": 0.5}
    if control:
        reference[_CONTROL] = attack_auc(*control, 1).value
    if point := lowest_false_positives(*known):
        reference |= {"false positives": point[0], "true positives": point[1]}
    meaning = "how much better than chance who holds the files tells who was learned from (AUC)"
    n = sum(map(len, known))
    return Test(risk, Score(name, risk.value, interval(risk), _LOWER, (-0.5, 0.5), n, reference, meaning))


def _complete(folder: Path, report: dict) -> None:
    """Writes report, hashes and card."""
    write_json(folder / REPORT, report)
    facts = {key: value for key, value in read_provenance(folder).items() if key != "accepted_risk"}
    facts["files"] |= hash_files(folder, [REPORT])
    write_provenance(folder, facts)
    cards.model_card(folder).save(folder / "README.md")
