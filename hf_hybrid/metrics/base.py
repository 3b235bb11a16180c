"""The contract of a fidelity metric: its facts are class attributes, checked when the class is defined."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

HIGHER, LOWER = "higher is better", "lower is better"


@dataclass(frozen=True)
class MetricFacts:
    """What a reader needs to know about a number.

    Args:
        direction: which way is better.
        range: lowest and highest value, None if unbounded.
        meaning: one sentence for readers without a background in statistics.
        citation: its source.
    """

    direction: str
    range: tuple[float | None, float | None]
    meaning: str
    citation: str


class FidelityMetric(ABC):
    """A comparison of synthetic and real records; one class may give several numbers that share computations.

    Attributes:
        facts: facts of each number, by its name.
    """

    facts: ClassVar[dict[str, MetricFacts]]

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Refuses a class without its facts."""
        super().__init_subclass__(**kwargs)
        facts = getattr(cls, "facts", None)
        assert facts, f"expected `facts` on {cls.__name__}, found none"
        for name, one in facts.items():
            assert one.direction in (HIGHER, LOWER), f"expected a direction of {name}, found {one.direction!r}"
            assert one.meaning and one.citation, f"expected `meaning` and `citation` of {name}, found none"

    @abstractmethod
    def scores(self, synthetic: pd.DataFrame | np.ndarray, real: pd.DataFrame | np.ndarray) -> dict[str, float]:
        """The numbers by name, of typed frames or of image features `(n, d)`."""
