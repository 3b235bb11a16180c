"""What linear models tell from radiographs of unseen patients: from components at 32 px and from image features.

python scripts/feature_utility.py docs/results/feature_utility.json --datasets '[covid_cxr, nih_cxr]'
python scripts/feature_utility.py docs/results/feature_utility.json --releases '[[RELEASE, DIVIDED]]'

Of each dataset every patient is predicted by models of other patients (five folds, several divisions); nothing is
chosen on them. Of each release, models learn from it or from the training records, and the recovered share is given.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jsonargparse import auto_cli

from hf_hybrid.commands.cli import guarded
from hf_hybrid.core import provenance
from hf_hybrid.data.images import read_image
from hf_hybrid.data.records import Records, load_records
from hf_hybrid.evaluation.options import EvaluationOptions
from hf_hybrid.evaluation.release_evaluation import evaluate_release
from hf_hybrid.metrics import predictors
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights
from hf_hybrid.metrics.predictions import auc, r2
from hf_hybrid.models.image_features import extractor_name, image_features

TARGETS = ("sex", "view", "finding", "findings", "age")
LABELS = ("Effusion", "No Finding")  # of `findings`, shown by themselves
NUM_FOLDS = 5


def main(
    output: Path,
    datasets: list[str] | None = None,
    releases: list[tuple[str, str]] | None = None,
    resolution: int = 128,
    extractors: tuple[str, ...] = ("radiograph", "random"),
    divisions: int = 5,
    bootstraps: int = 500,
) -> int:
    """Writes AUC or R2 with intervals over patients, and the recovered shares of releases.

    Args:
        output: JSON file; what it holds of other datasets or releases is kept.
        datasets: image folders with a table, such as `covid_cxr` and `nih_cxr`.
        releases: pairs of a release and of the divided dataset (splits `train` and `test`) that it was made from.
        resolution: of the features, unless the images are smaller.
        extractors: of the features of `datasets`; the first one also of `releases`.
        divisions: of the patients into folds.
        bootstraps: patient bootstrap replicates.
    """
    result = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {"datasets": {}, "releases": {}}
    result["versions"] = provenance.versions()
    for name in datasets or []:
        records = load_records(name, split="train")
        side = min(resolution, min(read_image(records.images[0]).shape))
        seen = {f"components of {predictors.RESOLUTION} px images": records.pixel_values(predictors.RESOLUTION)}
        for extractor in extractors:
            seen[extractor_name(extractor)] = image_features(records.iter_pixels(side), extractor)
        result["datasets"][Path(name).name] = {
            "resolution": side,
            "setting": {"folds": NUM_FOLDS, "divisions": divisions, "bootstraps": bootstraps},
            "targets": [_scores(*one, records.groups, seen, divisions, bootstraps) for one in _targets(records)],
        }
    for release, divided in releases or []:
        result["releases"][Path(release).parent.name] = {
            model: _shares(release, divided, model, extractors[0], bootstraps)
            for model in ("linear", "features", "auto")
        }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


def _targets(records: Records) -> Iterator[tuple[str, np.ndarray, np.ndarray, int | None]]:
    """Name, values, which are known and number of classes of each target."""
    for name in TARGETS:
        if name not in records.schema.table:
            continue
        column = records.schema.table[name]
        values, known = predictors.target_values(records.frame[name], column)
        classes = predictors.class_names(column)
        yield name, values, known, classes and len(classes)
        for label in LABELS if column.kind == "multi-label" else ():
            yield f"{name}: {label}", values[:, [classes.index(label)]], known, 1


def _scores(
    name: str,
    values: np.ndarray,
    known: np.ndarray,
    num_classes: int | None,
    groups: np.ndarray,
    seen: dict[str, np.ndarray],
    divisions: int,
    bootstraps: int,
) -> dict:
    """The score by each way to see an image, and its difference to the first one."""
    rows = np.flatnonzero(known)
    values, groups = values[rows], groups[rows]
    weights, score = bootstrap_weights(groups, bootstraps, 0), r2 if num_classes is None else auc
    found = {}
    for model, images in seen.items():
        outputs = (_out_of_fold(images[rows], values, groups, num_classes, seed) for seed in range(divisions))
        references = values if num_classes is None else predictors.indicators(values, num_classes)
        found[model] = Estimate.mean([Estimate.of(score, references, one, weights) for one in outputs])
    first = next(iter(found.values()))
    facts = {"target": name, "metric": score.__name__, "n": len(rows), "patients": len(np.unique(groups))}
    return facts | {
        model: _numbers(one) | ({} if one is first else {"difference": _numbers(one.minus(first))})
        for model, one in found.items()
    }


def _out_of_fold(
    images: np.ndarray, values: np.ndarray, groups: np.ndarray, num_classes: int | None, seed: int
) -> np.ndarray:
    """A prediction for every record by a linear model of other patients."""
    from sklearn.model_selection import GroupKFold

    outputs = np.zeros(len(values) if num_classes is None else (len(values), num_classes))
    for learned, tested in GroupKFold(NUM_FOLDS, shuffle=True, random_state=seed).split(images, groups=groups):
        train, test = predictors.image_components(images[learned], images[tested])
        outputs[tested] = predictors.predict_linear([train], values[learned], [test], num_classes)
    return outputs


def _shares(release: str, divided: str, model: str, extractor: str, bootstraps: int) -> list[dict]:
    """Real and recovered utility of the largest synthetic set, from the image alone."""
    options = EvaluationOptions(image_model=model, extractor=extractor, bootstraps=bootstraps, parts=["utility"])
    found = evaluate_release(release, divided, divided, options).utility
    chosen = {one.target: one.in_words for one in found.image_models or ()}
    rows = []
    for one in {(one.target, one.metric): one for one in found.headline if one.inputs == "image"}.values():
        scores = {row.trained_on: row for row in found.scores if (row.target, row.metric, row.inputs) == (
            one.target, one.metric, "image")}  # fmt: skip
        rows.append(
            {
                **{"target": one.target, "metric": one.metric, "trained on": one.trained_on},
                **{side: [scores[side].value, scores[side].interval] for side in ("real", one.trained_on)},
                "recovered share": [one.recovered_share, one.recovered_share_interval],
                "reason": one.reason,
                "image model": chosen.get(one.target, model),
            }
        )
    return rows


def _numbers(one: Estimate) -> dict:
    return {"value": round(one.value, 3), "interval": [round(end, 3) for end in one.interval]}


if __name__ == "__main__":
    sys.exit(guarded(lambda: auto_cli(main, as_positional=True)))
