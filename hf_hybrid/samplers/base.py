"""The contract of every sampler: learn a latent table, sample it, save it without a row of it."""

import json
import math
from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import write_json
from hf_hybrid.core.randomness import generator
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.tables import codes_of, from_arrow, to_arrow
from hf_hybrid.samplers.transform import TableTransform

if TYPE_CHECKING:
    from datasets import Dataset, Features

BLOCK = 1024  # records drawn at once from one generator: the same ones, however many are asked for
MAX_DRAWS_A_BLOCK = 400  # how often a block is drawn again to satisfy conditions

Conditions = Mapping[str, str | bool | float | tuple[float, float] | None]


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


@dataclass
class Sampler(metaclass=ABCMeta):  # not ABC: the command line reads classes that are dataclasses all the way up
    """Learns the joint distribution of latents and clinical columns.

    The fields of a subclass are its configuration, JSON-able; what is learned ends in `_`.
    """

    contains_training_records: ClassVar[bool] = False

    def fit(
        self,
        table: "Dataset",
        schema: RecordSchema,
        groups: np.ndarray | None = None,
        logging_dir: Path | None = None,
    ) -> Self:
        """Learns a latent table.

        Args:
            table: `z_000` ... and the clinical columns, restricted to what `schema` allows.
            schema: a protected schema (`disclosure.protect`).
            groups: the patient of each record, shape `(num_records,)`; None when each record is a patient.
            logging_dir: private folder for checkpoints, with which a broken `fit` is resumed.
        """
        rows = LatentRows.from_dataset(table, schema)
        groups = np.arange(len(rows)) if groups is None else np.asarray(groups)
        self.schema_ = schema
        self.transform_ = TableTransform(schema).fit(rows.latents, rows.frame, groups)
        self.learn(rows, groups, logging_dir)
        return self

    @abstractmethod
    def learn(self, rows: LatentRows, groups: np.ndarray, logging_dir: Path | None) -> None:
        """Learns rows of these patients; `schema_` is set and `transform_` fitted to them before."""

    @abstractmethod
    def draw(self, rng: torch.Generator, conditions: Conditions) -> LatentRows:
        """Draws `BLOCK` records, or fewer that meet the conditions; these are a hint, `sample_block` enforces them."""

    @abstractmethod
    def familiarity(self, rows: LatentRows) -> dict[str, np.ndarray]:
        """How well what is saved knows each record, by the name of each way to ask; higher: better, `(n,)`.

        It is what an attacker who holds the files would ask to tell who was learned from.
        """

    @abstractmethod
    def learned(self) -> tuple[dict, dict[str, torch.Tensor]]:
        """What was learned beside the transform, as JSON and tensors: nothing that rests on fewer than 10 patients."""

    @abstractmethod
    def load_learned(self, facts: dict, tensors: dict[str, torch.Tensor]) -> None:
        """Inverse of `learned`; `schema_` and `transform_` are set before."""

    def sample(self, num_records: int, seed: int, conditions: Conditions | None = None) -> "Dataset":
        """Samples a latent table; the first rows are the same whatever `num_records`.

        Args:
            num_records: how many, at least 1.
            seed: at least 0.
            conditions: column -> category, True or False, a number, a range `(low, high)`, or None for missing; all
                hold exactly in every record.

        Raises:
            InputError: a condition names an unknown column or value, or is too rare to be met.
        """
        conditions = check_request(self.schema_, num_records, seed, conditions)
        blocks = [
            self.sample_block(seed, first // BLOCK, conditions, min(BLOCK, num_records - first))
            for first in range(0, num_records, BLOCK)
        ]
        return LatentRows.concatenate(blocks).to_dataset(self.schema_)

    def sample_block(
        self, seed: int, block: int, conditions: Conditions | None = None, num_records: int = BLOCK
    ) -> LatentRows:
        """The first `num_records` of block `block` in the endless sequence that belongs to `seed`.

        `conditions` are in the form of `check_request`.

        Raises:
            InputError: the conditions are too rare to be met.
        """
        if not conditions:
            return self.draw(generator(seed, block, 0), {}).take(slice(num_records))
        found, count = [], 0
        for attempt in range(MAX_DRAWS_A_BLOCK):
            rows = self.draw(generator(seed, block, attempt), conditions)
            met = np.flatnonzero(conditions_met(self.schema_, rows.frame, conditions))
            found.append(rows.take(met))
            count += len(met)
            if count >= num_records:
                return LatentRows.concatenate(found).take(slice(num_records))
        any_rows = self.draw(generator(seed, block, 0), {}).frame
        shares = {
            name: conditions_met(self.schema_, any_rows, {name: wanted}).mean() for name, wanted in conditions.items()
        }
        raise InputError(
            f"expected conditions that the sampler meets now and then, found {dict(conditions)} too rare, "
            f"`{min(shares, key=shares.get)}` above all: widen a range or drop a condition"
        )

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Writes `config.json` and `model.safetensors`; no pickle."""
        from safetensors.torch import save_file

        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        facts, tensors = self.learned()
        config = {
            "_class_name": type(self).__name__,
            "contains_training_records": self.contains_training_records,
            **asdict(self),
            "learned": {"transform": self.transform_.to_dict(), **facts},
        }
        write_json(folder / "config.json", config)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")

    @classmethod
    def from_pretrained(cls, folder: str | Path, schema: RecordSchema) -> Self:
        """Loads what `save_pretrained` wrote.

        Args:
            folder: local folder.
            schema: the schema that the sampler was fitted with.
        """
        from safetensors.torch import load_file

        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        if config.pop("_class_name") != cls.__name__:
            raise InputError(f"expected a {cls.__name__} in {folder}, found another class: use `load_sampler`")
        config.pop("contains_training_records")
        facts = config.pop("learned")
        sampler = cls(**config)
        sampler.schema_, sampler.transform_ = schema, TableTransform.from_dict(schema, facts.pop("transform"))
        sampler.load_learned(facts, load_file(Path(folder) / "model.safetensors"))
        return sampler


def check_request(schema: RecordSchema, num_records: int, seed: int, conditions: Conditions | None) -> Conditions:
    """Refuses what no sampler can do.

    Returns:
        The conditions in one form: a number as a range `(low, high)`, anything else as it is.

    Raises:
        InputError: a number out of range, or a condition on an unknown column or on a value that it never has.
    """
    if num_records < 1 or seed < 0:
        raise InputError(
            f"expected `num_records` of at least 1 and `seed` of at least 0, found {num_records} and {seed}"
        )
    return {name: _check_condition(schema, name, wanted) for name, wanted in (conditions or {}).items()}


def _check_condition(schema: RecordSchema, name: str, wanted: object) -> str | bool | tuple[float, float] | None:
    if name not in schema.table:
        raise InputError(f"expected conditions on {list(schema.table)}, found one on `{name}`")
    column = schema.table[name]
    wanted = wanted.tolist() if isinstance(wanted, np.generic | np.ndarray) else wanted
    if wanted is None:
        if "missing" not in column.states:
            raise InputError(f"expected a value for `{name}`, found missing, which this column never is")
    elif column.is_number:
        return _check_range(name, column, wanted)
    elif column.kind == "boolean":
        if not isinstance(wanted, bool):
            raise InputError(f"expected true or false for `{name}`, found {wanted!r}")
        if column.categories and str(wanted).lower() not in column.categories:
            raise InputError(f"expected `{name}` among {column.categories}, found {str(wanted).lower()!r}")
    elif not isinstance(wanted, str) or wanted not in column.categories:
        raise InputError(f"expected `{name}` among {column.categories}, found {wanted!r}")
    return wanted


def _check_range(name: str, column: ColumnSchema, wanted: object) -> tuple[float, float]:
    ends = tuple(wanted) if isinstance(wanted, tuple | list) else (wanted, wanted)
    are_numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if len(ends) != 2 or not are_numbers or not ends[0] <= ends[1]:
        raise InputError(f"expected a number or a range low..high for `{name}`, found {wanted!r}")
    low, high = map(float, ends)
    state = {math.inf: "inf", -math.inf: "-inf"}.get(low if low == high else None)
    if state and state not in column.states:
        raise InputError(f"expected a finite condition on `{name}`, found {wanted!r}, which it never is")
    if "inf" in column.states and high == math.inf or "-inf" in column.states and low == -math.inf:
        return low, high
    if high < column.bounds[0] or low > column.bounds[1]:
        raise InputError(f"expected `{name}` within {list(column.bounds)}, found the condition {wanted!r}")
    unit = 10.0**column.decimals
    first, last = max(low, column.bounds[0]) * unit, min(high, column.bounds[1]) * unit
    if math.ceil(first - 1e-6 * max(1, abs(first))) > math.floor(last + 1e-6 * max(1, abs(last))):
        raise InputError(
            f"expected `{name}` with {column.decimals} decimals, found the condition {wanted!r}, which no such number "
            "meets: widen it"
        )
    return low, high


def conditions_met(schema: RecordSchema, frame: pd.DataFrame, conditions: Conditions) -> np.ndarray:
    """Which records meet all conditions, in the form of `check_request`; shape `(n,)`."""
    met = np.ones(len(frame), dtype=bool)
    for name, wanted in conditions.items():
        column, cells = schema.table[name], frame[name]
        if wanted is None:
            met &= cells.isna().to_numpy()
        elif column.is_number:
            met &= cells.between(*wanted).to_numpy()
        elif column.kind == "multi-label":
            met &= np.array([cell is not None and wanted in cell for cell in cells], dtype=bool)
        else:
            met &= codes_of(cells, [wanted]) == 0
    return met
