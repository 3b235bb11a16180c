"""`hf-hybrid evaluate`: the evidence about a release, from training records and held-out records."""

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

    For a pipeline, or a codec trained on private images, it measures what the files reveal to an attacker.

    Args:
        release: folder that `hf-hybrid generate` wrote; or a pipeline, or a codec trained with `private_images`.
        train: `DATASET[:split]` of the training records; split "train" by default.
        test: `DATASET[:split]` of records of held-out patients; split "test" by default.
        targets: columns to predict; by default those of the release's schema.
        schema: schema file to read all records with; by default the release's own.
        codec: the codec behind the release (`builtin:NAME`, folder or Hub id), to score its reconstructions.
        measurements: CSV file with `file_name` and numbers measured in the real images; in synthetic records they
            should correlate with the rows as in real ones.
        seeds: number of repetitions, of which every score is the mean (choice of synthetic records, components,
            network); 3 by default.
        image_model: "linear" (a linear model on principal components of 32 px images), "features" (on those of the
            extractor's features at the resolution of the release), "auto" (for each target the one of these two that
            predicts validation patients better, the other beside it; the default) or "cnn" (a small convolutional
            network on 32 px images).
        extractor: extractor of the image features for fidelity: "random" (a random convolutional network),
            "radiograph" (a small network of this package that knows chest radiographs; neither downloads),
            "xrv:densenet121-res224-all" and others of torchxrayvision, or a model of the Hub that `transformers`
            loads; by default "radiograph" if the release's codec was trained on chest
            radiographs, else "random".
        reader_steps: steps of each network of the machine reader, which tells synthetic from real images; 250 by
            default, 0 for texture statistics alone.
        parts: what to measure, all by default; a release without privacy cannot be pushed.

    The publisher's own page and the cache for a second run are written to `<release>-private/`.
    """

    release: str = field(kw_only=False)
    train: str
    test: str
    schema: str | None = None
    # Options that do not affect attacks on the files of a model; None if not given, so that they can be refused.
    targets: list[str] | None = None
    codec: str | None = None
    measurements: str | None = None
    seeds: int | None = None
    image_model: str | None = None
    extractor: str | None = None
    reader_steps: int | None = None
    parts: list[str] | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        self.scoring()

    def scoring(self) -> EvaluationOptions:
        """The options of the scores, with defaults for those not given."""
        said = {one.name: getattr(self, one.name) for one in fields(EvaluationOptions)}
        return EvaluationOptions(**{name: value for name, value in said.items() if value is not None})

    def check_model(self) -> None:
        """Raises InputError for options that apply only to a release."""
        of_releases = ("targets", "codec", "measurements", "seeds", "image_model", "extractor")
        of_releases += ("reader_steps", "parts")
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
    sys.stdout.write(f"{'private report':15} {private_dir / 'report.html'}\n")
    return 0
