"""One number of a report, which never stands without what it means."""

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Score:
    """A number, its interval, and what it is to be read against.

    Args:
        name: what was scored.
        value: None where it cannot be told; `reason` says why then.
        interval: 95 %, over patients; None where there is none.
        direction: which way is better.
        range: lowest and highest value, None where there is no end.
        n: patients that it rests on; None where they are too few to be counted.
        reference: the control or controls that it is to be read against, by name.
        meaning: one sentence for a reader who is no statistician.
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
        """JSON-able, numbers rounded to four decimals."""
        rounded = {
            "value": None if self.value is None else round(float(self.value), 4),
            "interval": self.interval and [round(float(end), 4) for end in self.interval],
            "range": list(self.range),
            "reference": {name: round(float(value), 4) for name, value in self.reference.items()},
        }
        return {**asdict(self), **rounded}


CHANCE = {"auc": 0.5, "r2": 0.0}

# Words of a report: what a model was trained on, and whose records a number is about.
REAL, REPEATED, SHUFFLED = "real", "real repeated", "images shuffled"
REFERENCE = MEMBERS = "patients learned from"
UNSEEN = "unseen patients"
