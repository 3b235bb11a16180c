"""Which images a codec knows: its errors on held-out public images, and the comparison of private images with them.

Two numbers tell whether an image is of another kind (`scripts/foreign_images.py` measures them on many kinds):

- `lost variance`: mean squared error of the mean image relative to the image's own variance. By the plain error,
  smooth photographs and blank images would pass, which have little to lose.
- `latent square`: mean square of the latents, 1 on average over the public images. It finds images that the codec
  reconstructs although it never saw such, as negatives or images on their side.

Private images are of another kind if the median of either is above the 95 % quantile of held-out public images. No
number of a single private image leaves this module.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch

from hf_hybrid.core.errors import InputError
from hf_hybrid.data.pixels import to_tensor
from hf_hybrid.models.alphagan import resized
from hf_hybrid.models.codec import Codec

if TYPE_CHECKING:
    from hf_hybrid.data.records import Records  # a training needs no `datasets`

L1, LOST_VARIANCE, LATENT_SQUARE = "l1", "lost variance", "latent square"
COMPARED = (LOST_VARIANCE, LATENT_SQUARE)
QUANTILES = {"1 %": 0.01, "50 %": 0.5, "95 %": 0.95, "99 %": 0.99}
LIMIT = "95 %"  # which the median of private images must not exceed
LIKE, ALLOWED = "like the codec's", "of another kind than the codec's, allowed"
NOT_COMPARED = "not compared with the codec's, whose range is not stated"
_MIN_IMAGES = 20  # fewer have no such quantile
_MAX_RECORDS = 512  # compared: a median needs no more
_BATCH = 64
_LEAST_VARIANCE = 1e-4  # so that a blank image has a finite loss, far above 1


def reconstruction_error_range(codec: Codec, pixels: np.ndarray, weights: np.ndarray | None = None) -> dict | None:
    """The range of a codec's errors on public images that it was not trained on, for its facts (`image_range`).

    Args:
        codec: the codec, its latents standardised.
        pixels: 8-bit images `(n, side, side[, 3])`; resized to the codec's resolution.
        weights: of the images, `(n,)`, such as `PublicImages.weights`; equal if None.

    Returns:
        `num_images`, and quantiles of `l1` (mean absolute error of the mean image at the core's resolution, 0 to 2),
        `lost variance` (from 0) and `latent square` (from 0), each as `{"1 %": ..., "50 %": ..., ...}`; None for fewer
        than 20 images.
    """
    if len(pixels) < _MIN_IMAGES:
        return None
    found = image_errors(codec, (pixels[first : first + _BATCH] for first in range(0, len(pixels), _BATCH)))
    weights = np.ones(len(pixels)) if weights is None else weights
    return {"num_images": len(pixels)} | {
        name: {
            quantile: round(float(np.quantile(values, share, weights=weights, method="inverted_cdf")), 4)
            for quantile, share in QUANTILES.items()
        }
        for name, values in found.items()
    }


@torch.inference_mode()
def image_errors(codec: Codec, batches: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """`l1`, `lost variance` and `latent square` of each image, `(n,)`; not to be written down for private images."""
    found = {name: [] for name in (L1, *COMPARED)}
    for batch in batches:
        images = resized(to_tensor(np.array(batch)).to(codec.device), codec.config.resolution)
        latents = codec.encode(images).latents
        means = codec.mean_images(latents)
        images = resized(images, means.shape[-1])
        variance = (images - images.mean((1, 2, 3), keepdim=True)).square().mean((1, 2, 3)).clamp(min=_LEAST_VARIANCE)
        found[L1].append((images - means).abs().mean((1, 2, 3)))
        found[LOST_VARIANCE].append((images - means).square().mean((1, 2, 3)) / variance)
        found[LATENT_SQUARE].append(latents.square().mean(1))
    return {name: torch.cat(parts).double().cpu().numpy() for name, parts in found.items()}


def compare_images(records: "Records", codec: Codec, facts: dict, allow_other_images: bool = False) -> str:
    """Compares private images with the range that a codec states.

    Args:
        records: the private records; at most 512 of them are looked at.
        codec: what is to encode them.
        facts: of the codec, as in its provenance.
        allow_other_images: whether images of another kind are encoded all the same.

    Returns:
        What came out, for provenance: `LIKE`, `ALLOWED` or `NOT_COMPARED`.

    Raises:
        InputError: they are of another kind.
    """
    known = (facts.get("training") or {}).get("image_range")
    if not known:
        return NOT_COMPARED
    rows = np.unique(np.linspace(0, len(records) - 1, _MAX_RECORDS).round().astype(int))
    config = codec.config
    batches = records.select(rows).iter_pixels(config.resolution, config.in_channels, config.resize_mode)
    medians = {name: float(np.median(values)) for name, values in image_errors(codec, batches).items()}
    beyond = [
        f"{name} {medians[name]:.2f} above {known[name][LIMIT]:.2f}"
        for name in COMPARED
        if medians[name] > known[name][LIMIT]
    ]
    if not beyond:
        return LIKE
    if allow_other_images:
        return ALLOWED
    raise InputError(
        f"expected images like those that the codec learned from ({facts['training']['images']}), found another kind: "
        f"the median {' and '.join(beyond)}, which {LIMIT} of its held-out images are below; name a codec of such "
        "images, or give `allow_other_images`"
    )
