"""Pairing by what was measured in the images: does a heart that is drawn large belong to a row that says so.

Each measurement (a width, an opacity) is read off an image by a ridge regression that learned it from real images
whose measurements are known. What is read off synthetic images should go with their rows as it does in real ones.
"""

import numpy as np
import pandas as pd

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.report import Score
from hf_hybrid.data import privacy_rule
from hf_hybrid.evaluation.comparison import Comparison
from hf_hybrid.metrics import fidelity, predictors
from hf_hybrid.metrics.estimates import bootstrap_weights
from hf_hybrid.metrics.predictions import r2

MIN_R2 = 0.3  # of a measurement on unseen patients: what cannot be read off an image says nothing of it
_MIN_KNOWN = 20
_SHOWN = 12


def read_measurements(path: str, file_names: list[list[str]]) -> list[pd.DataFrame]:
    """The numbers of a CSV file for the images of several sets, NaN where it has none.

    Args:
        path: of a file with the column `file_name` and numbers.
        file_names: of the images of each set.

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


def score_measurements(comparison: Comparison, train: pd.DataFrame, test: pd.DataFrame) -> list[Score]:
    """How the columns of a release go with what is measured in its images.

    Args:
        comparison: release and real records.
        train: measurements of the images learned from, `(num_train, k)`.
        test: of unseen patients.
    """
    synthetic, unseen = comparison.synthetic, comparison.test
    sides = {}
    for name in train:
        known = [np.isfinite(side[name].to_numpy()) for side in (train, test)]
        values = [side[name].to_numpy()[has] for side, has in zip((train, test), known, strict=True)]
        if min(map(len, values)) < _MIN_KNOWN or not all(map(predictors.varies, values)):
            continue
        asked = np.concatenate([unseen.pixels[known[1]], unseen.pixels, synthetic.pixels])
        learned, tested = predictors.image_components(comparison.train.pixels[known[0]], asked, seed=0)
        read = predictors.predict_linear([learned], values[0], [tested], None)
        own, of_test, of_release = np.split(read, np.cumsum([len(values[1]), len(unseen)]))
        if r2(values[1], own, np.ones((1, len(own))))[0] >= MIN_R2:
            sides[name] = of_release, of_test  # as they are read off on both sides: reading weakens every trend
    meaning = "how the columns go with what is measured in the images, mean difference of rank correlations"
    title, limits = "trends with measurements", (0.0, 2.0)
    if not sides:
        reason = f"no measurement can be read off the images of unseen patients (R2 of {MIN_R2:g})"
        return [
            Score(title, None, None, "lower is better", limits, unseen.num_patients, meaning=meaning, reason=reason)
        ]
    columns = [predictors.named_features(comparison.schema, one.frame) for one in (synthetic, unseen)]
    names, features = list(columns[0]), [np.stack(list(one.values()), axis=1) for one in columns]
    measured = [np.stack(one, axis=1) for one in zip(*sides.values(), strict=True)]
    shuffled = np.random.default_rng(0).permutation(len(synthetic))
    release, real = (_trends(one, rows) for one, rows in zip(measured, features, strict=True))
    unpaired = _trends(measured[0][shuffled], features[0])
    draws = bootstrap_weights(unseen.groups, max(comparison.options.bootstraps // 5, 2), seed=0).astype(int)
    drawn = (np.repeat(np.arange(len(unseen)), one) for one in draws)
    replicates = release - np.array([_trends(measured[1][rows], features[1][rows]) for rows in drawn])
    value, spread = np.abs(release - real).mean(), 1.96 * np.abs(replicates).mean(axis=(1, 2)).std()
    found = [
        Score(
            *(title, value, (max(value - spread, 0.0), value + spread), "lower is better", limits),
            *(unseen.num_patients, {"images shuffled": np.abs(unpaired - real).mean()}, meaning),
        )
    ]
    of_unseen = np.concatenate([measured[1], features[1]], axis=1)
    count = len(sides)
    is_answer = np.append(np.zeros(count, bool), predictors.are_answers(comparison.schema, names))
    told = privacy_rule.enough_for_correlations(of_unseen, is_answer, unseen.groups)[:count, count:]
    strongest = np.dstack(np.unravel_index(np.argsort(-np.abs(real) * told, axis=None)[:_SHOWN], real.shape))[0]
    for place, column in strongest:
        if not told[place, column]:
            break
        there = place, column
        found.append(
            Score(
                *(f"{list(sides)[place]} and {names[column]}", release[there] - real[there]),
                *(tuple(np.percentile(replicates[:, place, column], [2.5, 97.5]).tolist()), "0 is best", (-2.0, 2.0)),
                unseen.num_patients,
                {"release": release[there], "real, unseen patients": real[there], "images shuffled": unpaired[there]},
                "rank correlation of a measurement with a column, in the release less that in real records",
            )
        )
    return found


def _trends(measured: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Rank correlations `(num_measurements, num_columns)`."""
    count = measured.shape[1]
    return fidelity.rank_correlations(np.concatenate([measured, columns], axis=1))[:count, count:]
