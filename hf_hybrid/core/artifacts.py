"""File names of a codec, a pipeline and a release, defined here only."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.families import FAMILIES

CARD = "README.md"
CONFIG = "config.json"
PROVENANCE = "provenance.json"
REPORT = "report.json"  # once evaluated
REPORT_PAGE = "report.html"
DATA, ASSETS = "data", "assets"  # folders of a release; the grid of samples of a model is in `assets` too
SAMPLES = f"{ASSETS}/samples.png"
SCHEMA = "schema.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"  # of a codec, as diffusers names them
CODEC_FOLDER, SAMPLER_FOLDER = "codec", "sampler"  # of a pipeline
SAMPLER_WEIGHTS = "model.safetensors"
SHARDS = f"{DATA}/train-*.parquet"
SHARD = re.compile(r"data/train-(\d{5})-of-(\d{5})\.parquet")
CHARTS = f"{ASSETS}/utility_*.png"
HUB_FILE = ".gitattributes"  # in every repository of the Hub from its first commit on


def shard_name(index: int, count: int, split: str = "train") -> str:
    """Name of a shard within `data/`; a release has the split `train` alone."""
    return f"{split}-{index:05d}-of-{count:05d}.parquet"


@dataclass(frozen=True)
class Kind:
    """A kind of folder that can be pushed.

    Args:
        name: codec, pipeline or release.
        repo_type: type of its repository on the Hub.
        required: files that it must have.
        allowed: pattern of all file names that it may have.
        evaluated: pattern of the files that its report covers: those written before the report.
        families: families of attacks that its report must contain.
    """

    name: str
    repo_type: str
    required: tuple[str, ...]
    allowed: re.Pattern
    evaluated: re.Pattern
    families: tuple[str, ...]


def _any_of(*names: str | re.Pattern) -> re.Pattern:
    return re.compile("|".join(one.pattern if isinstance(one, re.Pattern) else re.escape(one) for one in names))


_CODEC_FILES = (CARD, PROVENANCE, CONFIG, WEIGHTS, SAMPLES)
_SAMPLER_FILES = (f"{SAMPLER_FOLDER}/{CONFIG}", f"{SAMPLER_FOLDER}/{SAMPLER_WEIGHTS}")
# What was learned. The configuration of a codec is rewritten when it is loaded.
_LEARNED = _any_of(WEIGHTS, f"{CODEC_FOLDER}/{WEIGHTS}", *_SAMPLER_FILES, SCHEMA)
_MODEL_FAMILIES = ("membership", "files")

RELEASE = Kind(
    "release",
    "dataset",
    required=(CARD, PROVENANCE, SCHEMA),
    allowed=_any_of(
        *(CARD, PROVENANCE, SCHEMA, REPORT, REPORT_PAGE, SAMPLES), SHARD, re.compile(r"assets/utility_[\w-]+\.png")
    ),
    evaluated=_any_of(SCHEMA, SHARD),
    families=tuple(FAMILIES),
)
PIPELINE = Kind(
    "pipeline",
    "model",
    required=(
        *(CARD, PROVENANCE, SCHEMA, CONFIG, f"{CODEC_FOLDER}/{CONFIG}", f"{CODEC_FOLDER}/{WEIGHTS}"),
        *_SAMPLER_FILES,
    ),
    allowed=_any_of(
        *(CARD, PROVENANCE, CONFIG, SAMPLES, SCHEMA, REPORT),
        *(f"{CODEC_FOLDER}/{name}" for name in _CODEC_FILES),
        *_SAMPLER_FILES,
    ),
    evaluated=_LEARNED,
    families=_MODEL_FAMILIES,
)
CODEC = Kind(
    "codec",
    "model",
    required=(CARD, PROVENANCE, CONFIG, WEIGHTS),
    allowed=_any_of(*_CODEC_FILES, REPORT),
    evaluated=_LEARNED,
    families=_MODEL_FAMILIES,
)


def private_folder_of(folder: str | Path) -> Path:
    """The folder beside a release that is never uploaded."""
    folder = Path(folder).resolve()
    return folder.with_name(folder.name + "-private")


def kind_of(folder: str | Path) -> Kind:
    """Whether a folder is a codec, a pipeline or a release, by its files.

    Raises:
        InputError: it is none of these, or contains a symbolic link.
    """
    found = list(iter_files(folder))
    if any(name.startswith(f"{DATA}/") for name in found):
        return RELEASE
    if any(name.startswith(f"{SAMPLER_FOLDER}/") for name in found):
        return PIPELINE
    if WEIGHTS in found:
        return CODEC
    raise InputError(
        f"expected a codec, pipeline or release in {folder}, found no {DATA}/, {SAMPLER_FOLDER}/ or {WEIGHTS}"
    )


def publishable(folder: str | Path, kind: Kind) -> list[str]:
    """The files in a folder that are allowed for a kind, in order."""
    return sorted(name for name in iter_files(folder) if kind.allowed.fullmatch(name))


def evaluated_files(kind: Kind, names: Iterable[str]) -> list[str]:
    """The files that a report covers."""
    return [name for name in names if kind.evaluated.fullmatch(name)]


def iter_files(folder: str | Path) -> Iterator[str]:
    """Relative names of all files, with forward slashes.

    Raises:
        InputError: there is no such folder, or it contains a symbolic link.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"expected the folder of a codec, pipeline or release, found none at {folder}")
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root) / name
            if path.is_symlink():
                raise InputError(f"expected plain files, found the symbolic link {path}: replace it with the file")
            if name in files:
                yield path.relative_to(folder).as_posix()
