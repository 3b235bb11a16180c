"""A reader study: whether people inside the hospital can distinguish synthetic images from real ones.

The page shows real and synthetic images one by one in a shuffled order (yes or no), or in pairs of one of each (two
alternatives, forced choice). It does not contain which is which; the key is a file of its own. Both stay in the
private folder: half of the images are patients'.
"""

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hf_hybrid.core.artifacts import SCHEMA
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import private_folder, write_atomically
from hf_hybrid.core.provenance import read_provenance
from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.data.pixels import encode_png, image_grid
from hf_hybrid.data.records import Records, load_records
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.metrics.estimates import bootstrap_weights
from hf_hybrid.metrics.predictions import auc
from hf_hybrid.reports import cards

PAGE, KEY, SHEET = "reader-study.html", "reader-study-key.json", "reader-study-sheet.png"
_COLUMNS = 8  # of the sheet
COLUMNS = ("study", "reader", "image", "answer", "confidence", "seconds")
# What a reader may answer; the first means that the image, or of a pair the left one, is synthetic.
SINGLE_ANSWERS, PAIR_ANSWERS = ("synthetic", "real"), ("left", "right")
_BOOTSTRAPS = 2000


@dataclass(frozen=True)
class ReaderScore:
    """The result of one reader; intervals are at 95 %.

    Args:
        reader: the name given on the page.
        num_images: answered, or pairs.
        accuracy: share of right answers, 0 to 1; 0.5 is guessing. Of pairs it is the area under the curve of a reader
            without a preferred side (Green and Swets 1966).
        accuracy_interval: exact binomial (Clopper and Pearson 1934).
        synthetic_called_real: share of the synthetic images, 0 to 1; None for pairs.
        auc: of answers graded by confidence, 0 to 1; 0.5 is guessing.
        auc_interval: from resampling images.
        median_seconds: for an image.
    """

    reader: str
    num_images: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    synthetic_called_real: float | None
    auc: float
    auc_interval: tuple[float, float]
    median_seconds: float


@dataclass(frozen=True)
class StudyScore:
    """The result of a study.

    Args:
        readers: one score each.
        agreement: mean over pairs of readers of Cohen's kappa on the images that both answered, from -1 to 1 (0:
            chance); None with one reader.
    """

    readers: list[ReaderScore]
    agreement: float | None


def write_study(
    release: str | Path, real: str, output_dir: str | Path, num_images: int = 60, seed: int = 0, pairs: bool = False
) -> Path:
    """Writes the page, its key and a sheet of all images in the page's order into a private folder.

    Args:
        release: folder of a release.
        real: `DATASET[:split]` of real images; split "test" by default.
        output_dir: made with mode 0700.
        num_images: half of them real, each of another patient.
        seed: seed of the choice of images and of their order.
        pairs: whether to show a real and a synthetic image side by side instead of single images.

    Returns:
        The page.

    Raises:
        InputError: too few images, an odd number, a dataset that cannot be read, or a study that is there already.
    """
    if num_images < 2 or num_images % 2:
        raise InputError(f"expected an even `num_images` of at least 2, found {num_images}")
    if (Path(output_dir) / KEY).exists():
        raise InputError(
            f"expected no study in {output_dir}, found one that may still be in progress: score it, or move "
            f"{PAGE} and {KEY} away"
        )
    pixels = _draw_images(release, real, num_images // 2, seed)
    shown, left, study = _arranged(pixels, seed, pairs)
    images = [[cards.data_uri(encode_png(pixels[place])) for place in one] for one in shown]
    folder = private_folder(output_dir)
    key = {"study": study, "pairs": pairs, "synthetic": left.tolist()}
    write_atomically(folder / KEY, json.dumps(key) + "\n")
    write_atomically(folder / SHEET, encode_png(image_grid(pixels[shown.ravel()], _COLUMNS)))
    page = cards.render("reader_study.html.jinja", study=study, images=images, pairs=pairs)
    write_atomically(folder / PAGE, page)
    return folder / PAGE


def score_study(key: str | Path, answers: list[str | Path]) -> StudyScore:
    """Scores the files that readers downloaded from the page.

    Args:
        key: the file that `write_study` wrote next to the page.
        answers: one CSV file per reader.

    Raises:
        InputError: a file that cannot be read, of another study, with answers that the page does not offer, or two of
            one reader.
    """
    known = _read_key(key)
    is_synthetic, pairs = np.array(known["synthetic"]), known["pairs"]
    tables = {}
    for path in answers:
        table = _read_answers(path, known["study"], len(is_synthetic), PAIR_ANSWERS if pairs else SINGLE_ANSWERS)
        reader = table["reader"].iloc[0]
        if reader in tables:
            raise InputError(f"expected one file per reader, found two of {reader!r}: leave one out")
        tables[reader] = table.set_index("image")
    kappas = []
    for number, one in enumerate(tables.values()):
        for other in list(tables.values())[number + 1 :]:
            both = one.index.intersection(other.index)
            kappas.append(_kappa(one.loc[both, "answer"].to_numpy(), other.loc[both, "answer"].to_numpy()))
    readers = [_score(name, one, is_synthetic[one.index], pairs) for name, one in tables.items()]
    kappas = [one for one in kappas if np.isfinite(one)]  # undefined where both readers gave one answer throughout
    return StudyScore(readers, float(np.mean(kappas)) if kappas else None)


def _arranged(pixels: np.ndarray, seed: int, pairs: bool) -> tuple[np.ndarray, np.ndarray, str]:
    """The order of the images, of which the first half is synthetic.

    Returns:
        Which images are shown together, `(n, 1)` or `(n, 2)`, whether the first of them is synthetic, and the study's
        name, which depends on the images: the key of one study does not fit another.
    """
    digest = hashlib.sha256(pixels.tobytes() + str(seed).encode() + (b"pairs" if pairs else b""))
    rng, half = np.random.default_rng(list(digest.digest())), len(pixels) // 2
    if pairs:
        left = rng.random(half) < 0.5
        both = np.stack([rng.permutation(half), half + rng.permutation(half)], axis=1)
        shown = np.where(left[:, None], both, both[:, ::-1])
    else:
        shown = rng.permutation(len(pixels))[:, None]
        left = shown[:, 0] < half
    return shown, left, hashlib.sha256(digest.digest() + shown.tobytes()).hexdigest()[:8]


def _draw_images(release: str | Path, real: str, count: int, seed: int) -> np.ndarray:
    """Pixels of `count` synthetic and then as many real images, at the resolution of the codec."""
    config = read_provenance(release)["codec"]["config"]
    schema = RecordSchema.load(Path(release) / SCHEMA)  # which knows the patients
    rng = numpy_generator(seed, "reader study: images")
    sides = [
        _chosen(load_records(one, schema=schema, split=split), count, rng)
        for one, split in ((release, "train"), (real, "test"))
    ]
    look = config["resolution"], config.get("in_channels", 1), config.get("resize_mode", "crop")
    return np.concatenate([one.pixel_values(*look) for one in sides])


def _chosen(records: Records, count: int, rng: np.random.Generator) -> Records:
    """Images of as many patients, drawn."""
    order = rng.permutation(len(records))
    _, first = np.unique(records.groups[order], return_index=True)
    if len(first) < count:
        raise InputError(f"expected images of at least {count} patients, found {len(first)}: lower `num_images`")
    return records.select(order[np.sort(first)[:count]])


def _read_key(path: str | Path) -> dict:
    try:
        key = json.loads(Path(path).read_text(encoding="utf-8"))
        return {"study": key["study"], "pairs": key["pairs"], "synthetic": key["synthetic"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"expected the {KEY} beside the page as `key`, found none: {type(error).__name__}") from None


def _read_answers(path: str | Path, study: str, num_images: int, offered: tuple[str, str]) -> pd.DataFrame:
    """Answers of a file; whether each says that the image, or the left one, is synthetic."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            table = pd.DataFrame(list(csv.DictReader(file)))
        table = table[list(COLUMNS)].astype({"image": int, "confidence": int, "seconds": float})
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        found = type(error).__name__
        raise InputError(f"expected the file that the page downloads, found another at {path}: {found}") from None
    if set(table["study"]) != {study}:
        raise InputError(f"expected answers to the study {study}, found another in {path}: name its own key")
    is_good = table["answer"].isin(offered) & table["confidence"].between(1, 5)
    is_good &= table["image"].between(0, num_images - 1) & ~table["image"].duplicated()
    if not is_good.all() or table["reader"].nunique() != 1:
        words = " or ".join(sorted(offered))
        raise InputError(f"expected each image once, {words}, confidence 1 to 5, found others in {path}")
    return table.assign(answer=table["answer"] == offered[0])


def _score(reader: str, table: pd.DataFrame, is_synthetic: np.ndarray, pairs: bool) -> ReaderScore:
    from scipy.stats import binomtest

    said = table["answer"].to_numpy()
    right = said == is_synthetic
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="exact")
    graded = np.where(said, 1, -1) * table["confidence"].to_numpy()
    weights = bootstrap_weights(np.arange(len(right)), _BOOTSTRAPS, seed=0)
    areas = auc(is_synthetic.astype(int), graded, weights)
    area = auc(is_synthetic.astype(int), graded, np.ones((1, len(right))))[0]
    return ReaderScore(
        reader=reader,
        num_images=len(table),
        accuracy=float(right.mean()),
        accuracy_interval=(float(interval.low), float(interval.high)),
        synthetic_called_real=None if pairs or not is_synthetic.any() else float((~said[is_synthetic]).mean()),
        auc=float(area),
        auc_interval=tuple(np.nanpercentile(areas, [2.5, 97.5]).tolist()),
        median_seconds=float(table["seconds"].median()),
    )


def _kappa(one: np.ndarray, other: np.ndarray) -> float:
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(one, other, labels=[False, True]))
