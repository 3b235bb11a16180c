"""Scores, each with its meaning and its references; to and from JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self

from hf_hybrid.core.errors import InputError

CHANCE = {"auc": 0.5, "r2": 0.0}  # chance level of each metric; a recovered share counts what is above it


# Terms of a report: training sets of models, and the patients that a number refers to.
REAL, REPEATED, SHUFFLED = "real", "real repeated", "images shuffled"
TRAINING, HELD_OUT = "training patients", "held-out patients"
COLUMNS_SHUFFLED = "training patients, every column shuffled"


class Facts:
    """JSON both ways for a frozen dataclass: its fields in their order, under their names.

    A field's metadata may give the class of its items (`of`); an `optional` field is left out if it is None.
    """

    def to_dict(self) -> dict:
        """JSON-able."""
        return {
            one.name: plain_json(getattr(self, one.name))
            for one in fields(self)
            if not (one.metadata.get("optional") and getattr(self, one.name) is None)
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            InputError: a fact is missing.
        """
        values = {}
        for one in fields(cls):
            if not isinstance(facts, Mapping) or (one.name not in facts and one.default is MISSING):
                raise InputError(
                    f"expected the fact '{one.name}' in report.json, found none: run `hf-hybrid evaluate` again"
                )
            if one.name in facts:
                values[one.name] = _read(facts[one.name], one.metadata.get("of"))
        return cls(**values)


def plain_json(value: object) -> object:
    """Nested facts as JSON-able values."""
    if isinstance(value, Facts):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: plain_json(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [plain_json(one) for one in value]
    return value


def _read(value: object, of: type[Facts] | None) -> object:
    if of and isinstance(value, Sequence):
        return tuple(of.from_dict(one) for one in value)
    return tuple(value) if isinstance(value, list) else value


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


@dataclass(frozen=True)
class Score(Facts):
    """A number with its interval and its references.

    Args:
        name: name of the score.
        value: None if not known; `reason` then says why.
        interval: 95 % interval over patients; None if there is none.
        direction: which way is better.
        range: lowest and highest value, None if unbounded.
        n: number of patients behind it; None if too few to be disclosed.
        reference: its references, by name.
        meaning: one sentence for readers without a background in statistics.
        reason: why there is no value.
    """

    name: str
    value: float | None
    interval: tuple[float, float] | None
    direction: str
    range: tuple[float | None, float | None]
    n: int | None
    reference: dict[str, float] = field(default_factory=dict)
    meaning: str = ""
    reason: str | None = None

    def to_dict(self) -> dict:
        """JSON-able, rounded."""
        return super().to_dict() | {
            "value": _rounded(self.value),
            "interval": self.interval and [_rounded(end) for end in self.interval],
            "reference": {name: _rounded(value) for name, value in self.reference.items()},
        }


@dataclass(frozen=True)
class UtilityScore(Facts):
    """The score of a model trained on one training set, on held-out patients.

    Args:
        target: column that it predicts.
        metric: `auc`, `balanced_accuracy`, `r2` or `mae`.
        direction: which way is better.
        range: lowest and highest value, None if unbounded.
        inputs: its inputs: `image`, `table`, `both`, or `other`: the image, by the image model that was not chosen.
        trained_on: name of the training set.
        n_train: training records with a value.
        n_test: test records with a value; None if their patients are too few to be disclosed.
        n_test_patients: likewise.
        classes_scored: classes that enough held-out patients have; None for numbers.
        seeds: number of repetitions; the value is their mean.
        value: the score; None if not given, see `reason`.
        interval: 95 %, over patients.
        compared_with: the training set whose score is subtracted.
        difference: paired difference of both scores.
        difference_interval: its 95 % interval.
        reason: why there is no value.
    """

    target: str
    metric: str
    direction: str
    range: tuple[float | None, float | None]
    inputs: str
    trained_on: str
    n_train: int
    n_test: int | None
    n_test_patients: int | None
    classes_scored: int | None
    seeds: int
    value: float | None
    interval: tuple[float, float] | None
    compared_with: str
    difference: float | None
    difference_interval: tuple[float, float] | None
    reason: str | None


@dataclass(frozen=True)
class ImageModelChoice(Facts):
    """Which image model the scores of a target are shown of: the one that predicts validation patients better.

    Args:
        target: column that is predicted.
        metric: `auc` or `r2`.
        shown: what the model of the inputs `image` and `both` sees, in words.
        beside: the same of the inputs `other`.
        shown_score: its score on validation patients, taken in turn from the training patients; None if not known.
        beside_score: likewise.
    """

    target: str
    metric: str
    shown: str
    beside: str
    shown_score: float | None
    beside_score: float | None

    def to_dict(self) -> dict:
        """JSON-able, rounded."""
        scores = {name: _rounded(getattr(self, name)) for name in ("shown_score", "beside_score")}
        return super().to_dict() | scores

    @property
    def in_words(self) -> str:
        """Which image model is shown, with both scores on validation patients."""
        scores = [
            "not scored" if one is None else f"{self.metric} {one:.2f}"
            for one in (self.shown_score, self.beside_score)
        ]
        return f"{self.target}: {self.shown} ({scores[0]}); other: {self.beside} ({scores[1]})"


@dataclass(frozen=True)
class Recovered(Facts):
    """How much of the utility of real records synthetic records keep.

    Args:
        target: column that is predicted.
        metric: see `UtilityScore`.
        inputs: likewise.
        trained_on: the synthetic training set.
        compared_with: the real one.
        recovered_share: (synthetic - chance) / (real - chance); None if not given, see `reason`.
        recovered_share_interval: 95 %, over patients.
        gap: real - synthetic, paired.
        gap_interval: its 95 % interval.
        reason: why neither is given.
        repeated_share: the share that real records reach when they are repeated to the number of the largest synthetic
            set: the control of the denominator, 1 if nothing but the number of records differs.
    """

    target: str
    metric: str
    inputs: str
    trained_on: str
    compared_with: str
    recovered_share: float | None
    recovered_share_interval: tuple[float, float] | None
    gap: float | None
    gap_interval: tuple[float, float] | None
    reason: str | None
    repeated_share: float | None = field(default=None, metadata={"optional": True})
