"""Families of attacks: their fixed facts, limits and verdicts; to and from JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.scores import Score, plain_json

VERDICTS = ("fail", "inconclusive", "pass")  # worst first


@dataclass(frozen=True)
class FamilyFacts:
    """Fixed facts of a family of attacks.

    Args:
        question: the question that its attacks answer.
        limit: default limit of its risk; a publisher may set another, and the gate then asks for a reason, which the
            card shows.
        advice: what to do when it fails.
        limit_above_chance: default limit of its attacks against chance; None if chance is their only reference.
    """

    question: str
    limit: float
    advice: str
    limit_above_chance: float | None = None


_REMEMBER_LESS = "use a sampler that remembers less: fewer steps, more shrinkage, the copula"


FAMILIES = {
    "copies": FamilyFacts(
        "Does the release repeat a patient's image, row or record, exactly or nearly?",
        0.05,
        "use a sampler that copies less (fewer steps, the copula), or train on more patients",
    ),
    "membership": FamilyFacts(
        "Can an attacker who holds a patient's record tell whether it was in the training data?",
        *(0.1, _REMEMBER_LESS, 0.1),
    ),
    "attribute inference": FamilyFacts(
        "Can an attacker who knows the other data of a patient guess one cell?",
        0.09,
        "leave the columns named out, coarsen them, or use a sampler that remembers less",
    ),
    "singling out": FamilyFacts(
        "Does a description that fits one synthetic record fit exactly one patient?",
        0.09,
        "coarsen rare combinations: merge categories, round numbers, trim bounds",
    ),
    "linkability": FamilyFacts(
        "Does the release reveal which parts of a record belong to one patient?", 0.09, _REMEMBER_LESS
    ),
    "files": FamilyFacts(
        "Do the files contain names, identifiers, times, paths, or images with more than pixels?",
        0.0,
        "remove what was found from the source columns and make the release again",
    ),
}


@dataclass(frozen=True)
class Limit:
    """Limits of the risks of a family.

    Args:
        fail_above: a risk significantly above this fails.
        pass_below: the family passes if all risks are significantly below this.
    """

    fail_above: float
    pass_below: float


@dataclass(frozen=True)
class Verdict:
    """The verdict of a family of attacks.

    Args:
        word: one of `VERDICTS`.
        failed: names of the attacks that are significantly above their limit.
        patients_needed: about how many held-out patients, with the same training patients, would settle an
            inconclusive verdict; None if not known, or if no number would.
        is_settled_by_patients: whether some number would, as far as is known.
    """

    word: str
    failed: tuple[str, ...] = ()
    patients_needed: int | None = None
    is_settled_by_patients: bool = True


@dataclass(frozen=True)
class Family:
    """A family of attacks: its verdict and its scores.

    Args:
        name: one of `FAMILIES`.
        verdict: its verdict.
        limit: the limit that was applied.
        scores: scores of its attacks.
        details: parts of the scores; they can fail a family but never pass it.
        own_limits: limits of those scores that have another one, by their names.

    A pass under a limit that is looser than the default becomes inconclusive, whoever made it.
    """

    name: str
    verdict: Verdict
    limit: Limit
    scores: tuple[Score, ...] = ()
    details: tuple[Score, ...] = ()
    own_limits: Mapping[str, Limit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Takes back a pass under a loose limit."""
        if self.verdict.word == "pass" and self.is_loose:
            object.__setattr__(self, "verdict", Verdict("inconclusive"))

    @property
    def facts(self) -> FamilyFacts:
        """Its fixed facts."""
        return FAMILIES[self.name]

    @property
    def advice(self) -> str | None:
        """What to do if it failed."""
        return self.facts.advice if self.verdict.word == "fail" else None

    def limit_of(self, score: str) -> Limit:
        """The limit of one of its scores."""
        return self.own_limits.get(score, self.limit)

    @property
    def open_details(self) -> tuple[Score, ...]:
        """The details whose interval reaches the limit, the largest value first: they are not surely below it."""
        found = [one for one in self.details if one.interval and not one.interval[1] < self.limit.pass_below]
        return tuple(sorted(found, key=lambda one: -one.value))

    @property
    def is_loose(self) -> bool:
        """Whether a limit was applied that is looser than the default."""
        return max(self.limit.fail_above, self.limit.pass_below) > self.facts.limit or any(
            max(one.fail_above, one.pass_below) > (self.facts.limit_above_chance or 0)
            for one in self.own_limits.values()
        )

    def to_dict(self) -> dict:
        """JSON-able form; verdict and limit are flattened."""
        return {
            "name": self.name,
            "verdict": self.verdict.word,
            "fails_above": self.limit.fail_above,
            "limit": self.limit.pass_below,
            "failed": list(self.verdict.failed),
            "patients_needed": self.verdict.patients_needed,
            "is_settled_by_patients": self.verdict.is_settled_by_patients,
            "advice": self.advice,
            "scores": plain_json(self.scores),
            "details": plain_json(self.details),
            "own_limits": {name: [one.fail_above, one.pass_below] for name, one in self.own_limits.items()},
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            InputError: a fact is missing, or of another version.
        """
        try:
            if facts["name"] not in FAMILIES or facts["verdict"] not in VERDICTS:
                raise InputError(
                    f"expected families of attacks among {list(FAMILIES)} with verdicts among {list(VERDICTS)} in "
                    f"report.json, found {facts['name']!r} with {facts['verdict']!r}: run `hf-hybrid evaluate` again"
                )
            return cls(
                facts["name"],
                Verdict(
                    *(facts["verdict"], tuple(facts["failed"]), facts["patients_needed"]),
                    facts.get("is_settled_by_patients", True),
                ),
                Limit(facts["fails_above"], facts["limit"]),
                *(tuple(map(Score.from_dict, facts[name])) for name in ("scores", "details")),
                {name: Limit(*ends) for name, ends in facts.get("own_limits", {}).items()},
            )
        except KeyError as key:
            raise InputError(
                f"expected the fact {key} in report.json, found none: run `hf-hybrid evaluate` again"
            ) from None
