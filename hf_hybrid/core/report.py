"""Results of an evaluation: parts of a report, families of attacks with verdicts, scores; to and from JSON.

Evaluation returns these classes, `report.json` stores them, and gate, cards, page and terminal read them. Numbers are
rounded to four decimals on the way to JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.families import VERDICTS, Family
from hf_hybrid.core.scores import Facts, ImageModelChoice, Recovered, Score, UtilityScore, plain_json

PARTS = ("utility", "fidelity", "pairing", "privacy")
MIN_BOOTSTRAPS = 100  # minimum replicates for the gate: fewer can hide a strong attack


@dataclass(frozen=True)
class NotMeasured(Facts):
    """A part that was not measured, and why."""

    reason: str = "it was not asked for"

    def to_dict(self) -> dict:
        """JSON-able."""
        return {"status": "not measured", **super().to_dict()}


class _Measured(Facts):
    def to_dict(self) -> dict:
        """JSON-able."""
        return {"status": "measured", **super().to_dict()}


@dataclass(frozen=True)
class Utility(_Measured):
    """Scores of models trained on synthetic and on real records.

    Args:
        interval: description of the intervals.
        scores: of every model.
        headline: recovered shares.
        image_models: which image model is shown of each target, if it was chosen on validation patients.
    """

    interval: str
    scores: tuple[UtilityScore, ...] = field(metadata={"of": UtilityScore})
    headline: tuple[Recovered, ...] = field(metadata={"of": Recovered})
    image_models: tuple[ImageModelChoice, ...] | None = field(
        default=None, metadata={"of": ImageModelChoice, "optional": True}
    )


@dataclass(frozen=True)
class Fidelity(_Measured):
    """How alike synthetic and real records are.

    Args:
        interval: description of the intervals.
        extractor: extractor of the image features.
        table: scores of rows.
        images: scores of images.
        marginals: shares of each column's bins or categories.
        correlations: rank correlations of both sides.
        codec: scores of reconstructions, if the codec was given.
    """

    interval: str
    extractor: str
    table: tuple[Score, ...] = field(metadata={"of": Score})
    images: tuple[Score, ...] = field(metadata={"of": Score})
    marginals: tuple[dict, ...]
    correlations: dict
    codec: tuple[Score, ...] | None = field(default=None, metadata={"of": Score, "optional": True})


@dataclass(frozen=True)
class Pairing(_Measured):
    """Whether image and row belong together: over all columns, by column, and by measurements in the images."""

    interval: str
    scores: tuple[Score, ...] = field(metadata={"of": Score})
    columns: tuple[Score, ...] = field(metadata={"of": Score})
    measurements: tuple[Score, ...] | None = field(default=None, metadata={"of": Score, "optional": True})


@dataclass(frozen=True)
class Privacy(Facts):
    """Results of the attacks.

    Args:
        families: families of attacks.
        screening: distances that do not affect the verdict.
        curves: histograms and ROC curves for charts.
    """

    families: tuple[Family, ...] = field(metadata={"of": Family})
    screening: tuple[Score, ...] = field(metadata={"of": Score})
    curves: tuple[dict, ...]

    @property
    def verdict(self) -> str:
        """The verdict of the worst family."""
        return min((one.verdict.word for one in self.families), key=VERDICTS.index)

    def with_family(self, family: Family) -> Self:
        """A copy in which this family replaces the one of the same name, or is appended."""
        others = tuple(one for one in self.families if one.name != family.name)
        return replace(self, families=(*others, family))

    def to_dict(self) -> dict:
        """JSON-able."""
        families = [one.to_dict() for one in self.families]
        rest = {"families": families, "screening": plain_json(self.screening), "curves": plain_json(self.curves)}
        return {"status": "measured", "verdict": self.verdict, **rest}


_SECTIONS = {"utility": Utility, "fidelity": Fidelity, "pairing": Pairing, "privacy": Privacy}


@dataclass(frozen=True)
class Report:
    """The evidence about a release, or about the files of a model, which has `privacy` alone.

    Args:
        utility: None if a report of its kind has no such part.
        fidelity: likewise.
        pairing: likewise.
        privacy: likewise.
        provenance: configuration, versions, and hashes of the evaluated files.
    """

    utility: Utility | NotMeasured | None = None
    fidelity: Fidelity | NotMeasured | None = None
    pairing: Pairing | NotMeasured | None = None
    privacy: Privacy | NotMeasured | None = None
    provenance: dict = field(default_factory=dict)

    def measured(self) -> dict[str, Any]:
        """The parts that were measured, by name."""
        parts = {name: getattr(self, name) for name in PARTS}
        return {name: part for name, part in parts.items() if part is not None and not isinstance(part, NotMeasured)}

    def to_dict(self) -> dict:
        """The content of `report.json`: the same for the same records, options and versions."""
        parts = {name: getattr(self, name) for name in PARTS}
        return {name: part.to_dict() for name, part in parts.items() if part is not None} | {
            "provenance": self.provenance
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            InputError: it is not a report of this version.
        """
        if not isinstance(facts, Mapping):
            raise InputError("expected a JSON object in report.json, found something else: run `hf-hybrid evaluate`")
        parts = {name: section_from_dict(name, facts[name]) for name in PARTS if name in facts}
        return cls(**parts, provenance=facts.get("provenance", {}))


def section_from_dict(name: str, facts: Mapping[str, Any]) -> Utility | Fidelity | Pairing | Privacy | NotMeasured:
    """One part of a report, by its name in `PARTS`.

    Raises:
        InputError: a fact is missing.
    """
    status = facts.get("status") if isinstance(facts, Mapping) else None
    if status not in ("measured", "not measured"):
        raise InputError(
            f"expected `status` measured or not measured of {name} in report.json, found {status!r}: "
            "run `hf-hybrid evaluate` again"
        )
    return (_SECTIONS[name] if status == "measured" else NotMeasured).from_dict(facts)
