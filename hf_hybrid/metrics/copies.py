"""Copies: does a release repeat an image, a row or a whole record of a patient?

Two images are compared by the correlation of their pixels (brightness and contrast do not matter), the largest over
mirroring and small shifts of one of them; two rows by the mean difference of their cells. The threshold of a near copy
is calibrated on real patients (Dar et al. 2024, arXiv 2402.01054): a release of as many real records of other people
would be that close to `NEAR_SHARE` of held-out records. A release without copies hits as many held-out as training
patients.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.tables import codes_of
from hf_hybrid.metrics.predictors import target_values

NEAR_SHARE = 0.05
EXACT_IMAGE, EXACT_ROW = 1e-6, 1e-9  # distances up to here are rounding
_SHIFT = 2  # pixels of 32 in each direction
_BLOCK_CELLS = 4_000_000  # distances held at once


@dataclass
class Nearest:
    """Distances of records to the nearest ones of a library.

    Args:
        image: 1 - correlation, `(n,)`, from 0 (the same image) to 2.
        row: mean difference of cells, `(n,)`, from 0 (all cells are equal) to 1.
        record: the smallest, over the library, of the larger of the two, each as a multiple of its threshold, `(n,)`;
            None where none was given.
        image_match: which of the library has the nearest image, `(n,)`.
        row_match: which of the library has the nearest row, `(n,)`.
    """

    image: np.ndarray
    row: np.ndarray
    record: np.ndarray | None
    image_match: np.ndarray
    row_match: np.ndarray


def nearest(
    pixels: np.ndarray,
    rows: np.ndarray,
    library_pixels: np.ndarray,
    library_rows: np.ndarray,
    thresholds: tuple[float, float] | None = None,
) -> Nearest:
    """Compares every record with every record of a library.

    Args:
        pixels: uint8 `(n, side, side)`.
        rows: `RowSpace.features` of the same records, side by side, `(n, d)`.
        library_pixels: uint8 `(m, side, side)`.
        library_rows: `(m, d)`.
        thresholds: of near images and near rows, to look for records that are both at once.
    """
    # The records are mirrored and shifted, not the library, which may be hundreds of times as large.
    views = list(_views(pixels))
    centre = _normalised(library_pixels[:, _SHIFT:-_SHIFT, _SHIFT:-_SHIFT]).T
    found = []
    for block in np.array_split(np.arange(len(rows)), max(1, -(-len(rows) * len(library_rows) // _BLOCK_CELLS))):
        correlation = views[0][block] @ centre
        for view in views[1:]:
            np.maximum(correlation, view[block] @ centre, out=correlation)
        image = np.maximum(1 - correlation, 0)
        row = cdist(rows[block], library_rows, "cityblock")
        record = np.maximum(image / thresholds[0], row / thresholds[1]).min(axis=1) if thresholds else None
        found.append((image.min(axis=1), row.min(axis=1), record, image.argmin(axis=1), row.argmin(axis=1)))
    image, row, record, *matches = zip(*found, strict=True)
    return Nearest(
        np.concatenate(image),
        np.concatenate(row),
        np.concatenate(record) if thresholds else None,
        *map(np.concatenate, matches),
    )


def near_threshold(held_out: np.ndarray, multiple: float) -> float:
    """The distance threshold of a near copy.

    Args:
        held_out: distances of held-out records to the nearest training records.
        multiple: synthetic records per training record; the more there are, the nearer is the nearest.
    """
    return float(np.quantile(held_out, min(NEAR_SHARE / multiple, NEAR_SHARE)))


def near_thresholds(held_out: Nearest, multiple: float) -> tuple[float, float]:
    """The thresholds of images and of rows, above rounding errors."""
    image, row = (near_threshold(distances, multiple) for distances in (held_out.image, held_out.row))
    return max(image, EXACT_IMAGE), max(row, EXACT_ROW)


class RowSpace:
    """Rows as points whose city-block distance is the mean difference of their cells, each from 0 to 1.

    Numbers are compared by their ranks in the release, other cells and the states missing, -inf and inf are equal (0)
    or not (1), labels count one by one.

    Args:
        schema: of the release.
        synthetic: typed cells of the release.
    """

    def __init__(self, schema: RecordSchema, synthetic: pd.DataFrame) -> None:
        self._schema = schema
        numbers = {name: synthetic[name].to_numpy(np.float64) for name, one in schema.table.items() if one.is_number}
        self._sorted = {name: np.sort(cells[np.isfinite(cells)]) for name, cells in numbers.items()}

    def features(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """Of every column, float64 `(n, width)`; a subset of columns makes a space of its own."""
        return {name: self._features(name, frame[name]) / len(self._schema.table) for name in self._schema.table}

    def _features(self, name: str, cells: pd.Series) -> np.ndarray:
        column = self._schema.table[name]
        if column.is_number:
            values, known = target_values(cells, column)
            states = [known, np.isnan(values), values == -np.inf, values == np.inf]
            return np.stack([np.where(known, self._rank(name, values), 0.5), *np.divide(states, 2)], axis=1)
        if column.kind == "multi-label":
            labels, known = target_values(cells, column)
            return np.column_stack([labels / labels.shape[1], known])
        choices = [True, False] if column.kind == "boolean" else column.categories
        return (codes_of(cells, choices)[:, None] == np.arange(-1, len(choices))) / 2

    def _rank(self, name: str, values: np.ndarray) -> np.ndarray:
        ordered = self._sorted[name]
        if not len(ordered):
            return np.zeros(len(values))
        sides = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
        return sum(sides) / (2 * len(ordered))


def _views(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """The middles of images, unchanged and mirrored, each with nine shifts."""
    side = pixels.shape[1] - 2 * _SHIFT
    for images in (pixels, pixels[:, :, ::-1]):
        for top in range(0, 2 * _SHIFT + 1, _SHIFT):
            for left in range(0, 2 * _SHIFT + 1, _SHIFT):
                yield _normalised(images[:, top : top + side, left : left + side])


def _normalised(images: np.ndarray) -> np.ndarray:
    """Flat images of mean 0 and length 1, float32 `(n, d)`; a blank one is 0."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
