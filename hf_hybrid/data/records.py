"""Records: images with their table rows, loaded through `datasets`, checked, split by patient and written."""

import dataclasses
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_hybrid.core.artifacts import DATA, SCHEMA, shard_name
from hf_hybrid.core.errors import InputError, listed
from hf_hybrid.core.files import new_folder
from hf_hybrid.data import cells
from hf_hybrid.data.grey_range import DatasetRange
from hf_hybrid.data.images import DecodedImage, UnreadableImage, decode_image, image_bytes, resize
from hf_hybrid.data.quiet import quiet_libraries
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.schema_description import load_description
from hf_hybrid.data.sources import TemporaryFolder, open_source, stored_schema
from hf_hybrid.data.tables import raw_to_arrow

logger = logging.getLogger(__name__)

FEW_GREYS = 32
COMPARED_SIDE = 32  # px at which an evaluation looks for images that are in two splits
MAX_ROW_GROUP = (100, 64 * 2**20)  # rows, bytes of images


@dataclasses.dataclass
class ImageSummary:
    """Facts about the image files of some records.

    Args:
        sizes: how many images have each `(width, height)`.
        modes: how many images are stored in each mode ("L", "RGB", "I;16", "MONOCHROME1", ...).
        burned_in: how many DICOM headers say that text is burned into the pixels.
        grey_range: grey values above 8 bits that become 0 to 255; None if there are none, or all have a window.
        few_greys: how many images have fewer than `FEW_GREYS` grey values once that range was scaled.
        digests: what identifies each image: equal images at `COMPARED_SIDE` px share it; None for a blank one.
    """

    sizes: Counter
    modes: Counter
    burned_in: int
    grey_range: tuple[float, float] | None = None
    few_greys: int = 0
    digests: list[bytes | None] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Records:
    """Images and the table rows that belong to them.

    Args:
        images: raw image cells `{"bytes": ..., "path": ...}`, a column of a `datasets.Dataset` or a list.
        frame: typed cells as `RecordSchema.read` returns them, without the image.
        groups: code of the patient of each record, int64 `(num_records,)`.
        schema: role and kind of every column.
        unread: per column the words that could not be read and became missing.
        raw: cells as given; the index is the row in the loaded dataset.
        cache: keeps the folder of temporary files alive, if there is one.
        grey_range: of the whole dataset that the records come from; by default of these images.
    """

    images: Sequence[dict]
    frame: pd.DataFrame
    groups: np.ndarray
    schema: RecordSchema
    unread: dict[str, list[str]]
    raw: pd.DataFrame
    cache: TemporaryFolder | None = dataclasses.field(default=None, repr=False)
    grey_range: DatasetRange | None = dataclasses.field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Without a larger dataset the grey range is that of these images."""
        self.grey_range = self.grey_range or DatasetRange(lambda: [self.images])

    def __len__(self) -> int:
        """Number of records."""
        return len(self.images)

    def select(self, indices: Sequence[int] | np.ndarray) -> Self:
        """The records at `indices`, in that order; patients keep their codes."""
        from datasets import Column

        indices = np.asarray(indices, dtype=np.int64)
        if isinstance(self.images, Column):
            images = self.images.source.select(indices)[self.images.column_name]
        else:
            images = [self.images[index] for index in indices]
        frame = self.frame.iloc[indices].reset_index(drop=True)
        return dataclasses.replace(
            self, images=images, frame=frame, groups=self.groups[indices], raw=self.raw.iloc[indices]
        )

    def iter_pixels(
        self, resolution: int, channels: int = 1, fit: str = "crop", batch_size: int = 64
    ) -> Iterator[np.ndarray]:
        """Batches of square 8-bit images, `(batch, resolution, resolution[, 3])`, in the order of the records.

        Args:
            resolution: side in pixels.
            channels: 1 (grey) or 3 (colour).
            fit: "crop" (the middle of the image) or "pad" (all of it, on black).
            batch_size: images per batch; the last one may be smaller.

        Raises:
            InputError: images cannot be read; the message names all of them.
        """

        def to_square(image: DecodedImage) -> DecodedImage:
            return dataclasses.replace(image, pixels=resize(image.pixels, resolution, fit))

        burned_in = 0
        for batch in self._map_images(to_square, channels, batch_size):
            burned_in += sum(image.burned_in for image in batch)
            yield np.stack([image.pixels for image in batch])
        if burned_in:
            logger.warning(
                "%d of %d DICOM headers say that text is burned into the image (BurnedInAnnotation): it may name the "
                "patient, and a codec may learn it; mask it first",
                burned_in,
                len(self),
            )

    def pixel_values(
        self, resolution: int, channels: int = 1, fit: str = "crop", by_way_of: int | None = None
    ) -> np.ndarray:
        """All images as one 8-bit array, `(num_records, resolution, resolution[, 3])`; see `iter_pixels`.

        `by_way_of` is an intermediate resolution: that of images to compare with, so that equal images stay equal.
        """
        batches = self.iter_pixels(by_way_of or resolution, channels, fit)
        if by_way_of:
            batches = (np.stack([resize(image, resolution) for image in batch]) for batch in batches)
        return np.concatenate(list(batches))

    def check_images(self) -> ImageSummary:
        """Reads every image once.

        Raises:
            InputError: images cannot be read; the message names all of them.
        """
        summary = ImageSummary(Counter(), Counter(), 0)

        def facts(image: DecodedImage) -> tuple[tuple[int, int], str, bool, bool, bytes | None]:
            has_few = image.is_scaled and len(np.unique(image.pixels)) < FEW_GREYS
            small = resize(image.pixels, COMPARED_SIDE)
            digest = hashlib.sha256(small.tobytes()).digest() if small.min() < small.max() else None
            return image.pixels.shape[1::-1], image.mode, image.burned_in, has_few, digest

        for batch in self._map_images(facts, channels=1, batch_size=64):
            for size, mode, burned_in, has_few, digest in batch:
                summary.sizes[size] += 1
                summary.modes[mode] += 1
                summary.burned_in += burned_in
                summary.few_greys += has_few
                summary.digests.append(digest)
        summary.grey_range = self.grey_range.found
        return summary

    def _map_images(
        self, function: Callable[[DecodedImage], Any], channels: int, batch_size: int
    ) -> Iterator[list[Any]]:
        """Batches of `function`'s results; after an unreadable image none, but the rest is still checked."""

        def read(index: int) -> Any:
            try:
                return function(decode_image(self.images[index], channels, self.grey_range))
            except UnreadableImage as error:
                return error

        unreadable = []
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for start in range(0, len(self), batch_size):
                with quiet_libraries():
                    batch = list(pool.map(read, range(start, min(start + batch_size, len(self)))))
                for index, result in enumerate(batch, start):
                    if isinstance(result, UnreadableImage):
                        path = (self.images[index] or {}).get("path")
                        name = f" `{Path(path).name}`" if path else ""
                        unreadable.append(f"row {self.raw.index[index]}{name}: {result}")
                if not unreadable:
                    yield batch
        if unreadable:
            raise InputError(
                f"expected {len(self)} readable images, found {len(unreadable)} that are not ({listed(unreadable)}): "
                "fix or remove these records"
            )


def load_records(
    dataset: str | Path,
    schema: str | Path | dict | RecordSchema | None = None,
    split: str | None = "train",
    targets: Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
) -> Records:
    """Loads images and their table.

    Args:
        dataset: an image folder (with `metadata.csv`, `.jsonl` or `.parquet` in it or in its split folders; images may
            be DICOM), a parquet file, a folder of parquet files, a folder that `save_to_disk` wrote, or a Hub id;
            `name:split` picks a split.
        schema: a schema file or its content, which overrides what is inferred, or what `write_records` stored beside
            the splits; or the schema to read with.
        split: the split to take when there are several and `dataset` names none.
        targets: columns that the utility scores predict.
        cache_dir: where parquet is unpacked to, made with mode 0700; by default a private temporary folder that is
            removed with the records, and for a Hub id the usual cache.

    Raises:
        InputError: there is no such dataset or split, or it does not hold records.
    """
    source = open_source(str(dataset), split, cache_dir)
    raw = source.raw
    if not isinstance(schema, RecordSchema):
        overrides = schema if schema is None or isinstance(schema, dict) else load_description(schema)
        stored = stored_schema(str(dataset))
        known = RecordSchema.from_dict(stored) if stored else None
        schema = RecordSchema.infer(raw, source.image_column, overrides, known)
    schema = schema.with_targets(targets)
    frame, unread = schema.read(raw)
    grey_range = DatasetRange(source.every_split)
    return Records(source.images, frame, _groups(raw, schema), schema, unread, raw, source.cache, grey_range)


def _groups(raw: pd.DataFrame, schema: RecordSchema) -> np.ndarray:
    """The code of the patient of each record, int64 `(num_records,)`."""
    if schema.group_column not in raw:
        return np.arange(len(raw), dtype=np.int64)
    # Records without a patient must not be joined into one patient.
    names = [
        ("no name", row) if cells.is_missing(cell, schema.missing_spellings) else ("name", cells.to_category(cell))
        for row, cell in enumerate(raw[schema.group_column])
    ]
    return pd.factorize(pd.Series(names, dtype=object))[0].astype(np.int64)


def write_records(
    records: Records, output_dir: str | Path, splits: Mapping[str, Sequence[int] | np.ndarray] | None = None
) -> None:
    """Writes `data/{split}-00000-of-00001.parquet`: image files as they are, cells as given; private like the source.

    The schema goes with them as `schema.json`, so that each split is read like all records: in a part of them an
    identifier may look like a number. The folder has mode 0700 and appears once it is complete.

    Args:
        records: what to write.
        output_dir: a folder that does not exist yet or is empty.
        splits: record indices of each split; by default all records are "train".

    Raises:
        InputError: `output_dir` holds something.
    """
    from datasets import Features, Image

    columns = {name: raw_to_arrow(records.raw[name]) for name in records.raw}
    types = Features.from_arrow_schema(pa.schema([(name, column.type) for name, column in columns.items()]))
    schema = Features({records.schema.image_column: Image(), **types}).arrow_schema
    with new_folder(output_dir, mode=0o700) as folder:
        records.schema.save(folder / SCHEMA)
        (folder / DATA).mkdir()
        for split, indices in (splits or {"train": range(len(records))}).items():
            with pq.ParquetWriter(folder / DATA / shard_name(0, 1, split), schema) as writer:
                for rows, images in _row_groups(records, indices):
                    images = pa.array(images, type=schema.field(records.schema.image_column).type)
                    writer.write_table(
                        pa.Table.from_arrays(
                            [images, *(column.take(rows) for column in columns.values())], schema=schema
                        )
                    )


def _row_groups(records: Records, indices: Sequence[int] | np.ndarray) -> Iterator[tuple[pa.Array, list[dict]]]:
    """Row numbers and embedded images, a bounded amount at a time."""
    rows, images, size = [], [], 0
    for index in indices:
        cell = records.images[int(index)]
        data = image_bytes(cell)
        rows.append(int(index))
        images.append({"bytes": data, "path": Path(cell["path"]).name if cell["path"] else None})
        size += len(data)
        if len(rows) >= MAX_ROW_GROUP[0] or size >= MAX_ROW_GROUP[1]:
            yield pa.array(rows), images
            rows, images, size = [], [], 0
    if rows:
        yield pa.array(rows), images
