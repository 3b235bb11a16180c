"""How strong the machine reader is: on real images of two sources, on draws of a PCA, and on images it cannot tell.

python scripts/check_reader.py --output reader.json --adults public_cxr --children kids_cxr --others covid_cxr

It counts if it reaches an AUC of .90 between radiographs of two sources and .99 on the draws of a PCA. Real images of
training patients against those of other patients of the same source are its control: .5.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jsonargparse import auto_cli

from hf_hybrid.commands.cli import guarded
from hf_hybrid.core.provenance import versions
from hf_hybrid.data.images import resize
from hf_hybrid.data.records import load_records
from hf_hybrid.metrics.image_fidelity import ImagePCA
from hf_hybrid.models.machine_reader import NUM_STEPS, Reading, read_images
from hf_hybrid.models.public_images import tenth

PCA_NUMBERS, PCA_SIDE, BOOTSTRAPS = 64, 64, 500
HELD_OUT = {"adults": 2, "children": 1}  # tenths that play held-out patients: there are few adults


@dataclass
class _Images:
    """Images of a source `(n, side, side)`, a number for each one's patient, and the tenth of the patient."""

    pixels: np.ndarray
    patients: np.ndarray
    tenths: np.ndarray

    def part(self, chosen: np.ndarray, count: int, seed: int) -> "_Images":
        """Some of the chosen images."""
        rows = np.random.default_rng(seed).permutation(np.flatnonzero(chosen))[:count]
        return _Images(self.pixels[rows], self.patients[rows], self.tenths[rows])


def main(
    output: Path,
    adults: str,
    children: str,
    others: str,
    resolution: int = 128,
    num_images: int = 419,
    num_steps: int = NUM_STEPS,
) -> int:
    """Reads every pair of samples and writes the AUCs.

    Args:
        output: JSON file.
        adults: public radiographs of adults.
        children: public radiographs of children.
        others: radiographs of another source than `adults`.
        resolution: of the images that are read.
        num_images: images of a sample, at most.
        num_steps: steps of each network.
    """
    sources = {"adults": adults, "children": children, "others": others}
    loaded = {name: _load(path, resolution, place) for place, (name, path) in enumerate(sources.items())}
    found = {"resolution": resolution, "steps": num_steps, "readings": {}}
    for name, (synthetic, real) in _pairs(loaded, resolution, num_images).items():
        reading = read_images(synthetic.pixels, real.pixels, (synthetic.patients, real.patients), num_steps)
        found["readings"][name] = _facts(reading)
        sys.stdout.write(f"{name}: {found['readings'][name]}\n")
    output.write_text(json.dumps(found | {"versions": versions()}, indent=2) + "\n", encoding="utf-8")
    return 0


def _load(path: str, resolution: int, place: int) -> _Images:
    records = load_records(path)
    names = records.raw[records.schema.group_column].astype(str)
    tenths = np.array([tenth(Path(path).name, name) for name in names])
    return _Images(records.pixel_values(resolution), place * 10**6 + records.groups, tenths)


def _pairs(loaded: dict[str, _Images], resolution: int, count: int) -> dict[str, tuple[_Images, _Images]]:
    """Samples that play the synthetic and the real images."""
    adults, others = loaded["adults"], loaded["others"]
    of_training = adults.tenths >= HELD_OUT["adults"]
    training, learned = (adults.part(of_training, count, seed) for seed in (0, 1))
    small = np.stack([resize(image, PCA_SIDE) for image in learned.pixels])
    drawn = _pca_draws(small, count)
    pairs = {
        "two sources": (others.part(others.tenths >= 0, count, 0), training),
        f"PCA of {PCA_SIDE} px, enlarged": (_drawn(np.stack([resize(one, resolution) for one in drawn])), training),
        "PCA": (_drawn(_pca_draws(learned.pixels, count)), training),
    }
    for name, tenths in HELD_OUT.items():
        one = loaded[name]
        held_out = one.tenths < tenths
        pairs[f"control: {name}"] = (one.part(~held_out, count, 0), one.part(held_out, count, 0))
    return pairs


def _pca_draws(pixels: np.ndarray, count: int) -> np.ndarray:
    pca = ImagePCA(PCA_NUMBERS).fit(pixels)
    return pca.images(pca.sample_codes(count, np.random.default_rng(0)))


def _drawn(pixels: np.ndarray) -> _Images:
    """Every draw is a patient of its own."""
    return _Images(pixels, -1 - np.arange(len(pixels)), np.zeros(len(pixels), int))


def _facts(reading: Reading) -> dict:
    facts = {"images": [int((reading.labels == label).sum()) for label in (1, 0)]}
    for name, part in (("AUC", None), ("network alone", "network"), ("texture alone", "texture")):
        estimate = reading.auc(BOOTSTRAPS, part)
        facts[name] = {"value": round(estimate.value, 4), "interval": [round(end, 4) for end in estimate.interval]}
    return facts


if __name__ == "__main__":
    sys.exit(guarded(lambda: auto_cli(main, as_positional=False)))
