"""The evidence about a release: real training and test records and synthetic ones -> `Report`."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import torch
from tqdm.auto import tqdm

from hf_hybrid.core import artifacts
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.provenance import hash_files
from hf_hybrid.core.report import PARTS, NotMeasured, Privacy, Report, section_from_dict
from hf_hybrid.core.scores import Score
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.sources import fingerprint
from hf_hybrid.evaluation.attacks.base import ClosestPair
from hf_hybrid.evaluation.cache import PartCache
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.fidelity import measure_fidelity
from hf_hybrid.evaluation.measurements import measure_measurements, read_measurements
from hf_hybrid.evaluation.options import EvaluationInputs, EvaluationOptions
from hf_hybrid.evaluation.pairing import measure_pairing
from hf_hybrid.evaluation.privacy import files_family, measure_privacy
from hf_hybrid.evaluation.reconstruction import measure_reconstruction
from hf_hybrid.evaluation.records import ComparedRecords, load_compared
from hf_hybrid.evaluation.utility import measure_utility
from hf_hybrid.hub.audit import find_leaks
from hf_hybrid.models.codec import Codec
from hf_hybrid.synthesis.pipeline import load_codec

# The options that each part depends on.
_DECIDES = {
    "utility": ("seeds", "bootstraps", "image_model", "extractor"),
    "fidelity": ("bootstraps", "extractor", "reader_steps"),
    "pairing": ("bootstraps", "image_model", "extractor"),
    "privacy": ("bootstraps", "privacy", "extractor"),
}
_PACKAGES = ("numpy", "scikit-learn", "torch")


@dataclass(frozen=True)
class Loaded:
    """What an evaluation compares.

    Args:
        inputs: the paths it was loaded from.
        compared: release and real records.
        cache: cache of measured parts.
        codec: codec of the release, if it was given.
        codec_facts: provenance of the codec.
    """

    inputs: EvaluationInputs
    compared: ComparedRecords
    cache: PartCache
    codec: Codec | None = None
    codec_facts: dict | None = None


@dataclass(frozen=True)
class Evaluation:
    """A report, and what only the publisher sees.

    Args:
        report: the evidence.
        loaded: what was compared.
        closest_pairs: training records and the synthetic ones nearest to them.
    """

    report: Report
    loaded: Loaded | None = None
    closest_pairs: list[ClosestPair] = field(default_factory=list, repr=False)


def evaluate_release(
    release: str | Path,
    train: str | Path,
    test: str | Path,
    options: EvaluationOptions | None = None,
    schema: str | Path | None = None,
    targets: list[str] | None = None,
    codec: str | Path | None = None,
    measurements: str | Path | None = None,
    private_dir: str | Path | None = None,
) -> Report:
    """Scores a release folder against real records; writes only to `private_dir`.

    Args:
        release: see `EvaluationInputs`, also for all others but `options`.
        train: likewise.
        test: likewise.
        options: how to score.
        schema: likewise.
        targets: likewise.
        codec: likewise.
        measurements: likewise.
        private_dir: likewise.

    Raises:
        InputError: a dataset cannot be read, `train` does not hold the training records, or train and test share
            patients or images.
    """
    inputs = EvaluationInputs(
        *(release, train, test), schema=schema, targets=targets, codec=codec, measurements=measurements
    )
    return judge(measure(load(replace(inputs, private_dir=private_dir)), options or EvaluationOptions())).report


def load(inputs: EvaluationInputs) -> Loaded:
    """Loads release, real records and codec, and checks that they fit together.

    Raises:
        InputError: see `evaluate_release`.
    """
    compared = load_compared(inputs)
    cache = PartCache(Path(inputs.private_dir) / "cache" if inputs.private_dir else None, compared)
    model, facts = load_codec(inputs.codec) if inputs.codec else (None, None)
    if inputs.codec and facts != compared.codec:
        raise InputError("expected the `codec` that the release was made with, found another: give that codec")
    return Loaded(inputs, compared, cache, model, facts)


def measure(loaded: Loaded, options: EvaluationOptions) -> Evaluation:
    """Measures every part that is asked for."""
    compared = loaded.compared
    comparison = Comparison(*compared.sets, compared.schema, options, compared.training_patients, codec=compared.codec)
    found = _measure_parts(comparison, loaded.cache)
    parts = {
        name: replace(part, **_beside(name, loaded, options))
        for name, part in found.report.measured().items()
        if name in ("fidelity", "pairing")
    }
    names = artifacts.evaluated_files(
        artifacts.RELEASE, artifacts.publishable(loaded.inputs.release, artifacts.RELEASE)
    )
    provenance = found.report.provenance | {"files": hash_files(loaded.inputs.release, names)}
    return replace(found, report=replace(found.report, **parts, provenance=provenance), loaded=loaded)


def judge(evaluation: Evaluation) -> Evaluation:
    """Adds the family `files` for the current files of the release; the verdict is that of the worst family."""
    privacy, loaded = evaluation.report.privacy, evaluation.loaded
    if not isinstance(privacy, Privacy):
        return evaluation
    release = loaded.inputs.release
    leaks = find_leaks(release, artifacts.publishable(release, artifacts.RELEASE), loaded.compared.private_strings)
    return replace(evaluation, report=replace(evaluation.report, privacy=privacy.with_family(files_family(leaks))))


def measure_sets(
    synthetic: EvaluationSet,
    train: EvaluationSet,
    test: EvaluationSet,
    schema: RecordSchema,
    options: EvaluationOptions | None = None,
) -> Evaluation:
    """Scores synthetic records against real ones that are already in memory.

    Args:
        synthetic: the release.
        train: training records.
        test: records of held-out patients.
        schema: of the release; each of its targets is predicted from the image and from all other columns.
        options: how to score.
    """
    return _measure_parts(Comparison(synthetic, train, test, schema, options or EvaluationOptions()), PartCache())


def _measure_parts(comparison: Comparison, cache: PartCache) -> Evaluation:
    options = comparison.options
    parts, pairs = dict.fromkeys(PARTS, NotMeasured()), []
    with tqdm([name for name in PARTS if name in options.parts], unit="part") as bar:
        for name in bar:
            bar.set_description(name)
            tell = _telling(bar, name)
            told = replace(comparison, tell=tell)
            found = cache.part(name, _decides(name, told), _MEASURE[name](told))
            if name == "privacy":
                found, pairs = found
            parts[name] = section_from_dict(name, found)
    configuration = asdict(options) | {"extractor": comparison.extractor_name}  # never a path of this machine
    facts = {"configuration": configuration, "versions": {name: version(name) for name in _PACKAGES}}
    return Evaluation(Report(**parts, provenance=facts), closest_pairs=[ClosestPair(**pair) for pair in pairs])


def _telling(bar: tqdm, name: str) -> Callable[[str], None]:
    return lambda word: bar.set_description(f"{name}: {word}")


def _decides(name: str, comparison: Comparison) -> dict:
    options, training_patients = comparison.options, comparison.training_patients
    decides = {key: asdict(options)[key] for key in _DECIDES[name]}
    if "extractor" in decides:
        extractor = comparison.extractor
        decides["extractor"] = fingerprint(extractor) if Path(extractor).exists() else comparison.extractor_name
    if name == "fidelity":
        decides["latent_dim"] = comparison.latent_dim
    if name == "utility":
        decides["targets"] = comparison.schema.targets
    if name == "privacy" and training_patients:
        decides["training_patients"] = [training_patients.validation.tolist(), training_patients.reason]
    return decides


def _utility(comparison: Comparison) -> dict:
    if not comparison.schema.targets:
        return NotMeasured("the schema names no target: name columns to predict with `targets`").to_dict()
    return measure_utility(comparison).to_dict()


def _privacy(comparison: Comparison) -> tuple[dict, list[dict]]:
    section, pairs = measure_privacy(comparison)
    return section.to_dict(), [asdict(pair) for pair in pairs]


_MEASURE: dict[str, Callable[[Comparison], Callable[[], object]]] = {
    "utility": lambda comparison: lambda: _utility(comparison),
    "fidelity": lambda comparison: lambda: measure_fidelity(comparison).to_dict(),
    "pairing": lambda comparison: lambda: measure_pairing(comparison).to_dict(),
    "privacy": lambda comparison: lambda: _privacy(comparison),
}


def _beside(name: str, loaded: Loaded, options: EvaluationOptions) -> dict[str, tuple[Score, ...]]:
    """Scores that need more than the compared sets: reconstructions of the codec, numbers measured in the images."""
    compared, real = loaded.compared, loaded.compared.records[1:]
    if name == "fidelity" and loaded.codec:
        images = [fingerprint(str(one)) for one in (loaded.inputs.train, loaded.inputs.test)]  # at the codec's size
        decides = {"bootstraps": options.bootstraps, "images": images, "reader_steps": options.reader_steps}
        decides["codec"] = [loaded.codec_facts, _hash_weights(loaded.codec)]
        found = loaded.cache.part(
            "codec",
            decides,
            lambda: [
                one.to_dict()
                for one in measure_reconstruction(*real, loaded.codec, options.bootstraps, options.reader_steps)
            ],
        )
        return {"codec": tuple(map(Score.from_dict, found))}
    if name == "pairing" and loaded.inputs.measurements:
        names = [[Path((cell or {}).get("path") or "").name for cell in one.images] for one in real]
        tables = read_measurements(loaded.inputs.measurements, names)
        comparison = Comparison(*compared.sets, compared.schema, options)
        found = loaded.cache.part(
            "measurements",
            {"bootstraps": options.bootstraps, "tables": [one.to_csv() for one in tables]},
            lambda: [one.to_dict() for one in measure_measurements(comparison, *tables)],
        )
        return {"measurements": tuple(map(Score.from_dict, found))}
    return {}


def _hash_weights(model: torch.nn.Module) -> str:
    found = hashlib.sha256()
    for _, tensor in sorted(model.state_dict().items()):
        found.update(tensor.cpu().numpy().tobytes())
    return found.hexdigest()
