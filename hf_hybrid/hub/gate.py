"""The gate before a push: what may leave, decided from the files of a folder alone, without token or network."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hf_hybrid.core import provenance
from hf_hybrid.core.errors import InputError, PushRefused
from hf_hybrid.core.provenance import REPORT
from hf_hybrid.core.verdicts import FAMILIES, LIMITS, MIN_BOOTSTRAPS, VERDICTS
from hf_hybrid.hub.audit import find_leaks

_CARD = "README.md"
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_SHARD = re.compile(r"data/train-(\d{5})-of-(\d{5})\.parquet")


@dataclass(frozen=True)
class Kind:
    """What can be pushed.

    Args:
        name: of the kind.
        repo_type: of the Hub.
        required: files that it must have.
        allowed: pattern of all that it may have.
        evaluated: pattern of those that its report speaks of: what was there before it.
        families: of attacks that its report must tell of.
    """

    name: str
    repo_type: str
    required: tuple[str, ...]
    allowed: re.Pattern
    evaluated: re.Pattern
    families: tuple[str, ...]


RELEASE = Kind(
    "release",
    "dataset",
    (_CARD, provenance.FILE_NAME, "schema.json"),
    re.compile(
        rf"README\.md|(provenance|schema|report)\.json|report\.html|{_SHARD.pattern}"
        r"|assets/(samples|utility_[\w-]+)\.png"
    ),
    re.compile(rf"schema\.json|{_SHARD.pattern}"),
    FAMILIES,
)
_OF_FILES = ("membership", "files")
# What was learned. The configuration of a codec is written anew by whoever loads it.
_MODEL = re.compile(rf"(codec/)?{re.escape(_WEIGHTS)}|sampler/(config\.json|model\.safetensors)|schema\.json")
PIPELINE = Kind(
    "pipeline",
    "model",
    (
        *(_CARD, provenance.FILE_NAME, "schema.json", "config.json"),
        *("codec/config.json", f"codec/{_WEIGHTS}", "sampler/config.json", "sampler/model.safetensors"),
    ),
    re.compile(
        r"(codec/)?(README\.md|(provenance|config)\.json|assets/samples\.png)|(schema|report)\.json"
        rf"|codec/{re.escape(_WEIGHTS)}|sampler/(config\.json|model\.safetensors)"
    ),
    _MODEL,
    _OF_FILES,
)
CODEC = Kind(
    "codec",
    "model",
    (_CARD, provenance.FILE_NAME, "config.json", _WEIGHTS),
    re.compile(rf"README\.md|(provenance|config|report)\.json|assets/samples\.png|{re.escape(_WEIGHTS)}"),
    _MODEL,
    _OF_FILES,
)


@dataclass(frozen=True)
class Parcel:
    """A folder that passed the gate: the files to send, and those that stay."""

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
        public: whether everyone is to see it.
        license: under which everyone may use it, if its card does not say so yet.
        accept_risk: why something may be public whose privacy is not settled, likewise.

    Raises:
        InputError: no codec, pipeline or release, an incomplete or changed one, a symbolic link in it, or a public one
            without a licence.
        PushRefused: it holds training records, a file that is not what its name says, a path, a time, or an image with
            more than pixels; or it learned from private records and has no current report or one that does not let it
            through.
    """
    folder = Path(folder)
    found = sorted(_files(folder))
    kind = _kind_of(folder, found)
    absent = [name for name in kind.required if name not in found]
    if absent:
        raise InputError(f"expected a {kind.name} in {folder}, found no {', '.join(absent)}: make it again, complete")
    files = [name for name in found if kind.allowed.fullmatch(name)]
    if kind is RELEASE:
        _check_shards(files)
    for name in files:
        if not _is_what_it_says(folder / name):
            raise PushRefused(f"expected a {Path(name).suffix} file in {name}, found something else: nothing was sent")
        if name.endswith(".json") and _holds_training_records(json.loads((folder / name).read_text("utf-8"))):
            raise PushRefused(f"{name} says `contains_training_records`: it holds private rows and is never uploaded")
    listed = provenance.check_files(folder)
    # A card that is not listed may be edited by hand, and provenance cannot list itself.
    exempt = (_CARD, provenance.FILE_NAME)
    unlisted = [name for name in files if name not in listed and Path(name).name not in exempt]
    if unlisted:
        raise InputError(f"expected {provenance.FILE_NAME} to list every file, found {', '.join(unlisted)}: remove it")
    if private := [name for name in listed if not kind.allowed.fullmatch(name)]:
        raise InputError(
            f"expected {provenance.FILE_NAME} to list published files only, found {', '.join(private)}: remove it "
            f"and make the {kind.name} again"
        )
    if leaks := find_leaks(folder, files):
        raise PushRefused(f"{'; '.join(leaks[:5])}: remove it and make the {kind.name} again")
    facts = provenance.read_provenance(folder)
    said = facts.get("release", facts)
    named = license or said.get("license") or provenance.NO_LICENSE
    if public and named in (provenance.NO_LICENSE, "unknown"):
        raise InputError(
            f"expected a licence for a public {kind.name}, found {named!r} in its card: add `--license`, such as "
            "cc-by-4.0 or cc-by-nc-4.0"
        )
    if kind is not CODEC or is_of_private_images(folder):
        _check_report(folder, kind, files, public, accept_risk or said.get("accepted_risk"))
    return Parcel(folder, kind, files, [name for name in found if name not in files])


def kind_of(folder: str | Path) -> Kind:
    """Whether a folder is a codec, a pipeline or a release, by its files.

    Raises:
        InputError: it is none.
    """
    folder = Path(folder)
    return _kind_of(folder, sorted(_files(folder)))


def publishable(folder: str | Path, kind: Kind) -> list[str]:
    """The files in a folder that a kind may have, in order."""
    return sorted(name for name in _files(Path(folder)) if kind.allowed.fullmatch(name))


def evaluated_files(kind: Kind, names: Iterable[str]) -> list[str]:
    """Those of the files that a report speaks of."""
    return [name for name in names if kind.evaluated.fullmatch(name)]


def is_of_private_images(codec: Path) -> bool:
    """Whether a codec says that it was trained on images that are not public."""
    return bool(json.loads((codec / "config.json").read_text("utf-8")).get("private_images"))


def _check_report(folder: Path, kind: Kind, files: list[str], public: bool, accepted: str | None) -> None:
    """Lets through what has a report about these very files that finds no family of attacks too strong."""
    again = "run `hf-hybrid evaluate` on it"
    try:
        report = json.loads((folder / REPORT).read_text("utf-8")) if REPORT in files else {}
        privacy = report.get("privacy", {})
        if privacy.get("status") != "measured":
            raise PushRefused(f"expected a {REPORT} in which privacy was measured, found none: {again}")
        evaluated = report["provenance"]["files"]
        bootstraps = report["provenance"]["configuration"]["bootstraps"]
        families = {one["name"]: one for one in privacy["families"]}
        verdicts = {name: _verdict(name, one) for name, one in families.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise PushRefused(f"expected a {REPORT} of `hf-hybrid evaluate`, found another ({error}): {again}") from None
    if bootstraps < MIN_BOOTSTRAPS:
        found = f"found {bootstraps}: {again} again"
        raise PushRefused(f"expected at least {MIN_BOOTSTRAPS} `bootstraps` behind a {REPORT}, {found}")
    if evaluated != provenance.hash_files(folder, evaluated_files(kind, files)):
        raise PushRefused(f"expected a {REPORT} about these files, found one about others: {again} again")
    if absent := set(kind.families) - set(families):
        raise PushRefused(f"expected a {REPORT} on all attacks, found none on {', '.join(sorted(absent))}: {again}")
    failed, open_ = ([name for name in verdicts if verdicts[name] == word] for word in VERDICTS[:2])
    if failed:
        told = (
            f"{name} failed ({', '.join(families[name]['failed'][:3])}): {families[name]['advice']}" for name in failed
        )
        raise PushRefused("; ".join(told))
    if public and open_ and not accepted:
        raise PushRefused(
            f"privacy is inconclusive ({', '.join(open_)}; {REPORT} says how many patients would settle it): push it "
            'private, or say why the risk can be borne with `--accept-risk "reason"`, which the card will show'
        )


def _verdict(name: str, family: dict) -> str:
    """The verdict of a family; one that passed a limit looser than the usual one has not settled it."""
    if family["verdict"] not in VERDICTS:
        return "fail"
    is_loose = family["limit"] > LIMITS[name] or family["fails_above"] > LIMITS[name]
    return "inconclusive" if family["verdict"] == "pass" and is_loose else family["verdict"]


def _files(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        raise InputError(f"expected the folder of a codec, pipeline or release, found none at {folder}")
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root) / name
            if path.is_symlink():
                raise InputError(f"expected plain files, found the symbolic link {path}: put the file in its place")
            if name in files:
                yield path.relative_to(folder).as_posix()


def _kind_of(folder: Path, found: list[str]) -> Kind:
    if any(name.startswith("data/") for name in found):
        return RELEASE
    if any(name.startswith("sampler/") for name in found):
        return PIPELINE
    if _WEIGHTS in found:
        return CODEC
    raise InputError(f"expected a codec, pipeline or release in {folder}, found no data/, sampler/ or {_WEIGHTS}")


def _check_shards(files: list[str]) -> None:
    shards = [match.groups() for match in map(_SHARD.fullmatch, files) if match]
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
