"""A folder of images with a table of metadata: its splits, its table, and which image belongs to which row."""

import csv
import json
import os
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_hybrid.core.errors import InputError, listed
from hf_hybrid.data.tables import raw_to_arrow

TABLE_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_TABLE_SUFFIXES = frozenset(".csv .tsv .jsonl .ndjson .parquet .xlsx .xls .ods".split())
SPLIT_NAMES = ("train", "training", "validation", "valid", "val", "dev", "test", "testing")
IMAGE_SUFFIXES = frozenset(
    ".png .jpg .jpeg .jfif .tif .tiff .bmp .gif .webp .pbm .pgm .ppm .pnm .jp2 .dcm .dicom".split()
)


def split_folders(root: Path) -> dict[str, Path]:
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
    _check_no_other_table(root)
    return {name: folder for name, folder in folders.items() if name in SPLIT_NAMES} or {"train": root}


def read_image_folder(folder: Path):
    """Like the `imagefolder` of `datasets`, but cells are unchanged, DICOM counts as image, and no image is dropped.

    Raises:
        InputError: a table that cannot be read, that has not exactly one row for each image, or has another name.
    """
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
        _check_one_image_each(names, files, tables[0])
    else:
        _check_no_other_table(folder)
        names, table = files, _labels_of(files)
    paths = pa.array([str((folder / name).absolute()) for name in names], type=pa.string())
    columns = {"image": paths, **{name: raw_to_arrow(table[name]) for name in table}}
    return Dataset(pa.table(columns)).cast_column("image", Image(decode=False))


def _check_no_other_table(folder: Path) -> None:
    """Raises InputError for a table below a folder without metadata, which would be ignored."""
    found = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.suffix.lower() in _TABLE_SUFFIXES]
    if found := [str(path) for path in found if not any(part.startswith(".") for part in path.parts)]:
        raise InputError(
            f"expected the table of the images in {folder} under one of the names {list(TABLE_NAMES)}, found "
            f"{listed(found)}: rename it, or move away what is no table of these images"
        )


def _check_one_image_each(names: list[str], files: list[str], path: Path) -> None:
    """Checks that the rows of the table at `path`, by their file names, and the image files match one to one."""
    folder, known = path.parent, set(files)
    problems = {
        "outside the folder": [name for name in names if name.startswith(("..", os.sep)) or os.path.isabs(name)],
        "without a file": [name for name in names if name not in known and not (folder / name).is_file()],
        "named twice": [name for name, count in Counter(names).items() if count > 1],
    }
    problems = [f"rows {what}: {len(found)} ({listed(found)})" for what, found in problems.items() if found]
    if without_row := sorted(known - set(names)):
        problems.append(f"images without a row: {len(without_row)} ({listed(without_row)})")
    if problems:
        raise InputError(
            f"expected one image below {folder} for each of the {len(names)} rows of `{path.name}`, found "
            f"{len(files)} in all, " + ", ".join(problems)
        )


def _labels_of(files: list[str]) -> pd.DataFrame:
    """A column `label` with the name of each image's folder, if there are several folders, all at one level."""
    folders = [Path(name).parent.name for name in files]
    one_level = len({len(Path(name).parts) for name in files}) == 1
    return pd.DataFrame({"label": folders} if one_level and len(set(folders)) > 1 else {}, dtype=object)


def _read_json_lines(path: Path) -> list[dict]:
    """The objects of a JSON lines file.

    Raises:
        InputError: a key is in an object twice: only one of its values could be kept.
    """
    twice = []

    def to_dict(pairs: list[tuple[str, object]]) -> dict:
        twice.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return dict(pairs)

    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            rows.append(json.loads(line, object_pairs_hook=to_dict))
        if twice:
            raise InputError(
                f"expected each key once in every object of {path}, found `{twice[0]}` more than once in line "
                f"{number}: keep one"
            )
    return rows


def _read_table(path: Path) -> pd.DataFrame:
    """A metadata table with unchanged cells: text from CSV, JSON values, parquet values."""
    try:
        if path.suffix == ".csv":
            with open(path, encoding="utf-8-sig", newline="") as stream:
                header, *rows = [row for row in csv.reader(stream) if row] or [[]]
            ragged = [number for number, row in enumerate(rows, start=1) if len(row) != len(header)]
            if ragged:
                raise InputError(
                    f"expected {len(header)} cells in every row of {path}, found another number in row "
                    f"{listed(ragged)}: quote cells that contain commas"
                )
            columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in header]
        elif path.suffix == ".jsonl":
            rows = _read_json_lines(path)
            header = list(dict.fromkeys(name for row in rows for name in row))
            columns = [[row.get(name) for row in rows] for name in header]
        else:
            table = pq.read_table(path)
            header, columns = table.column_names, [column.to_pylist() for column in table.columns]
    except InputError:
        raise
    except Exception as error:  # its text may contain cells
        raise InputError(f"expected a readable UTF-8 table, found {path}: {type(error).__name__}") from None
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise InputError(f"expected different column names in {path}, found {twice} more than once: rename them")
    return pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in zip(header, columns, strict=True)})
