"""Codecs side by side on the same divisions of a private dataset: what a copula of their latents keeps and reveals.

For each division of the patients and each codec, training records are encoded, a Gaussian copula is fitted, and its
records are scored on the held-out patients. Codecs share divisions, seeds and bootstrap, so differences are paired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from hf_hybrid.core.scores import REAL
from hf_hybrid.data.images import grey_squares
from hf_hybrid.data.records import Records
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.splits import join_equal_images, split_by_patient
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.pairing import skill_of
from hf_hybrid.evaluation.reconstruction import reconstruct, reconstruction_scores
from hf_hybrid.evaluation.target import Target
from hf_hybrid.evaluation.training_sets import real_and_whole, training_sets, whole_release
from hf_hybrid.evaluation.utility import score_targets
from hf_hybrid.metrics import predictors
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights, recover
from hf_hybrid.metrics.fidelity import SHARE_DRAWS, draws_of_patients
from hf_hybrid.metrics.image_fidelity import frechet_distance
from hf_hybrid.metrics.membership import membership
from hf_hybrid.models.codec import Codec
from hf_hybrid.models.image_features import image_features
from hf_hybrid.samplers.copula import GaussianCopulaSampler
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.samplers.transform import TableTransform
from hf_hybrid.samplers.validation import joint_features
from hf_hybrid.synthesis.latent_table import LatentTable, encode_rows, expressible_records
from hf_hybrid.synthesis.pipeline import decode_images

SKILL, MEMBERSHIP, LIKENESS = "pairing skill", "membership AUC", "Frechet distance"
RECONSTRUCTIONS = {  # kind of image, place among `reconstruction_scores`
    "L1 of mean images": ("mean", 0),
    "SSIM of mean images": ("mean", 2),
    "L1 of drawn images": ("drawn", 0),
}
SHARES = {"image": "recovered share of {}, image", "both": "recovered share of {}, image and table"}


@dataclass(frozen=True)
class ComparisonSettings:
    """How codecs are compared.

    Args:
        divisions: seeds of the divisions of the patients.
        test: share of held-out patients.
        multiple: synthetic records per real training record.
        bootstraps: patient bootstrap replicates.
        resolution: of the reconstructions and of the images whose likeness is scored; the smallest of the codecs' or
            of the images.
        extractor: of the features of the Frechet distance.
    """

    divisions: tuple[int, ...] = (0, 1, 2)
    test: float = 0.33
    multiple: float = 5.0
    bootstraps: int = 500
    resolution: int = 64
    extractor: str = "radiograph"


@dataclass
class Found:
    """Scores of one codec on one division by their names.

    Args:
        scores: of the codec.
        real: what real training records reach, of scores that have such a reference.
        reasons: why there is no score.
    """

    scores: dict[str, Estimate] = field(default_factory=dict)
    real: dict[str, Estimate] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def compare_codecs(records: Records, codecs: Mapping[str, Codec], settings: ComparisonSettings) -> dict:
    """Scores every codec on every division.

    Args:
        records: of the private dataset.
        codecs: by name; the first is the one that others are compared with.
        settings: how.

    Returns:
        `divisions` (scores of each with 95 % intervals), `pooled` (their means over divisions) and `differences`
        (paired, from the first codec; pooled). A score that a division does not have is left out there, with a reason.
    """
    groups = join_equal_images(records.groups, records.check_images().digests)
    found: dict[str, list[Found]] = {name: [] for name in codecs}
    for seed in settings.divisions:
        rows = split_by_patient(groups, settings.test, 0, seed)
        sides = records.select(rows["train"]), records.select(rows["test"])
        for name, codec in codecs.items():
            found[name].append(_score(codec, *sides, seed, settings))
    first = next(iter(codecs))
    return {
        "divisions": {
            str(seed): {name: _told(one[place]) for name, one in found.items()}
            for place, seed in enumerate(settings.divisions)
        },
        "pooled": {name: _pooled(one) for name, one in found.items()},
        f"differences from {first}": {
            name: _differences(one, found[first]) for name, one in found.items() if name != first
        },
    }


def _score(codec: Codec, train: Records, test: Records, seed: int, settings: ComparisonSettings) -> Found:
    """Every score of a codec on one division."""
    table = LatentTable.encode(train, codec)
    schema = table.schema
    train, test = (expressible_records(one, schema) for one in (train, test))
    sampler = GaussianCopulaSampler().fit(table.dataset, schema, table.groups)
    sampled = sampler.sample(round(settings.multiple * len(train)), seed)
    sample = LatentRows.from_dataset(sampled, schema)
    with torch.inference_mode():
        images = np.concatenate(list(decode_images(codec, sample.latents, seed)))
    release = _Release(codec, schema, images, sample, train, test, settings)
    found = Found()
    release.add_utility(found)
    release.add_membership(found, table)
    release.add_likeness(found)
    release.add_reconstruction(found)
    return found


@dataclass
class _Release:
    codec: Codec
    schema: RecordSchema
    images: np.ndarray
    sample: LatentRows
    train: Records
    test: Records
    settings: ComparisonSettings

    def add_utility(self, found: Found) -> None:
        """The pairing skill over all columns, and the recovered shares of the targets."""
        options = EvaluationOptions(seeds=1, bootstraps=self.settings.bootstraps, image_model="linear")
        sets = [
            EvaluationSet(
                one.pixel_values(predictors.RESOLUTION, fit=self.codec.config.resize_mode), one.frame, one.groups
            )
            for one in (self.train, self.test)
        ]
        pixels = grey_squares(self.images, predictors.RESOLUTION)
        synthetic = EvaluationSet(pixels, self.sample.frame, np.arange(len(self.sample)))
        whole = whole_release(training_sets(len(sets[0]), len(synthetic), 0)).name
        all_columns = self.schema.with_targets(list(self.schema.table))
        targets = score_targets(Comparison(synthetic, *sets, all_columns, options), real_and_whole, ["image", "both"])
        skills = [one for target in targets if (one := _skills(target, whole))]
        for place, side in enumerate((found.real, found.scores)):
            side[SKILL] = Estimate.mean([one[place] for one in skills])
        for target in (one for one in targets if one.name in self.schema.targets):
            for inputs, words in SHARES.items():
                name, metric = words.format(target.name), target.metrics[0]
                of_real, own = (target.mean(metric, inputs, one) for one in (REAL, whole))
                recovery = recover(metric, of_real, own) if of_real and own else None
                if recovery and recovery.share:
                    found.scores[name], found.real[name] = recovery.share, of_real
                else:
                    found.reasons[name] = (recovery and recovery.reason) or "a side holds one value only"

    def add_membership(self, found: Found, table: LatentTable) -> None:
        """The distance attack on latents and cells together."""
        learned, tested = (
            LatentRows.from_dataset(table.dataset, self.schema),
            encode_rows(self.test, self.schema, self.codec),
        )
        transform = TableTransform(self.schema).fit(learned.latents, learned.frame, table.groups)
        sides = [joint_features(transform, one) for one in (learned, tested, self.sample)]
        found.scores[MEMBERSHIP] = membership(
            sides[0], table.groups, sides[1], self.test.groups, sides[2], self.settings.bootstraps
        )

    def add_likeness(self, found: Found) -> None:
        """The Frechet distance to held-out images, of as many synthetic ones as there are training images."""
        side, extractor = self._side, self.settings.extractor
        real = [one.pixel_values(side, fit=self.codec.config.resize_mode) for one in (self.test, self.train)]
        count = min(len(self.images), len(self.train))  # the distance depends on how many there are
        made = grey_squares(self.images[:count], side)
        held_out, *others = (image_features([one], extractor).astype(float) for one in (real[0], real[1], made))
        centre, scale = held_out.mean(0), held_out.std(0).clip(1e-9)
        held_out, *others = ((one - centre) / scale for one in (held_out, *others))
        draws = draws_of_patients(self.test.groups, SHARE_DRAWS)
        for target, features in zip((found.real, found.scores), others, strict=True):
            value = frechet_distance(features, held_out)
            redrawn = np.array([frechet_distance(features, held_out[one]) for one in draws])
            # Centred: drawing patients twice biases a distance upwards.
            target[LIKENESS] = Estimate(value, value + redrawn - redrawn.mean())

    def add_reconstruction(self, found: Found) -> None:
        """How near held-out images come back."""
        real, *made = (grey_squares(one, self._side) for one in reconstruct(self.test, self.codec, False, True))
        weights = bootstrap_weights(self.test.groups, self.settings.bootstraps, seed=0)
        scores = {name: reconstruction_scores(real, one) for name, one in zip(("mean", "drawn"), made, strict=True)}
        for name, (kind, place) in RECONSTRUCTIONS.items():
            values = scores[kind][:, place]
            found.scores[name] = Estimate(float(values.mean()), weights @ values / weights.sum(axis=1))

    @property
    def _side(self) -> int:
        return min(self.settings.resolution, self.codec.config.resolution)


def _skills(target: Target, whole: str) -> tuple[Estimate, Estimate] | None:
    """What the image tells of a column, learned from real records and from the release; None if it is not scored."""
    metric = target.metrics[0]
    found = [target.mean(metric, "image", one) for one in (REAL, whole)]
    return None if None in found else tuple(skill_of(metric, one) for one in found)


def _told(found: Found) -> dict:
    """Scores of a division, JSON-able, each with what real records reach."""
    told = {
        name: {**_numbers(one), **({"real": _numbers(found.real[name])} if name in found.real else {})}
        for name, one in found.scores.items()
    }
    return told | {name: {"reason": reason} for name, reason in found.reasons.items()}


def _pooled(found: Sequence[Found]) -> dict:
    """Means over the divisions that have a score, each with what real records reach."""
    pooled = {}
    for name in dict.fromkeys(name for one in found for name in one.scores):
        scored = [one for one in found if name in one.scores]
        pooled[name] = _mean([one.scores[name] for one in scored])
        if real := [one.real[name] for one in scored if name in one.real]:
            pooled[name]["real"] = _numbers(Estimate.mean(real))
    return pooled


def _differences(found: Sequence[Found], reference: Sequence[Found]) -> dict:
    """Means over divisions of the paired differences."""
    pairs = list(zip(found, reference, strict=True))
    names = dict.fromkeys(name for one, other in pairs for name in one.scores if name in other.scores)
    return {
        name: _mean(
            [
                one.scores[name].minus(other.scores[name])
                for one, other in pairs
                if name in one.scores and name in other.scores
            ]
        )
        for name in names
    }


def _mean(estimates: Sequence[Estimate]) -> dict:
    return {**_numbers(Estimate.mean(estimates)), "divisions": len(estimates)}


def _numbers(estimate: Estimate) -> dict:
    interval = estimate.interval
    return {"value": round(estimate.value, 4), "interval": interval and [round(end, 4) for end in interval]}
