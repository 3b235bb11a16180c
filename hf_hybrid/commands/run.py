"""`hf-hybrid run CONFIG.yaml`: all stages, each skipped if its inputs are unchanged and resumed if interrupted."""

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hf_hybrid.commands.fit import SamplerOptions
from hf_hybrid.commands.options_parser import pick
from hf_hybrid.commands.stages import (
    DataOptions,
    Stages,
    check_records,
    encode_records,
    make_codec,
    private_records,
)
from hf_hybrid.core.artifacts import REPORT, private_folder_of
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import read_json, write_atomically
from hf_hybrid.core.provenance import hash_files
from hf_hybrid.core.report import Report
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.synthesis.options import ReleaseInfo

POSITIONAL = ("config",)


@dataclass(kw_only=True)
class ReleaseOptions(ReleaseInfo):
    """Options of the release.

    Args:
        multiple: synthetic records per real training record.
        seed: seed of the release.
    """

    multiple: float = 5.0
    seed: int = 0


@dataclass(kw_only=True)
class Options(DataOptions):
    """All stages from one YAML file.

    Args:
        sampler: the sampler.
        release: the release.
        evaluation: options of its scores.
        measurements: CSV file with `file_name` and numbers measured in the real images.
    """

    sampler: SamplerOptions = field(default_factory=SamplerOptions)
    release: ReleaseOptions = field(default_factory=ReleaseOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    measurements: str | None = None


def main(options: Options) -> int:
    """Runs the remaining stages and prints scores, paths of the results, the verdict and the next command."""
    if options.measurements and not Path(options.measurements).is_file():
        raise InputError(f"expected a CSV file as `measurements`, found none at {options.measurements}: fix the path")
    output_dir = Path(options.output_dir)
    stages = Stages(output_dir)
    dataset, schema = private_records(options, stages)
    check_records(options, dataset, schema)
    codec = make_codec(options, stages)
    latents = encode_records(options, stages, dataset, schema, codec)
    pipeline = _pipeline(options, stages, latents, codec)
    release = _release(options, stages, pipeline)
    model_report = _attack_model(options, stages, dataset, pipeline)
    report = _evaluate(options, stages, dataset, codec, release)
    _tell(report, model_report, {"codec": codec, "pipeline": pipeline, "release": release})
    return 0


def _tell(report: Report, model_report: Report, made: dict[str, Path | str]) -> None:
    """Prints the scores, then paths of the results, recovered shares, the verdict and the next command."""
    from hf_hybrid.core.artifacts import CARD, REPORT_PAGE, private_folder_of
    from hf_hybrid.reports.terminal import format_privacy, format_report, format_shares, format_verdict

    release = Path(made["release"])
    private = private_folder_of(release) / REPORT_PAGE
    made = {**made, "card": release / CARD, "private report": private}
    sys.stdout.write(f"{format_report(report)}\nthe pipeline's files: {format_privacy(model_report.privacy)}\n")
    sys.stdout.write("".join(f"{what:15} {path}\n" for what, path in made.items()))
    sys.stdout.write(f"{format_shares(report.utility)}{format_verdict(report.privacy)}")
    sys.stdout.write(f"next: hf-hybrid push {release} --repo_id NAME --dry_run\n")


def _pipeline(options: Options, stages: Stages, latents: Path, codec: Path | str) -> Path:
    from hf_hybrid.core.files import new_folder
    from hf_hybrid.synthesis.latent_table import LatentTable
    from hf_hybrid.synthesis.pipeline import HybridPipeline

    def fit(logs: Path) -> None:
        fitted = HybridPipeline.fit(LatentTable.load(latents), codec, options.sampler.chosen, logs)
        with new_folder(output) as folder:
            fitted.save_pretrained(folder)

    output = Path(options.output_dir) / "pipeline"
    return stages.run("pipeline", output, {"sampler": options.sampler.sampler, **asdict(options.sampler.chosen)}, fit)


def _release(options: Options, stages: Stages, pipeline: Path) -> Path:
    from hf_hybrid.synthesis.pipeline import HybridPipeline
    from hf_hybrid.synthesis.release import write_release

    wanted = options.release
    info = pick(ReleaseInfo, wanted)
    output = Path(options.output_dir) / "release"

    def generate(_: Path) -> None:
        loaded = HybridPipeline.from_pretrained(pipeline)
        num_records = round(wanted.multiple * loaded.facts["sampler"]["training"]["num_records"])
        write_release(loaded, output, num_records, wanted.seed, info=info)
        (stages.logs / REPORT).unlink(missing_ok=True)  # of an earlier release

    return stages.run("release", output, asdict(wanted), generate)


def _attack_model(options: Options, stages: Stages, dataset: str, pipeline: Path) -> Report:
    """The report on the pipeline's files."""
    from hf_hybrid.evaluation.model_evaluation import evaluate_model

    def evaluate(_: Path) -> None:
        report = evaluate_model(pipeline, f"{dataset}:train", f"{dataset}:test", options.evaluation)
        write_atomically(done, json.dumps(report.to_dict()))

    done = stages.logs / f"pipeline-{REPORT}"
    inputs = {"bootstraps": options.evaluation.bootstraps, "privacy": asdict(options.evaluation.privacy)}
    stages.run("attacks", done, inputs, evaluate)
    return Report.from_dict(read_json(done))


def _evaluate(options: Options, stages: Stages, dataset: str, codec: Path | str, release: Path) -> Report:
    from hf_hybrid.evaluation.options import EvaluationInputs
    from hf_hybrid.evaluation.publication import evaluate_and_complete

    def evaluate(_: Path) -> None:
        # For the built-in cohort the parameters of every image are known.
        truth = stages.logs / "cohort-images" / "truth.csv"
        measured = options.measurements or (str(truth) if options.dataset is None else None)
        inputs = EvaluationInputs(
            *(release, f"{dataset}:train", f"{dataset}:test"),
            codec=codec,
            measurements=measured,
            private_dir=private_folder_of(release),
        )
        report = evaluate_and_complete(inputs, options.evaluation)
        write_atomically(evaluated, json.dumps(report.to_dict()))

    # A copy of the report, written last: the release itself is completed file by file.
    evaluated = stages.logs / REPORT
    path = options.measurements and Path(options.measurements)
    inputs = {**asdict(options.evaluation), "measurements": path and hash_files(path.parent, [path.name])}
    stages.run("evaluation", evaluated, inputs, evaluate)
    return Report.from_dict(read_json(evaluated))
