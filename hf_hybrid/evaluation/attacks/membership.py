"""Membership: does the release reveal who was in the training data?

There are two references, a Gaussian copula of the same patients and chance: a release may reveal little more than the
copula, and little more than nothing, since a copula of few patients reveals them as well.

The attacks (`distance`, `density_ratio`, `classifier`) differ in their score alone: a new one is a file with its class
and a line in `registry.ATTACKS`.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from scipy.stats import norm

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.families import Limit
from hf_hybrid.core.scores import Score
from hf_hybrid.evaluation.attacks.base import LOWER, Attack, AttackResult, Test
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.metrics.curves import roc_curves
from hf_hybrid.metrics.estimates import Estimate
from hf_hybrid.metrics.membership import (
    attack_auc,
    by_patient,
    random_label_auc,
    scores_against_reference,
    true_positives,
)
from hf_hybrid.metrics.risk import FAIL_LEVEL, EstimatedRisk, interval

_MEANING = "how much better an attacker tells training patients from others than from a Gaussian copula (AUC)"
_CHANCE_MEANING = "how much better than chance an attacker tells training patients from others (AUC)"
_RANDOM = "AUC of random labels among training patients, 97.5 % of draws"
RANDOM_LABELS = 200  # draws of them
FALSE_POSITIVES = (0.1, 0.01)  # at which true positives are shown


class MembershipAttack(Attack, is_abstract=True):
    """An attack that gives every record a score; a subclass says how, in `score`.

    Attributes:
        parts: the parts that are attacked: `record`, `image` or `row`.
        needs_reference: whether the score needs a reference population; it is a third of the held-out patients while
            another third is attacked, and the attack is left out if there are too few of them.
        refuses_exchanged: whether a release that lies surely nearer to held-out patients refuses the datasets.
    """

    family = "membership"
    parts: ClassVar[tuple[str, ...]] = ("record",)
    needs_reference: ClassVar[bool] = True
    refuses_exchanged: ClassVar[bool] = True

    @staticmethod
    @abstractmethod
    def score(records: np.ndarray, synthetic: np.ndarray, reference: np.ndarray, seed: int) -> np.ndarray:
        """A score of each record, `(n,)`, higher if it seems to be a training record.

        Args:
            records: features of the attacked records, `(n, d)`, on one scale.
            synthetic: the same of the release.
            reference: the same of a reference population that nothing learned from; empty if none is needed.
            seed: seed of any randomness.
        """

    @staticmethod
    def records(spaces: AttackSpaces) -> list[np.ndarray]:
        """Features of release, training patients, held-out patients and baseline: components of images, then cells."""
        return spaces.records

    def run(self, spaces: AttackSpaces) -> AttackResult:
        """Attacks training patients and held-out patients."""
        records, tests, curves = self.records(spaces), [], []
        dim = records[0].shape[1] - spaces.num_cells
        places = {"record": slice(None), "image": slice(dim), "row": slice(dim, None)}
        for part in self.parts:
            sides = self._sides(spaces, [one[:, places[part]] for one in records])
            if sides is None:
                continue
            title = f"{self.name} attack: {part}"
            if part == "record":
                curves.append(roc_curves(title, dict(zip(("release", "Gaussian copula"), sides, strict=True))))
            # Of whole records only: images may give training patients away while rows lie nearer to others by chance.
            if self.refuses_exchanged and part == "record":
                _check_exchanged(*(attack_auc(*one, spaces.options.bootstraps) for one in sides), len(sides[0][1]))
            tests += _tests(title, spaces, *sides)
        return AttackResult(tests, tuple(curves))

    def _sides(self, spaces: AttackSpaces, records: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]] | None:
        """Scores by patient on the release and on the baseline; None if there are too few patients for the attack."""
        synthetic, train, held_out, baseline = records
        groups, found = (spaces.train.groups, spaces.held_out.groups), []
        for one in (synthetic, baseline):
            if self.needs_reference:
                scores = scores_against_reference(self.score, train, groups[0], held_out, groups[1], one)
            else:
                scores = tuple(self.score(side, one, side[:0], 0) for side in (train, held_out))
            if scores is None:
                return None
            found.append(tuple(map(by_patient, scores, groups)))
        return found


def _tests(
    title: str,
    spaces: AttackSpaces,
    sides: tuple[np.ndarray, np.ndarray],
    baseline_sides: tuple[np.ndarray, np.ndarray],
) -> list[Test]:
    """AUC on the release minus that of the same attack on the baseline, and minus that of chance."""
    bootstraps, num_held_out = spaces.options.bootstraps, spaces.held_out.num_patients
    found, baseline = (attack_auc(*both, bootstraps) for both in (sides, baseline_sides))
    reference = {"AUC on the release": found.value, "AUC on a Gaussian copula": baseline.value}
    own, of_baseline = (attack_auc(*both, bootstraps, draws_held_out=False) for both in (sides, baseline_sides))
    spread = float(np.nanstd(own.minus(_above_chance(of_baseline)).replicates))
    risk = EstimatedRisk(found.minus(_above_chance(baseline)), num_held_out, spread)
    score = Score(title, risk.value, interval(risk), LOWER, (None, 1.0), spaces.num_patients, reference, _MEANING)
    return [Test(risk, score), chance_test(f"{title}, against chance", sides, spaces.options)]


def _above_chance(baseline: Estimate) -> Estimate:
    """The AUC on the baseline, at least 0.5: a baseline worse than chance would excuse a release."""
    return Estimate(max(baseline.value, 0.5), np.maximum(baseline.replicates, 0.5))


def chance_test(
    title: str, sides: Sequence[np.ndarray], options: EvaluationOptions, more: Mapping[str, float] | None = None
) -> Test:
    """How much better than a coin an attack tells training patients from others.

    Args:
        title: name of the score.
        sides: scores by patient, of training patients and of held-out ones.
        options: bootstrap replicates and limit.
        more: further references.
    """
    found = attack_auc(*sides, options.bootstraps)
    spread = float(np.nanstd(attack_auc(*sides, options.bootstraps, draws_held_out=False).replicates))
    chance = Estimate(0.5, np.full_like(found.replicates, 0.5))
    risk = EstimatedRisk(found.minus(chance), len(sides[1]), spread)
    labels = random_label_auc(sides[0], len(sides[1]), RANDOM_LABELS)
    reference = {"AUC": found.value, "AUC of chance": 0.5, _RANDOM: labels, **(more or {})}
    for rate in FALSE_POSITIVES:
        if (hits := true_positives(*sides, rate)) is not None:
            reference[f"true positives at {rate:.0%} false positives"] = hits
    limit = options.privacy.membership_above_chance
    n = sum(map(len, sides))
    score = Score(title, risk.value, interval(risk), LOWER, (-0.5, 0.5), n, reference, _CHANCE_MEANING)
    return Test(risk, score, limit=Limit(limit, limit))


def _check_exchanged(auc: Estimate, baseline: Estimate, num_patients: int) -> None:
    """Refuses exchanged datasets: the release, unlike the baseline, is nearer to `test` than to `train`."""
    chance = Estimate(0.5, np.full_like(auc.replicates, 0.5))
    reverse = [EstimatedRisk(one.minus(auc), num_patients) for one in (chance, baseline)]
    if all(one.bounds(float(norm.isf(FAIL_LEVEL)))[0] > 0 for one in reverse):
        raise InputError(
            "expected a release that lies nearer to `train`, which it was learned from, found it nearer to `test` "
            f"(AUC {auc.value:.2f}): if `train` and `test` were given in the wrong order, exchange them"
        )
