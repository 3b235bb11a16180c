"""The input of the next step is made in a thread while a step runs."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


@contextlib.contextmanager
def made_ahead(make: Callable[[int], T], last: int) -> Iterator[Callable[[int], T]]:
    """Within the context, a function that gives what `make` does, for one step after the other.

    The thread ends with the context, whatever ended it. An error in the thread is raised at the step it belongs to.

    Args:
        make: a step -> what it needs. It depends on the step alone, so no result depends on the thread's timing.
        last: nothing is made for steps beyond.
    """
    coming: dict[int, Future[T]] = {}
    with ThreadPoolExecutor(1, "input") as thread:

        def of_step(step: int) -> T:
            made = (coming.pop(step, None) or thread.submit(make, step)).result()
            if step < last:
                coming[step + 1] = thread.submit(make, step + 1)
            return made

        yield of_step
