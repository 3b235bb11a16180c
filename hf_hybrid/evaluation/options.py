"""How a release is scored and what it is compared with; importing these options needs no torch."""

from dataclasses import dataclass, field
from pathlib import Path

from hf_hybrid.core.errors import InputError, check_at_least
from hf_hybrid.core.families import FAMILIES
from hf_hybrid.core.report import PARTS

IMAGE_MODELS = ("auto", "linear", "features", "cnn")


@dataclass(kw_only=True)
class PrivacyLimits:
    """Limits of the risks; a risk is how much better an attack does on training than on held-out patients.

    Args:
        copies: share of training patients who are copied, beyond the share of held-out patients. It fails if
            significantly above 0 and passes if significantly below this: one in twenty, the share that the threshold
            of a near copy accepts by itself.
        membership: AUC of a membership attack above that on a Gaussian copula of the same patients. At 0.1, an
            attacker who sees a training and a held-out patient picks the right one 10 times in 100 more often than
            from the copula.
        membership_above_chance: AUC of a membership attack above 0.5, that of a coin; also of the attack on a model's
            files. A copula of few patients reveals them too, and a release that is no worse is then not safe. In
            simulations of the built-in cohort, fresh draws of other people have an AUC of 0.5 with an sd of 0.045 at
            60 held-out patients and 0.025 at 200, so that 0.1 fails fewer than one of a thousand and passes most at
            200; a copula of 40 components has 0.83 at 90 training patients, 0.73 at 180, and 0.55 to 0.6 at 600
            (scripts/verdict_coverage.py).
        attribute_inference: 0.09, as for the two below: the risk of re-identification up to which the European
            Medicines Agency (policy 0070) and Health Canada publish patient data.
        singling_out: see `attribute_inference`.
        linkability: see `attribute_inference`.

    For the gate, a pass under a limit above its default counts as inconclusive.
    """

    copies: float = FAMILIES["copies"].limit
    membership: float = FAMILIES["membership"].limit
    membership_above_chance: float = FAMILIES["membership"].limit_above_chance
    attribute_inference: float = FAMILIES["attribute inference"].limit
    singling_out: float = FAMILIES["singling out"].limit
    linkability: float = FAMILIES["linkability"].limit

    def __post_init__(self) -> None:
        """Checks the values."""
        for name, limit in vars(self).items():
            if not 0 < limit < 1:
                raise InputError(f"expected the privacy limit `{name}` above 0 and below 1, found {limit}")


@dataclass(kw_only=True)
class EvaluationOptions:
    """How a release is scored.

    Args:
        seeds: number of repetitions, of which every score is the mean (choice of synthetic records, network).
        bootstraps: patient bootstrap replicates of every interval.
        image_model: "linear" (a linear model on principal components of 32 px images), "features" (on those of the
            extractor's features at the resolution of the release), "auto" (for each target the one of these two that
            predicts validation patients better, taken in turn from the training patients; the other stands beside it)
            or "cnn" (a small convolutional network on 32 px images).
        extractor: extractor of the image features for fidelity: "random" (a random convolutional network),
            "radiograph" (a small network of this package that knows chest radiographs; neither downloads), "xrv:NAME"
            (a network of torchxrayvision), or a model of the Hub that `transformers` loads. None: "radiograph" if the
            facts of the release's codec say that its images are chest radiographs, else "random".
        reader_steps: steps of each network of the machine reader; 0: texture statistics alone.
        parts: what to measure; a release without privacy cannot be pushed.
        privacy: limits of the risks.
    """

    seeds: int = 3
    bootstraps: int = 500
    image_model: str = "auto"
    extractor: str | None = None
    reader_steps: int = 250
    parts: list[str] = field(default_factory=lambda: list(PARTS))
    privacy: PrivacyLimits = field(default_factory=PrivacyLimits)

    def __post_init__(self) -> None:
        """Checks the values."""
        if not set(self.parts) <= set(PARTS):
            raise InputError(f"expected `parts` among {list(PARTS)}, found {self.parts}")
        if self.image_model not in IMAGE_MODELS:
            raise InputError(f"expected `image_model` among {list(IMAGE_MODELS)}, found {self.image_model!r}")
        check_at_least(self, 1, "seeds", "bootstraps")
        check_at_least(self, 0, "reader_steps")


@dataclass(frozen=True)
class EvaluationInputs:
    """The inputs of an evaluation.

    Args:
        release: folder that `hf-hybrid generate` wrote.
        train: `DATASET[:split]` of the training records; split "train" by default.
        test: `DATASET[:split]` of records of held-out patients; split "test" by default.
        schema: schema file whose columns override those of the release.
        targets: columns to predict; the schema's when None.
        codec: the codec of the release, to score its reconstructions; not measured when None.
        measurements: CSV file with `file_name` and numbers measured in real images; not measured when None.
        private_dir: folder of the cache, so that a second run repeats only what has changed.
    """

    release: str | Path
    train: str | Path
    test: str | Path
    schema: str | Path | None = None
    targets: list[str] | None = None
    codec: str | Path | None = None
    measurements: str | Path | None = None
    private_dir: str | Path | None = None
