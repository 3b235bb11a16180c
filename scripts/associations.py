"""How much of the associations of a latent table each sampler draws: slopes of synthetic on real rank correlations.

    python scripts/associations.py runs/demo/logs/latent-table                       the three samplers
    python scripts/associations.py runs/demo/logs/latent-table --start               before their first step

One JSON line a sampler: pairs of numbers, of a number and an answer, of two answers, and latents with either; the
largest error of a share, and the step whose weights were kept.
"""

import argparse
import json
import sys

import numpy as np

from hf_hybrid import CTGANSampler, DiffusionSampler, GaussianCopulaSampler, LatentTable
from hf_hybrid.metrics import fidelity, predictors
from hf_hybrid.samplers.rows import LatentRows

DRAWS = 6144
UNTRAINED = {"max_train_steps": 1, "learning_rate": 1e-12, "validation_share": 0.0}
PAIRS = ("numbers", "number and answer", "two answers")


def main() -> int:
    """Fits, draws and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", help="a saved latent table")
    parser.add_argument("--start", action="store_true", help="of networks as they are before training")
    parser.add_argument("--seed", type=int, default=0, help="seed of the networks")
    options = parser.parse_args()
    table = LatentTable.load(options.table)
    trained = {"seed": options.seed, **(UNTRAINED if options.start else {})}
    samplers = GaussianCopulaSampler(), DiffusionSampler(**trained), CTGANSampler(**trained)
    for sampler in samplers:
        sampler.fit(table.dataset, table.schema, table.groups)
        found = slopes(table, LatentRows.from_dataset(sampler.sample(DRAWS, 1), table.schema))
        kept = {"kept_step": sampler.best_step_} if hasattr(sampler, "best_step_") else {}
        sys.stdout.write(json.dumps({"sampler": sampler.name, **found, **kept}) + "\n")
        sys.stdout.flush()
    return 0


def slopes(table: LatentTable, drawn: LatentRows) -> dict[str, float]:
    """The slopes of drawn rows on those of the table."""
    real = LatentRows.from_dataset(table.dataset, table.schema)
    features = [predictors.named_features(table.schema, one.frame) for one in (real, drawn)]
    names, columns = list(features[0]), list(table.schema.table)
    cells = [np.stack(list(one.values()), axis=1) for one in features]
    is_answer = np.array(predictors.are_answers(table.schema, names))
    column_of = np.array(
        [max((one for one in columns if name.startswith(one)), key=len, default=name) for name in names]
    )
    first, second = np.triu_indices(len(names), 1)
    apart = column_of[first] != column_of[second]
    one, other = (fidelity.rank_correlations(side)[first, second] for side in cells)
    kind = is_answer[first].astype(int) + is_answer[second]
    found = {
        name: _slope(one[apart & (kind == place)], other[apart & (kind == place)]) for place, name in enumerate(PAIRS)
    }
    count = real.latents.shape[1]
    with_latents = [
        fidelity.rank_correlations(np.concatenate([rows.latents.astype(np.float64), side], axis=1))[:count, count:]
        for rows, side in zip((real, drawn), cells, strict=True)
    ]
    for name, wanted in (("latents and numbers", ~is_answer), ("latents and answers", is_answer)):
        found[name] = _slope(*(side[:, wanted].ravel() for side in with_latents))
    shares = [np.nanmean(side[:, is_answer], axis=0) for side in cells]
    return {**found, "largest error of a share": round(float(np.abs(np.subtract(*shares)).max(initial=0)), 3)}


def _slope(real: np.ndarray, synthetic: np.ndarray) -> float:
    return round(float(real @ synthetic / max(real @ real, 1e-12)), 3)


if __name__ == "__main__":
    sys.exit(main())
