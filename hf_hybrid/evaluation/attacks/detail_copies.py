"""Copies of details at the resolution of the release: text in a corner, a clip, or everything that is fine."""

from collections.abc import Iterator
from itertools import chain

import numpy as np

from hf_hybrid.evaluation.attacks.base import Attack, AttackResult, rate_test
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.evaluation.comparison import EvaluationSet
from hf_hybrid.metrics.details import DetailSpace, standing_out
from hf_hybrid.metrics.reidentification import mean_by_patient
from hf_hybrid.metrics.risk import RateRisk

MAX_SYNTHETIC, MAX_REAL = 6000, 2000  # images that are compared; of each real side
_LEAST = 1.0  # of `standing_out`: two windows with a correlation of .9 where others have .75
_FALSE_SHARE = 0.005  # of held-out images, none if there are fewer than 200: a few copied patients have to stand out
_TYPICAL = 500  # synthetic images that say which windows are usual


class DetailCopyAttack(Attack):
    """Windows of each patient's image that the release has and no other patient.

    The threshold is taken from held-out patients: the release has more of at most `_FALSE_SHARE` of their images. Real
    images of others in place of a release would set it too high: collections have images twice, under two numbers.
    """

    name = "copies of details"
    family = "copies"
    citation = "Lewis 1995, Fast normalized cross-correlation"

    def run(self, spaces: AttackSpaces) -> AttackResult:
        """Attacks training patients and held-out patients."""
        release, *real = (
            _Images(one, most) for one, most in zip(spaces.sets, (MAX_SYNTHETIC, MAX_REAL, MAX_REAL), strict=True)
        )
        train, held_out = real
        owners = np.concatenate([train.owners, held_out.owners + train.owners.max() + 1])
        space = DetailSpace(release.side).fit(_Images(spaces.synthetic, _TYPICAL).batches())
        windows = space.windows(chain(train.batches(), held_out.batches()))
        others = space.best_matches(windows, chain(train.batches(), held_out.batches()), owners, owners)
        found = space.best_matches(windows, release.batches())
        scores = np.split(standing_out(found, others, windows, len(owners)), [len(train)])
        threshold = max(np.quantile(scores[1], 1 - _FALSE_SHARE, method="higher"), _LEAST)
        rates = RateRisk(
            *(mean_by_patient((one > threshold) * 1.0, side.owners) for one, side in zip(scores, real, strict=True))
        )
        meaning = (
            "an image of the release has details of theirs that no other patient has, at the same place "
            f"({len(release):,} of {len(spaces.synthetic):,} synthetic images and {len(train):,} of "
            f"{len(spaces.train):,} training images compared at {release.side} px)"
        )
        return AttackResult([rate_test("near copy: detail of an image", rates, meaning)])


class _Images:
    """The images of a set, or `most` of them at even distances if there are more."""

    def __init__(self, one: EvaluationSet, most: int) -> None:
        self._set, self._rows = one, np.linspace(0, len(one) - 1, min(most, len(one))).astype(int)
        self.owners = one.groups[self._rows]
        self.side = next(one.images_at(self._rows[:1])).shape[1]

    def __len__(self) -> int:
        return len(self._rows)

    def batches(self) -> Iterator[np.ndarray]:
        """Their pixels."""
        return self._set.images_at(self._rows)
