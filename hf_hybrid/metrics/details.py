"""Details of images: does a release hold a small part of a patient's image that no other patient has?

Text burnt into a corner, a clip or a tube covers too few pixels to matter to a whole image, and vanishes at 32 px. So
windows are compared: overlapping squares of 16 pixels (8 in images below 96 pixels) of what is finer than 7 pixels, by
the correlation of their pixels at the same place and around it (Lewis 1995, Fast normalized cross-correlation). From
coarse to fine: where a window is in an image of a library is found by low frequencies (discrete cosine transform) at
half the resolution; the places found are then correlated pixel by pixel.

A window that every image has (a border, the letter R) correlates with windows of any release. So the correlation with
the release counts as far as it is above that with all other real patients, on Fisher's scale (artanh), on which it has
the same spread everywhere. One letter may be at one place of two people's images; so what counts is the sum over the
windows that match one and the same image of the release.

Windows belong to records, and a match says which image of the library it is in. So turned, scaled or mirrored copies
can be looked for by windows of changed images, and halves by where the windows lie that match one image.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct
from scipy.ndimage import uniform_filter

NUM_WINDOWS = 24  # of each image, those that differ most from images of the release at the same place
_COARSE, _STRIDE = 8, 4  # of a window and between two, in coarse pixels
_SMALL_IMAGE = 96  # pixels: below it, windows are compared at full resolution only
_FREQUENCIES = 7  # of the cosine transform in each direction
_BLUR = 7  # pixels: what is smoother is no detail
_MARGIN = 0.1  # by how much the correlation of pixels may be above that of codes
_FLOOR = 2.0  # grey levels: the sd of a window that is as much noise as content
_HIGHEST = 0.995  # correlation from which on all are the same
_PAD = 4  # coarse pixels around an image: text stands at the border
_BATCH_PIXELS = 2**21  # at a time
_SHIFTS = np.array([(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)])  # coarse pixels, then one full pixel more


@dataclass(frozen=True)
class Windows:
    """Windows of images.

    Args:
        record: which image each belongs to, `(q,)`.
        place: where in the image it lies, a number of `DetailSpace.places`, `(q,)`; sorted.
        codes: low frequencies, float32 `(q, d)` of length up to 1.
        pixels: details in half grey levels, int8 `(q, size, size)`.
    """

    record: np.ndarray
    place: np.ndarray
    codes: np.ndarray
    pixels: np.ndarray


@dataclass(frozen=True)
class Matches:
    """The best match of each window among the images of a library.

    Args:
        image: number of the image, `(q,)`; -1 if there was none to compare with.
        correlation: of the pixels, `(q,)`.
    """

    image: np.ndarray
    correlation: np.ndarray


class DetailSpace:
    """Windows of images of one size, and how they look in a release.

    Args:
        side: height and width of the images in pixels.
    """

    def __init__(self, side: int) -> None:
        self.factor = 2 if side >= _SMALL_IMAGE else 1
        self.size = _COARSE * self.factor
        coarse = side // self.factor + 2 * _PAD  # `_details` surrounds images by a margin of nothing
        starts = np.arange(1, coarse - _COARSE, _STRIDE)  # a pixel is left around them for the shifts
        self.places = np.stack(np.meshgrid(starts, starts, indexing="ij"), axis=-1).reshape(-1, 2)
        cosines = dct(np.eye(_COARSE), norm="ortho", axis=0)[:_FREQUENCIES]
        pairs = [(i, j) for i in range(_FREQUENCIES) for j in range(_FREQUENCIES) if i + j > 0]
        self._basis = np.stack([np.outer(cosines[i], cosines[j]).ravel() for i, j in pairs], axis=1).astype(np.float32)

    def fit(self, batches: Iterable[np.ndarray]) -> Self:
        """Learns how windows look at each place, from images of the release, uint8 `(batch, side, side)`."""
        count, total, squares = 0, 0.0, 0.0
        for images in self._details(batches):
            codes = self._codes(images, self.places)
            count, total, squares = count + len(images), total + codes.sum(0), squares + np.square(codes).sum(0)
        self.mean_ = total / count
        self.variance_ = np.maximum(squares / count - self.mean_**2, 0) + 4 * _FLOOR**2
        return self

    def windows(self, batches: Iterable[np.ndarray]) -> Windows:
        """The `NUM_WINDOWS` windows of each image that differ most from those of the release."""
        found, first, size = [], 0, self.size
        for images in self._details(batches):
            codes = self._codes(images, self.places)
            unusual = (np.square(codes - self.mean_) / self.variance_).sum(axis=2)
            chosen = np.argsort(-unusual, axis=1, kind="stable")[:, :NUM_WINDOWS]
            record = np.repeat(np.arange(len(images)), chosen.shape[1])
            place = chosen.ravel()
            top, left = (self.places[place] * self.factor).T
            pixels = sliding_window_view(images, (size, size), axis=(1, 2))[record, top, left]
            found.append((first + record, place, self._scaled(codes[record, place]), pixels))
            first += len(images)
        record, place, codes, pixels = (np.concatenate(one) for one in zip(*found, strict=True))
        order = np.argsort(place, kind="stable")
        return Windows(record[order], place[order], codes[order], pixels[order])

    def best_matches(
        self,
        windows: Windows,
        batches: Iterable[np.ndarray],
        owners: np.ndarray | None = None,
        library_owners: np.ndarray | None = None,
    ) -> Matches:
        """Looks for each window at its place and around it, in every image of a library.

        Args:
            windows: what to look for.
            batches: the library.
            owners: the patient of each image that has windows, `(n,)`; no window is looked for in images of its own.
            library_owners: the patient of each image of the library.
        """
        count, first = len(windows.place), 0
        best, image = np.full(count, -1.0, dtype=np.float32), np.full(count, -1)
        asked = _normalised(windows.pixels)
        for images in self._details(batches):
            owned = None if owners is None else library_owners[first : first + len(images)]
            value, number, shift = self._best_of(windows, images, owners, owned)
            likely = np.flatnonzero(value > best - _MARGIN)
            start = (self.places[windows.place[likely]] + _SHIFTS[shift[likely]]) * self.factor
            found = _correlation(asked[likely], _around(images, number[likely], start, self.size))
            better = found > best[likely]
            best[likely[better]], image[likely[better]] = found[better], first + number[likely[better]]
            first += len(images)
        return Matches(image, best)

    def _best_of(
        self, windows: Windows, images: np.ndarray, owners: np.ndarray | None, owned: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The largest product of codes of each window, and the image and the shift that it is found at, `(q,)`."""
        starts = (self.places[:, None] + _SHIFTS).reshape(-1, 2)
        library = self._scaled(self._codes(images, starts)).reshape(len(images), len(self.places), len(_SHIFTS), -1)
        value, at = np.full(len(windows.place), -np.inf, dtype=np.float32), np.zeros(len(windows.place), dtype=int)
        ends = np.searchsorted(windows.place, np.arange(len(self.places) + 1))
        for place in np.flatnonzero(np.diff(ends)):
            mine = slice(ends[place], ends[place + 1])
            similar = windows.codes[mine] @ library[:, place].reshape(-1, library.shape[3]).T
            if owned is not None:
                own = owners[windows.record[mine], None] == owned
                similar[np.repeat(own, len(_SHIFTS), axis=1)] = -np.inf
            at[mine] = similar.argmax(axis=1)
            value[mine] = np.take_along_axis(similar, at[mine][:, None], axis=1)[:, 0]
        return value, *np.divmod(at, len(_SHIFTS))

    def _codes(self, images: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Low frequencies of the windows at coarse positions `(p, 2)`, float32 `(n, p, d)`, in half grey levels."""
        coarse = images.astype(np.float32)
        if self.factor > 1:
            count, side = len(images), images.shape[1] // self.factor
            inner = coarse[:, : side * self.factor, : side * self.factor]
            coarse = inner.reshape(count, side, self.factor, side, self.factor).mean(axis=(2, 4))
        views = sliding_window_view(coarse, (_COARSE, _COARSE), axis=(1, 2))
        cut = views[:, starts[:, 0], starts[:, 1]].reshape(len(images) * len(starts), -1)
        return (cut @ self._basis).reshape(len(images), len(starts), -1)

    def _details(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """What is finer than `_BLUR` pixels, in half grey levels, int8, in a margin of 0; some images at a time."""
        margin = [(0, 0), *2 * [(_PAD * self.factor, _PAD * self.factor)]]
        for images in batches:
            for some in np.array_split(images, -(-images.size // _BATCH_PIXELS)):
                some = some.astype(np.float32)
                some = 2 * (some - uniform_filter(some, (0, _BLUR, _BLUR), mode="nearest"))
                yield np.pad(some.clip(-127, 127).round().astype(np.int8), margin)

    def _scaled(self, codes: np.ndarray) -> np.ndarray:
        """Codes whose products are correlations; those of windows without content are near 0."""
        return codes / np.sqrt(
            np.square(codes).sum(axis=-1, keepdims=True) + 4 * (_FLOOR * _COARSE) ** 2 / self.factor
        )


def standing_out(matches: Matches, others: Matches, windows: Windows, num_records: int) -> np.ndarray:
    """How much more an image of the release has of each image than all other patients' images have, `(num_records,)`.

    Args:
        matches: of the windows, in the release.
        others: of the same windows, in images of other patients.
        windows: of the images.
        num_records: how many images have windows.

    Returns:
        The largest sum, over the windows that match one image of the release, of the difference of artanh of the
        correlations as far as it is above 0; 0 if the release is nowhere nearer than other patients.
    """
    near, other = (np.arctanh(np.clip(one.correlation, 0, _HIGHEST)) for one in (matches, others))
    pairs, of_pair = np.unique(np.stack([windows.record, matches.image]), axis=1, return_inverse=True)
    found = np.zeros(num_records)
    np.maximum.at(found, pairs[0], np.bincount(of_pair.ravel(), np.maximum(near - other, 0)))
    return found


def _correlation(asked: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """The largest correlation of windows (see `_normalised`) with patches that are two pixels larger, `(q,)`."""
    found, size = np.full(len(asked), -1.0, dtype=np.float32), patches.shape[1] - 2
    for top in range(3):
        for left in range(3):
            other = _normalised(patches[:, top : top + size, left : left + size])
            np.maximum(found, np.einsum("qd,qd->q", asked, other), out=found)
    return found


def _normalised(details: np.ndarray) -> np.ndarray:
    """Flat windows without their mean, of length 1, float32; those without content are near 0."""
    flat = details.reshape(len(details), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.sqrt(np.square(flat).sum(axis=1, keepdims=True) + 4 * _FLOOR**2 * flat.shape[1])


def _around(images: np.ndarray, number: np.ndarray, start: np.ndarray, size: int) -> np.ndarray:
    """Squares of the images `number` `(q,)` from one pixel before `start` `(q, 2)` to one behind its window."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    views = sliding_window_view(padded, (size + 2, size + 2), axis=(1, 2))
    return views[number, start[:, 0], start[:, 1]]
