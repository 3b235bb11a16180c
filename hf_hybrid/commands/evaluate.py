"""`hf-hybrid evaluate`: the evidence about a release, from real records that it was learned from and from others."""

import sys
from dataclasses import dataclass, fields

from hf_hybrid.core import artifacts
from hf_hybrid.evaluation.options import EvaluationOptions

POSITIONAL = ("release",)
# What has no say in attacks on the files of a model.
_OF_RELEASES = ("targets", "codec", "measurements", "seeds", "image_model", "extractor", "parts")


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

    What only the publisher may see, and what a second run need not measure again, goes to `<release>-private/`.
    """

    release: str
    train: str
    test: str
    targets: list[str] | None = None
    schema: str | None = None
    codec: str | None = None
    measurements: str | None = None


def main(options: Options) -> int:
    """Writes `report.json`, `report.html`, `assets/utility_*.png` and the card; prints the scores."""
    from hf_hybrid.core.artifacts import private_folder_of
    from hf_hybrid.evaluation.options import EvaluationInputs
    from hf_hybrid.evaluation.publication import evaluate_and_complete
    from hf_hybrid.reports.terminal import format_privacy, format_report

    how = EvaluationOptions(**{entry.name: getattr(options, entry.name) for entry in fields(EvaluationOptions)})
    if artifacts.kind_of(options.release) is not artifacts.RELEASE:
        from hf_hybrid.core.errors import InputError
        from hf_hybrid.evaluation.model_evaluation import evaluate_model

        defaults = Options(release=options.release, train=options.train, test=options.test)
        if given := [name for name in _OF_RELEASES if getattr(options, name) != getattr(defaults, name)]:
            raise InputError(f"expected {', '.join(f'`{name}`' for name in given)} for a release only: leave it out")
        report = evaluate_model(options.release, options.train, options.test, how, options.schema)
        sys.stdout.write(format_privacy(report.privacy))
        return 0
    private_dir = private_folder_of(options.release)
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
