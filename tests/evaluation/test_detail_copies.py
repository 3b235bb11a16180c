"""Text-sized copies are found at the resolution of the release; what all patients share is no copy."""

import functools

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from hf_hybrid.core.families import Family
from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.evaluation.attacks.base import judged
from hf_hybrid.evaluation.attacks.copies import CopyAttack
from hf_hybrid.evaluation.attacks.detail_copies import DetailCopyAttack
from hf_hybrid.evaluation.attacks.spaces import AttackSpaces
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.privacy import limits_of
from hf_hybrid.metrics import details
from hf_hybrid.metrics.details import DetailSpace, standing_out

SIDE = 96
SCHEMA = RecordSchema({"image": ColumnSchema("image"), "age": ColumnSchema("clinical", "integer", bounds=(0, 99))})
_LETTERS = list("ABCDEFGHJKLMNPRSTUVWXYZ0123456789")


@functools.cache
def images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth noisy images with a word of each in a corner, the letter R in most; and where the word stands."""
    rng, font = np.random.default_rng(seed), ImageFont.load_default(9)
    found, boxes = [], []
    for _ in range(count):
        anatomy = 110 + 300 * gaussian_filter(rng.normal(size=(SIDE, SIDE)), 6) + rng.normal(0, 3, (SIDE, SIDE))
        image = Image.fromarray(anatomy.clip(0, 255).astype(np.uint8))
        draw = ImageDraw.Draw(image)
        place = [(4, 3), (60, 3), (4, 82), (58, 82)][rng.integers(4)]
        word = "".join(rng.choice(_LETTERS, 5))
        draw.text(place, word, fill=230, font=font, stroke_width=1, stroke_fill=30)
        boxes.append(draw.textbbox(place, word, font=font, stroke_width=1))
        if rng.random() < 0.7:
            draw.text((84, 40), "R", fill=230, font=font)
        found.append(np.asarray(image))
    return np.stack(found), np.array(boxes)


def planted(kind: str, count: int) -> np.ndarray:
    """Images of other people, the first of them with something of as many training patients or of unseen people."""
    release = images(240, 2)[0].copy()
    source, boxes = images(60, 9) if kind == "words of others" else images(160, 0)
    for place in range(count):
        left, top, right, bottom = boxes[place]
        if kind == "fine detail":
            fine = source[place] - gaussian_filter(source[place].astype(float), 2)
            release[place] = (gaussian_filter(release[place].astype(float), 2) + fine).clip(0, 255).astype(np.uint8)
        elif kind != "nothing":
            release[place, top:bottom, left:right] = source[place, top:bottom, left:right]
    return release


def records(pixels: np.ndarray, groups: np.ndarray | None = None) -> EvaluationSet:
    small = pixels.reshape(len(pixels), 32, 3, 32, 3).mean(axis=(2, 4)).astype(np.uint8)
    frame = pd.DataFrame({"age": np.random.default_rng(len(pixels)).integers(20, 90, len(pixels)) * 1.0})
    groups = np.arange(len(pixels)) if groups is None else groups
    return EvaluationSet(small, frame, groups, lambda rows: iter(np.array_split(pixels[rows], 3)))


@functools.cache
def attacked(kind: str) -> dict[str, Family]:
    """The families of the attack on details and of that at 32 px."""
    sets = [records(one) for one in (planted(kind, 40), images(160, 0)[0], images(120, 1)[0])]
    spaces = AttackSpaces(Comparison(*sets, SCHEMA, EvaluationOptions(bootstraps=50)))
    limit = limits_of(spaces.options.privacy)["copies"]
    return {one.name: judged("copies", one().run(spaces).tests, limit) for one in (DetailCopyAttack, CopyAttack)}


@pytest.mark.parametrize("kind", ["words", "fine detail"])
def test_what_32_pixels_cannot_see_is_found(kind):
    details, small = attacked(kind)["copies of details"], attacked(kind)["copies"]
    assert details.verdict.failed == ("near copy: detail of an image",)
    rates = details.scores[0].reference
    assert rates["training patients"] > 0.1 and rates["held-out patients"] < 0.01  # 40 of 160 patients
    assert details.scores[0].interval[0] > 0
    assert not [name for name in small.verdict.failed if "image" in name]
    assert (
        "(240 of 240 synthetic images and 160 of 160 training images compared at 96 px)" in details.scores[0].meaning
    )


@pytest.mark.parametrize("kind", ["nothing", "words of others"])
def test_an_honest_release_shares_markers_and_copies_nothing(kind):
    found = attacked(kind)["copies of details"]
    assert found.verdict.word != "fail" and found.scores[0].reference["training patients"] < 0.06


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_windows_match_where_they_were_copied_from(moved):
    pixels, boxes = images(30, 0)
    others, _ = images(40, 3)
    library, (left, top, right, bottom) = others.copy(), boxes[4]
    library[7, top + moved : bottom + moved, left:right] = pixels[4, top:bottom, left:right]
    space = DetailSpace(SIDE).fit([others])
    windows = space.windows([pixels[:11], pixels[11:]])
    assert np.bincount(windows.record).tolist() == [details.NUM_WINDOWS] * 30
    found, other = (space.best_matches(windows, [one]) for one in (library, others))
    scores = standing_out(found, other, windows, 30)
    assert scores.argmax() == 4 and scores[4] > 4 * np.delete(scores, 4).max()
    matched = (windows.record == 4) & (found.image == 7) & (found.correlation > other.correlation)
    y, x = space.places[windows.place[matched]].T * space.factor - 8  # of the margin
    assert len(y) >= 3 and ((y < bottom) & (y + 16 > top) & (x < right) & (x + 16 > left)).all()
    assert standing_out(other, other, windows, 30).max() == 0


def test_nobody_is_compared_with_images_of_their_own():
    pixels, owners = images(30, 0)[0], np.arange(30) // 2
    space = DetailSpace(SIDE).fit([pixels])
    windows = space.windows([pixels])
    free, apart = space.best_matches(windows, [pixels]), space.best_matches(windows, [pixels], owners, owners)
    assert (free.image == windows.record).mean() > 0.99 and free.correlation.mean() > 0.8
    assert (owners[apart.image] != owners[windows.record]).all() and apart.correlation.mean() < 0.7
    alone = space.best_matches(windows, [pixels[:2]], owners, owners[:2])
    assert (alone.image[windows.record < 2] == -1).all()


@pytest.mark.parametrize("side", [32, 65, 97])
def test_any_size_and_images_without_content(side):
    blank = np.full((4, side, side), 90, np.uint8)
    space = DetailSpace(side).fit([blank])
    windows = space.windows([blank])
    found = space.best_matches(windows, [blank])
    assert standing_out(found, found, windows, 4).tolist() == [0] * 4 and np.abs(found.correlation).max() < 0.01
