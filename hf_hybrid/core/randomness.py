"""Every random number of the library comes from a generator identified by a seed, a purpose and keys."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

# What random numbers are drawn for; one line each, so that no two purposes share a stream. New ones go to the end:
# a place in this table is part of the stream.
PURPOSES = (
    # the built-in cohort
    "visits",
    "patients",
    "values: uniform",
    "values: normal",
    "image",
    "public images",
    # data and training of the codec
    "split",
    "codec: weights",
    "codec: discriminators",
    "codec: order of images",
    "codec: prior codes",
    "codec: augmentation",
    "codec: held-out images",
    "codec: images of the PCA",
    "codec: PCA",
    "codec: images of the card",
    "codec: images of the log",
    # samplers
    "release",
    "completed rows",
    "sampler: weights",
    "sampler: masks",
    "sampler: steps",
    "sampler: validation patients",
    "sampler: draws that are scored",
    "sampler: baseline of the score",
    # evaluation
    "bootstrap",
    "training sets",
    "pair encoder: folds of patients",
    "image predictor: weights",
    "image predictor: order of images",
    "image encoder: weights",
    "image encoder: steps",
    "image features: weights",
    "pair encoder: steps",
    "pair encoder: other rows",
    "fidelity: records",
    "fidelity: held-out patients",
    "fidelity: classifier",
    "fidelity: triples of columns",
    "fidelity: pairs of images",
    "shuffled images",
    "reconstruction: images of the PCA",
    "reconstruction: PCA",
    "attack: parts of the patients",
    "attack: classifier",
    "attack: halves of a row",
    "attack: predicates",
    "attack: baseline of the release",
    "attack: noise",
    "attack: patients",
    "publisher page",
    "reader study: images",
    "attack: random labels",
    "fidelity: shuffled columns",
    "sampler: start",
    # detail of images, networks trained on public images
    "codec: detail",
    "codec: noise of latents",
    "codec: warps",
    "refiner: weights",
    "refiner: images",
    "feature network: weights",
    "feature network: images",
    # machine reader and the PCA beside it
    "machine reader: folds",
    "machine reader: weights",
    "machine reader: images",
    "fidelity: PCA",
)


def _sequence(seed: int, purpose: str, keys: tuple[int, ...]) -> np.random.SeedSequence:
    # A spawn key, unlike further words of entropy, tells (1,) from (1, 0).
    return np.random.SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), *keys))


def generator(seed: int, purpose: str, *keys: int) -> "torch.Generator":
    """A CPU generator of torch that depends on its arguments alone.

    Because step 500 of a training, or block 3 of a release, has a generator of its own, nothing has to be replayed or
    saved to resume there, and no result depends on how many processes or restarts it took.

    Args:
        seed: the user's seed, at least 0.
        purpose: one of `PURPOSES`.
        keys: e.g. a step or a block, each at least 0.
    """
    import torch

    return torch.Generator().manual_seed(seed_for(seed, purpose, *keys))


def numpy_generator(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """A generator of numpy; see `generator`."""
    return np.random.default_rng(_sequence(seed, purpose, keys))


def seed_for(seed: int, purpose: str, *keys: int, bits: int = 63) -> int:
    """A seed of `bits` bits for a library with a generator of its own; see `generator`."""
    return int(_sequence(seed, purpose, keys).generate_state(1, np.uint64)[0] >> np.uint64(64 - bits))
