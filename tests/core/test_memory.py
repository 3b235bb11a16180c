"""Memory above what was held before, that of children included."""

import subprocess
import sys

import numpy as np

from hf_hybrid.core.memory import peak_memory

MEGABYTES = 150


def test_what_was_held_and_given_back_counts():
    with peak_memory() as peak:
        held = np.ones(MEGABYTES * 2**17)
        held.sum()
        peak.look()
        del held

    assert MEGABYTES * 0.9 < peak.megabytes < MEGABYTES * 1.5


def test_children_count():
    code = f"import time; held = bytes(range(256)) * ({MEGABYTES} << 12); print(len(held)); time.sleep(30)"
    with peak_memory() as peak:
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        child.stdout.readline()
        peak.look()
        child.kill()
        child.wait()
        child.stdout.close()

    assert MEGABYTES * 0.9 < peak.megabytes < MEGABYTES * 1.5
