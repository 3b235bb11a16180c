"""Which images a codec takes for its own kind: the comparison that `hf-hybrid fit` makes, on many kinds of images.

    python scripts/foreign_images.py --codec CODEC --pack public.npz --folders COVID_CXR,NIH_CXR --output kinds.json

Of each kind it writes the medians of the images' errors, as multiples of their limits too, and whether such images
would be refused. The limits are those in the codec's facts; without any they are measured on the held-out public
patients of the pack. Photographs, digits, drawings and slices come with installed packages; `--folders` are image
folders that should pass.
"""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from hf_hybrid.core.artifacts import PROVENANCE
from hf_hybrid.core.cores import num_cores
from hf_hybrid.core.files import write_json
from hf_hybrid.core.provenance import read_provenance
from hf_hybrid.data.images import resize
from hf_hybrid.data.records import load_records
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.calibration import COMPARED, LIMIT, image_errors, reconstruction_error_range
from hf_hybrid.models.public_images import HELD_OUT, PublicImages

SIDE, COUNT = 128, 100
_OF_SKIMAGE = ("astronaut", "brick", "camera", "cat", "coffee", "coins", "grass", "gravel", "page", "rocket", "text")


def kinds() -> Iterator[tuple[str, np.ndarray]]:
    """Names and 8-bit images `(n, SIDE, SIDE)` of kinds that are not radiographs."""
    rng = np.random.default_rng(0)
    photographs = _photographs(rng)
    yield "photographs", photographs
    yield "photographs, blurred", gaussian_filter(photographs, (0, 5, 5))
    yield "drawn heads", _heads(rng)
    yield "handwritten digits", _digits()
    yield "black", np.zeros((COUNT, SIDE, SIDE), np.uint8)
    yield "grey", np.full((COUNT, SIDE, SIDE), 128, np.uint8)
    yield "white", np.full((COUNT, SIDE, SIDE), 255, np.uint8)
    yield "noise", rng.integers(0, 256, (COUNT, SIDE, SIDE)).astype(np.uint8)
    yield "smooth noise", _stretched(gaussian_filter(rng.normal(size=(COUNT, SIDE, SIDE)), (0, 12, 12)))
    yield from _slices()
    yield "drawn chests (the built-in cohort)", _phantoms()


def changed(radiographs: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Names and images that radiographs become by mistakes in their preparation, and by harmless changes."""
    yield "radiographs, negative", 255 - radiographs
    yield "radiographs, upside down", radiographs[:, ::-1]
    yield "radiographs, on their side", radiographs.transpose(0, 2, 1)
    frame = SIDE * 3 // 20
    framed = np.stack([resize(one, SIDE - 2 * frame) for one in radiographs])
    yield "radiographs, in a black frame", np.pad(framed, ((0, 0), (frame, frame), (frame, frame)))
    middle = slice(SIDE // 4, 3 * SIDE // 4)
    yield "radiographs, their middle", np.stack([resize(one, SIDE) for one in radiographs[:, middle, middle]])
    for gamma in (0.5, 2.0):
        yield f"radiographs, gamma {gamma}", (255 * (radiographs / 255) ** gamma).round().astype(np.uint8)
    yield "radiographs, of little contrast", (radiographs * 0.4 + 70).astype(np.uint8)


def _photographs(rng: np.random.Generator) -> np.ndarray:
    """Square parts of the photographs that scikit-learn and scikit-image bring."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    whole = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    for name in _OF_SKIMAGE:
        with contextlib.suppress(Exception):  # this version would download it
            whole.append(getattr(data, name)())
    found = []
    for _ in range(2 * COUNT):
        picture = whole[rng.integers(len(whole))]
        side = int(min(picture.shape[:2]) * rng.uniform(0.3, 1))
        top, left = (rng.integers(length - side + 1) for length in picture.shape[:2])
        part = Image.fromarray(picture[top : top + side, left : left + side]).convert("L")
        found.append(resize(np.asarray(part), SIDE))
    return np.stack(found)


def _heads(rng: np.random.Generator) -> np.ndarray:
    """Slices of heads as ellipses: skull, brain, ventricles, a lesion."""
    across, down = np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2)
    found = []
    for _ in range(COUNT):
        x, y = across - rng.normal(0, 0.04), down - rng.normal(0, 0.04)
        radius = np.hypot(x / rng.uniform(0.6, 0.75), y / rng.uniform(0.75, 0.92))
        ventricles = np.hypot((np.abs(x) - 0.15) / 0.09, y / 0.25) < 1
        lesion = np.hypot(x - rng.normal(0, 0.2), y - rng.normal(0, 0.2)) < 0.12
        parts, greys = (
            [lesion, ventricles, radius < 0.9, radius < 1],
            [*rng.uniform((60, 30, 90, 200), (190, 60, 140, 250))],
        )
        found.append(np.select(parts, greys, 0) + rng.normal(0, 4, across.shape))
    return np.clip(found, 0, 255).astype(np.uint8)


def _digits() -> np.ndarray:
    from sklearn.datasets import load_digits

    return np.stack([resize((one * 15.9).astype(np.uint8), SIDE) for one in load_digits().images[:COUNT]])


def _slices() -> Iterator[tuple[str, np.ndarray]]:
    """One slice of each kind that pydicom brings, if it is installed."""
    with contextlib.suppress(ImportError):
        from pydicom import dcmread
        from pydicom.data import get_testdata_file

        for kind in ("CT", "MR"):
            pixels = dcmread(get_testdata_file(f"{kind}_small.dcm", download=False)).pixel_array
            yield f"one {kind} slice", resize(_stretched(pixels[None])[0], SIDE)[None]


def _phantoms() -> np.ndarray:
    import tempfile

    from hf_hybrid.phantom.cohort import write_phantom

    with tempfile.TemporaryDirectory(prefix="hf_hybrid-") as folder:
        write_phantom(Path(folder) / "drawn", COUNT, SIDE, 3, images_only=True)
        return load_records(str(Path(folder) / "drawn")).pixel_values(SIDE)


def _stretched(values: np.ndarray) -> np.ndarray:
    """Each image from 0 to 255."""
    low, high = (side(values, axis=(1, 2), keepdims=True) for side in (np.min, np.max))
    return ((values - low) / (high - low) * 255).astype(np.uint8)


def main() -> None:
    """Measures all kinds and writes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", type=Path, required=True, help="folder of the codec")
    parser.add_argument(
        "--pack", type=Path, required=True, help="public images, as `train_builtin.py pack` wrote them"
    )
    parser.add_argument("--folders", type=lambda text: text.split(","), default=[], help="folders that should pass")
    parser.add_argument("--output", type=Path, required=True, help="JSON file of the result")
    args = parser.parse_args()
    torch.set_num_threads(num_cores())
    codec, images = AlphaGAN.from_pretrained(args.codec).eval(), PublicImages.load(args.pack)
    held_out = images.part(images.tenths == HELD_OUT)
    known = None
    if (args.codec / PROVENANCE).exists():
        known = read_provenance(args.codec)["codec"]["training"].get("image_range")
    known = known or reconstruction_error_range(codec, held_out.pixels, held_out.weights)
    radiographs = np.stack([resize(one, SIDE) for one in held_out.pixels])
    sets = [(f"held-out {name}", radiographs[held_out.sources == name]) for name in np.unique(held_out.sources)]
    sets += [(Path(folder).name, load_records(folder).pixel_values(SIDE)) for folder in args.folders]
    found = {}
    for name, pixels in [*sets, *changed(radiographs), *kinds()]:
        errors = image_errors(codec, np.array_split(pixels, max(1, len(pixels) // 64)))
        medians = {score: round(float(np.median(values)), 4) for score, values in errors.items()}
        times = {score: round(medians[score] / known[score][LIMIT], 2) for score in COMPARED}
        found[name] = {"images": len(pixels), **medians, "of the limit": times, "refused": max(times.values()) > 1}
    write_json(args.output, {"image_range": known, "kinds": found})


if __name__ == "__main__":
    main()
