"""Pairing by measurements in the images: does an image with a large heart belong to a row that says so?

Each measurement (a width, an opacity) is estimated from an image by a ridge regression trained on real images with
known measurements. In synthetic records the estimate should correlate with the row as it does in real ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.core.scores import HELD_OUT, SHUFFLED, Score
from hf_hybrid.data import privacy_rule
from hf_hybrid.evaluation.comparison import Comparison
from hf_hybrid.metrics import fidelity, predictors
from hf_hybrid.metrics.estimates import bootstrap_weights
from hf_hybrid.metrics.predictions import r2

MIN_R2 = 0.3  # of a measurement on held-out patients: a poor estimate says nothing about an image
_MIN_KNOWN = 20
_SHOWN = 12
_TITLE = "trends with measurements"
_MEANING = "how the columns go with what is measured in the images, mean difference of rank correlations"


def read_measurements(path: str, file_names: list[list[str]]) -> list[pd.DataFrame]:
    """The numbers of a CSV file for the images of several sets, NaN where it has none.

    Args:
        path: CSV file with the column `file_name` and numeric columns.
        file_names: file names of the images of each set.

    Raises:
        InputError: no such file or column, no numbers, or images that it does not know.
    """
    try:
        table = pd.read_csv(path, dtype={"file_name": str})
    except (OSError, ValueError) as error:
        raise InputError(
            f"expected a CSV file of `measurements`, found none that reads: {type(error).__name__}"
        ) from None
    if "file_name" not in table:
        raise InputError(f"expected a column `file_name` in `measurements`, found {list(table)}: add it")
    table = table.drop_duplicates("file_name").set_index("file_name").select_dtypes(["number", "bool"]).astype(float)
    for names in file_names:
        if len(set(names)) < len(names):
            raise InputError("expected images with names of their own for `measurements`, found some that share one")
    found = [table.reindex(names).reset_index(drop=True) for names in file_names]
    for one in found:
        if one.shape[1] == 0 or one.notna().any(axis=1).sum() < _MIN_KNOWN:
            raise InputError(
                f"expected numbers for at least {_MIN_KNOWN} images of train and of test in `measurements`, found "
                f"{one.notna().any(axis=1).sum() if one.shape[1] else 0}: name files as the dataset does"
            )
    return found


def measure_measurements(comparison: Comparison, train: pd.DataFrame, test: pd.DataFrame) -> list[Score]:
    """Correlation of the columns of a release with measurements in its images.

    Args:
        comparison: release and real records.
        train: measurements of the training images, `(num_train, k)`.
        test: the same of held-out patients.
    """
    synthetic, held_out = comparison.synthetic, comparison.test
    read = {name: found for name in train if (found := _read_off(comparison, name, train, test)) is not None}
    n, limits = held_out.num_patients, (0.0, 2.0)
    if not read:
        reason = f"no measurement can be read off the images of held-out patients (R2 of {MIN_R2:g})"
        return [Score(_TITLE, None, None, "lower is better", limits, n, meaning=_MEANING, reason=reason)]
    columns = [predictors.named_features(comparison.schema, one.frame) for one in (synthetic, held_out)]
    names, features = list(columns[0]), [np.stack(list(one.values()), axis=1) for one in columns]
    measured = [np.stack(one, axis=1) for one in zip(*read.values(), strict=True)]
    trends = _compare(measured, features, held_out.groups, comparison.options.bootstraps)
    value, spread = (
        np.abs(trends.release - trends.real).mean(),
        1.96 * np.abs(trends.replicates).mean(axis=(1, 2)).std(),
    )
    interval = max(value - spread, 0.0), value + spread
    reference = {SHUFFLED: np.abs(trends.unpaired - trends.real).mean()}
    overall = Score(_TITLE, value, interval, "lower is better", limits, n, reference, _MEANING)
    of_held_out = np.concatenate([measured[1], features[1]], axis=1)
    is_answer = np.append(np.zeros(len(read), bool), predictors.are_answers(comparison.schema, names))
    told = privacy_rule.enough_for_correlations(of_held_out, is_answer, held_out.groups)[: len(read), len(read) :]
    return [overall, *_strongest(trends, told, list(read), names, n)]


def _read_off(
    comparison: Comparison, name: str, train: pd.DataFrame, test: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray] | None:
    """One measurement, estimated from the images of the release and of held-out patients; None if it cannot be.

    It is estimated on both sides, because estimation weakens every correlation.
    """
    known = [np.isfinite(side[name].to_numpy()) for side in (train, test)]
    values = [side[name].to_numpy()[has] for side, has in zip((train, test), known, strict=True)]
    if min(map(len, values)) < _MIN_KNOWN or not all(map(predictors.varies, values)):
        return None
    held_out = comparison.test
    asked = np.concatenate([held_out.pixels[known[1]], held_out.pixels, comparison.synthetic.pixels])
    learned, tested = predictors.image_components(comparison.train.pixels[known[0]], asked)
    read = predictors.predict_linear([learned], values[0], [tested], None)
    own, of_test, of_release = np.split(read, np.cumsum([len(values[1]), len(held_out)]))
    is_readable = r2(values[1], own, np.ones((1, len(own))))[0] >= MIN_R2
    return (of_release, of_test) if is_readable else None


@dataclass(frozen=True)
class _Trends:
    """Rank correlations `(num_measurements, num_columns)`: of the release, of held-out patients, of shuffled images.

    `replicates` are those of the release minus those of draws of held-out patients.
    """

    release: np.ndarray
    real: np.ndarray
    unpaired: np.ndarray
    replicates: np.ndarray


def _compare(
    measured: list[np.ndarray], features: list[np.ndarray], groups: np.ndarray, num_bootstraps: int
) -> _Trends:
    """Trends of the release and of held-out patients, both first measured, then columns."""
    shuffled = numpy_generator(0, "shuffled images").permutation(len(features[0]))
    release, real = (_trends(one, rows) for one, rows in zip(measured, features, strict=True))
    draws = bootstrap_weights(groups, max(num_bootstraps // 5, 2), seed=0).astype(int)
    drawn = (np.repeat(np.arange(len(groups)), one) for one in draws)
    replicates = release - np.array([_trends(measured[1][rows], features[1][rows]) for rows in drawn])
    return _Trends(release, real, _trends(measured[0][shuffled], features[0]), replicates)


def _strongest(
    trends: _Trends, told: np.ndarray, measurements: list[str], names: list[str], num_patients: int
) -> Iterator[Score]:
    """The strongest correlations in real records that enough patients support."""
    order = np.argsort(-np.abs(trends.real) * told, axis=None)[:_SHOWN]
    for place, column in np.dstack(np.unravel_index(order, trends.real.shape))[0]:
        if not told[place, column]:
            break
        there = place, column
        interval = tuple(np.percentile(trends.replicates[:, place, column], [2.5, 97.5]).tolist())
        yield Score(
            f"{measurements[place]} and {names[column]}",
            trends.release[there] - trends.real[there],
            interval,
            "0 is best",
            (-2.0, 2.0),
            num_patients,
            {
                "release": trends.release[there],
                f"real, {HELD_OUT}": trends.real[there],
                SHUFFLED: trends.unpaired[there],
            },
            "rank correlation of a measurement with a column, in the release less that in real records",
        )


def _trends(measured: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Rank correlations `(num_measurements, num_columns)`."""
    count = measured.shape[1]
    return fidelity.rank_correlations(np.concatenate([measured, columns], axis=1))[:count, count:]
