"""Silence for libraries that read private files: their logs and warnings may hold cells or names of a header."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

LIBRARIES = ("datasets", "filelock", "fsspec", "gdcm", "PIL", "pyarrow", "pydicom", "pylibjpeg")
_SILENT = logging.CRITICAL + 1


class _Silence:
    """Shared by all threads: the first one inside begins it, the last one to leave ends it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.levels: dict[logging.Logger, int] = {}
        self.warnings = None

    def begin(self) -> None:
        with self.lock:
            if not self.inside:
                self.warnings = warnings.catch_warnings()
                self.warnings.__enter__()
                warnings.simplefilter("ignore")
            self.inside += 1
            for logger in _loggers():  # each time: a library that was imported since has set its own level
                if logger.level != _SILENT:
                    self.levels[logger] = logger.level
                    logger.setLevel(_SILENT)

    def end(self) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                for logger, level in self.levels.items():
                    logger.setLevel(level)
                self.levels = {}
                self.warnings.__exit__(None, None, None)


_SILENCE = _Silence()


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within the block `LIBRARIES` log nothing and no warning is shown, in every thread; nested blocks are fine.

    Import a library before the block: some set the level of their logger when they are imported.
    """
    _SILENCE.begin()
    try:
        yield
    finally:
        _SILENCE.end()


def _loggers() -> list[logging.Logger]:
    """The loggers of the libraries, and those below them that have a level of their own."""
    known = [one for one in list(logging.root.manager.loggerDict.values()) if isinstance(one, logging.Logger)]
    own = [one for one in known if one.level and one.name.split(".")[0] in LIBRARIES]
    return [*map(logging.getLogger, LIBRARIES), *own]
