"""The spaces in which attacks compare a release with training and held-out patients.

An attacker holds the release and knowledge about a person; the model is not used. All spaces are fitted to the release
alone, so that training and held-out patients are treated alike.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hf_hybrid.data import privacy_rule
from hf_hybrid.evaluation.comparison import Comparison
from hf_hybrid.evaluation.training_patients import TrainingPatients
from hf_hybrid.metrics import predictors
from hf_hybrid.metrics.copies import RowSpace
from hf_hybrid.samplers.copula import GaussianCopulaSampler
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.samplers.transform import TableTransform
from hf_hybrid.samplers.validation import joint_features


class AttackSpaces:
    """Release, training patients and held-out patients, in the spaces in which they are compared.

    Attributes:
        schema: the protected schema.
        options: how to score.
        sets: release, training patients, held-out patients.
        cells: `RowSpace.features` of each.
        images: principal components of the images of each, fitted to the release.
        records: components and cells of each, and of the baseline, as `joint_features` scales them.
        baseline: rows of a Gaussian copula that learned the same components and cells.
        training_patients: which records of `train` are attacked; the others are in `validation` alone.
        validation: `records` of the sampler's validation patients, and the patient of each.
    """

    def __init__(self, comparison: Comparison) -> None:
        train = comparison.train
        self.schema = privacy_rule.protected(comparison.schema, train.frame, train.groups)
        self.options, self.extractor = comparison.options, comparison.extractor
        every = np.arange(len(train))
        self.training_patients = comparison.training_patients or TrainingPatients(every, every[:0])
        learned, validation = (
            train.take(rows) for rows in (self.training_patients.learned, self.training_patients.validation)
        )
        every = (comparison.synthetic, learned, comparison.test, validation)
        *self.sets, validation = [one.restricted(self.schema) for one in every]
        self.synthetic, self.train, self.held_out = self.sets
        self._validation = validation
        space = RowSpace(self.schema, self.synthetic.frame)
        self.cells = [space.features(one.frame) for one in self.sets]
        joint = self._joint([one.pixels for one in (*self.sets, validation)])
        self.images, self.records, self.baseline = joint.images, joint.records, joint.baseline
        self.validation = joint.validation, validation.groups

    @cached_property
    def feature_records(self) -> list[np.ndarray]:
        """`records` with components of the extractor's features at the resolution of the release."""
        return self._joint([one.features(self.extractor) for one in (*self.sets, self._validation)]).records

    def _joint(self, seen: list[np.ndarray]) -> "_Joint":
        """Components and cells in one space.

        Args:
            seen: pixels or features of release, training, held-out and validation patients.
        """
        every = (*self.sets, self._validation)
        components, real = predictors.image_components(seen[0], np.concatenate(seen[1:]))
        images = [components, *np.split(real, np.cumsum([len(one) for one in self.sets[1:]]))]
        rows = [LatentRows(image.astype(np.float32), one.frame) for image, one in zip(images, every, strict=True)]
        copula = GaussianCopulaSampler().fit(rows[1].to_dataset(self.schema), self.schema, self.train.groups)
        drawn = copula.sample(len(self.synthetic), seed=0, purpose="attack: baseline of the release")
        baseline = LatentRows.from_dataset(drawn, self.schema)
        transform = TableTransform(self.schema).fit(rows[0].latents, rows[0].frame, np.arange(len(self.synthetic)))
        *records, validation = [joint_features(transform, one) for one in rows]
        return _Joint(images[:3], [*records, joint_features(transform, baseline)], baseline, validation)

    @property
    def multiple(self) -> float:
        """Synthetic records per training record."""
        return len(self.synthetic) / len(self.train)

    @property
    def num_cells(self) -> int:
        """Numbers for the cells in `records` and in `feature_records`; they stand behind those of the image."""
        return self.records[0].shape[1] - self.images[0].shape[1]

    @property
    def num_patients(self) -> int:
        """Training and held-out patients."""
        return self.train.num_patients + self.held_out.num_patients


@dataclass(frozen=True)
class _Joint:
    """What `AttackSpaces` shows of one space of images."""

    images: list[np.ndarray]
    records: list[np.ndarray]
    baseline: LatentRows
    validation: np.ndarray


def side_by_side(cells: dict[str, np.ndarray]) -> np.ndarray:
    """Features of all columns, `(n, d)`."""
    return np.concatenate(list(cells.values()), axis=1)
