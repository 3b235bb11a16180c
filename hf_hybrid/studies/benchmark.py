"""Comparison of samplers on one split: utility, privacy and cost.

Each sampler is fitted to the same latent table once per seed, in a process of its own whose memory is measured. Its
records are scored against real patients that it did not see: table fidelity, pairing of image and row, the share of
real data's utility that they recover, and how well an attack distinguishes training patients from others.
"""

import json
import logging
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import new_folder, private_folder
from hf_hybrid.core.memory import peak_memory
from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.core.scores import REAL
from hf_hybrid.data.images import grey_squares
from hf_hybrid.data.records import Records
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.training_sets import real_and_whole, training_sets, whole_release
from hf_hybrid.evaluation.utility import score_targets
from hf_hybrid.metrics import predictors
from hf_hybrid.metrics.estimates import Estimate, recover
from hf_hybrid.metrics.fidelity import (
    NO_RANGE,
    SHARE_DRAWS,
    column_shapes,
    draws_of_patients,
    pair_trends,
    share_of_range,
    shuffled_columns,
    significant_range,
    three_way_shares,
)
from hf_hybrid.metrics.membership import membership
from hf_hybrid.metrics.pairing import explained_variance
from hf_hybrid.models.codec import Codec
from hf_hybrid.samplers.base import Sampler
from hf_hybrid.samplers.registry import SAMPLERS
from hf_hybrid.samplers.rows import LatentRows, latent_names
from hf_hybrid.samplers.transform import TableTransform
from hf_hybrid.samplers.validation import joint_features
from hf_hybrid.synthesis.latent_table import LatentTable, encode_rows
from hf_hybrid.synthesis.pipeline import decode_images

logger = logging.getLogger(__name__)

REFERENCE = "copula"  # others are compared with its membership AUC
_OF_DEPENDENCE = {"pair_trends": pair_trends, "three_way": three_way_shares}


def fit_and_sample(
    latent_table: Path, sampler: Sampler, num_records: int, seed: int, output: Path, logs: Path, num_threads: int
) -> None:
    """Fits and samples in the calling process, which should be a fresh one.

    Args:
        latent_table: folder of a saved `LatentTable`.
        sampler: unfitted.
        num_records: to sample.
        seed: of the sample.
        output: a new private folder: `sample/` (a saved dataset) and `costs.json` (`fit_seconds`,
            `records_per_second`, `peak_memory_mb` above what the process held before).
        logs: private folder from which an interrupted fit is resumed; removed once the output is complete.
        num_threads: of torch.
    """
    torch.set_num_threads(num_threads)
    table = LatentTable.load(latent_table)
    with peak_memory() as peak:
        started = time.perf_counter()
        sampler.fit(table.dataset, table.schema, table.groups, private_folder(logs))
        fitted = time.perf_counter()
        sample = sampler.sample(num_records, seed)
        sampled = time.perf_counter()
    costs = {
        "fit_seconds": fitted - started,
        "records_per_second": num_records / (sampled - fitted),
        "peak_memory_mb": peak.megabytes,
    }
    with new_folder(output, mode=0o700) as folder:
        sample.save_to_disk(folder / "sample")
        (folder / "costs.json").write_text(json.dumps(costs))
    shutil.rmtree(logs, ignore_errors=True)


@dataclass
class Scores:
    """Scores of one sample, or their mean over seeds.

    Args:
        numbers: `column_shapes`, `pair_trends` (0 to 1, higher is better), `pair_trends_share` and
            `three_way_share` (of the way from shuffled columns, 0, to training records, 1; NaN if the two do not
            surely differ), `pairing` (R2), and the costs.
        estimates: `membership` (AUC), and (target, metric, inputs) of predictors trained on the sample.
    """

    numbers: dict[str, float]
    estimates: dict[str | tuple[str, str, str], Estimate]

    def save(self, path: Path) -> None:
        """Writes one file of arrays; no cell is in it."""
        arrays = {"numbers/" + name: np.array(value) for name, value in self.numbers.items()}
        for key, estimate in self.estimates.items():
            arrays["estimates/" + json.dumps(key)] = np.concatenate([[estimate.value], estimate.replicates])
        with new_folder(path, mode=0o700) as folder:
            np.savez(folder / "scores.npz", **arrays)

    @classmethod
    def load(cls, path: Path) -> "Scores":
        """Reads what `save` wrote."""
        numbers, estimates = {}, {}
        with np.load(path / "scores.npz", allow_pickle=False) as arrays:
            for name, array in arrays.items():
                part, key = name.split("/", 1)
                if part == "numbers":
                    numbers[key] = float(array)
                else:
                    key = json.loads(key)
                    key = tuple(key) if isinstance(key, list) else key
                    estimates[key] = Estimate(float(array[0]), array[1:])
        return cls(numbers, estimates)


class SampleScorer:
    """Scores samples of one latent table against patients who are not in it.

    Args:
        table: the latent table that the samplers learned.
        train: the same records with their images.
        tested: records of other patients.
        codec: the codec that encoded them.
        bootstraps: patient bootstrap replicates.
    """

    def __init__(self, table: LatentTable, train: Records, tested: Records, codec: Codec, bootstraps: int) -> None:
        self.schema, self.codec, self.groups = table.schema, codec, table.groups
        self.tested_groups = tested.groups
        self.options = EvaluationOptions(seeds=1, bootstraps=bootstraps, image_model="linear")
        self.learned = LatentRows.from_dataset(table.dataset, table.schema)
        self.tested = encode_rows(tested, table.schema, codec)
        self.transform = TableTransform(table.schema).fit(self.learned.latents, self.learned.frame, table.groups)
        sides = shuffled_columns(_wide(self.learned)), _wide(self.learned)
        draws = draws_of_patients(tested.groups, SHARE_DRAWS)
        self.ranges = {
            name: significant_range(metric, sides, _wide(self.tested), draws)
            for name, metric in _OF_DEPENDENCE.items()
        }
        self.real_sets = [
            EvaluationSet(one.pixel_values(predictors.RESOLUTION, fit=codec.config.resize_mode), one.frame, one.groups)
            for one in (train, tested)
        ]

    def score(self, sample: LatentRows | None, seed: int) -> Scores:
        """Scores a sample, or with None the real training records themselves."""
        rows = self.learned if sample is None else sample
        features, tested = (joint_features(self.transform, one) for one in (rows, self.tested))
        latent_dim, wide, tested_wide = rows.latents.shape[1], _wide(rows), _wide(self.tested)
        numbers = {
            "column_shapes": column_shapes(wide, tested_wide),
            "pair_trends": pair_trends(wide, tested_wide),
            **_shares(wide, tested_wide, self.ranges, len(self.learned)),
            "pairing": explained_variance(
                *((one[:, :latent_dim], one[:, latent_dim:]) for one in (features, tested)),
                groups=self.groups if sample is None else None,
            ),
        }
        learned = joint_features(self.transform, self.learned)
        bootstraps = self.options.bootstraps
        attack = membership(learned, self.groups, tested, self.tested_groups, features, bootstraps)
        return Scores(numbers, {"membership": attack, **self._utility(sample, seed)})

    def _utility(self, sample: LatentRows | None, seed: int) -> dict[tuple[str, str, str], Estimate]:
        if sample is None:
            synthetic = self.real_sets[0]
        else:
            pixels = np.concatenate(
                [
                    grey_squares(batch, predictors.RESOLUTION)
                    for batch in decode_images(self.codec, sample.latents, seed)
                ]
            )
            synthetic = EvaluationSet(pixels, sample.frame, np.arange(len(sample)))
        comparison = Comparison(synthetic, *self.real_sets, self.schema, self.options)
        targets = score_targets(comparison, real_and_whole)
        sets = training_sets(len(self.learned), len(synthetic), seed)
        name = REAL if sample is None else whole_release(sets).name
        estimates = {}
        for target in targets:
            for inputs in (inputs for inputs, trained_on in target.results if trained_on == name):
                if estimate := target.mean(target.metrics[0], inputs, name):
                    estimates[target.name, target.metrics[0], inputs] = estimate
        return estimates


def summarise(real: Scores, samples: dict[str, list[Scores]], samplers: dict[str, Sampler]) -> dict:
    """The part of `benchmark.json` about the samplers.

    Args:
        real: scores of the real training records.
        samples: for each sampler, the scores of every seed, with costs among their numbers.
        samplers: the samplers, for their class and configuration.

    Returns:
        `real` and `samplers`. A number has its mean over seeds and its `range` over them; an estimate has a 95 %
        patient bootstrap interval of the mean over seeds.
    """
    of_reference = _mean(samples[REFERENCE], "membership")
    summary = {}
    for name, scores in samples.items():
        attack = _mean(scores, "membership")
        summary[name] = {
            "class": type(samplers[name]).__name__,
            "config": asdict(samplers[name]),
            "contains_training_records": samplers[name].contains_training_records,
            **over_seeds(real, scores),
            f"membership_above_{REFERENCE}": _estimate(attack.minus(of_reference)),
        }
    return {"real": {"pairing": round(real.numbers["pairing"], 4)}, "samplers": summary}


def over_seeds(real: Scores, scores: list[Scores]) -> dict:
    """Means over seeds: every number with its range over them, `membership`, and `utility` with recovered shares."""
    return {
        **{number: _number([one.numbers[number] for one in scores]) for number in scores[0].numbers},
        "membership": _estimate(_mean(scores, "membership")),
        "utility": [_utility_row(key, real, scores) for key in real.estimates if key != "membership"],
    }


def _utility_row(key: tuple[str, str, str], real: Scores, scores: list[Scores]) -> dict:
    target, metric, inputs = key
    row = {"target": target, "metric": metric, "inputs": inputs, "real": _estimate(real.estimates[key])}
    if not all(key in one.estimates for one in scores):
        return {**row, "synthetic": None, "recovered_share": None, "reason": "a release holds one value only"}
    synthetic = _mean(scores, key)
    recovery = recover(metric, real.estimates[key], synthetic)
    share = _estimate(recovery.share) if recovery.share else None
    return {**row, "synthetic": _estimate(synthetic), "recovered_share": share, "reason": recovery.reason}


def _mean(scores: list[Scores], key: str | tuple[str, str, str]) -> Estimate:
    return Estimate.mean([one.estimates[key] for one in scores])


def _shares(
    sample: pd.DataFrame, tested: pd.DataFrame, ranges: dict[str, tuple[float, float]], num_records: int
) -> dict[str, float]:
    """Shares of the ranges, of as many records as their ends have: more of them are nearer to any others."""
    taken = numpy_generator(0, "fidelity: records").permutation(len(sample))[:num_records]
    sample = sample.iloc[taken].reset_index(drop=True)
    return {
        f"{name}_share": share_of_range(metric(sample, tested), *ranges[name])
        for name, metric in _OF_DEPENDENCE.items()
    }


def _number(values: list[float]) -> dict:
    if np.isnan(values).any():  # a share, on a range that is the same for all seeds
        return {"value": None, "range": None, "reason": NO_RANGE}
    return {"value": round(float(np.mean(values)), 4), "range": [round(min(values), 4), round(max(values), 4)]}


def _estimate(estimate: Estimate) -> dict:
    return {
        "value": round(estimate.value, 4),
        "interval": estimate.interval and [round(end, 4) for end in estimate.interval],
    }


def _wide(rows: LatentRows) -> pd.DataFrame:
    """Latents beside the cells, in one table."""
    latents = pd.DataFrame(rows.latents.astype(np.float64), columns=latent_names(rows.latents.shape[1]))
    return pd.concat([latents, rows.frame.reset_index(drop=True)], axis=1)


def check_names(names: list[str]) -> None:
    """Raises InputError for a list of samplers that cannot be compared."""
    unknown = [name for name in names if name not in SAMPLERS]
    if unknown or REFERENCE not in names or len(set(names)) != len(names):
        raise InputError(
            f"expected `samplers` among {sorted(SAMPLERS)}, each once, {REFERENCE} among them, found {names}"
        )
