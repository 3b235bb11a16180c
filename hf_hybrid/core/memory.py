"""Peak memory of a piece of work, including the processes that it starts."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_INTERVAL = 0.005  # minimum seconds between two measurements
_SHARE = 0.05  # maximum share of the time spent measuring: the work is often timed


class PeakMemory:
    """Peak resident memory of this process and its children, in MB above the value at the start."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._most = self._now()

    @property
    def megabytes(self) -> float:
        """The peak so far."""
        return (self._most - self._before) / 2**20

    def look(self) -> None:
        """Updates the peak with the current value."""
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
    """Measures the memory within the context, some dozen times per second."""
    peak, done = PeakMemory(), threading.Event()

    def watch() -> None:
        pause = _INTERVAL
        while not done.wait(pause):
            started = time.thread_time()
            peak.look()
            pause = max(_INTERVAL, (time.thread_time() - started) / _SHARE)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak.look()
