"""The reader study: a page that gives nothing away, and scores of what readers answered."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from reader_answers import answers
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from tiny import CANARY_FILE, CANARY_TEXT, messy_table, tiny_codec, tiny_records, tiny_sampler, write_image_folder

from hf_hybrid.commands import cli
from hf_hybrid.core.errors import InputError
from hf_hybrid.studies.reader_study import score_study, write_study
from hf_hybrid.synthesis.pipeline import HybridPipeline
from hf_hybrid.synthesis.release import write_release

NUM_IMAGES = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A release, real images of others, and a folder with the page and its key."""
    folder = tmp_path_factory.mktemp("study")
    pipeline = HybridPipeline.fit(tiny_records(folder / "records"), tiny_codec(), tiny_sampler())
    release = write_release(pipeline, folder / "release", 70)
    real = write_image_folder(folder / "real", messy_table(80, seed=5), seed=5)
    private = folder / "release-private"
    write_study(release, f"{real}:train", private, NUM_IMAGES)
    return release, real, private


def images_of(page):
    data = re.findall(r'"data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in data]


def test_the_page_shows_both_kinds_and_does_not_tell_which_is_which(made):
    from datasets import load_dataset

    release, real, private = made
    page = (private / "reader-study.html").read_text("utf-8")
    key = json.loads((private / "reader-study-key.json").read_text("utf-8"))
    images = images_of(page)
    assert len(images) == len(key["synthetic"]) == NUM_IMAGES and sum(key["synthetic"]) == NUM_IMAGES // 2
    assert re.findall(r"https?:|<link|@import|src=", page) == []
    assert str(key["synthetic"]).lower() not in page.lower() and CANARY_FILE not in page and CANARY_TEXT not in page
    synthetic = {np.asarray(one).tobytes() for one in load_dataset(str(release), split="train")["image"]}
    assert [image.tobytes() in synthetic for image in images] == key["synthetic"]
    assert key["synthetic"] != sorted(key["synthetic"]) and private.stat().st_mode & 0o777 == 0o700
    sheet, side = np.asarray(Image.open(private / "reader-study-sheet.png")), images[0].shape[0]
    cells = [
        sheet[row : row + side, left : left + side]
        for row in range(0, 5 * side, side)
        for left in range(0, 8 * side, side)
    ]
    assert all(np.array_equal(cell, image) for cell, image in zip(cells, images, strict=True))


def test_scores_are_those_of_scipy_and_scikit_learn(made, tmp_path):
    from scipy.stats import beta

    _, _, private = made
    rng = np.random.default_rng(0)
    right = [rng.random(NUM_IMAGES) < share for share in (0.8, 0.6)]
    files = [answers(private, tmp_path / f"{n}.csv", f"AB{n}", side) for n, side in enumerate(right)]
    found = score_study(private / "reader-study-key.json", files)
    synthetic = np.array(json.loads((private / "reader-study-key.json").read_text("utf-8"))["synthetic"])
    for one, side in zip(found.readers, right, strict=True):
        hits, said = side.sum(), synthetic == side
        assert (one.num_images, one.accuracy) == (NUM_IMAGES, hits / NUM_IMAGES)
        expected = beta.ppf([0.025, 0.975], [hits, hits + 1], [NUM_IMAGES - hits + 1, NUM_IMAGES - hits])
        np.testing.assert_allclose(one.accuracy_interval, expected)
        assert one.auc == pytest.approx(roc_auc_score(synthetic, said))
        assert one.auc_interval[0] < one.auc < one.auc_interval[1]
        assert one.synthetic_called_real == pytest.approx((~said[synthetic]).mean())
        assert one.median_seconds == pytest.approx(2.95)
    assert found.agreement == pytest.approx(cohen_kappa_score(*((synthetic == side) for side in right)))


def test_pairs_hold_one_of_each_and_are_scored_by_side(made, tmp_path, capsys):
    from datasets import load_dataset

    release, real, _ = made
    synthetic = {np.asarray(one).tobytes() for one in load_dataset(str(release), split="train")["image"]}
    write_study(release, f"{real}:train", tmp_path / "pairs", NUM_IMAGES, pairs=True)
    page = (tmp_path / "pairs" / "reader-study.html").read_text("utf-8")
    key = json.loads((tmp_path / "pairs" / "reader-study-key.json").read_text("utf-8"))
    images = images_of(page)
    is_synthetic = np.array([image.tobytes() in synthetic for image in images]).reshape(-1, 2)
    assert is_synthetic.sum(1).tolist() == [1] * (NUM_IMAGES // 2) and is_synthetic[:, 0].tolist() == key["synthetic"]
    assert 0 < sum(key["synthetic"]) < NUM_IMAGES // 2
    assert len({image.tobytes() for image in images}) == NUM_IMAGES

    right = np.arange(NUM_IMAGES // 2) % 4 > 0
    file = answers(tmp_path / "pairs", tmp_path / "a.csv", "a", right)
    (found,) = score_study(tmp_path / "pairs" / "reader-study-key.json", [file]).readers
    assert (found.num_images, found.accuracy, found.synthetic_called_real) == (NUM_IMAGES // 2, right.mean(), None)
    bad = tmp_path / "bad.csv"
    bad.write_text(file.read_text("utf-8").replace(",left,", ",real,"), encoding="utf-8")
    with pytest.raises(InputError, match="each image once, left or right, confidence"):
        score_study(tmp_path / "pairs" / "reader-study-key.json", [bad])


def test_who_recognises_all_and_who_none(made, tmp_path):
    _, _, private = made
    all_right = answers(private, tmp_path / "a.csv", "a", np.ones(NUM_IMAGES, bool))
    all_wrong = answers(private, tmp_path / "b.csv", "b", np.zeros(NUM_IMAGES, bool))
    best, worst = score_study(private / "reader-study-key.json", [all_right, all_wrong]).readers
    assert (best.accuracy, best.auc, best.synthetic_called_real) == (1, 1, 0) and best.accuracy_interval[0] > 0.9
    assert (worst.accuracy, worst.auc, worst.synthetic_called_real) == (0, 0, 1)


def test_from_the_command_line(made, tmp_path, capsys):
    release, real, private = made
    right = np.arange(NUM_IMAGES) % 4 > 0
    files = [str(answers(private, tmp_path / f"{name}.csv", name, right)) for name in ("one", "two")]
    assert cli.main(["reader-study", str(release), "--score", *files]) == 0
    out = capsys.readouterr().out
    assert "one      40       0.75 (0.59 to 0.87)" in out and "kappa 1.00" in out
    words = ["reader-study", str(release), "--real", f"{real}:train", "--num_images", "10", "--seed", "1"]
    assert cli.main(words) == 2  # the key of the first study is not overwritten
    assert "found one that may still be in progress" in capsys.readouterr().err
    moved = private.rename(tmp_path / "moved")
    assert cli.main(words) == 0
    assert "open in a browser inside the hospital only" in capsys.readouterr().out
    assert cli.main(["reader-study", str(release), "--score", *files]) == 2
    assert "expected answers to the study" in capsys.readouterr().err
    shutil.rmtree(private)
    moved.rename(private)


def test_bad_input_is_one_line(made, tmp_path):
    release, real, private = made
    key = private / "reader-study-key.json"
    good = answers(private, tmp_path / "good.csv", "a", np.ones(NUM_IMAGES, bool))
    with pytest.raises(InputError, match="expected one file per reader, found two of 'a'"):
        score_study(key, [good, good])
    for old, new, message in (
        (",synthetic,3", ",maybe,3", "real or synthetic, confidence 1 to 5"),
        (",3,", ",9,", "real or synthetic, confidence 1 to 5"),
        ("study,reader", "a,b", "expected the file that the page downloads"),
        (json.loads(key.read_text())["study"], "00", "expected answers to the study"),
    ):
        bad = tmp_path / "bad.csv"
        bad.write_text(good.read_text("utf-8").replace(old, new), encoding="utf-8")
        with pytest.raises(InputError, match=message):
            score_study(key, [bad])
    with pytest.raises(InputError, match="beside the page as `key`, found none: FileNotFoundError"):
        score_study(tmp_path / "none.json", [good])
    with pytest.raises(InputError, match="expected images of at least 500 patients"):
        write_study(release, f"{real}:train", tmp_path / "x", 1000)
    with pytest.raises(InputError, match="expected an even `num_images`"):
        write_study(release, f"{real}:train", tmp_path / "x", 7)
    assert cli.main(["reader-study", str(release)]) == 2
