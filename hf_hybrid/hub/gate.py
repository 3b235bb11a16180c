"""The gate before a push: decides from the files of a folder alone what may be sent; no token, no network."""

import json
from dataclasses import dataclass
from pathlib import Path

from hf_hybrid.core import artifacts, provenance
from hf_hybrid.core.artifacts import CARD, CODEC, CONFIG, PROVENANCE, RELEASE, REPORT, SHARD, Kind
from hf_hybrid.core.errors import InputError, PushRefused
from hf_hybrid.core.families import VERDICTS
from hf_hybrid.core.report import MIN_BOOTSTRAPS, Privacy, Report
from hf_hybrid.hub.audit import find_leaks


@dataclass(frozen=True)
class Parcel:
    """A folder that passed the gate: the files to send, and those left out."""

    folder: Path
    kind: Kind
    files: list[str]
    left_out: list[str]


def check(
    folder: str | Path, public: bool = False, license: str | None = None, accept_risk: str | None = None
) -> Parcel:
    """The gate; reads the folder only.

    Args:
        folder: a codec, a pipeline or a release.
        public: whether the repository is to be public.
        license: licence of a public repository, if the card names none yet.
        accept_risk: reason to publish although privacy is inconclusive; likewise.

    Raises:
        InputError: no codec, pipeline or release, an incomplete or changed one, a symbolic link in it, or a public one
            without a licence.
        PushRefused: it holds training records, a file whose content does not fit its name, a path, a time, or an image
            with more than pixels; or it was trained on private records and its report is missing, outdated or does not
            allow it.
    """
    folder = Path(folder)
    found, kind = sorted(artifacts.iter_files(folder)), artifacts.kind_of(folder)
    if absent := [name for name in kind.required if name not in found]:
        raise InputError(f"expected a {kind.name} in {folder}, found no {', '.join(absent)}: make it again, complete")
    files = [name for name in found if kind.allowed.fullmatch(name)]
    _check_content(folder, kind, files)
    _check_listed(folder, kind, files)
    if leaks := find_leaks(folder, files):
        raise PushRefused(f"{'; '.join(leaks[:5])}: remove it and make the {kind.name} again")
    facts = provenance.read_provenance(folder)
    said = facts.get("release", facts)
    if public:
        _check_license(kind, license or said.get("license"))
    if kind is not CODEC or is_of_private_images(folder):
        _check_report(folder, kind, files, public, accept_risk or said.get("accepted_risk"))
    return Parcel(folder, kind, files, [name for name in found if name not in files])


def is_of_private_images(codec: Path) -> bool:
    """Whether a codec says that it was trained on images that are not public."""
    return bool(json.loads((codec / CONFIG).read_text("utf-8")).get("private_images"))


def _check_content(folder: Path, kind: Kind, files: list[str]) -> None:
    """Checks that all shards exist, that contents fit file names, and that no file holds training records."""
    if kind is RELEASE:
        _check_shards(files)
    for name in files:
        if not _is_what_it_says(folder / name):
            raise PushRefused(f"expected a {Path(name).suffix} file in {name}, found something else: nothing was sent")
        if name.endswith(".json") and _holds_training_records(json.loads((folder / name).read_text("utf-8"))):
            raise PushRefused(f"{name} says `contains_training_records`: it holds private rows and is never uploaded")


def _check_listed(folder: Path, kind: Kind, files: list[str]) -> None:
    """Checks that provenance lists exactly the files to be published, unchanged."""
    listed = provenance.check_files(folder)
    # A card that is not listed may be edited by hand, and provenance cannot list itself.
    unlisted = [name for name in files if name not in listed and Path(name).name not in (CARD, PROVENANCE)]
    if unlisted:
        raise InputError(f"expected {PROVENANCE} to list every file, found {', '.join(unlisted)}: remove it")
    if private := [name for name in listed if not kind.allowed.fullmatch(name)]:
        raise InputError(
            f"expected {PROVENANCE} to list published files only, found {', '.join(private)}: remove it "
            f"and make the {kind.name} again"
        )


def _check_license(kind: Kind, license: str | None) -> None:
    if (license or provenance.NO_LICENSE) in (provenance.NO_LICENSE, "unknown"):
        raise InputError(
            f"expected a licence for a public {kind.name}, found {license or provenance.NO_LICENSE!r} in its card: "
            "add `--license`, such as cc-by-4.0 or cc-by-nc-4.0"
        )


def _check_report(folder: Path, kind: Kind, files: list[str], public: bool, accepted: str | None) -> None:
    """Checks that a report on exactly these files finds no family of attacks too strong."""
    again = "run `hf-hybrid evaluate` on it"
    report = _read_report(folder, files, again)
    bootstraps = report.provenance["configuration"]["bootstraps"]
    if bootstraps < MIN_BOOTSTRAPS:
        found = f"found {bootstraps}: {again} again"
        raise PushRefused(f"expected at least {MIN_BOOTSTRAPS} `bootstraps` behind a {REPORT}, {found}")
    if report.provenance["files"] != provenance.hash_files(folder, artifacts.evaluated_files(kind, files)):
        raise PushRefused(f"expected a {REPORT} about these files, found one about others: {again} again")
    families = {one.name: one for one in report.privacy.families}
    if absent := set(kind.families) - set(families):
        raise PushRefused(f"expected a {REPORT} on all attacks, found none on {', '.join(sorted(absent))}: {again}")
    failed, open_ = ([one for one in families.values() if one.verdict.word == word] for word in VERDICTS[:2])
    if failed:
        raise PushRefused(
            "; ".join(f"{one.name} failed ({', '.join(one.verdict.failed[:3])}): {one.advice}" for one in failed)
        )
    if public and open_ and not accepted:
        raise PushRefused(
            f"privacy is inconclusive ({', '.join(one.name for one in open_)}; {REPORT} says how many patients would "
            'settle it): push it as private, or accept the risk with `--accept-risk "reason"`, which the '
            "card will show"
        )


def _read_report(folder: Path, files: list[str], again: str) -> Report:
    """The report, if it measured privacy and lists the files that it covers."""
    try:
        report = Report.from_dict(json.loads((folder / REPORT).read_text("utf-8")) if REPORT in files else {})
        if isinstance(report.privacy, Privacy):
            _ = report.provenance["files"], report.provenance["configuration"]["bootstraps"] + 0
    except (InputError, AttributeError, KeyError, TypeError) as error:
        raise PushRefused(f"expected a {REPORT} of `hf-hybrid evaluate`, found another ({error}): {again}") from None
    if not isinstance(report.privacy, Privacy):
        raise PushRefused(f"expected a {REPORT} in which privacy was measured, found none: {again}")
    return report


def _check_shards(files: list[str]) -> None:
    shards = [match.groups() for match in map(SHARD.fullmatch, files) if match]
    wanted = [(f"{number:05d}", f"{len(shards):05d}") for number in range(len(shards))]
    if not shards or shards != wanted:
        raise InputError(
            f"expected all of data/train-00000-of-0000n.parquet, found {['-of-'.join(shard) for shard in shards]}: "
            "generate the release again"
        )


def _is_what_it_says(path: Path) -> bool:
    """Whether the content fits the suffix: a pickle in disguise does not."""
    with path.open("rb") as file:
        start = file.read(16)
    if path.suffix == ".parquet":
        return start.startswith(b"PAR1")
    if path.suffix == ".png":
        return start.startswith(b"\x89PNG\r\n\x1a\n")
    if path.suffix == ".safetensors":
        return start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size
    try:
        text = path.read_text("utf-8")
        return path.suffix != ".json" or json.loads(text) is not None
    except ValueError:
        return False


def _holds_training_records(facts: object) -> bool:
    if isinstance(facts, dict):
        return bool(facts.get("contains_training_records")) or _holds_training_records(list(facts.values()))
    return isinstance(facts, list) and any(_holds_training_records(fact) for fact in facts)
