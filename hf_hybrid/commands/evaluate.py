"""`hf-hybrid evaluate`: utility of a release, trained on synthetic and tested on real records."""

import sys
from dataclasses import dataclass, fields
from pathlib import Path

from hf_hybrid.evaluation_options import EvaluationOptions

POSITIONAL = ("release",)


@dataclass(kw_only=True)
class Options(EvaluationOptions):
    """Scores a release against real records and writes the report, the charts and the card into it.

    Args:
        release: folder that `hf-hybrid generate` wrote.
        train: `DATASET[:split]` of the real records that the release was learned from; split "train" if not said.
        test: `DATASET[:split]` of real records of other patients; split "test" if not said.
        targets: columns to predict; those of the release's schema if not said.
        schema: schema file to read all records with; the release's own if not said.
    """

    release: str
    train: str
    test: str
    targets: list[str] | None = None
    schema: str | None = None


def main(options: Options) -> int:
    """Writes `report.json`, `assets/utility_*.png`, card and `report.html`; prints the scores."""
    from hf_hybrid.charts import draw_charts, format_report
    from hf_hybrid.evaluation import evaluate_release
    from hf_hybrid.release import complete

    release = Path(options.release)
    how = EvaluationOptions(**{entry.name: getattr(options, entry.name) for entry in fields(EvaluationOptions)})
    report = evaluate_release(release, options.train, options.test, how, options.schema, options.targets)
    draw_charts(report, release / "assets")
    complete(release, report.to_dict())
    sys.stdout.write(format_report(report))
    return 0
