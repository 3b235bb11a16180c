"""Streams of random numbers: one for each seed, purpose and keys, and no two the same."""

import itertools
import re
from pathlib import Path

import pytest

from hf_hybrid.core.randomness import PURPOSES, generator, numpy_generator, seed_for

PACKAGE = Path(__file__).parents[2] / "hf_hybrid"


def test_no_two_purposes_share_a_stream():
    keys = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 0, 0)]
    asked = list(itertools.product((0, 1, 2**40), PURPOSES, keys))
    seeds = {seed_for(seed, purpose, *rest) for seed, purpose, rest in asked}
    assert len(seeds) == len(asked)
    assert len(set(PURPOSES)) == len(PURPOSES)


def test_the_same_arguments_give_the_same_numbers():
    one, two = (generator(3, "release", 1, 0).initial_seed() for _ in range(2))
    assert one == two != generator(3, "release", 1).initial_seed()
    assert numpy_generator(3, "split").random() == numpy_generator(3, "split").random()
    assert 0 <= seed_for(3, "split", bits=32) < 2**32


def test_every_purpose_is_in_the_table_and_used():
    with pytest.raises(ValueError):
        generator(0, "something else")
    text = "".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "randomness.py")
    words = set(re.findall(r'"([^"\n]*)"', text))
    built = {f"{prefix}: {word}" for prefix in ("values", "codec") for word in words}
    assert set(PURPOSES) <= words | built


def test_nothing_draws_from_another_source():
    allowed = {"core/randomness.py", "studies/reader_study.py"}  # the latter's order depends on the images themselves
    for path in PACKAGE.rglob("*.py"):
        name, text = path.relative_to(PACKAGE).as_posix(), path.read_text()
        own = re.findall(
            r"default_rng\(|SeedSequence\(|RandomState\(|\.manual_seed\((?!seed_for|int\()|random_state=\d", text
        )
        assert not own or name in allowed, (name, own)


def test_draws_that_choose_a_checkpoint_are_in_no_release():
    """The same seed serves both: the numbers behind them must differ all the same."""
    streams = [
        generator(0, purpose, block, 0).initial_seed()
        for purpose in ("release", "sampler: draws that are scored", "sampler: baseline of the score")
        for block in range(10)
    ]
    assert len(set(streams)) == len(streams)
