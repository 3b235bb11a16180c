"""Public images through a codec and through a PCA of as many numbers: what the study of a codec compares."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.utils.extmath import randomized_svd

from hf_hybrid.core.randomness import numpy_generator, seed_for
from hf_hybrid.data import privacy_rule
from hf_hybrid.data.pixels import to_tensor, to_uint8
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.models.codec import Codec
from hf_hybrid.models.public_images import HELD_OUT, PublicImages, shrunk
from hf_hybrid.models.radiograph_network import features_of, load_radiograph_network
from hf_hybrid.samplers.copula import GaussianCopulaSampler
from hf_hybrid.samplers.rows import LatentRows

NAMES = {"public_cxr": "adults", "kids_cxr": "children"}  # of the patients of a source
TRAINING_TENTHS = 2  # tenths of the patients from here on trained the codec
CODEC, PCA = "codec", "PCA"
_BATCH, _SHRUNK = 64, 256  # images at a time
_MOST_VALUES = 2**28  # of the images that a PCA learns from: 1 GiB


@dataclass
class Side:
    """Images of training or of held-out patients, with what the codec makes of them.

    Args:
        pixels: 8-bit `(n, side, side)`.
        patients: a number for each, `(n,)`.
        latents: `(n, latent_dim)`.
        mean: their mean images, 8-bit.
        drawn: their images with drawn detail, 8-bit.
        linear: their reconstructions by the PCA, 8-bit.
    """

    pixels: np.ndarray
    patients: np.ndarray
    latents: np.ndarray
    mean: np.ndarray
    drawn: np.ndarray
    linear: np.ndarray

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pixels)


@dataclass
class Part:
    """One group of patients.

    Args:
        train: images of training patients.
        held_out: images of held-out patients.
        draws: images drawn from copulas of training codes, by `CODEC` and by `PCA`.
        features: 8-bit images -> features, each with mean 0 and sd 1 over the held-out images.
    """

    train: Side
    held_out: Side
    draws: dict[str, np.ndarray]
    features: Callable[[np.ndarray], np.ndarray]

    @property
    def sides(self) -> tuple[Side, Side]:
        """Training and held-out patients."""
        return self.train, self.held_out

    @property
    def sets(self) -> dict[str, np.ndarray]:
        """The images whose likeness to held-out ones is scored."""
        reconstructions = {"codec reconstructions": self.train.drawn, "PCA reconstructions": self.train.linear}
        drawn = {f"{name} draws": pixels for name, pixels in self.draws.items()}
        return {"training images": self.train.pixels} | reconstructions | drawn


class LinearCode:
    """A PCA of weighted 8-bit images `(n, side, side)` with weights `(n,)`; the first images, if all are too many."""

    def __init__(self, pixels: np.ndarray, weights: np.ndarray, size: int) -> None:
        self.shape = pixels.shape[1:]
        count = max(2 * size, _MOST_VALUES // pixels[0].size)
        flat, weights = self._flat(pixels[:count]), (weights[:count] / weights[:count].sum()).astype(np.float32)
        self.mean = weights @ flat
        flat = (flat - self.mean) * np.sqrt(weights)[:, None]
        *_, self.components = randomized_svd(flat, size, random_state=seed_for(0, "reconstruction: PCA", bits=32))

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """8-bit images -> codes `(n, size)`."""
        return np.concatenate([(self._flat(part) - self.mean) @ self.components.T for part in _parts(pixels)])

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes -> 8-bit images."""
        images = ((self.mean + part @ self.components).clip(-1, 1) for part in _parts(codes.astype(np.float32)))
        return np.concatenate([((one + 1) * 127.5).round().astype(np.uint8) for one in images]).reshape(
            -1, *self.shape
        )

    @staticmethod
    def _flat(pixels: np.ndarray) -> np.ndarray:
        return pixels.reshape(len(pixels), -1).astype(np.float32) / 127.5 - 1


def parts_of(codec: Codec, images: PublicImages, num_patients: int, num_draws: int) -> Iterator[tuple[str, Part]]:
    """The patients of each source, encoded, decoded and drawn.

    Args:
        codec: of grey images; it learned from patients of the tenths from `TRAINING_TENTHS` on.
        images: the public images.
        num_patients: at most so many training patients of each group, drawn at random.
        num_draws: images drawn for each group.
    """
    images = PublicImages(shrunk(images.pixels, codec.config.resolution), images.sources, images.patients, {})
    is_training, is_held_out = images.tenths >= TRAINING_TENTHS, images.tenths == HELD_OUT
    groups, weights = images.groups, images.weights
    order = numpy_generator(0, "reconstruction: images of the PCA").permutation(len(images))
    learned = order[is_training[order]]
    linear = LinearCode(images.pixels[learned], weights[learned], codec.config.latent_dim)
    for source in sorted(set(images.sources), reverse=True):
        of_training, of_held_out = (
            np.flatnonzero((images.sources == source) & chosen) for chosen in (is_training, is_held_out)
        )
        few = numpy_generator(0, "attack: patients").permutation(np.unique(groups[of_training]))[:num_patients]
        rows = of_training[np.isin(groups[of_training], few)], of_held_out
        train, held_out = (_through(codec, linear, images.pixels[one], groups[one]) for one in rows)
        draws = {
            CODEC: _decoded(codec, _copula_draws(train.latents, train.patients, num_draws)),
            PCA: linear.decode(_copula_draws(linear.encode(train.pixels), train.patients, num_draws)),
        }
        yield (
            NAMES.get(source, str(source)),
            Part(train, held_out, draws, _scaled_features(held_out.pixels, codec.device)),
        )


def _parts(array: np.ndarray) -> list[np.ndarray]:
    return np.array_split(array, max(1, len(array) // _SHRUNK))


@torch.inference_mode()
def _through(codec: Codec, linear: LinearCode, pixels: np.ndarray, patients: np.ndarray) -> Side:
    latents, means, drawn = [], [], []
    for first in range(0, len(pixels), _BATCH):
        found = codec.encode(to_tensor(pixels[first : first + _BATCH]).to(codec.device)).latents
        latents.append(found.cpu().numpy())
        means.append(to_uint8(codec.decode(found, detail=False).sample))
        drawn.append(_drawn(codec, found, first))
    return Side(pixels, patients, *map(np.concatenate, (latents, means, drawn)), linear.decode(linear.encode(pixels)))


@torch.inference_mode()
def _decoded(codec: Codec, latents: np.ndarray) -> np.ndarray:
    parts = torch.from_numpy(latents).to(codec.device).split(_BATCH)
    return np.concatenate([_drawn(codec, part, place * _BATCH) for place, part in enumerate(parts)])


def _drawn(codec: Codec, latents: torch.Tensor, first: int) -> np.ndarray:
    seeds = [seed_for(0, "codec: detail", first + place) for place in range(len(latents))]
    return to_uint8(codec.decode(latents, seeds=seeds).sample)


def _copula_draws(codes: np.ndarray, patients: np.ndarray, count: int) -> np.ndarray:
    """Codes drawn from a Gaussian copula of training codes, as a release draws them, `(count, d)`."""
    frame = pd.DataFrame({"unrelated": np.arange(len(codes)) % 2 == 0})  # a latent table has a column
    schema = RecordSchema.infer(frame.astype(object), "image")
    typed, _ = schema.read(frame.astype(object))
    schema = privacy_rule.protect(schema, typed, patients, warn=False)
    rows = LatentRows(codes.astype(np.float32), typed)
    sampler = GaussianCopulaSampler().fit(rows.to_dataset(schema), schema, patients)
    return LatentRows.from_dataset(sampler.sample(count, seed=0), schema).latents


def _scaled_features(pixels: np.ndarray, device: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    """8-bit images -> features of the network that reports, with mean 0 and sd 1 over `pixels`."""
    network = load_radiograph_network("radiograph").to(device)
    plain = features_of(network, pixels).astype(np.float64)
    centre, scale, known = plain.mean(axis=0), plain.std(axis=0).clip(1e-9), {}

    def features(images: np.ndarray) -> np.ndarray:
        if id(images) not in known:  # kept with the array, so that no other one gets its id
            known[id(images)] = images, (features_of(network, images) - centre) / scale
        return known[id(images)][1]

    return features
