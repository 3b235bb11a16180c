"""How a release is scored; apart from `evaluation`, so that commands know these options without its imports."""

from dataclasses import dataclass

from hf_hybrid.errors import InputError


@dataclass(kw_only=True)
class EvaluationOptions:
    """How a release is scored.

    Args:
        seeds: repetitions that every score is the mean of (choice of synthetic records, components, network).
        bootstraps: patient bootstrap replicates behind every interval.
        image_model: "linear" (principal components of 32 px images) or "cnn" (a small convolutional network).
    """

    seeds: int = 3
    bootstraps: int = 500
    image_model: str = "linear"

    def __post_init__(self) -> None:
        """Checks the values."""
        if self.image_model not in ("linear", "cnn"):
            raise InputError(f"expected `image_model` linear or cnn, found {self.image_model!r}")
        for name in ("seeds", "bootstraps"):
            if getattr(self, name) < 1:
                raise InputError(f"expected `{name}` of at least 1, found {getattr(self, name)}")
