"""Copies of details at the resolution of the release: text in a corner, a clip, or everything that is fine."""

from collections.abc import Iterator

import numpy as np

from hf_hybrid.evaluation.attacks.base import Attack, AttackResult, rate_test
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.evaluation.comparison import EvaluationSet
from hf_hybrid.metrics.copies import near_threshold
from hf_hybrid.metrics.details import DetailSpace, standing_out
from hf_hybrid.metrics.reidentification import mean_by_patient
from hf_hybrid.metrics.risk import RateRisk

MAX_SYNTHETIC, MAX_REAL = 6000, 2000  # images that are compared; of each real side
_TYPICAL = 500  # synthetic images that say which windows are usual


class DetailCopyAttack(Attack):
    """Windows of each patient's image that the release has and no other patient.

    The threshold is taken from held-out patients: training images of other people as a release would have as much of
    `metrics.copies.NEAR_SHARE` of them that no other held-out patient has.
    """

    name = "copies of details"
    family = "copies"
    citation = "Lewis 1995, Fast normalized cross-correlation; threshold after Dar et al. 2024, arXiv:2402.01054"

    def run(self, spaces: AttackSpaces) -> AttackResult:
        """Attacks training patients and held-out patients."""
        release, *real = (
            _Images(one, most) for one, most in zip(spaces.sets, (MAX_SYNTHETIC, MAX_REAL, MAX_REAL), strict=True)
        )
        real[1].owners = real[1].owners + real[0].owners.max() + 1
        space = DetailSpace(release.side).fit(_Images(spaces.synthetic, _TYPICAL).batches())
        scores = []
        for one in real:
            windows = space.windows(one.batches())
            others = [space.best_matches(windows, other.batches(), one.owners, other.owners) for other in real]
            found = space.best_matches(windows, release.batches())
            scores.append(standing_out(found, others, windows, len(one)))
        # The last side is that of held-out patients: training patients as a release, against the other held-out ones.
        among_real = standing_out(others[0], others[1:], windows, len(real[1]))
        threshold = max(-near_threshold(-among_real, spaces.multiple), 1e-6)
        rates = RateRisk(
            *(mean_by_patient((one >= threshold) * 1.0, side.owners) for one, side in zip(scores, real, strict=True))
        )
        meaning = (
            "an image of the release has details of theirs that no other patient has, at the same place "
            f"({len(release):,} of {len(spaces.synthetic):,} synthetic images and {len(real[0]):,} of "
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
