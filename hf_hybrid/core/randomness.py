"""Every random number of the library comes from a generator identified by a seed and a purpose."""

import numpy as np
import torch


def generator(seed: int, *keys: int) -> torch.Generator:
    """A CPU generator that depends on `seed` and `keys` alone.

    Because step 500 of a training, or block 3 of a release, has a generator of its own, nothing has to be replayed or
    saved to resume there, and no result depends on how many processes or restarts it took.

    Args:
        seed: the user's seed, at least 0.
        keys: what the numbers are for, e.g. a stream and a step, each at least 0.
    """
    state = np.random.SeedSequence((seed, *keys)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
