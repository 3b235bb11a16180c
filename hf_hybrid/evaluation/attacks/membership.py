"""Membership: does the release reveal who was in the training data? Control: a copula of the same patients.

The attacks (`distance`, `density_ratio`, `classifier`) differ in their score alone, see `metrics.membership`.
"""

from typing import ClassVar

import numpy as np
from scipy.stats import norm

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.scores import Score
from hf_hybrid.evaluation.attacks.base import LOWER, Attack, AttackResult, Test
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.metrics.curves import roc_curves
from hf_hybrid.metrics.estimates import Estimate
from hf_hybrid.metrics.membership import attack_auc, attack_scores, by_patient, lowest_false_positives
from hf_hybrid.metrics.risk import FAIL_LEVEL, EstimatedRisk, interval

_MEANING = "how much better an attacker tells training patients from others than from a Gaussian copula (AUC)"


class MembershipAttack(Attack, is_abstract=True):
    """An attack whose `name` is one of `metrics.membership.ATTACKS`.

    Attributes:
        parts: the parts that are attacked: `record`, `image` or `row`.
    """

    family = "membership"
    parts: ClassVar[tuple[str, ...]] = ("record",)

    def run(self, spaces: AttackSpaces) -> AttackResult:
        """Attacks training patients and held-out patients."""
        dim, tests, curves = spaces.images[0].shape[1], [], []
        places = {"record": slice(None), "image": slice(dim), "row": slice(dim, None)}
        for part in self.parts:
            sides = _sides(spaces, self.name, [one[:, places[part]] for one in spaces.records])
            if sides is None:
                continue
            title = f"{self.name} attack: {part}"
            if part == "record":
                curves.append(roc_curves(title, dict(zip(("release", "Gaussian copula"), sides, strict=True))))
            tests.append(_test(title, spaces, *sides))
        return AttackResult(tests, tuple(curves))


def _sides(spaces: AttackSpaces, name: str, records: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Scores by patient on the release and on the control; None if there are too few patients for the attack."""
    synthetic, train, held_out, control = records
    found = []
    for one in (synthetic, control):
        groups = spaces.train.groups, spaces.held_out.groups
        scores = attack_scores(train, groups[0], held_out, groups[1], one, [name])
        if name not in scores:
            return None
        found.append(tuple(map(by_patient, scores[name], groups)))
    return found


def _test(
    title: str, spaces: AttackSpaces, sides: tuple[np.ndarray, np.ndarray], floor_sides: tuple[np.ndarray, np.ndarray]
) -> Test:
    """AUC on the release minus that of the same attack on the control."""
    found, floor = (attack_auc(*both, spaces.options.bootstraps) for both in (sides, floor_sides))
    _check_exchanged(found, floor, spaces.held_out.num_patients)
    reference = {"AUC on the release": found.value, "AUC on a Gaussian copula": floor.value}
    if point := lowest_false_positives(*sides):
        reference |= {"false positives": point[0], "true positives": point[1]}
    risk = EstimatedRisk(found.minus(floor), spaces.held_out.num_patients)
    n = spaces.num_patients
    return Test(risk, Score(title, risk.value, interval(risk), LOWER, (None, 1.0), n, reference, _MEANING))


def _check_exchanged(auc: Estimate, floor: Estimate, num_patients: int) -> None:
    """Refuses exchanged datasets: the release, unlike the control, is nearer to `test` than to `train`."""
    chance = Estimate(0.5, np.full_like(auc.replicates, 0.5))
    reverse = [EstimatedRisk(one.minus(auc), num_patients) for one in (chance, floor)]
    if all(one.bounds(float(norm.isf(FAIL_LEVEL)))[0] > 0 for one in reverse):
        raise InputError(
            "expected a release that lies nearer to `train`, which it was learned from, found it nearer to `test` "
            f"(AUC {auc.value:.2f}): exchange them back"
        )
