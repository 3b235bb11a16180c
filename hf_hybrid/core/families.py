"""Families of attacks: their fixed facts, limits and verdicts; to and from JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
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
    """

    question: str
    limit: float
    advice: str


_REMEMBER_LESS = "use a sampler that remembers less: fewer steps, more shrinkage, the copula"


FAMILIES = {
    "copies": FamilyFacts(
        "Does the release repeat a patient's image, row or record, exactly or nearly?",
        0.05,
        "use a sampler that copies less (fewer steps, the copula), or train on more patients",
    ),
    "membership": FamilyFacts(
        "Can an attacker who holds a patient's record tell whether it was in the training data?", 0.1, _REMEMBER_LESS
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
        patients_needed: about how many held-out patients would settle an inconclusive verdict; None if not known.
    """

    word: str
    failed: tuple[str, ...] = ()
    patients_needed: int | None = None


@dataclass(frozen=True)
class Family:
    """A family of attacks: its verdict and its scores.

    Args:
        name: one of `FAMILIES`.
        verdict: its verdict.
        limit: the limit that was applied.
        scores: scores of its attacks.
        details: parts of the scores; they can fail a family but never pass it.
    """

    name: str
    verdict: Verdict
    limit: Limit
    scores: tuple[Score, ...] = ()
    details: tuple[Score, ...] = ()

    @property
    def facts(self) -> FamilyFacts:
        """Its fixed facts."""
        return FAMILIES[self.name]

    @property
    def advice(self) -> str | None:
        """What to do if it failed."""
        return self.facts.advice if self.verdict.word == "fail" else None

    @property
    def settled(self) -> str:
        """The verdict that the gate uses: a pass under a limit looser than the default is inconclusive."""
        is_loose = max(self.limit.fail_above, self.limit.pass_below) > self.facts.limit
        return "inconclusive" if self.verdict.word == "pass" and is_loose else self.verdict.word

    def to_dict(self) -> dict:
        """JSON-able form; verdict and limit are flattened."""
        return {
            "name": self.name,
            "verdict": self.verdict.word,
            "fails_above": self.limit.fail_above,
            "limit": self.limit.pass_below,
            "failed": list(self.verdict.failed),
            "patients_needed": self.verdict.patients_needed,
            "advice": self.advice,
            "scores": plain_json(self.scores),
            "details": plain_json(self.details),
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
                Verdict(facts["verdict"], tuple(facts["failed"]), facts["patients_needed"]),
                Limit(facts["fails_above"], facts["limit"]),
                *(tuple(map(Score.from_dict, facts[name])) for name in ("scores", "details")),
            )
        except KeyError as key:
            raise InputError(
                f"expected the fact {key} in report.json, found none: run `hf-hybrid evaluate` again"
            ) from None
