"""Completion of a release: the evidence in its folder, and the statements of its publisher."""

import re
from pathlib import Path

from hf_hybrid.core import artifacts, provenance
from hf_hybrid.core.artifacts import ASSETS, CARD, REPORT
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.report import Report
from hf_hybrid.evaluation.options import EvaluationInputs, EvaluationOptions
from hf_hybrid.evaluation.publisher_page import write_publisher_page
from hf_hybrid.evaluation.release_evaluation import Evaluation, judge, load, measure
from hf_hybrid.hub import gate
from hf_hybrid.reports import cards
from hf_hybrid.reports.charts import draw_charts, report_charts
from hf_hybrid.synthesis import release


def evaluate_and_complete(inputs: EvaluationInputs, options: EvaluationOptions) -> Report:
    """Evaluates a release and writes the evidence into its folder.

    Raises:
        InputError: see `evaluate_release`.
    """
    loaded = load(inputs)
    measured = measure(loaded, options)
    judged = judge(measured)
    return write_evidence(judged)


def write_evidence(evaluation: Evaluation) -> Report:
    """Completes a release with its report, charts, card and page, and the publisher's own page beside it.

    Returns:
        The report as it was written; files written after the evaluation were searched too.
    """
    folder = Path(evaluation.loaded.inputs.release)
    draw_charts(evaluation.report, folder / ASSETS)
    charts = report_charts(evaluation.report)
    release.complete(folder, evaluation.report, charts)
    again = judge(evaluation)
    if again.report != evaluation.report:  # the written files contain a private name
        release.complete(folder, again.report, charts)
    write_publisher_page(folder, again, charts)
    return again.report


def state(folder: str | Path, license: str | None = None, accepted_risk: str | None = None) -> None:
    """Writes the publisher's statements about a codec, a pipeline or a release into card and provenance.

    Args:
        folder: a folder that may be pushed.
        license: an identifier of the Hub; `load_dataset` shows it for a release.
        accepted_risk: reason to publish it although its privacy is inconclusive.

    Raises:
        InputError: not a licence identifier, an empty reason, or a reason for a codec of public images.
        PushRefused: it may not be pushed: no reason excuses a failed attack or a missing report.
    """
    folder, kind = Path(folder), gate.check(folder).kind
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license):
        raise InputError(f"expected a licence of the Hub, such as cc-by-4.0, found {license!r}")
    if accepted_risk is not None and not (accepted_risk.strip() and (folder / REPORT).exists()):
        raise InputError(
            f"expected a reason, for training on private records only, found {accepted_risk!r} for a {kind.name}: "
            "leave it out, or give one"
        )
    said = {"license": license, "accepted_risk": accepted_risk}
    said = {name: words for name, words in said.items() if words is not None}
    if kind is artifacts.RELEASE:
        release.change_facts(folder, **said)
        return
    provenance.write_provenance(folder, {**provenance.read_provenance(folder), **said})
    cards.model_card(folder).save(folder / CARD)
