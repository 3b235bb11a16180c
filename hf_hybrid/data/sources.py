"""Opening a DATASET (image folder, parquet, saved `datasets` folder or Hub id): its images and raw cells."""

import contextlib
import hashlib
import itertools
import json
import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_hybrid.core.artifacts import DATA, SCHEMA
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import looks_local, private_folder
from hf_hybrid.data.image_folder import read_image_folder, split_folders
from hf_hybrid.data.nested import flatten
from hf_hybrid.data.quiet import quiet_libraries
from hf_hybrid.data.schema_description import load_description

logger = logging.getLogger(__name__)


class TemporaryFolder:
    """A private folder, removed with the last reference to this object (a `TemporaryDirectory` would warn then).

    Attributes:
        path: its path.
    """

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="hf_hybrid-")
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass
class Source:
    """One split of a dataset as it is stored.

    Args:
        images: column of raw image cells `{"bytes": ..., "path": ...}`, read on access.
        image_column: its name.
        raw: all other cells, one row per record; structs and short lists of numbers as columns (`nested.flatten`).
        cache: the temporary folder that holds the images, if any.
        every_split: opens the images of all splits of the dataset.
    """

    images: Sequence[dict]
    image_column: str
    raw: pd.DataFrame
    cache: TemporaryFolder | None
    every_split: Callable[[], list[Sequence[dict]]]


def open_source(dataset: str, split: str | None = "train", cache_dir: str | Path | None = None) -> Source:
    """Opens a dataset without decoding an image; see `hf_hybrid.data.records.load_records` for the arguments.

    Raises:
        InputError: there is no such dataset or split, or it does not hold records.
    """
    with quiet_libraries():
        splits, cache, chosen = _load(dataset, split, cache_dir)
        loaded = splits[chosen]()
        if len(loaded) == 0:
            raise InputError(f"expected records, found none in `{dataset}`")
        name = _image_column(loaded, dataset)
        raw = flatten(_raw_cells(loaded.remove_columns(name), len(loaded)))
        images = _image_cells(loaded, name)
    return Source(images, name, raw, cache, lambda: [_image_cells(one(), name) for one in splits.values()])


def _image_cells(loaded, name: str) -> Sequence[dict]:
    from datasets import Image

    return loaded.select_columns(name).cast_column(name, Image(decode=False))[name]


def stored_schema(dataset: str) -> dict | None:
    """The description of the schema that `write_records` puts beside its splits, and a release too; None elsewhere.

    Raises:
        InputError: there is no such dataset, or the file is not readable.
    """
    _, _, path = _locate(dataset)
    if path is None or not (path / DATA).is_dir() or not (path / SCHEMA).is_file():
        return None
    return load_description(path / SCHEMA)


def split_names(dataset: str) -> list[str]:
    """Names of the splits of a dataset; for `name:split` only that one.

    Raises:
        InputError: there is no such dataset.
    """
    import datasets

    name, asked, path = _locate(dataset)
    if asked:
        return [asked]
    if _is_saved(path):
        splits = _load_prepared(name, datasets.load_from_disk, path)
        return list(splits) if isinstance(splits, datasets.DatasetDict) else [str(splits.split or "train")]
    if path is not None and path.is_dir() and (folders := split_folders(path)):
        return list(folders)
    if path is not None and path.is_file():
        return ["train"]
    if path is None:
        return _load_prepared(name, datasets.get_dataset_split_names, name)
    with tempfile.TemporaryDirectory(prefix="hf_hybrid-") as cache:  # a lock file there has the folder's name
        builder = _load_prepared(name, datasets.load_dataset_builder, str(path), cache_dir=cache)
    return list(builder.config.data_files)


def fingerprint(dataset: str) -> str:
    """A fingerprint of the files of a local dataset (names, sizes, times); a Hub id is its own fingerprint."""
    _, asked, path = _locate(dataset)
    if path is None:
        return dataset
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    found = [(os.path.relpath(one, path), one.stat().st_size, one.stat().st_mtime_ns) for one in files]
    return hashlib.sha256(json.dumps([asked, found]).encode()).hexdigest()


def overlap(one: str, other: str) -> bool:
    """Whether two datasets have files in common: the same Hub id, or one folder in the other, whatever the split."""
    (name, _, path), (other_name, _, other_path) = _locate(one), _locate(other)
    if path is None or other_path is None:
        return path is other_path and name == other_name
    path, other_path = path.resolve(), other_path.resolve()
    return path.is_relative_to(other_path) or other_path.is_relative_to(path)


def _locate(dataset: str) -> tuple[str, str | None, Path | None]:
    """The name and the split in `name:split`, and its path; None for a Hub id."""
    name, asked = dataset, None
    if not Path(dataset).expanduser().exists() and ":" in dataset:
        name, asked = dataset.rsplit(":", 1)
    path = Path(name).expanduser()
    if path.exists():
        if not path.is_dir() and path.suffix != ".parquet":
            raise InputError(f"expected a folder, a parquet file or a Hub id, found the file `{name}`")
        return name, asked, path
    if looks_local(name):
        raise InputError(f"expected a dataset, found no file or folder `{name}`: correct the path")
    return name, asked, None


def _is_saved(path: Path | None) -> bool:
    return path is not None and any((path / marker).is_file() for marker in ("dataset_dict.json", "state.json"))


def _load(dataset: str, default: str | None, cache_dir: str | Path | None):
    """What opens each split as a `datasets.Dataset`, the temporary folder that holds them, and the split asked for."""
    import datasets

    name, asked, path = _locate(dataset)
    cache = None
    if path is None:
        splits = _load_prepared(name, datasets.load_dataset, name, cache_dir=cache_dir)
    elif _is_saved(path):
        splits = _load_prepared(name, datasets.load_from_disk, path)
        if isinstance(splits, datasets.Dataset):
            splits = {str(splits.split or "train"): splits}
    elif path.is_dir() and (folders := split_folders(path)):
        opened = {split: partial(read_image_folder, folder) for split, folder in folders.items()}
        return opened, None, _choose(name, folders, asked, default)
    else:
        if cache_dir is None:
            cache = TemporaryFolder()
            cache_dir = cache.path
        files, source = [path], {"path": "parquet", "data_files": str(path)}
        if path.is_dir():
            files, source = list(path.rglob("*.parquet")), {"path": str(path)}
        try:
            splits = _load_prepared(name, datasets.load_dataset, **source, cache_dir=str(private_folder(cache_dir)))
        except InputError:
            _check_types(name, files)
            raise
        found = sum(pq.read_metadata(file).num_rows for file in files)
        if (loaded := sum(map(len, splits.values()))) != found:
            logger.warning("`datasets` loads %d of %d parquet rows in `%s`: name its files alike", loaded, found, name)
    opened = {split: partial(splits.__getitem__, split) for split in splits}
    return opened, cache, _choose(name, splits, asked, default)


def _check_types(name: str, files: list[Path]) -> None:
    """Raises InputError if a column of parquet files has several types, which `datasets` cannot load."""
    types = {}
    with contextlib.suppress(pa.ArrowException, OSError):
        for column in itertools.chain.from_iterable(map(pq.read_schema, files)):
            types.setdefault(column.name, set()).add(str(column.type))
    if found := [f"`{column}` ({' and '.join(sorted(held))})" for column, held in types.items() if len(held) > 1]:
        raise InputError(
            f"expected one type of each column in all parquet files of `{name}`, found several of "
            f"{', '.join(found)}: write the files alike"
        ) from None


def _load_prepared(name: str, loader: Callable, *arguments: Any, **options: Any) -> Any:
    try:
        with quiet_libraries():
            return loader(*arguments, **options)
    except Exception as error:  # its text may contain cells
        raise InputError(
            f"expected parquet files, a saved dataset or a dataset on the Hub, found `{name}`, which "
            f"`datasets` cannot load ({type(error).__name__}): check the name, the files and the token"
        ) from None


def _choose(name: str, splits: Mapping[str, Any], asked: str | None, default: str | None) -> str:
    wanted = asked or (next(iter(splits)) if len(splits) == 1 else default)
    if wanted in splits:
        return wanted
    raise InputError(f"expected a split of `{name}` among {list(splits)}, found {wanted!r}: add `:split`")


def _image_column(loaded, dataset: str | Path) -> str:
    from datasets import Image, Value

    features = loaded.features
    images = [name for name, feature in features.items() if isinstance(feature, Image)] or [
        name
        for name, feature in features.items()
        if feature == Value("binary") or (isinstance(feature, dict) and feature.get("bytes") == Value("binary"))
    ]
    if len(images) != 1:
        raise InputError(f"expected one column of images in `{dataset}`, found {images} among {list(features)}")
    return images[0]


def _raw_cells(table, num_records: int) -> pd.DataFrame:
    """The cells of a `datasets.Dataset` as Python values; classes by name."""
    from datasets import ClassLabel, List

    def name_of(code: int | None, names: list[str]) -> str | None:
        return None if code is None or code < 0 else names[code]

    raw = {}
    for name, feature in table.features.items():
        values = table[name][:]
        if isinstance(feature, ClassLabel):
            values = [name_of(code, feature.names) for code in values]
        elif isinstance(feature, List) and isinstance(feature.feature, ClassLabel):
            names = feature.feature.names
            values = [None if codes is None else [name_of(code, names) for code in codes] for codes in values]
        raw[name] = pd.Series(values, dtype=object)
    return pd.DataFrame(raw, index=pd.RangeIndex(num_records))
