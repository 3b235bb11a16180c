"""Provenance: what made a codec, a pipeline or a release, and the hashes of its files.

Deterministic facts only: versions, seeds, configuration. No times, no paths of this machine, no hash of private rows.
"""

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath, PureWindowsPath

from hf_hybrid.core.artifacts import PROVENANCE
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import write_json

NO_LICENSE = "other"  # the Hub's identifier for licences that it does not list

# The packages that decide the bytes of a release.
_PACKAGES = (
    "hf_hybrid",
    "accelerate",
    "ctgan",
    "datasets",
    "diffusers",
    "huggingface_hub",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "safetensors",
    "scikit-learn",
    "torch",
)


def versions() -> dict[str, str]:
    """Version of Python and of each package that decides the bytes of a release."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}


def code_hash() -> str:
    """The sha256 over the modules of this package; it identifies the version of the code."""
    package = Path(__file__).parents[1]
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        found.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def hash_files(folder: str | Path, names: Iterable[str]) -> dict[str, str]:
    """The sha256 of each named file.

    Args:
        folder: folder of the files.
        names: paths relative to `folder`, with forward slashes.
    """
    hashes = {}
    for name in sorted(names):
        with (Path(folder) / name).open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def write_provenance(folder: str | Path, facts: dict) -> None:
    """Writes `provenance.json`.

    Args:
        folder: folder of the codec, pipeline or release.
        facts: JSON-able; `files` holds what `hash_files` returned for the files that are published.

    Raises:
        InputError: a text in `facts` is a path of this machine.
    """
    refuse_paths(facts)
    write_json(Path(folder) / PROVENANCE, facts)


def refuse_paths(facts: dict) -> None:
    """Refuses facts that contain a path of this machine.

    Raises:
        InputError: a text in `facts` is an absolute path.
    """
    for key, text in _texts(facts):
        if PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute():
            raise InputError(f"expected `{key}` without a path of this machine, found one: give a name instead")


def read_provenance(folder: str | Path) -> dict:
    """Reads what `write_provenance` wrote.

    Raises:
        InputError: there is no such file, or it is not a JSON object.
    """
    path = Path(folder) / PROVENANCE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"expected a codec, pipeline or release, found no {PROVENANCE} in {folder}") from None
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise InputError(f"expected a JSON object in {path}, found something else: make the folder again")
    return facts


def check_files(folder: str | Path) -> dict[str, str]:
    """Checks that the files listed in `provenance.json` are unchanged.

    Returns:
        The listed files and their hashes.

    Raises:
        InputError: a listed file is missing or has changed.
    """
    listed = read_provenance(folder).get("files", {})
    gone = [name for name in listed if not (Path(folder) / name).is_file()]
    if gone:
        raise InputError(f"expected the files listed in {PROVENANCE}, found no {', '.join(gone)}: make {folder} again")
    found = hash_files(folder, listed)
    changed = [name for name in listed if found[name] != listed[name]]
    if changed:
        raise InputError(
            f"expected the files as {PROVENANCE} lists them, found {', '.join(changed)} changed: make {folder} again"
        )
    return listed


def _texts(facts: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in nested facts, with its key."""
    if isinstance(facts, str):
        yield key, facts
    elif isinstance(facts, dict):
        for name, value in facts.items():
            yield key, str(name)
            yield from _texts(value, f"{key}.{name}".lstrip("."))
    elif isinstance(facts, list | tuple):
        for value in facts:
            yield from _texts(value, key)
