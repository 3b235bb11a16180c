"""The evidence about a release: real train and test records and synthetic ones -> `Report`."""

import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from tqdm.auto import tqdm

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import private_folder, write_atomically
from hf_hybrid.core.provenance import code_hash, hash_files, versions
from hf_hybrid.core.verdicts import PARTS
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.sources import fingerprint
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.fidelity import score_fidelity
from hf_hybrid.evaluation.measurements import read_measurements, score_measurements
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.pairing import score_pairing
from hf_hybrid.evaluation.privacy import files_family, overall, score_privacy
from hf_hybrid.evaluation.reconstruction import score_reconstruction
from hf_hybrid.evaluation.records import ComparedRecords, load_compared
from hf_hybrid.evaluation.utility import score_targets
from hf_hybrid.hub import gate
from hf_hybrid.hub.audit import find_leaks
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.image_features import extractor_name
from hf_hybrid.synthesis.pipeline import load_codec

# Packages that decide parts, beside those that decide a release, and their modules.
_ALSO_DECIDE = {"scipy": "scipy", "scikit-image": "skimage", "transformers": "transformers"}
# What of the options has a say in each part.
_DECIDES = {
    "utility": ("seeds", "bootstraps", "image_model"),
    "fidelity": ("bootstraps", "extractor"),
    "pairing": ("bootstraps", "image_model"),
    "privacy": ("bootstraps", "privacy"),
}


def _not_measured(reason: str = "it was not asked for") -> dict:
    return {"status": "not measured", "reason": reason}


@dataclass
class Findings:
    """What an evaluation found for the publisher's eyes only.

    Args:
        compared: release and real records.
        codec: that made the release, if it was given.
    """

    compared: ComparedRecords
    codec: AlphaGAN | None


@dataclass
class Report:
    """The evidence about a release; every part says in `status` whether it was measured, or else its `reason`.

    `findings` and `closest_pairs` (`privacy_scores.ClosestPair`) are not part of `to_dict`.
    """

    utility: dict = field(default_factory=_not_measured)
    fidelity: dict = field(default_factory=_not_measured)
    pairing: dict = field(default_factory=_not_measured)
    privacy: dict = field(default_factory=_not_measured)
    provenance: dict = field(default_factory=dict)
    closest_pairs: list[dict] = field(default_factory=list, repr=False)
    findings: Findings | None = field(default=None, repr=False)

    def to_dict(self) -> dict:
        """The content of `report.json`: the same for the same records, options and versions."""
        return deepcopy({name: getattr(self, name) for name in (*PARTS, "provenance")})


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
    """Scores a release folder against real records.

    Args:
        release: folder that `hf-hybrid generate` wrote.
        train: `DATASET[:split]` of the real records that the release was learned from; split "train" if not said.
        test: `DATASET[:split]` of real records of other patients; split "test" if not said.
        options: how to score.
        schema: schema file whose columns override those of the release.
        targets: columns to predict; the schema's when None.
        codec: that made the release, to score its reconstructions; not measured when None.
        measurements: CSV file with `file_name` and numbers measured in real images; not measured when None.
        private_dir: folder that keeps what has been measured, so that a second run redoes only what has changed.

    Raises:
        InputError: a dataset cannot be read, train is not what the release was learned from, or train and test share
            patients or images.
    """
    compared = load_compared(release, train, test, schema, targets)
    options, records, model = options or EvaluationOptions(), compared.records, None
    if codec:
        model, facts = load_codec(codec)
        if facts != compared.codec:
            raise InputError("expected the `codec` that the release was made with, found another: name that one")
    cache = _Cache(Path(private_dir) / "cache" if private_dir else None, compared)
    report = evaluate_sets(*compared.sets, compared.schema, options, cache.part)
    if model and report.fidelity["status"] == "measured":
        report.fidelity["codec"] = cache.part(
            "codec",
            {
                "bootstraps": options.bootstraps,
                "codec": [facts, _hash_weights(model)],
                "images": [fingerprint(one) for one in (train, test)],  # larger ones than other parts see
            },
            lambda: [one.to_dict() for one in score_reconstruction(*records[1:], model, options.bootstraps)],
        )
    if measurements and report.pairing["status"] == "measured":
        names = [[Path((cell or {}).get("path") or "").name for cell in one.images] for one in records[1:]]
        tables = read_measurements(measurements, names)
        comparison = Comparison(*compared.sets, compared.schema, options)
        report.pairing["measurements"] = cache.part(
            "measurements",
            {"bootstraps": options.bootstraps, "tables": [one.to_csv() for one in tables]},
            lambda: [one.to_dict() for one in score_measurements(comparison, *tables)],
        )
    names = gate.evaluated_files(gate.RELEASE, gate.publishable(release, gate.RELEASE))
    report.provenance["files"] = hash_files(release, names)
    report.findings = Findings(compared, model)
    look_through_files(report, release)
    return report


def look_through_files(report: Report, release: str | Path) -> bool:
    """Adds to the report what the files of a release hold beside records; whether that is more than it said before."""
    if report.privacy["status"] != "measured":
        return False
    names = gate.publishable(release, gate.RELEASE)
    others = [one for one in report.privacy["families"] if one["name"] != "files"]
    families = [*others, files_family(find_leaks(release, names, report.findings.compared.private_strings))]
    changed = families != report.privacy["families"]
    report.privacy |= overall(families)
    return changed


def evaluate_sets(
    synthetic: EvaluationSet,
    train: EvaluationSet,
    test: EvaluationSet,
    schema: RecordSchema,
    options: EvaluationOptions | None = None,
    remember: Callable[[str, dict, Callable[[], object]], object] | None = None,
) -> Report:
    """Scores synthetic records against real ones that are already in memory.

    Args:
        synthetic: the release.
        train: real records that the release was learned from.
        test: real records of other patients.
        schema: of the release; each of its targets is predicted from the image and from all other columns.
        options: how to score.
        remember: takes the name of a part, what decides it, and a function that makes it; returns it as JSON gives it
            back.
    """
    options = options or EvaluationOptions()
    packages = ("numpy", "scikit-learn", "torch")
    configuration = asdict(options)
    configuration["extractor"] = extractor_name(options.extractor)  # never a path of this machine
    facts = {"configuration": configuration, "versions": {name: version(name) for name in packages}}
    report = Report(provenance=facts)
    remember = remember or (lambda name, decides, make: _through_json(make()))
    make = {"utility": _utility, "fidelity": score_fidelity, "pairing": score_pairing, "privacy": _privacy}
    with tqdm([name for name in PARTS if name in options.parts], unit="part") as bar:
        for name in bar:
            comparison = Comparison(
                synthetic, train, test, schema, options, lambda word, name=name: bar.set_description(f"{name}: {word}")
            )
            bar.set_description(name)
            decides = {key: asdict(options)[key] for key in _DECIDES[name]}
            if name == "fidelity" and Path(options.extractor).exists():
                decides["extractor"] = fingerprint(options.extractor)
            if name == "utility":
                decides["targets"] = schema.targets
            found = remember(name, decides, lambda comparison=comparison, name=name: make[name](comparison))
            if name == "privacy":
                found, report.closest_pairs = found
            setattr(report, name, found)
    return report


def _privacy(comparison: Comparison) -> tuple[dict, list[dict]]:
    section, pairs = score_privacy(comparison)
    return section, [asdict(pair) for pair in pairs]


def _utility(comparison: Comparison) -> dict:
    if not comparison.schema.targets:
        return _not_measured("the schema names no target: name columns to predict with `targets`")
    targets, options = score_targets(comparison), comparison.options
    return {
        "status": "measured",
        "interval": f"95 % of {options.bootstraps} patient-cluster bootstraps of the mean over {options.seeds} seeds",
        "scores": [row for target in targets for row in target.score_rows()],
        "headline": [row for target in targets for row in target.headline_rows()],
    }


class _Cache:
    """Parts of reports about these very records, made by this very code, in a private folder."""

    def __init__(self, folder: Path | None, compared: ComparedRecords) -> None:
        self.folder = folder and private_folder(folder)
        if folder:
            private_folder(folder.parent)
            columns = {name: asdict(column) | {"role": None} for name, column in compared.schema.table.items()}
            others = {name: version(name) for name, module in _ALSO_DECIDE.items() if find_spec(module)}
            made_by = [columns, versions(), others, code_hash()]
            found = hashlib.sha256(json.dumps(made_by, default=str).encode())
            for one in compared.sets:
                found.update(one.pixels.tobytes() + one.groups.tobytes() + one.frame.to_csv().encode())
            self.records = found.hexdigest()

    def part(self, name: str, decides: dict, make: Callable[[], object]) -> object:
        """What was made from the same records and `decides`, or is made now."""
        if self.folder is None:
            return _through_json(make())
        inputs = json.dumps([self.records, decides], sort_keys=True, default=str)
        digest, path = hashlib.sha256(inputs.encode()).hexdigest(), self.folder / f"{name}.json"
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if kept.get("inputs") != digest:
            kept = {"inputs": digest, "found": make()}
            write_atomically(path, json.dumps(kept, allow_nan=False))
        return _through_json(kept["found"])


def _through_json(found: object) -> object:
    return json.loads(json.dumps(found, allow_nan=False))


def _hash_weights(model) -> str:
    found = hashlib.sha256()
    for _, tensor in sorted(model.state_dict().items()):
        found.update(tensor.cpu().numpy().tobytes())
    return found.hexdigest()
