"""Tables of a codec's card from the scores of `hf_hybrid.studies.codec_study`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_METRICS = {"l1": ("L1", 3), "ssim": ("SSIM", 3), "psnr": ("PSNR, dB", 1)}


@dataclass
class EvidenceTables:
    """Rows of text for the card.

    Args:
        patients: a sentence on whom the scores are about.
        reconstruction: group, score, and the mean image, the drawn image and the PCA.
        likeness: group, and training images, codec draws, codec reconstructions, PCA draws, PCA reconstructions.
        diversity: group, and training images, codec draws, PCA draws.
        attacks: group, attack, codec, PCA (or chance), verdict.
        above: attacks that are above their floor, each with its group.
    """

    patients: str
    reconstruction: list[list[str]]
    likeness: list[list[str]]
    diversity: list[list[str]]
    attacks: list[list[str]]
    above: list[str]


def evidence_tables(evidence: Mapping) -> EvidenceTables:
    """The tables from the JSON of a study."""
    groups = evidence["groups"]
    whole = {name: one for name, one in groups.items() if "attacks" in one}
    attacks = [
        [name, attack, _interval(found["codec"], 3), _interval(found.get("PCA"), 3), found["verdict"]]
        for name, group in whole.items()
        for attack, found in group["attacks"].items()
    ]
    return EvidenceTables(
        patients="; ".join(_patients(name, group) for name, group in whole.items()),
        reconstruction=[
            row for name, group in whole.items() for row in _reconstruction(name, group["reconstruction"])
        ],
        likeness=[_row(name, group["Frechet distance"], _LIKENESS, 1) for name, group in groups.items()],
        diversity=[_row(name, group["MS-SSIM of pairs"], _DIVERSITY, 3) for name, group in whole.items()],
        attacks=attacks,
        above=[f"{attack} ({name})" for name, attack, *_, verdict in attacks if verdict == "above its floor"],
    )


_LIKENESS = ("training images", "codec draws", "codec reconstructions", "PCA draws", "PCA reconstructions")
_DIVERSITY = ("training images", "codec draws", "PCA draws")


def _patients(name: str, group: Mapping) -> str:
    (training, held_out), (images, others) = (
        [group[what][side] for side in ("training", "held out")] for what in ("patients", "images")
    )
    return f"{name}: {images:,} images of {training:,} training patients, {others:,} of {held_out:,} held-out ones"


def _reconstruction(name: str, found: Mapping) -> list[list[str]]:
    return [
        [
            name,
            f"{title}, {side}",
            *(_interval(scores[metric][made], digits) for made in ("mean image", "drawn", "PCA")),
        ]
        for side, scores in found.items()
        for metric, (title, digits) in _METRICS.items()
    ]


def _row(name: str, found: Mapping, columns: Sequence[str], digits: int) -> list[str]:
    return [name, *(_interval(found[column], digits) for column in columns)]


def _interval(found: Sequence[float] | None, digits: int) -> str:
    """`value (low to high)`."""
    if found is None:
        return "chance"
    value, low, high = (f"{one:.{digits}f}" for one in found)
    return f"{value} ({low} to {high})"
