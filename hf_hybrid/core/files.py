"""Folders and files that are either complete or absent, and private ones that only their owner can read."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_hybrid.core.errors import InputError


def private_folder(path: str | Path) -> Path:
    """The folder with mode 0700, created if absent."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def check_new(path: str | Path, argument: str = "output_dir") -> Path:
    """The path, if it does not exist or is an empty folder.

    Raises:
        InputError: it is a file, or a folder that is not empty.
    """
    path = Path(path)
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise InputError(f"expected a new or empty folder as `{argument}`, found files at {path}: name another one")
    return path


@contextlib.contextmanager
def new_folder(path: str | Path, argument: str = "output_dir", mode: int = 0o755) -> Iterator[Path]:
    """A temporary folder to fill; it is renamed to `path` if the block succeeds and removed if it fails.

    Raises:
        InputError: `path` is a file, or a folder that is not empty.
    """
    path = check_new(path, argument)
    temporary = path.with_name(f".{path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process
    temporary.mkdir(parents=True, mode=mode)
    try:
        yield temporary
        if path.exists():
            path.rmdir()
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, facts: dict) -> None:
    """Writes facts as readable JSON; NaN is refused."""
    text = json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file atomically; text as UTF-8."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    os.replace(temporary, path)


FILE_SUFFIXES = (".parquet", ".csv", ".jsonl", ".json", ".zip")


def looks_local(name: str) -> bool:
    """Whether a name that is not a folder looks like a path: mistyped paths are not sent to the Hub."""
    path = Path(name)
    is_path = path.is_absolute() or path.suffix in FILE_SUFFIXES or name.startswith((".", "~"))
    return is_path or name.count("/") > 1 or ("/" in name and path.parent.exists())
