"""Public radiographs in one file: what shipped networks are trained on, and the patients that none of them sees.

The file is an `.npz` of compressed images with their patients and labels: a training needs neither datasets nor a
network.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from hf_hybrid.data.pixels import to_tensor, to_uint8
from hf_hybrid.models.alphagan import resized

HELD_OUT, TENTHS = 0, 10
UNKNOWN = -1
_AT_A_TIME = 256


def tenth(source: str, patient: str) -> int:
    """Which tenth of a source's patients a patient is in, 0 to 9; tenth 0 is held out of every training."""
    return int.from_bytes(hashlib.sha256(f"{source}/{patient}".encode()).digest()[:8], "big") % TENTHS


def shrunk(pixels: np.ndarray, side: int) -> np.ndarray:
    """8-bit images `(n, height, width)` at another resolution, means of areas; a few at a time."""
    if pixels.shape[-1] == side:
        return pixels
    parts = np.array_split(pixels, max(1, len(pixels) // _AT_A_TIME))
    return np.concatenate([to_uint8(resized(to_tensor(part), side)) for part in parts])


@dataclass
class PublicImages:
    """Images with their patients and labels.

    Attributes:
        pixels: 8-bit `(n, side, side)`.
        sources: name of the image folder of each, `(n,)`.
        patients: `(n,)`, names within a source.
        labels: name -> `(n,)` float32; `UNKNOWN` where an image has no such label.
    """

    pixels: np.ndarray
    sources: np.ndarray
    patients: np.ndarray
    labels: dict[str, np.ndarray]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pixels)

    @property
    def tenths(self) -> np.ndarray:
        """The tenth of each image's patient, `(n,)`."""
        return np.array([tenth(*one) for one in zip(self.sources, self.patients, strict=True)])

    @property
    def groups(self) -> np.ndarray:
        """A number for each patient, `(n,)`."""
        names = [f"{source}/{patient}" for source, patient in zip(self.sources, self.patients, strict=True)]
        return np.unique(names, return_inverse=True)[1]

    @property
    def weights(self) -> np.ndarray:
        """Chance of each image to be drawn, `(n,)`: sources weigh equally, and so do the patients of each."""
        found = np.zeros(len(self))
        for source in np.unique(self.sources):
            mine = self.sources == source
            _, patient, counts = np.unique(self.patients[mine], return_inverse=True, return_counts=True)
            found[mine] = 1 / counts[patient] / len(counts)
        return found / found.sum()

    def part(self, chosen: np.ndarray) -> Self:
        """The chosen images, by a mask or positions."""
        labels = {name: values[chosen] for name, values in self.labels.items()}
        return PublicImages(self.pixels[chosen], self.sources[chosen], self.patients[chosen], labels)

    def with_equal_sources(self) -> Self:
        """The images of each source over and over, until each source has as many as the largest."""
        places = [np.flatnonzero(self.sources == source) for source in np.unique(self.sources)]
        return self.part(np.concatenate([np.resize(mine, max(map(len, places))) for mine in places]))

    def save(self, path: Path, qualities: dict[str, int]) -> None:
        """Writes the file, images compressed (WebP) with the quality of their source."""
        encoded = []
        for image, source in zip(self.pixels, self.sources, strict=True):
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, "WEBP", quality=qualities[source], method=6)
            encoded.append(stream.getvalue())
        ends = np.cumsum([len(one) for one in encoded])
        data = np.frombuffer(b"".join(encoded), np.uint8)
        labels = {f"label_{name}": values for name, values in self.labels.items()}
        np.savez(path, data=data, ends=ends, sources=self.sources, patients=self.patients, **labels)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote."""
        with np.load(path) as file:
            data, ends = file["data"].tobytes(), file["ends"]
            starts = [0, *ends[:-1]]
            images = [
                np.asarray(Image.open(io.BytesIO(data[start:end])).convert("L"))
                for start, end in zip(starts, ends, strict=True)
            ]
            labels = {name.removeprefix("label_"): file[name] for name in file.files if name.startswith("label_")}
            return cls(np.stack(images), file["sources"], file["patients"], labels)
