"""Rows of a latent table: latents and typed cells side by side, to and from `datasets`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from hf_hybrid.core.errors import InputError
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.tables import from_arrow, to_arrow

if TYPE_CHECKING:
    from datasets import Dataset, Features


@dataclass
class LatentRows:
    """Latents `(n, latent_dim)` float32 and the typed cells of the same records."""

    latents: np.ndarray
    frame: pd.DataFrame

    def __len__(self) -> int:
        """Number of records."""
        return len(self.latents)

    def take(self, rows: np.ndarray | slice) -> Self:
        """These rows, counted from 0 again."""
        return type(self)(self.latents[rows], self.frame.iloc[rows].reset_index(drop=True))

    @classmethod
    def concatenate(cls, parts: list[Self]) -> Self:
        """All rows of all parts."""
        frames = pd.concat([part.frame for part in parts], ignore_index=True)
        return cls(np.concatenate([part.latents for part in parts]), frames)

    def to_dataset(self, schema: RecordSchema) -> "Dataset":
        """The latent table: `z_000`, `z_001`, ... and the clinical columns."""
        from datasets import Dataset, DatasetInfo
        from datasets.fingerprint import generate_random_fingerprint
        from datasets.table import InMemoryTable

        names = latent_names(self.latents.shape[1])
        features = latent_features(schema, len(names))
        columns = dict(zip(names, map(pa.array, self.latents.T), strict=True)) | to_arrow(self.frame, schema)
        table = InMemoryTable(pa.table(columns, schema=features.arrow_schema))
        # Without a fingerprint all of its features would be pickled to make one.
        return Dataset(table, DatasetInfo(features=features), fingerprint=generate_random_fingerprint())

    @classmethod
    def from_dataset(cls, table: "Dataset", schema: RecordSchema) -> Self:
        """Reads a latent table."""
        table = table.with_format("arrow")[:]
        names = latent_names(sum(name.startswith("z_") and name[2:].isdigit() for name in table.column_names))
        if not names:
            raise InputError(f"expected a latent table with `z_000`, ..., found the columns {table.column_names}")
        latents = np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.float32)
        return cls(latents, from_arrow({name: table[name] for name in schema.table}, schema))


def latent_features(schema: RecordSchema, latent_dim: int) -> "Features":
    """The `datasets.Features` of a latent table."""
    from datasets import Features, Value

    latents = dict.fromkeys(latent_names(latent_dim), Value("float32"))
    return Features(latents | schema.to_features(with_image=False))


def latent_names(latent_dim: int) -> list[str]:
    """Names of the latent columns: `z_000`, `z_001`, ..."""
    return [f"z_{index:03d}" for index in range(latent_dim)]
