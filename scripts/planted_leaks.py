"""Leaks planted in releases of the built-in cohort: how often `hf-hybrid evaluate` finds them, and where it does not.

python scripts/planted_leaks.py docs/results/planted_leaks.json --seeds 20
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from jsonargparse import auto_cli

from hf_hybrid.commands.cli import guarded
from hf_hybrid.core import provenance
from hf_hybrid.core.report import Privacy
from hf_hybrid.data import privacy_rule
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.splits import split_by_patient
from hf_hybrid.evaluation.comparison import Comparison, EvaluationSet
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.privacy import measure_privacy
from hf_hybrid.metrics import predictors
from hf_hybrid.phantom.cohort import sample_cohort
from hf_hybrid.phantom.drawing import draw_phantom
from hf_hybrid.phantom.parameters import ImageParameters
from hf_hybrid.phantom.variables import phantom_schema
from hf_hybrid.samplers.base import Sampler
from hf_hybrid.samplers.controls import SmoteSampler
from hf_hybrid.samplers.copula import GaussianCopulaSampler
from hf_hybrid.samplers.rows import LatentRows

NUM_COMPONENTS = 40


def main(
    output: Path, seeds: int = 20, num_records: int = 400, multiple: int = 2, plants: list[str] | None = None
) -> int:
    """Counts the verdicts of every family of attacks.

    Args:
        output: JSON file for the counts.
        seeds: cohorts drawn, one after the other.
        num_records: of a private cohort; a quarter of its patients are held out.
        multiple: synthetic records per training record.
        plants: which releases; all by default.
    """
    found = {name: {} for name in plants or PLANTS}
    for seed in range(seeds):
        setting = Setting(seed, num_records, multiple)
        for name, families in found.items():
            for family in setting.score(name).families:
                families.setdefault(family.name, []).append(family.verdict.word)
            sys.stderr.write(f"seed {seed}, {name}: {[verdicts[-1] for verdicts in families.values()]}\n")
        result = {
            "versions": provenance.versions(),
            "setting": {"seeds": seed + 1, "num_records": num_records, "multiple": multiple},
            "verdicts": {
                name: {family: dict(Counter(verdicts)) for family, verdicts in families.items()}
                for name, families in found.items()
            },
        }
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


class Setting:
    """A private cohort, divided, and one of other people."""

    def __init__(self, seed: int, num_records: int, multiple: int) -> None:
        self.seed, self.rng = seed, np.random.default_rng(seed)
        pixels, raw = draw(num_records, 2 * seed)
        groups = pd.factorize(raw["patient_id"])[0]
        schema = RecordSchema.infer(raw, "image", phantom_schema())
        frame, _ = schema.read(raw)
        parts = split_by_patient(groups, test=0.25, validation=0, seed=seed)
        self.train, self.held_out = (
            EvaluationSet(pixels[rows], frame.iloc[rows].reset_index(drop=True), groups[rows])
            for rows in (parts["train"], parts["test"])
        )
        self.schema = privacy_rule.protect(schema, self.train.frame, self.train.groups)
        self.schema.columns = {
            name: column for name, column in self.schema.columns.items() if column.role not in ("id", "ignore")
        }
        self.count = multiple * len(self.train)
        others, raw = draw(self.count, 2 * seed + 1)
        self.fresh = self.release(others, schema.read(raw)[0])
        chosen = self.rng.integers(len(self.train), size=self.count)
        self.copies = self.release(self.train.pixels[chosen], self.train.frame.iloc[chosen])

    def release(self, pixels: np.ndarray, frame: pd.DataFrame) -> EvaluationSet:
        """Records of no patient, restricted to the schema."""
        pixels = np.clip(pixels, 0, 255).astype(np.uint8)
        return EvaluationSet(pixels, frame.reset_index(drop=True), np.arange(len(frame))).restricted(self.schema)

    def score(self, plant: str) -> Privacy:
        """The part `privacy` of a report on a release with a planted leak."""
        # A stream of its own: what a release is does not depend on those that were made before it.
        self.rng = np.random.default_rng([self.seed, list(PLANTS).index(plant)])
        options = EvaluationOptions(bootstraps=200)
        section, _ = measure_privacy(Comparison(PLANTS[plant](self), self.train, self.held_out, self.schema, options))
        return section


def draw(num_records: int, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Images and rows of the built-in cohort."""
    cohort = sample_cohort(num_records, seed)
    rng = np.random.default_rng(seed)
    images = [
        draw_phantom(ImageParameters(**row), predictors.RESOLUTION, rng) for row in cohort.truth.to_dict("records")
    ]
    return np.stack(images), cohort.table


def _noisy(setting: Setting) -> EvaluationSet:
    """Training records with a little noise in every pixel and number."""
    copies, frame = setting.copies, setting.copies.frame.copy()
    for name, column in setting.schema.table.items():
        if column.is_number:
            noise = 0.01 * (column.bounds[1] - column.bounds[0]) * setting.rng.normal(size=len(frame))
            frame[name] = (frame[name] + noise).round(column.decimals)
    return setting.release(copies.pixels + setting.rng.normal(0, 4, copies.pixels.shape), frame)


def _few(setting: Setting) -> EvaluationSet:
    """One training record among twenty."""
    count = setting.count // 20
    pixels = np.concatenate([setting.copies.pixels[:count], setting.fresh.pixels[count:]])
    return setting.release(pixels, pd.concat([setting.copies.frame[:count], setting.fresh.frame[count:]]))


def _mirrored(setting: Setting) -> EvaluationSet:
    """Mirrored images of training records beside rows of others, as many as are left of both by the privacy rule."""
    count = min(len(setting.copies), len(setting.fresh))
    return setting.release(setting.copies.pixels[:count, :, ::-1], setting.fresh.frame[:count])


def _rejoined(setting: Setting) -> EvaluationSet:
    """Training rows joined to the images of other training records."""
    order = setting.rng.permutation(len(setting.copies))
    return setting.release(setting.copies.pixels, setting.copies.frame.iloc[order])


def _sampled(sampler: Sampler) -> Callable[[Setting], EvaluationSet]:
    def make(setting: Setting) -> EvaluationSet:
        """Draws of a sampler fitted to principal components and cells."""
        from sklearn.decomposition import PCA

        schema, train = setting.schema, setting.train.restricted(setting.schema)
        flat = train.pixels.reshape(len(train), -1).astype(np.float32)
        pca = PCA(min(NUM_COMPONENTS, len(flat) // 2), random_state=0).fit(flat)
        rows = LatentRows(pca.transform(flat), train.frame)
        sampler.fit(rows.to_dataset(schema), schema, train.groups)
        drawn = LatentRows.from_dataset(sampler.sample(setting.count, seed=0), schema)
        pixels = pca.inverse_transform(drawn.latents).reshape(-1, *train.pixels.shape[1:])
        return setting.release(pixels, drawn.frame)

    return make


PLANTS: dict[str, Callable[[Setting], EvaluationSet]] = {
    "fresh draws": lambda setting: setting.fresh,
    "copula": _sampled(GaussianCopulaSampler()),
    "training records": lambda setting: setting.copies,
    "small noise": _noisy,
    "mirrored images": _mirrored,
    "rows joined to other images": _rejoined,
    "5 % copies": _few,
    "overfitted sampler": _sampled(SmoteSampler(num_neighbours=1)),
}

if __name__ == "__main__":
    sys.exit(guarded(lambda: auto_cli(main, as_positional=True)))
