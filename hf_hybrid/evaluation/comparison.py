"""The records that every part of a report compares: release, training records and held-out records."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from hf_hybrid.data import privacy_rule
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.evaluation.feature_store import FeatureStore
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.training_patients import TrainingPatients
from hf_hybrid.models import image_features

_BATCH = 256  # images
_LATENT_DIM = 64  # of a baseline if the codec is not known


@dataclass
class EvaluationSet:
    """Records as the scores need them.

    Args:
        pixels: uint8 `(n, 32, 32)`.
        frame: typed cells as `RecordSchema.read` returns them.
        groups: the patient of each record, int `(n,)`.
        read_images: function from positions of records to batches of their images at the size of the release, uint8
            `(batch, side, side)`; None if there are only `pixels`.
        store: features of the images, shared with the sets that this one was taken from; made when first needed.
        stored_rows: positions of the records in the store.
    """

    pixels: np.ndarray
    frame: pd.DataFrame
    groups: np.ndarray
    read_images: Callable[[np.ndarray], Iterator[np.ndarray]] | None = None
    store: FeatureStore | None = field(default=None, repr=False)
    stored_rows: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Number of records."""
        return len(self.groups)

    @property
    def num_patients(self) -> int:
        """Number of patients."""
        return len(np.unique(self.groups))

    def take(self, rows: np.ndarray) -> "EvaluationSet":
        """The records at `rows`."""
        read = self.read_images and (lambda places: self.read_images(rows[places]))
        store, stored = self.feature_store(), self.stored_rows[rows]
        frame = self.frame.iloc[rows].reset_index(drop=True)
        return EvaluationSet(self.pixels[rows], frame, self.groups[rows], read, store, stored)

    def restricted(self, schema: RecordSchema) -> "EvaluationSet":
        """Cells restricted to a protected schema; without the records that it cannot express."""
        kept = self.take(np.flatnonzero(privacy_rule.expressible(schema, self.frame)))
        return replace(kept, frame=privacy_rule.restrict(schema, kept.frame))

    def iter_images(self) -> Iterator[np.ndarray]:
        """Batches of all images, at the size of the release."""
        yield from self.images_at(np.arange(len(self)))

    def images_at(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Batches of the images at `rows`, at the size of the release."""
        if self.read_images:
            yield from self.read_images(rows)
        elif len(rows):
            yield from np.array_split(self.pixels[rows], -(-len(rows) // _BATCH))

    def feature_store(self) -> FeatureStore:
        """The features of the images, shared with all sets that are taken from this one."""
        if self.store is None:
            self.store, self.stored_rows = FeatureStore(self.images_at, len(self)), np.arange(len(self))
        return self.store

    def features(self, extractor: str) -> np.ndarray:
        """Features of all images at the size of the release, float32 `(n, d)`; each is computed once."""
        return self.feature_store().features(extractor, self.stored_rows)


@dataclass(frozen=True)
class Comparison:
    """A release and the real records to compare it with.

    Args:
        synthetic: the release.
        train: training records.
        test: records of held-out patients.
        schema: schema of the release.
        options: options of the scores.
        training_patients: which records of `train` the sampler learned from; None: all.
        tell: receives progress messages.
        codec: facts about the codec of the release, as its provenance holds them; None if not known.
    """

    synthetic: EvaluationSet
    train: EvaluationSet
    test: EvaluationSet
    schema: RecordSchema
    options: EvaluationOptions
    training_patients: TrainingPatients | None = None
    tell: Callable[[str], None] = lambda _: None
    codec: Mapping | None = None

    @property
    def latent_dim(self) -> int:
        """How many numbers the codec encodes an image as."""
        return self.codec["config"]["latent_dim"] if self.codec else _LATENT_DIM

    @property
    def extractor(self) -> str:
        """The extractor of image features: the one that is asked for, or that of the codec's images."""
        return self.options.extractor or image_features.default_extractor(self.codec)

    @property
    def extractor_name(self) -> str:
        """How a report names it, and why it was taken if it was not asked for."""
        name = image_features.extractor_name(self.extractor)
        if self.options.extractor or self.extractor == image_features.RANDOM:
            return name
        return f"{name} (the codec's images are {image_features.RADIOGRAPHS})"
