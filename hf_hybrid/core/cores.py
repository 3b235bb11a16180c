"""How many cores this process may use."""

import os


def num_cores() -> int:
    """`OMP_NUM_THREADS` if it is set, else the cores that the system lets this process use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if asked.isdigit() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
