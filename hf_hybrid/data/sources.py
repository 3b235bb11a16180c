"""What the word DATASET names: image folder, parquet, saved `datasets` folder or Hub id, to images and raw cells."""

import csv
import hashlib
import json
import logging
import os
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import looks_local, private_folder

logger = logging.getLogger(__name__)

TABLE_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
SPLIT_NAMES = ("train", "training", "validation", "valid", "val", "dev", "test", "testing")
IMAGE_SUFFIXES = frozenset(
    ".png .jpg .jpeg .jfif .tif .tiff .bmp .gif .webp .pbm .pgm .ppm .pnm .jp2 .dcm .dicom".split()
)
MAX_NAMED = 20  # items named in one message


class TemporaryFolder:
    """A private folder that goes with the last object that holds this one (a `TemporaryDirectory` would warn then).

    Attributes:
        path: where it is.
    """

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="hf_hybrid-")
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass
class Source:
    """One split of a dataset as it is stored.

    Args:
        images: column of raw image cells `{"bytes": ..., "path": ...}`, read when asked for.
        image_column: its name.
        raw: all other cells, one row a record.
        cache: the temporary folder that the images lie in, if any.
    """

    images: Sequence[dict]
    image_column: str
    raw: pd.DataFrame
    cache: TemporaryFolder | None


def open_source(dataset: str, split: str | None = "train", cache_dir: str | Path | None = None) -> Source:
    """Opens a dataset without decoding an image; see `hf_hybrid.data.records.load_records` for the arguments.

    Raises:
        InputError: there is no such dataset or split, or it is no set of records.
    """
    from datasets import Image

    loaded, cache = _load(dataset, split, cache_dir)
    if len(loaded) == 0:
        raise InputError(f"expected records, found none in `{dataset}`")
    name = _image_column(loaded, dataset)
    images = loaded.select_columns(name).cast_column(name, Image(decode=False))[name]
    return Source(images, name, _raw_cells(loaded.remove_columns(name), len(loaded)), cache)


def split_names(dataset: str) -> list[str]:
    """Names of the splits of a dataset; the one alone that `name:split` picks.

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
    if path is not None and path.is_dir() and (folders := _split_folders(path)):
        return list(folders)
    if path is not None and path.is_file():
        return ["train"]
    if path is None:
        return _load_prepared(name, datasets.get_dataset_split_names, name)
    with tempfile.TemporaryDirectory(prefix="hf_hybrid-") as cache:  # a lock file there bears the folder's name
        builder = _load_prepared(name, datasets.load_dataset_builder, str(path), cache_dir=cache)
    return list(builder.config.data_files)


def fingerprint(dataset: str) -> str:
    """Changes when the files of a local dataset do (names, sizes, times); a Hub id stands for itself."""
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


def to_arrow(column: pd.Series) -> pa.Array:
    """Raw cells with their own type, or as text where they have several."""
    try:
        return pa.array(list(column))
    except (pa.lib.ArrowException, OverflowError):
        return pa.array([None if cell is None else str(cell) for cell in column], type=pa.string())


def listed(items: Sequence) -> str:
    """At most `MAX_NAMED` items, then how many more."""
    more = len(items) - MAX_NAMED
    return "; ".join(map(str, items[:MAX_NAMED])) + (f"; and {more} more" if more > 0 else "")


def _locate(dataset: str) -> tuple[str, str | None, Path | None]:
    """The name and the split in `name:split`, and where it lies; no path for a Hub id."""
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
    """The split asked for, as a `datasets.Dataset`, and the temporary folder that it lies in, if any."""
    import datasets

    name, asked, path = _locate(dataset)
    cache = None
    if path is None:
        splits = _load_prepared(name, datasets.load_dataset, name, cache_dir=cache_dir)
    elif _is_saved(path):
        splits = _load_prepared(name, datasets.load_from_disk, path)
        if isinstance(splits, datasets.Dataset):
            splits = {str(splits.split or "train"): splits}
    elif path.is_dir() and (folders := _split_folders(path)):
        return _image_folder(folders[_choose(name, folders, asked, default)]), None
    else:
        if cache_dir is None:
            cache = TemporaryFolder()
            cache_dir = cache.path
        files, source = [path], {"path": "parquet", "data_files": str(path)}
        if path.is_dir():
            files, source = path.rglob("*.parquet"), {"path": str(path)}
        splits = _load_prepared(name, datasets.load_dataset, **source, cache_dir=str(private_folder(cache_dir)))
        found = sum(pq.read_metadata(file).num_rows for file in files)
        if (loaded := sum(map(len, splits.values()))) != found:
            logger.warning("`datasets` loads %d of %d parquet rows in `%s`: name its files alike", loaded, found, name)
    return splits[_choose(name, splits, asked, default)], cache


def _load_prepared(name: str, loader: Callable, *arguments: Any, **options: Any) -> Any:
    try:
        return loader(*arguments, **options)
    except Exception as error:  # its text may hold cells
        raise InputError(
            f"expected parquet files, a saved dataset or a dataset on the Hub, found `{name}`, which "
            f"`datasets` cannot load ({type(error).__name__}): check the name, the files and the token"
        ) from None


def _choose(name: str, splits: Mapping[str, Any], asked: str | None, default: str | None) -> str:
    wanted = asked or (next(iter(splits)) if len(splits) == 1 else default)
    if wanted in splits:
        return wanted
    raise InputError(f"expected a split of `{name}` among {list(splits)}, found {wanted!r}: add `:split`")


def _split_folders(root: Path) -> dict[str, Path]:
    """The splits of an image folder; none when `root` holds parquet files."""

    def has_table(folder: Path) -> bool:
        return any((folder / name).is_file() for name in TABLE_NAMES)

    if has_table(root):
        return {"train": root}
    folders = {child.name: child for child in sorted(root.iterdir()) if child.is_dir()}
    if with_table := {name: folder for name, folder in folders.items() if has_table(folder)}:
        return with_table
    if any(root.rglob("*.parquet")):
        return {}
    return {name: folder for name, folder in folders.items() if name in SPLIT_NAMES} or {"train": root}


def _image_folder(folder: Path):
    """Like the `imagefolder` of `datasets`, but cells stay as they are, DICOM counts as image, and none gets lost."""
    from datasets import Dataset, Image

    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES]
    files = [str(path) for path in files if not any(part.startswith(".") for part in path.parts)]
    tables = [folder / name for name in TABLE_NAMES if (folder / name).is_file()]
    if len(tables) > 1:
        raise InputError(f"expected one table in {folder}, found {[table.name for table in tables]}: keep one")
    if tables:
        table = _read_table(tables[0])
        if "file_name" not in table or "image" in table:
            raise InputError(
                f"expected a column `file_name` and none named `image` in {tables[0]}, found {list(table)}: rename it"
            )
        names = [os.path.normpath(str(name)) for name in table.pop("file_name")]
        outside = [name for name in names if name.startswith(("..", os.sep)) or os.path.isabs(name)]
        known = set(files)
        problems = {
            "outside the folder": outside,
            "without a file": [name for name in names if name not in known and not (folder / name).is_file()],
            "named twice": [name for name, count in Counter(names).items() if count > 1],
        }
        problems = [f"{len(found)} rows {what} ({listed(found)})" for what, found in problems.items() if found]
        if without_row := sorted(known - set(names)):
            problems.append(f"{len(without_row)} images without a row ({listed(without_row)})")
        if problems:
            raise InputError(
                f"expected one image below {folder} for each of the {len(names)} rows of `{tables[0].name}`, found "
                f"{len(files)} images, " + ", ".join(problems)
            )
    else:
        names = files
        folders = [Path(name).parent.name for name in names]
        one_level = len({len(Path(name).parts) for name in names}) == 1
        table = pd.DataFrame({"label": folders} if one_level and len(set(folders)) > 1 else {}, dtype=object)
    paths = pa.array([str((folder / name).absolute()) for name in names], type=pa.string())
    columns = {"image": paths, **{name: to_arrow(table[name]) for name in table}}
    return Dataset(pa.table(columns)).cast_column("image", Image(decode=False))


def _read_table(path: Path) -> pd.DataFrame:
    """A metadata table with its cells as they are: text from CSV, JSON values, parquet values."""
    try:
        if path.suffix == ".csv":
            with open(path, encoding="utf-8-sig", newline="") as stream:
                header, *rows = [row for row in csv.reader(stream) if row] or [[]]
            ragged = [number for number, row in enumerate(rows, start=1) if len(row) != len(header)]
            if ragged:
                raise InputError(
                    f"expected {len(header)} cells in every row of {path}, found other numbers in {len(ragged)} rows "
                    f"({listed(ragged)}): quote cells that hold commas"
                )
            columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in header]
        elif path.suffix == ".jsonl":
            lines = path.read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line) for line in lines if line.strip()]
            header = list(dict.fromkeys(name for row in rows for name in row))
            columns = [[row.get(name) for row in rows] for name in header]
        else:
            table = pq.read_table(path)
            header, columns = table.column_names, [column.to_pylist() for column in table.columns]
    except InputError:
        raise
    except Exception as error:  # its text may hold cells
        raise InputError(f"expected a readable UTF-8 table, found {path}: {type(error).__name__}") from None
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise InputError(f"expected different column names in {path}, found {twice} more than once: rename them")
    return pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in zip(header, columns, strict=True)})


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
