"""Codecs that come with the package, named `builtin:NAME`: asked for, never a default."""

from pathlib import Path

from hf_hybrid.core.artifacts import CONFIG, WEIGHTS
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.provenance import hash_files

PREFIX = "builtin:"
FOLDER = Path(__file__).parent / "weights"  # package data: a folder for each codec, beside the feature networks


def builtin_codecs() -> list[str]:
    """The names that this version of the package knows."""
    return sorted(f"{PREFIX}{path.parent.name}" for path in FOLDER.glob(f"*/{CONFIG}"))


def is_builtin(name: str | Path) -> bool:
    """Whether a name asks for a codec of the package."""
    return str(name).startswith(PREFIX)


def codec_folder(name: str | Path, **kwargs) -> Path:
    """The folder of a codec: of the package (`builtin:NAME`), a folder itself, or the snapshot of a Hub repository.

    Raises:
        InputError: there is none.
    """
    if not is_builtin(name):
        from hf_hybrid.hub.download import local_folder  # a training needs no Hub

        return local_folder(name, **kwargs)
    if name not in builtin_codecs():
        known = ", ".join(builtin_codecs()) or "none in this version"
        raise InputError(f"expected a codec of the package ({known}), found {str(name)!r}: correct the name")
    return FOLDER / str(name).removeprefix(PREFIX)


def codec_fingerprint(name: str) -> str:
    """What changes when the codec of this name does, see `data.sources.fingerprint`."""
    from hf_hybrid.data.sources import fingerprint

    return builtin_facts(name)["sha256"] if is_builtin(name) else fingerprint(name)


def builtin_facts(name: str | Path) -> dict[str, str]:
    """What provenance says of a codec of the package, beside its own facts: its name and the hash of its weights."""
    return {"name": str(name), "sha256": hash_files(codec_folder(name), [WEIGHTS])[WEIGHTS]}
