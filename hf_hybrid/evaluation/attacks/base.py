"""The contract of an attack: compared records in, tests out, each a risk with a score for the report."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_hybrid.core.families import FAMILIES, Family, Limit
from hf_hybrid.core.scores import HELD_OUT, TRAINING, Score
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.metrics.reidentification import mean_by_patient
from hf_hybrid.metrics.risk import RateRisk, Risk, interval, judge

LOWER = "lower is better"


@dataclass(frozen=True)
class Test:
    """One risk and its score in the report; `is_detail` as in `judge`, `limit` if it is not that of the family."""

    __test__ = False  # not one of pytest's

    risk: Risk
    score: Score
    is_detail: bool = False
    limit: Limit | None = None


@dataclass(frozen=True)
class ClosestPair:
    """A training record and the synthetic one that is nearest to it: for the publisher only.

    Args:
        part: what is near, `image` or `row`.
        train: number of the training record.
        synthetic: number of the synthetic one.
        distance: as a multiple of the threshold of a near copy.
    """

    part: str
    train: int
    synthetic: int
    distance: float


@dataclass(frozen=True)
class AttackResult:
    """The result of one attack.

    Args:
        tests: its tests, each with a risk.
        curves: for charts, see `metrics.curves`.
        closest_pairs: for the publisher.
    """

    tests: list[Test]
    curves: tuple[dict, ...] = ()
    closest_pairs: tuple[ClosestPair, ...] = ()


class Attack(ABC):
    """One attack; its facts are class attributes, checked when the class is defined.

    Attributes:
        name: what the progress bar shows.
        family: one of `core.families.FAMILIES`; the attack affects its verdict.
        citation: source of the attack.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    citation: ClassVar[str]

    def __init_subclass__(cls, is_abstract: bool = False, **kwargs: object) -> None:
        """Refuses a class without its facts."""
        super().__init_subclass__(**kwargs)
        if is_abstract:
            return
        absent = [fact for fact in ("name", "family", "citation") if not getattr(cls, fact, None)]
        assert not absent, f"expected the facts {absent} on {cls.__name__}, found none"
        assert cls.family in FAMILIES, f"expected `family` among {list(FAMILIES)}, found {cls.family!r}"

    @abstractmethod
    def run(self, spaces: AttackSpaces) -> AttackResult:
        """Attacks training patients and held-out patients."""


def judged(name: str, tests: list[Test], limit: Limit) -> Family:
    """A family of attacks, from its tests."""
    whole, details = ([test for test in tests if test.is_detail is detail] for detail in (False, True))
    risks = ({test.score.name: test.risk for test in side} for side in (whole, details))
    own = {test.score.name: test.limit for test in tests if test.limit}
    verdict = judge(next(risks), limit, next(risks), own)
    return Family(name, verdict, limit, *(tuple(test.score for test in side) for side in (whole, details)), own)


def rate_test(name: str, rates: RateRisk, meaning: str, risk: Risk | None = None, is_detail: bool = False) -> Test:
    """A test of a success rate, with the rate among held-out patients as reference."""
    risk, n = risk or rates, len(rates.training) + len(rates.held_out)
    reference = dict(zip((TRAINING, HELD_OUT), rates.rates, strict=True))
    score = Score(name, risk.value, interval(risk), LOWER, (None, 1.0), n, reference, meaning)
    return Test(risk, score, is_detail)


def rates_by_patient(spaces: AttackSpaces, training: np.ndarray, held_out: np.ndarray) -> RateRisk:
    """Share of each patient's records that were hit: "any record" would favour patients with many."""
    sides = zip((training, held_out), spaces.sets[1:], strict=True)
    return RateRisk(*(mean_by_patient(hit * 1.0, one.groups) for hit, one in sides))
