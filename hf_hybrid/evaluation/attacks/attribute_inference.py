"""Attribute inference: guesses of every column from all others, without and with the image."""

import numpy as np

from hf_hybrid.evaluation.attacks.base import Attack, AttackResult, Test, rate_test
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.metrics.reidentification import guessed_right, mean_by_patient, nearest_records
from hf_hybrid.metrics.risk import RateRisk


class AttributeInferenceAttack(Attack):
    """The cell of the nearest synthetic record is the guess; tests of single columns are details."""

    name = "attribute inference"
    family = "attribute inference"
    citation = "Giomi et al. 2023, anonymeter, arXiv:2211.10459"

    def run(self, spaces: AttackSpaces) -> AttackResult:
        """Attacks training patients and held-out patients."""
        tests = []
        for known, weight in (("the other columns", 0.0), ("the image and the other columns", 1.0)):
            images = [weight / image.shape[1] * image for image in spaces.images]
            tests += _guesses(spaces, known, images)
        return AttackResult(tests)


def _guesses(spaces: AttackSpaces, known: str, images: list[np.ndarray]) -> list[Test]:
    """Tests of every column and of any cell.

    Args:
        spaces: release and patients.
        known: what the attacker knows, in words.
        images: features of the images of release, training and held-out patients, all 0 where they are not known.
    """
    tests, every = [], [[], []]
    for name in spaces.schema.table:
        shares = []
        for (right, groups), of_all in zip(_right(spaces, name, images), every, strict=True):
            shares.append(mean_by_patient(right, groups))
            of_all.append((right, groups))
        if min(map(len, shares)) >= spaces.schema.min_patients:
            meaning = f"{name} is guessed right from {known} and the release"
            tests.append(rate_test(f"{name} from {known}", RateRisk(*shares), meaning, is_detail=True))
    shares = [mean_by_patient(*map(np.concatenate, zip(*of_all, strict=True))) for of_all in every]
    rates, meaning = RateRisk(*shares), f"a cell is guessed right from {known} and the release"
    return [
        *tests,
        rate_test(f"any cell from {known}", rates, meaning, rates.resampled(spaces.options.bootstraps)),
    ]


def _right(spaces: AttackSpaces, name: str, images: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Whether each known cell of a column is guessed right, and its patient; of training and of held-out patients."""
    library, *real = (
        np.concatenate([image, *(cells[other] for other in cells if other != name)], axis=1)
        for image, cells in zip(images, spaces.cells, strict=True)
    )
    found, column = [], spaces.schema.table[name]
    for features, one in zip(real, spaces.sets[1:], strict=True):
        match = nearest_records(features, library)[:, 0]
        guess = spaces.synthetic.frame[name].iloc[match].reset_index(drop=True)
        right, has_value = guessed_right(column, one.frame[name].reset_index(drop=True), guess)
        found.append((right[has_value], one.groups[has_value]))
    return found
