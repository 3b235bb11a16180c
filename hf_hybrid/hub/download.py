"""A folder, or the snapshot of a Hub repository."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import looks_local


def local_folder(name: str | Path, **kwargs) -> Path:
    """The folder itself, or the snapshot of a Hub repository.

    Raises:
        InputError: there is neither.
    """
    if Path(name).is_dir():
        return Path(name)
    if looks_local(str(name)):  # not sent to the Hub
        raise InputError(f"expected a folder or Hub id, found no folder `{name}`: correct the path")
    try:
        return Path(snapshot_download(str(name), **kwargs))
    except (HfHubHTTPError, ValueError, OSError) as error:
        raise InputError(
            f"expected a folder or Hub id, found none that loads at `{name}`: {type(error).__name__}; "
            "check the spelling and, for a private repository, the token"
        ) from None
