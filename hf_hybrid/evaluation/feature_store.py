"""Features of the images of one set of records, each computed once and shared by all that ask for them."""

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hf_hybrid.core.files import write_atomically
from hf_hybrid.data.sources import fingerprint
from hf_hybrid.models.image_features import image_features


class FeatureStore:
    """Features by image, computed when they are first asked for.

    Args:
        read_images: function from positions of records to batches of their images, uint8 `(batch, side, side)`.
        num_images: how many images there are.
    """

    def __init__(self, read_images: Callable[[np.ndarray], Iterator[np.ndarray]], num_images: int) -> None:
        self._read_images, self._num_images = read_images, num_images
        self._path: Path | None = None
        self._made_from = ""
        self._found: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # by extractor: which are known, and features

    def keep(self, path: Path, made_from: str) -> None:
        """Keeps the features of one extractor in a private file for a second run.

        Args:
            path: of an `npz` file in a private folder.
            made_from: a digest of the records and of the code.
        """
        self._path, self._made_from = path, made_from

    def features(self, extractor: str, rows: np.ndarray) -> np.ndarray:
        """Features of the images at `rows`, float32 `(len(rows), d)`.

        Args:
            extractor: as of `image_features`.
            rows: positions of records, int `(k,)`.
        """
        known, features = self._found.get(extractor) or self._read(extractor)
        missing = np.unique(rows[~known[rows]])
        if len(missing):
            made = image_features(self._read_images(missing), extractor).astype(np.float32)
            if not known.any():
                features = np.zeros((self._num_images, made.shape[1]), dtype=np.float32)
            features[missing], known[missing] = made, True
            self._write(extractor, known, features)
        self._found[extractor] = known, features
        return features[rows]

    def _digest(self, extractor: str) -> str:
        # A folder may change under its name.
        name = str(fingerprint(extractor)) if Path(extractor).exists() else extractor
        return hashlib.sha256(f"{self._made_from}\n{name}\n{self._num_images}".encode()).hexdigest()

    def _read(self, extractor: str) -> tuple[np.ndarray, np.ndarray]:
        if self._path and self._path.exists():
            with np.load(self._path, allow_pickle=False) as kept:
                if str(kept["digest"]) == self._digest(extractor):
                    return kept["known"], kept["features"]
        return np.zeros(self._num_images, dtype=bool), np.zeros((self._num_images, 0), dtype=np.float32)

    def _write(self, extractor: str, known: np.ndarray, features: np.ndarray) -> None:
        if self._path is None:
            return
        content = io.BytesIO()
        np.savez(content, digest=np.array(self._digest(extractor)), known=known, features=features)
        write_atomically(self._path, content.getvalue())
