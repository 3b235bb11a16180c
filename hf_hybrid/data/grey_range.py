"""Grey values above 8 bits of a dataset: one range for all of its images, so that exposures stay different."""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hf_hybrid.data.images import UnreadableImage, decode_image, highest_of_depth, own_range
from hf_hybrid.data.quiet import quiet_libraries

logger = logging.getLogger(__name__)


class DatasetRange:
    """The range of grey values that becomes 0 to 255, found when the first image needs it.

    Args:
        every_split: gives the raw image cells of all splits; training and held-out images share one range.
    """

    def __init__(self, every_split: Callable[[], Iterable[Sequence[dict]]]) -> None:
        self._every_split = every_split
        self._lock = threading.Lock()
        self.found: tuple[float, float] | None = None

    def __call__(self, values: np.ndarray, is_depth: bool) -> tuple[float, float]:
        """The lowest and highest grey value of the dataset, whatever those of one image are."""
        with self._lock:  # other threads wait for the first one
            if self.found is None:
                self.found = self._find()
                logger.info("grey values %g to %g of all images become 0 to 255", *self.found)
        return self.found

    def _find(self) -> tuple[float, float]:
        extents = []

        def note(values: np.ndarray, is_depth: bool) -> tuple[float, float]:
            extents.append((float(values.min()), float(values.max()), is_depth))
            return own_range(values, is_depth)

        def read(cell: dict) -> None:
            with contextlib.suppress(UnreadableImage):  # whoever asks for that image is told
                decode_image(cell, 1, note)

        with quiet_libraries(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for images in self._every_split():
                for _ in pool.map(lambda index, images=images: read(images[index]), range(len(images))):
                    pass
        lowest, highest, are_depths = zip(*extents, strict=True)
        if all(are_depths):
            return 0.0, float(highest_of_depth(max(highest)))
        return min(lowest), max(highest)
