"""Draws public phantoms into one file: what a shipped codec of phantoms is trained on.

python scripts/pack_phantoms.py phantoms.npz --num_images 6000 --resolution 128
"""

import sys
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from jsonargparse import auto_cli

from hf_hybrid.commands.cli import guarded
from hf_hybrid.core.cores import num_cores
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.models.public_images import PublicImages
from hf_hybrid.phantom.cohort import public_seed, sample_cohort
from hf_hybrid.phantom.drawing import check_resolution, draw_phantom
from hf_hybrid.phantom.parameters import ImageParameters
from hf_hybrid.phantom.variables import FINDINGS

SOURCE = "phantoms"


def main(output: Path, num_images: int = 6000, resolution: int = 128, seed: int = 14, quality: int = 92) -> int:
    """Draws phantoms of different people, with their findings as labels.

    Args:
        output: file to write, an .npz.
        num_images: each of another person, at least 1.
        resolution: height and width in pixels, 32 to 512.
        seed: of public phantoms, whose people are never those of a private cohort; runs draw theirs with seed 1.
        quality: of the WebP compression, 1 to 100.
    """
    check_resolution(resolution)
    if num_images < 1:
        raise InputError(f"expected `num_images` of at least 1, found {num_images}")
    drawn = public_seed(seed)
    cohort = sample_cohort(2 * num_images, drawn)  # some patients have several records: the first of each is drawn
    first = np.flatnonzero(~cohort.table["patient_id"].duplicated())[:num_images]
    truth, table = cohort.truth.iloc[first].to_dict("records"), cohort.table.iloc[first]

    def draw(index: int, parameters: dict) -> np.ndarray:
        return draw_phantom(ImageParameters(**parameters), resolution, numpy_generator(drawn, "image", index))

    pixels = Parallel(num_cores())(delayed(draw)(*one) for one in zip(first.tolist(), truth, strict=True))
    labels = table["findings"].str.get_dummies("|").reindex(columns=FINDINGS, fill_value=0)
    images = PublicImages(
        np.stack(pixels),
        np.full(num_images, SOURCE),
        table["patient_id"].to_numpy(str),
        {name: labels[name].to_numpy(np.float32) for name in FINDINGS},
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    images.save(output, {SOURCE: quality})
    shares = ", ".join(f"{name} {100 * labels[name].mean():.0f} %" for name in FINDINGS)
    sys.stdout.write(f"{num_images:,} phantoms, {output.stat().st_size / 1e6:.1f} MB in {output}: {shares}\n")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: auto_cli(main, as_positional=True)))
