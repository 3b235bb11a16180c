"""`hf-hybrid evaluate`: the evidence about a release, from real records that it was learned from and from others."""

import sys
from dataclasses import dataclass, field, fields

from hf_hybrid.core import artifacts
from hf_hybrid.core.errors import InputError
from hf_hybrid.evaluation.options import EvaluationInputs, EvaluationOptions
from hf_hybrid.reports.terminal import format_privacy, format_report

POSITIONAL = ("release",)


@dataclass(kw_only=True)
class Options(EvaluationOptions):
    """Scores a release against real records and writes the report, the charts and the card into it.

    Of a pipeline, or of a codec trained on private images, it measures what the files themselves tell an attacker.

    Args:
        release: folder that `hf-hybrid generate` wrote; or a pipeline, or a codec trained with `private_images`.
        train: `DATASET[:split]` of the real records that the release was learned from; split "train" if not said.
        test: `DATASET[:split]` of real records of other patients; split "test" if not said.
        targets: columns to predict; those of the release's schema if not said.
        schema: schema file to read all records with; the release's own if not said.
        codec: folder or Hub id of the codec behind the release, to score its reconstructions.
        measurements: CSV file with `file_name` and numbers measured in the real images, which the rows of synthetic
            ones should go with as those of real ones do.
        seeds: repetitions that every score is the mean of (choice of synthetic records, components, network); 3 if
            not said.
        image_model: "linear" (principal components of 32 px images; if not said) or "cnn" (a small convolutional
            network).
        extractor: of the image features that fidelity is measured in: "random" (a random convolutional network, no
            download; if not said), or a model of the Hub that `transformers` loads, such as an encoder of radiographs.
        parts: what to measure, all if not said; a release without privacy cannot be pushed.

    What only the publisher may see, and what a second run need not measure again, goes to `<release>-private/`.
    """

    release: str = field(kw_only=False)
    train: str
    test: str
    schema: str | None = None
    # What has no say in attacks on the files of a model; None if not given, so that it can be refused there.
    targets: list[str] | None = None
    codec: str | None = None
    measurements: str | None = None
    seeds: int | None = None
    image_model: str | None = None
    extractor: str | None = None
    parts: list[str] | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        self.scoring()

    def scoring(self) -> EvaluationOptions:
        """How to score, with the defaults of what is not given."""
        said = {one.name: getattr(self, one.name) for one in fields(EvaluationOptions)}
        return EvaluationOptions(**{name: value for name, value in said.items() if value is not None})

    def check_model(self) -> None:
        """Raises InputError for what only a release has."""
        of_releases = ("targets", "codec", "measurements", "seeds", "image_model", "extractor", "parts")
        if given := [name for name in of_releases if getattr(self, name) is not None]:
            raise InputError(f"expected {', '.join(f'`{name}`' for name in given)} for a release only: leave it out")


def main(options: Options) -> int:
    """Writes `report.json`, `report.html`, `assets/utility_*.png` and the card; prints the scores."""
    how = options.scoring()
    if artifacts.kind_of(options.release) is not artifacts.RELEASE:
        options.check_model()
        from hf_hybrid.evaluation.model_evaluation import evaluate_model

        report = evaluate_model(options.release, options.train, options.test, how, options.schema)
        sys.stdout.write(format_privacy(report.privacy))
        return 0
    from hf_hybrid.evaluation.publication import evaluate_and_complete

    private_dir = artifacts.private_folder_of(options.release)
    inputs = EvaluationInputs(
        options.release,
        options.train,
        options.test,
        schema=options.schema,
        targets=options.targets,
        codec=options.codec,
        measurements=options.measurements,
        private_dir=private_dir,
    )
    report = evaluate_and_complete(inputs, how)
    sys.stdout.write(format_report(report))
    sys.stdout.write(f"{'not for others':15} {private_dir / 'report.html'}\n")
    return 0
