"""Copies: found whatever was done to them, and none where there is none."""

import numpy as np
import pandas as pd
import pytest

from hf_hybrid.data.columns import ColumnSchema
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.metrics.copies import EXACT_IMAGE, EXACT_ROW, RowSpace, near_thresholds, nearest

SCHEMA = RecordSchema(
    {
        "image": ColumnSchema("image"),
        "crp": ColumnSchema("clinical", "numeric", bounds=(0, 100), decimals=1, states=["missing", "inf"]),
        "sex": ColumnSchema("clinical", "categorical", categories=["F", "M"], states=["missing"]),
        "icu": ColumnSchema("clinical", "boolean", states=[]),
        "devices": ColumnSchema("clinical", "multi-label", categories=["tube", "line"], states=[]),
    }
)


def images(count: int, seed: int) -> np.ndarray:
    """Smooth images, each of its own."""
    coarse = np.random.default_rng(seed).uniform(60, 200, (count, 8, 8))
    return np.kron(coarse, np.ones((4, 4))).astype(np.uint8)


def frame(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    crp = rng.uniform(0, 100, count).round(1)
    crp[::5], crp[1::5] = np.nan, np.inf
    sex = pd.Series(rng.choice(["F", "M"], count), dtype=object)
    sex[::7] = None
    devices = [[["tube"], [], ["line", "tube"]][i] for i in rng.integers(3, size=count)]
    return pd.DataFrame(
        {
            "crp": crp,
            "sex": sex,
            "icu": pd.Series((rng.random(count) < 0.5).tolist(), dtype=object),
            "devices": devices,
        }
    )


def beside(space: RowSpace, cells: pd.DataFrame) -> np.ndarray:
    return np.concatenate(list(space.features(cells).values()), axis=1)


class TestRowSpace:
    def test_equal_cells_and_no_others_are_at_distance_0(self):
        release = frame(40, 0)
        space = RowSpace(SCHEMA, release)
        rows = beside(space, release)
        distances = np.abs(rows[:, None] - rows[None]).sum(axis=2)
        equal = [[repr(a) == repr(b) for b in release.to_numpy().tolist()] for a in release.to_numpy().tolist()]
        np.testing.assert_array_equal(distances < EXACT_ROW, equal)

    @pytest.mark.parametrize(
        ("name", "cell", "expected"),
        [
            ("sex", "M", 1),
            ("sex", None, 1),
            ("icu", False, 1),
            ("devices", ["line"], 1),
            ("devices", ["line", "tube"], 0.5),
        ],
    )
    def test_a_cell_counts_as_one_of_the_columns(self, name, cell, expected):
        one = pd.DataFrame({"crp": [5.0], "sex": ["F"], "icu": [True], "devices": [["tube"]]}, dtype=object)
        one["crp"] = one["crp"].astype(float)
        other = one.copy()
        other.at[0, name] = cell
        space = RowSpace(SCHEMA, frame(40, 0))
        assert np.abs(beside(space, one) - beside(space, other)).sum() == pytest.approx(expected / 4)

    def test_numbers_differ_by_their_ranks_and_missing_from_any(self):
        release = frame(1000, 0)
        release["crp"] = np.linspace(0, 100, 1000) ** 2 / 100
        cells = pd.concat([release.iloc[:1]] * 4, ignore_index=True)
        cells["crp"] = [0.0, 25.0, np.nan, np.inf]
        rows = beside(RowSpace(SCHEMA, release), cells)
        distances = 4 * np.abs(rows - rows[0]).sum(axis=1)
        assert distances[1] == pytest.approx(0.5, abs=0.01)
        assert (distances[2:] >= 1).all()


class TestNearest:
    @pytest.mark.parametrize(
        ("changed", "limit"),
        [
            (lambda x: x, EXACT_IMAGE),
            (lambda x: x[:, :, ::-1], EXACT_IMAGE),
            (lambda x: (x * 0.6 + 40).astype(np.uint8), 1e-3),
            (lambda x: np.roll(x, 2, axis=(1, 2)), EXACT_IMAGE),
            (lambda x: (x + np.random.default_rng(0).normal(0, 5, x.shape)).clip(0, 255).astype(np.uint8), 0.05),
        ],
        ids=["same", "mirrored", "darker", "shifted", "noisy"],
    )
    def test_a_changed_image_is_found_again(self, changed, limit):
        library = images(50, 0)
        rows = np.zeros((50, 1))
        found = nearest(changed(library)[10:20], rows[:10], library, rows)
        assert (found.image <= limit).all()
        np.testing.assert_array_equal(found.image_match, np.arange(10, 20))

    def test_other_images_are_far(self):
        rows = np.zeros((50, 1))
        assert nearest(images(50, 1), rows, images(50, 0), rows).image.min() > 0.2

    def test_a_record_is_near_where_image_and_row_are_so_together(self):
        pixels, rows = images(20, 0), np.arange(20.0)[:, None]
        turned = np.roll(np.arange(20), 1)
        together = nearest(pixels, rows, pixels, rows, (0.01, 0.1))
        apart = nearest(pixels, rows, pixels[turned], rows, (0.01, 0.1))
        assert (together.record <= 1).all()
        assert (apart.image <= EXACT_IMAGE).all() and (apart.row <= EXACT_ROW).all() and (apart.record > 1).all()

    def test_blocks_make_no_difference(self, monkeypatch):
        arguments = (
            images(30, 1),
            np.random.default_rng(0).random((30, 2)),
            images(40, 0),
            np.zeros((40, 2)),
            (0.5, 0.5),
        )
        whole = nearest(*arguments)
        monkeypatch.setattr("hf_hybrid.metrics.copies._BLOCK_CELLS", 100)
        parts = nearest(*arguments)
        for name in ("image", "row", "record", "image_match"):
            np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-6)

    def test_the_threshold_lets_as_many_through_as_it_should(self):
        pixels, rows = images(600, 0), np.random.default_rng(0).random((600, 3))
        held_out = nearest(pixels[:300], rows[:300], pixels[300:], rows[300:])
        image, row = near_thresholds(held_out, multiple=1)
        assert (held_out.image <= image).mean() == pytest.approx(0.05, abs=0.01)
        assert (held_out.row <= row).mean() == pytest.approx(0.05, abs=0.01)
        assert near_thresholds(held_out, multiple=5)[1] < row
