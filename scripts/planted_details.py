"""Text-sized and fine copies planted in honest releases: which attacks of the family of copies find them.

python scripts/planted_details.py docs/results/planted_details.json
python scripts/planted_details.py docs/results/planted_details_covid_cxr.json --real covid_cxr --release public_cxr

The honest release holds images of other people: drawn ones, or those of another collection. Into every image, real
or of the release, a word of its own is burnt at one of four places near a corner, and the letter R into most. Then a
share of the release gets something of as many training patients.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from jsonargparse import auto_cli
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from hf_hybrid.commands.cli import guarded
from hf_hybrid.core import provenance
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.images import resize
from hf_hybrid.data.records import load_records
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.splits import split_by_patient
from hf_hybrid.evaluation.attacks.base import judged
from hf_hybrid.evaluation.attacks.copies import CopyAttack
from hf_hybrid.evaluation.attacks.detail_copies import DetailCopyAttack
from hf_hybrid.evaluation.attacks.embedded_copies import EmbeddedCopyAttack
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.privacy import limits_of
from hf_hybrid.metrics import predictors
from hf_hybrid.phantom.cohort import sample_cohort
from hf_hybrid.phantom.drawing import draw_phantom
from hf_hybrid.phantom.parameters import ImageParameters

# The row says nothing: the attacks on images alone are looked at.
SCHEMA = RecordSchema(
    {
        "image": ColumnSchema("image"),
        "patient_id": ColumnSchema("group"),
        "age": ColumnSchema("clinical", "integer", bounds=(0, 99)),
    }
)
_LETTERS = list("ABCDEFGHJKLMNPRSTUVWXYZ0123456789")
_COARSE, _SMEARED = 2.0, 0.8  # pixels at 128: sd of what is not fine, and of a blur


def main(
    output: Path,
    num_records: int = 800,
    num_synthetic: int = 1500,
    resolution: int = 128,
    shares: tuple[float, ...] = (0.05, 0.01),
    seed: int = 0,
    real: str | None = None,
    release: str | None = None,
) -> int:
    """Writes the rates among training and held-out patients, and which tests fail.

    Args:
        output: JSON file.
        num_records: of the drawn cohort; a quarter of its patients are held out.
        num_synthetic: of the drawn release.
        resolution: of all images.
        shares: of the release that something is planted into.
        seed: of patients and words.
        real: a dataset in place of the drawn cohort.
        release: another one whose images are the release.
    """
    if real and release:
        records, others = (load_records(one, split="train") for one in (real, release))
        images, groups = records.pixel_values(resolution), records.groups
        fresh = others.pixel_values(resolution)
    else:
        images, groups = drawn(num_records, resolution, 2 * seed)
        fresh, _ = drawn(num_synthetic, resolution, 2 * seed + 1)
    setting = Setting(images, groups, fresh, seed)
    result = {
        "versions": provenance.versions(),
        "setting": {
            **{"images": "of two collections" if real else "drawn", "resolution": resolution, "seed": seed},
            **{"release": len(fresh), "training patients": len(np.unique(setting.train.groups))},
            "held-out patients": len(np.unique(setting.held_out.groups)),
        },
        "plants": [],
    }
    for name in PLANTS:
        for share in shares if name != "nothing" else (0.0,):
            result["plants"].append(setting.score(name, share))
            sys.stderr.write(json.dumps(result["plants"][-1]) + "\n")
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


def drawn(count: int, resolution: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of the built-in cohort, and the patient of each."""
    cohort, rng = sample_cohort(count, seed), np.random.default_rng(seed)
    images = [draw_phantom(ImageParameters(**row), resolution, rng) for row in cohort.truth.to_dict("records")]
    return np.stack(images), pd.factorize(cohort.table["patient_id"])[0]


class Setting:
    """Training patients, held-out patients and an honest release, each image with a word of its own."""

    def __init__(self, images: np.ndarray, groups: np.ndarray, fresh: np.ndarray, seed: int) -> None:
        rng = np.random.default_rng(seed)
        images, boxes = with_words(images, rng)
        self.fresh, _ = with_words(fresh, rng)
        self.unseen = with_words(fresh[rng.permutation(len(fresh))], rng)
        parts = split_by_patient(groups, test=0.25, validation=0, seed=seed)
        train, test = parts["train"], parts["test"]
        self.train, self.held_out = records(images[train], groups[train]), records(images[test], groups[test])
        _, one_of_each = np.unique(groups[train], return_index=True)
        victims = rng.permutation(one_of_each)
        self.source = images[train][victims], boxes[train][victims]

    def score(self, name: str, share: float) -> dict:
        """The tests of images in the family of copies, on the release with something planted."""
        count = min(round(share * len(self.fresh)), len(self.source[0]))
        release = self.fresh.copy()
        pixels, boxes = self.unseen if name == "words of unseen people" else self.source
        for place in range(count):
            PLANTS[name](release[place], pixels[place], boxes[place])
        sets = records(release, np.arange(len(release))), self.train, self.held_out
        spaces = AttackSpaces(Comparison(*sets, SCHEMA, EvaluationOptions(bootstraps=100)))
        attacks = CopyAttack, EmbeddedCopyAttack, DetailCopyAttack
        tests = [test for attack in attacks for test in attack().run(spaces).tests]
        tests = [test for test in tests if "image" in test.score.name]
        family = judged("copies", tests, limits_of(spaces.options.privacy)["copies"])
        found = {
            one.name: {"rates": [round(rate, 4) for rate in one.reference.values()], "fails": one.name in failed}
            for failed in (family.verdict.failed,)
            for one in family.scores
        }
        victims = count / self.train.num_patients if name != "words of unseen people" else 0.0
        return {
            "plant": name,
            "share": share,
            "patients copied": round(victims, 4),
            "verdict": family.verdict.word,
        } | {"tests": found}


def with_words(images: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images with a word of its own each, seven pixels high at 128, and the box of each word."""
    side = images.shape[1]
    font = ImageFont.load_default(9 * side / 128)
    found, boxes = [], []
    for pixels in images:
        image = Image.fromarray(pixels)
        draw = ImageDraw.Draw(image)
        across, down = [(4, 3), (92, 3), (4, 114), (90, 114)][rng.integers(4)] + rng.integers(-2, 3, 2)
        place, word = (across * side / 128, down * side / 128), "".join(rng.choice(_LETTERS, 5))
        style = {"font": font, "stroke_width": 1}
        draw.text(place, word, fill=int(rng.integers(200, 256)), stroke_fill=30, **style)
        boxes.append(draw.textbbox(place, word, **style))
        if rng.random() < 0.6:
            draw.text((110 * side / 128, 40 * side / 128), "R", fill=230, font=font)
        found.append(np.asarray(image))
    return np.stack(found), np.array(boxes).clip(0, side).astype(int)


def records(pixels: np.ndarray, groups: np.ndarray) -> EvaluationSet:
    """Records whose rows say nothing."""
    small = np.stack([resize(one, predictors.RESOLUTION) for one in pixels])
    ages = np.random.default_rng(len(pixels)).integers(20, 90, len(pixels)) * 1.0
    return EvaluationSet(
        small,
        pd.DataFrame({"age": ages}),
        groups,
        lambda rows: iter(np.array_split(pixels[rows], -(-len(rows) // 128))),
    )


def _word(release: np.ndarray, source: np.ndarray, box: np.ndarray) -> None:
    left, top, right, bottom = box
    release[top:bottom, left:right] = source[top:bottom, left:right]


def _smeared_word(release: np.ndarray, source: np.ndarray, box: np.ndarray) -> None:
    sd = _SMEARED * source.shape[0] / 128
    _word(release, gaussian_filter(source.astype(np.float32), sd).round().astype(np.uint8), box)


def _fine(release: np.ndarray, source: np.ndarray, box: np.ndarray) -> None:
    sd = _COARSE * source.shape[0] / 128
    fine = source - gaussian_filter(source.astype(np.float32), sd)
    release[:] = (gaussian_filter(release.astype(np.float32), sd) + fine).clip(0, 255).astype(np.uint8)


def _whole(release: np.ndarray, source: np.ndarray, box: np.ndarray) -> None:
    release[:] = source


PLANTS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], None]] = {
    "nothing": lambda release, source, box: None,
    "words of unseen people": _word,
    "words": _word,
    "smeared words": _smeared_word,
    "fine detail over other anatomy": _fine,
    "whole images": _whole,
}

if __name__ == "__main__":
    sys.exit(guarded(lambda: auto_cli(main, as_positional=True)))
