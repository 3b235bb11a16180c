"""How much memory a piece of work takes, the processes that it starts included."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_INTERVAL = 0.005  # seconds between two looks


class PeakMemory:
    """The most resident memory of this process and its children, in MB above what they held in the beginning."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._most = self._now()

    @property
    def megabytes(self) -> float:
        """The peak so far."""
        return (self._most - self._before) / 2**20

    def look(self) -> None:
        """Takes what is held now into the peak."""
        self._most = max(self._most, self._now())

    def _now(self) -> int:
        total = self._process.memory_info().rss
        for child in self._process.children(recursive=True):
            try:
                total += child.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total


@contextmanager
def peak_memory() -> Iterator[PeakMemory]:
    """Watches the memory within the context, some two hundred times a second."""
    peak, done = PeakMemory(), threading.Event()

    def watch() -> None:
        while not done.wait(_INTERVAL):
            peak.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak.look()
