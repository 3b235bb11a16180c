"""Records to the latent table: latents and clinical columns, protected and without any identifier."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from hf_hybrid.core.artifacts import SCHEMA
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import private_folder, read_json, write_json
from hf_hybrid.data import privacy_rule
from hf_hybrid.data.pixels import to_tensor
from hf_hybrid.data.records import Records
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.models.calibration import NOT_COMPARED
from hf_hybrid.models.codec import Codec
from hf_hybrid.samplers.rows import LatentRows

if TYPE_CHECKING:
    from datasets import Dataset

_ENCODED = 64  # images encoded at once
_IMAGES = "images.json"


@dataclass
class LatentTable:
    """The table that a sampler learns.

    Args:
        dataset: `z_000`, `z_001`, ... and the clinical columns; no id, no group.
        schema: the protected schema, which may be published.
        groups: an arbitrary number per patient, shape `(num_records,)`; it counts patients and is never published.
        images: how the images compare with those that the codec knows, see `calibration.compare_images`.
    """

    dataset: "Dataset"
    schema: RecordSchema
    groups: np.ndarray
    images: str = NOT_COMPARED

    @classmethod
    def encode(cls, records: Records, codec: Codec, images: str = NOT_COMPARED) -> Self:
        """Step I: images through the codec's encoder, cells through the privacy rule.

        Records with a cell that the protected schema cannot express are left out, with a warning.

        Args:
            records: the private records.
            codec: its device is used; images are resized to its resolution.
            images: what `calibration.compare_images` found.

        Raises:
            InputError: no clinical column, or too few patients to learn from.
        """
        _check_patients(records, "add records")
        schema = privacy_rule.protect(records.schema, records.frame, records.groups)
        # What is published does not name columns that are left out; evaluation needs the group column.
        schema.columns = {
            name: column for name, column in schema.columns.items() if column.role not in ("id", "ignore")
        }
        if not schema.table:
            raise InputError(
                "expected at least one clinical column that can be released, found none: "
                "look at `hf-hybrid inspect` and give a schema"
            )
        clash = [name for name in schema.table if re.fullmatch(r"z_\d+", name)]
        if clash:
            raise InputError(f"expected no column named like a latent, found {clash}: rename it")
        records = expressible_records(records, schema)
        _check_patients(records, "their other records hold rare answers; merge answers or leave columns out")
        return cls(encode_rows(records, schema, codec).to_dataset(schema), schema, records.groups, images)

    def save(self, folder: str | Path) -> None:
        """Writes a private folder (mode 0700): a saved `datasets` folder, the schema and the patient numbers."""
        folder = private_folder(folder)
        self.dataset.save_to_disk(folder / "table")
        self.schema.save(folder / SCHEMA)
        np.save(folder / "groups.npy", self.groups)
        write_json(folder / _IMAGES, {"images": self.images})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads what `save` wrote."""
        from datasets import load_from_disk

        folder = Path(folder)
        schema = RecordSchema.load(folder / SCHEMA)
        images = read_json(folder / _IMAGES)["images"]
        return cls(load_from_disk(folder / "table"), schema, np.load(folder / "groups.npy"), images)


def _check_patients(records: Records, advice: str) -> None:
    needed, found = 2 * records.schema.min_patients, len(np.unique(records.groups))
    if found < needed:
        raise InputError(f"expected at least {needed} patients, found {found}: {advice}")


def expressible_records(records: Records, schema: RecordSchema) -> Records:
    """The records without a cell that a protected schema cannot express: those that a sampler learns or knows."""
    rows = privacy_rule.expressible(schema, records.frame)
    return records if rows.all() else records.select(np.flatnonzero(rows))


@torch.inference_mode()
def encode_rows(records: Records, schema: RecordSchema, codec: Codec) -> LatentRows:
    """Latents of the images, and cells restricted to a protected schema that can express all of them."""
    config = codec.config
    batches = records.iter_pixels(config.resolution, config.in_channels, config.resize_mode, _ENCODED)
    latents = [codec.encode(to_tensor(batch).to(codec.device)).latents.cpu() for batch in batches]
    return LatentRows(torch.cat(latents).numpy(), privacy_rule.restrict(schema, records.frame))
