"""The contract of every sampler: learn a latent table, sample new ones, save without any training row."""

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import torch

from hf_hybrid.core.artifacts import CONFIG, SAMPLER_WEIGHTS
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import write_json
from hf_hybrid.core.randomness import generator
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.samplers.conditions import Conditions, check_request, conditions_met
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.samplers.transform import TableTransform

if TYPE_CHECKING:
    from datasets import Dataset

BLOCK = 1024  # records drawn at once from one generator: the same ones for any number of records
MAX_DRAWS_A_BLOCK = 400  # how often a block is drawn again to satisfy conditions


@dataclass
class Sampler(ABC):
    """Learns the joint distribution of latents and clinical columns.

    The fields of a subclass are its configuration, JSON-able; what is learned ends in `_`. Its facts are on the class
    and are checked when it is defined.

    Attributes:
        name: in the registry and on the command line.
        citation: of the method, as Markdown.
        is_closed_form: whether it learns without steps.
        contains_training_records: whether what it saves holds real rows; every push then refuses its output.
    """

    name: ClassVar[str]
    citation: ClassVar[str]
    is_closed_form: ClassVar[bool]
    contains_training_records: ClassVar[bool] = False

    def __init_subclass__(cls, is_abstract: bool = False, **kwargs: object) -> None:
        """Refuses a class without its facts."""
        super().__init_subclass__(**kwargs)
        absent = [fact for fact in ("name", "citation", "is_closed_form") if not hasattr(cls, fact)]
        assert is_abstract or not absent, f"expected the facts {absent} on {cls.__name__}, found none"

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
            schema: a protected schema (`privacy_rule.protect`).
            groups: the patient of each record, shape `(num_records,)`; None when each record is a patient.
            logging_dir: private folder for checkpoints, from which an interrupted `fit` is resumed.
        """
        rows = LatentRows.from_dataset(table, schema)
        groups = np.arange(len(rows)) if groups is None else np.asarray(groups)
        self.schema_ = schema
        self.transform_ = TableTransform(schema).fit(rows.latents, rows.frame, groups)
        self.learn(rows, groups, logging_dir)
        return self

    @abstractmethod
    def learn(self, rows: LatentRows, groups: np.ndarray, logging_dir: Path | None) -> None:
        """Learns the rows of these patients; before the call, `schema_` is set and `transform_` is fitted to them."""

    @abstractmethod
    def draw(self, rng: torch.Generator, conditions: Conditions) -> LatentRows:
        """Draws `BLOCK` records, or fewer that meet the conditions; these are a hint, `sample_block` enforces them."""

    @abstractmethod
    def familiarity(self, rows: LatentRows) -> dict[str, np.ndarray]:
        """How well the saved sampler knows each record, one score `(n,)` per method, by name; higher is better.

        An attacker who holds the files would use these scores to distinguish training patients from others.
        """

    @abstractmethod
    def learned(self) -> tuple[dict, dict[str, torch.Tensor]]:
        """What was learned besides the transform, as JSON and tensors; none of it rests on fewer than 10 patients."""

    @abstractmethod
    def load_learned(self, facts: dict, tensors: dict[str, torch.Tensor]) -> None:
        """Inverse of `learned`; `schema_` and `transform_` are set before the call."""

    def sample(
        self, num_records: int, seed: int, conditions: Conditions | None = None, purpose: str = "release"
    ) -> "Dataset":
        """Samples a latent table; the first rows are the same whatever `num_records`.

        Args:
            num_records: how many, at least 1.
            seed: at least 0.
            conditions: column -> category, True or False, a number, a range `(low, high)`, or None for missing; all
                hold exactly in every record.
            purpose: of `core.randomness.PURPOSES`; a baseline has its own, so that it is never the release itself.

        Raises:
            InputError: a condition names an unknown column or value, or is too rare to be met.
        """
        conditions = check_request(self.schema_, num_records, seed, conditions)
        blocks = [
            self.sample_block(seed, first // BLOCK, conditions, min(BLOCK, num_records - first), purpose)
            for first in range(0, num_records, BLOCK)
        ]
        return LatentRows.concatenate(blocks).to_dataset(self.schema_)

    def sample_block(
        self,
        seed: int,
        block: int,
        conditions: Conditions | None = None,
        num_records: int = BLOCK,
        purpose: str = "release",
    ) -> LatentRows:
        """The first `num_records` of block `block` in the endless sequence of records that `seed` determines.

        `conditions` are in the form of `check_request`.

        Raises:
            InputError: the conditions are too rare to be met.
        """
        if not conditions:
            return self.draw(generator(seed, purpose, block, 0), {}).take(slice(num_records))
        found, count = [], 0
        for attempt in range(MAX_DRAWS_A_BLOCK):
            rows = self.draw(generator(seed, purpose, block, attempt), conditions)
            met = np.flatnonzero(conditions_met(self.schema_, rows.frame, conditions))
            found.append(rows.take(met))
            count += len(met)
            if count >= num_records:
                return LatentRows.concatenate(found).take(slice(num_records))
        any_rows = self.draw(generator(seed, purpose, block, 0), {}).frame
        shares = {
            name: conditions_met(self.schema_, any_rows, {name: wanted}).mean() for name, wanted in conditions.items()
        }
        raise InputError(
            f"expected conditions that some drawn records meet, found {dict(conditions)} too rare, "
            f"`{min(shares, key=shares.get)}` most of all: widen a range or drop a condition"
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
        write_json(folder / CONFIG, config)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / SAMPLER_WEIGHTS)

    @classmethod
    def from_pretrained(cls, folder: str | Path, schema: RecordSchema) -> Self:
        """Loads what `save_pretrained` wrote.

        Args:
            folder: local folder.
            schema: the schema that the sampler was fitted with.
        """
        from safetensors.torch import load_file

        config = json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8"))
        if config.pop("_class_name") != cls.__name__:
            raise InputError(f"expected a {cls.__name__} in {folder}, found another class: use `load_sampler`")
        config.pop("contains_training_records")
        facts = config.pop("learned")
        sampler = cls(**config)
        sampler.schema_, sampler.transform_ = schema, TableTransform.from_dict(schema, facts.pop("transform"))
        sampler.load_learned(facts, load_file(Path(folder) / SAMPLER_WEIGHTS))
        return sampler
