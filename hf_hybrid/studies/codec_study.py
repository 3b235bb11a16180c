"""The study of a codec of public images: reconstruction, likeness, diversity, copies and membership, beside a PCA."""

from pathlib import Path

from hf_hybrid.core.artifacts import CARD, WEIGHTS
from hf_hybrid.core.provenance import hash_files, read_provenance, write_provenance
from hf_hybrid.models.codec import Codec
from hf_hybrid.models.public_images import PublicImages
from hf_hybrid.reports import cards
from hf_hybrid.studies.codec_attacks import copies, membership
from hf_hybrid.studies.codec_parts import Part, parts_of
from hf_hybrid.studies.codec_quality import diversity, likeness, likeness_of_all, reconstruction

ALL = "all"  # groups together


def study_codec(codec: Codec, images: PublicImages, num_patients: int, num_draws: int, num_bootstraps: int) -> dict:
    """Scores a codec on the patients of the first tenth, each group of patients apart.

    Args:
        codec: on the device that is to be used; it learned from the tenths from the third on.
        images: the public images.
        num_patients: at most so many training patients of each group.
        num_draws: images drawn for each group.
        num_bootstraps: replicates of the intervals.

    Returns:
        `draws` and `groups`: adults, children (or other sources), and `all` of them (likeness only).
    """
    found, parts = {}, []
    for name, part in parts_of(codec, images, num_patients, num_draws):
        parts.append(part)
        found[name] = _scores(codec, part, num_bootstraps)
    if len(parts) > 1:
        found[ALL] = {"Frechet distance": likeness_of_all(parts, num_bootstraps)}
    return {"draws": num_draws, "groups": found}


def write_evidence(folder: Path, found: dict) -> None:
    """Writes the scores into provenance and card of the codec that they are about."""
    evidence = {"weights": hash_files(folder, [WEIGHTS])[WEIGHTS], **found}
    write_provenance(folder, read_provenance(folder) | {"evidence": evidence})
    cards.codec_card(folder).save(folder / CARD)


def _scores(codec: Codec, part: Part, num_bootstraps: int) -> dict:
    sets = {name: part.features(pixels) for name, pixels in part.sets.items()}
    held_out = part.held_out
    return {
        "patients": {"training": len(set(part.train.patients)), "held out": len(set(held_out.patients))},
        "images": {"training": len(part.train), "held out": len(held_out)},
        "reconstruction": reconstruction(codec, part, num_bootstraps),
        "Frechet distance": likeness(sets, part.features(held_out.pixels), held_out.patients, num_bootstraps),
        "MS-SSIM of pairs": diversity(part),
        "attacks": copies(part) | membership(part, num_bootstraps),
    }
