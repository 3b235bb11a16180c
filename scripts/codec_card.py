"""What a codec does to public images: reconstruction, likeness of what it draws, and whether it repeats its images.

    python scripts/codec_card.py --codec CODEC --pack public.npz [--output scores.json]

Training images are those of tenths 2 to 9 of the patients; all scores are on tenth 0, which no shipped network has
seen. A PCA of as many numbers, learned from the same training images, stands beside everything: its draws repeat
training patients as little as a Gaussian of as many numbers can, which is the floor of the attacks. Likeness is
measured in features of the network `radiograph`, which chooses no weights. Adults and children are scored apart.

The scores are written as JSON and, if the folder has a provenance, into the codec's provenance and card.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.utils.extmath import randomized_svd

from hf_hybrid.core.artifacts import CARD, PROVENANCE, WEIGHTS
from hf_hybrid.core.cores import num_cores
from hf_hybrid.core.provenance import hash_files, read_provenance, write_provenance
from hf_hybrid.core.randomness import numpy_generator, seed_for
from hf_hybrid.data import privacy_rule
from hf_hybrid.data.pixels import to_tensor, to_uint8
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.evaluation.reconstruction import reconstruction_scores
from hf_hybrid.metrics.copies import near_threshold, nearest
from hf_hybrid.metrics.estimates import Estimate, bootstrap_weights
from hf_hybrid.metrics.image_fidelity import frechet_distance, multiscale_similarity
from hf_hybrid.metrics.membership import attack_auc, by_patient, nearest_distances
from hf_hybrid.metrics.reidentification import mean_by_patient
from hf_hybrid.metrics.risk import RateRisk, interval
from hf_hybrid.models.alphagan import AlphaGAN, resized
from hf_hybrid.models.calibration import mean_images
from hf_hybrid.models.public_images import HELD_OUT, PublicImages
from hf_hybrid.models.radiograph_network import features_of, load_radiograph_network
from hf_hybrid.reports import cards
from hf_hybrid.samplers.copula import GaussianCopulaSampler
from hf_hybrid.samplers.rows import LatentRows

GROUPS = {"adults": "public_cxr", "children": "kids_cxr"}
_BATCH, _SMALL, _PAIRS = 64, 32, 500  # images at a time; side of the images that copies are looked for in; pairs
_MOST_VALUES = 2**28  # of the images that a PCA learns from: 1 GiB


@dataclass
class Side:
    """Images of training or of held-out patients, with what the codec makes of them.

    Attributes:
        pixels: 8-bit `(n, side, side)`.
        patients: a number for each, `(n,)`.
        latents: `(n, latent_dim)`.
        mean: mean images at the codec's resolution, 8-bit.
        drawn: with detail, 8-bit.
    """

    pixels: np.ndarray
    patients: np.ndarray
    latents: np.ndarray
    mean: np.ndarray
    drawn: np.ndarray

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pixels)


class LinearCode:
    """A PCA of weighted images."""

    def __init__(self, pixels: np.ndarray, weights: np.ndarray, size: int) -> None:
        self.shape = pixels.shape[1:]
        chosen = np.arange(len(pixels))[: max(2 * size, _MOST_VALUES // pixels[0].size)]
        flat, weights = self._flat(pixels[chosen]), (weights[chosen] / weights[chosen].sum()).astype(np.float32)
        self.mean = weights @ flat
        weighted = (flat - self.mean) * np.sqrt(weights)[:, None]
        *_, self.components = randomized_svd(weighted, size, random_state=seed_for(0, "reconstruction: PCA", bits=32))

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """8-bit images -> codes `(n, size)`."""
        parts = np.array_split(pixels, max(1, len(pixels) // 256))
        return np.concatenate([(self._flat(part) - self.mean) @ self.components.T for part in parts])

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes -> 8-bit images."""
        parts = np.array_split(codes.astype(np.float32), max(1, len(codes) // 256))
        images = [((self.mean + part @ self.components).clip(-1, 1) + 1) * 127.5 for part in parts]
        return np.concatenate([part.round().astype(np.uint8).reshape(-1, *self.shape) for part in images])

    @staticmethod
    def _flat(pixels: np.ndarray) -> np.ndarray:
        return pixels.reshape(len(pixels), -1).astype(np.float32) / 127.5 - 1


@torch.inference_mode()
def through(codec: AlphaGAN, pixels: np.ndarray, patients: np.ndarray) -> Side:
    """Encodes and decodes images."""
    latents, means, drawn = [], [], []
    for first in range(0, len(pixels), _BATCH):
        found = codec.encode(to_tensor(pixels[first : first + _BATCH]).to(codec.device)).latents
        seeds = range(first, first + len(found))
        latents.append(found.cpu().numpy())
        means.append(to_uint8(codec.decode(found, detail=False).sample))
        drawn.append(to_uint8(codec.decode(found, seeds=seeds).sample))
    return Side(pixels, patients, *map(np.concatenate, (latents, means, drawn)))


@torch.inference_mode()
def decoded(codec: AlphaGAN, latents: np.ndarray) -> np.ndarray:
    """Images with detail of drawn latents, 8-bit."""
    parts = (torch.from_numpy(latents[first : first + _BATCH]) for first in range(0, len(latents), _BATCH))
    seeds = (
        [seed_for(0, "codec: detail", place) for place in range(first, min(first + _BATCH, len(latents)))]
        for first in range(0, len(latents), _BATCH)
    )
    images = (codec.decode(part.to(codec.device), seeds=own).sample for part, own in zip(parts, seeds, strict=True))
    return np.concatenate([to_uint8(one) for one in images])


def copula_draws(codes: np.ndarray, patients: np.ndarray, count: int) -> np.ndarray:
    """Codes drawn from a Gaussian copula of training codes, as a release draws them, `(count, d)`."""
    frame = pd.DataFrame({"unrelated": np.arange(len(codes)) % 2 == 0})  # a latent table has a column
    schema = privacy_rule.protect(RecordSchema.infer(frame.astype(object), "image"), frame, patients, warn=False)
    typed, _ = schema.read(frame.astype(object))
    rows = LatentRows(codes.astype(np.float32), typed)
    sampler = GaussianCopulaSampler().fit(rows.to_dataset(schema), schema, patients)
    return LatentRows.from_dataset(sampler.sample(count, seed=0), schema).latents


# --- reconstruction --------------------------------------------------------------------------------------------------


def reconstruction(codec: AlphaGAN, held_out: Side, of_pca: np.ndarray, num_bootstraps: int) -> dict:
    """L1, PSNR and SSIM of reconstructions of held-out images, at the codec's resolution and at its core's."""
    made = {"mean image": held_out.mean, "drawn": held_out.drawn, "PCA": of_pca}
    found = {f"{codec.config.resolution} px": _reconstruction(held_out, held_out.pixels, made, num_bootstraps)}
    if codec.core_side < codec.config.resolution:
        small = {name: shrunk(pixels, codec.core_side) for name, pixels in made.items()}
        with torch.inference_mode():
            latents = torch.from_numpy(held_out.latents).to(codec.device).split(_BATCH)
            small["mean image"] = np.concatenate([to_uint8(mean_images(codec, part)) for part in latents])
        pixels = shrunk(held_out.pixels, codec.core_side)
        found[f"{codec.core_side} px"] = _reconstruction(held_out, pixels, small, num_bootstraps)
    return found


def _reconstruction(held_out: Side, pixels: np.ndarray, made: dict[str, np.ndarray], num_bootstraps: int) -> dict:
    weights = bootstrap_weights(held_out.patients, num_bootstraps, seed=0)
    scores = {name: reconstruction_scores(pixels, one) for name, one in made.items()}
    found = {}
    for place, metric in enumerate(("l1", "psnr", "ssim")):
        found[metric] = {name: _with_interval(values[:, place], weights) for name, values in scores.items()}
        ahead = scores["mean image"][:, place] - scores["PCA"][:, place]
        found[metric]["mean image - PCA"] = _with_interval(ahead, weights)
    return found


def _with_interval(values: np.ndarray, weights: np.ndarray) -> list[float]:
    """Mean and its 95 % interval over patients."""
    ends = np.percentile(weights @ values / weights.sum(axis=1), [2.5, 97.5])
    return _rounded([values.mean(), *ends])


# --- likeness --------------------------------------------------------------------------------------------------------


def likeness(sets: dict[str, np.ndarray], held_out: np.ndarray, patients: np.ndarray, num_bootstraps: int) -> dict:
    """Frechet distances of features to those of held-out images, each with a normal interval over patients.

    All sets hold as many images: the distance depends on their number.
    """
    size = min(len(one) for one in sets.values())
    rng = numpy_generator(0, "fidelity: held-out patients")
    rows = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    drawn = [
        np.concatenate([rows[one] for one in rng.integers(len(rows), size=len(rows))])
        for _ in range(max(2, num_bootstraps // 10))
    ]
    found = {"images": size, "held-out images": len(held_out)}
    for name, features in sets.items():
        chosen = features[numpy_generator(0, "fidelity: records").permutation(len(features))[:size]]
        value = frechet_distance(chosen, held_out)
        spread = 1.96 * float(np.std([frechet_distance(chosen, held_out[one]) for one in drawn]))
        found[name] = _rounded([value, value - spread, value + spread])
    return found


def diversity(sets: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict:
    """Mean MS-SSIM of pairs of images of different patients, with its 95 % interval; higher is less varied."""
    found = {}
    for name, (pixels, patients) in sets.items():
        pairs = numpy_generator(0, "fidelity: pairs of images").integers(len(pixels), size=(2, _PAIRS))
        pairs = pairs[:, patients[pairs[0]] != patients[pairs[1]]]
        parts = np.array_split(pairs, max(1, pairs.shape[1] // 16), axis=1)
        values = np.concatenate([multiscale_similarity(*pixels[part]) for part in parts])
        spread = 1.96 * values.std() / np.sqrt(len(values))
        found[name] = _rounded([values.mean(), values.mean() - spread, values.mean() + spread])
    return found


# --- does it repeat its images? --------------------------------------------------------------------------------------


def attacks(
    train: Side,
    held_out: Side,
    draws: dict[str, np.ndarray],
    of_pca: tuple[np.ndarray, np.ndarray],
    features: Callable[[np.ndarray], np.ndarray],
    num_bootstraps: int,
) -> dict:
    """Copies and membership, each for the codec and for the PCA, its floor.

    Args:
        train: members.
        held_out: others.
        draws: images drawn by `codec` and by `PCA`.
        of_pca: the PCA's reconstructions of members and of others.
        features: 8-bit images -> features, `(n, d)`, on one scale.
        num_bootstraps: replicates over patients.
    """
    both = train, held_out
    patients = [side.patients for side in both]
    sides, libraries = [features(side.pixels) for side in both], {name: features(one) for name, one in draws.items()}

    def near(library: np.ndarray) -> list[np.ndarray]:
        return [-nearest_distances(side, library) for side in sides]

    def close(others: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [-_error(side.pixels, one) for side, one in zip(both, others, strict=True)]

    def close_in_features(others: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [-np.linalg.norm(features(one) - side, axis=1) for side, one in zip(sides, others, strict=True)]

    means, drawn = ([getattr(side, name) for side in both] for name in ("mean", "drawn"))
    scores = {
        "error of the mean image": {"codec": close(means), "PCA": close(of_pca)},
        "error of the drawn image": {"codec": close(drawn), "PCA": close(of_pca)},
        "error of the drawn image, features": {"codec": close_in_features(drawn), "PCA": close_in_features(of_pca)},
        "agreement of drawn and true detail": {"codec": [_detail_agreement(side) for side in both]},
    }
    nearest_drawn = {name: near(library) for name, library in libraries.items()}
    return {
        "copies": _copies(train, held_out, draws, sides, libraries),
        "membership": {"nearest draw, features": _membership(nearest_drawn, patients, by_patient, num_bootstraps)}
        | {name: _membership(one, patients, mean_by_patient, num_bootstraps) for name, one in scores.items()},
    }


def _copies(train: Side, held_out: Side, draws: dict, sides: list[np.ndarray], libraries: dict) -> dict:
    """Shares of patients near whom a drawn image lies: members beyond others, by pixels and by features."""
    found = {"near copy, pixels": {}, "near copy, features": {}}
    small = [shrunk(side.pixels, _SMALL) for side in (train, held_out)]
    between = {"pixels": _nearest_pixels(small[1], small[0]), "features": nearest_distances(sides[1], sides[0])}
    for name, pixels in draws.items():
        multiple = len(pixels) / len(train)
        library = shrunk(pixels, _SMALL)
        distances = {
            "pixels": [_nearest_pixels(side, library) for side in small],
            "features": [nearest_distances(side, libraries[name]) for side in sides],
        }
        for space, both in distances.items():
            limit = near_threshold(between[space], multiple)
            hits = [
                mean_by_patient((one <= limit) * 1.0, side.patients)
                for one, side in zip(both, (train, held_out), strict=True)
            ]
            risk = RateRisk(*hits)
            found[f"near copy, {space}"][name] = {
                "risk": _rounded([risk.value, *interval(risk)]),
                **dict(zip(("members", "others"), _rounded(risk.rates), strict=True)),
            }
    for entry in found.values():
        surely = entry["codec"]["risk"][1]
        entry["verdict"] = _verdict(surely, surely - max(entry["PCA"]["risk"][0], 0))
    return found


def _membership(
    scores: dict[str, list[np.ndarray]],
    patients: tuple[np.ndarray, np.ndarray],
    pooled: Callable[[np.ndarray, np.ndarray], np.ndarray],
    num_bootstraps: int,
) -> dict:
    """AUC above chance of telling members from others, for the codec, the PCA, and their paired difference."""
    aucs = {
        name: attack_auc(*(pooled(one, who) for one, who in zip(both, patients, strict=True)), num_bootstraps)
        for name, both in scores.items()
    }
    found = {name: _risk(Estimate(one.value - 0.5, one.replicates - 0.5)) for name, one in aucs.items()}
    floor = found["codec"][1]
    if "PCA" in aucs:
        found["codec - PCA"] = _risk(aucs["codec"].minus(aucs["PCA"]))
    return found | {"verdict": _verdict(floor, found.get("codec - PCA", found["codec"])[1])}


def _verdict(above_chance: float, above_floor: float) -> str:
    """From the lower ends of two intervals."""
    if above_chance <= 0:
        return "not above chance"
    return "not above its floor" if above_floor <= 0 else "ABOVE ITS FLOOR"


def _risk(estimate: Estimate) -> list[float]:
    return _rounded([estimate.value, *estimate.interval])


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(one), 4) for one in values]


def _nearest_pixels(pixels: np.ndarray, library: np.ndarray) -> np.ndarray:
    no_rows = [np.zeros((len(one), 1)) for one in (pixels, library)]
    return nearest(pixels, no_rows[0], library, no_rows[1]).image


def _error(pixels: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.abs(pixels.astype(np.float32) - others).mean(axis=(1, 2))


def _detail_agreement(side: Side) -> np.ndarray:
    """Correlation of what the codec draws beyond its mean image with what the image has beyond it, `(n,)`."""
    drawn, true = (one.astype(np.float32) - side.mean for one in (side.drawn, side.pixels))
    return (drawn * true).mean(axis=(1, 2)) / (drawn.std(axis=(1, 2)) * true.std(axis=(1, 2)) + 1e-9)


# --- all of it -------------------------------------------------------------------------------------------------------


@dataclass
class Part:
    """One group of patients.

    Attributes:
        train: training images.
        held_out: images of held-out patients.
        draws: images drawn by `codec` and by `PCA`.
        of_pca: the PCA's reconstructions of both.
        features: 8-bit images -> features, on the scale of the held-out images.
    """

    train: Side
    held_out: Side
    draws: dict[str, np.ndarray]
    of_pca: tuple[np.ndarray, np.ndarray]
    features: Callable[[np.ndarray], np.ndarray]

    @property
    def sets(self) -> dict[str, np.ndarray]:
        """The images whose likeness is scored."""
        made = {"training images": self.train.pixels, "codec reconstructions": self.train.drawn}
        draws = {f"{name} draws": one for name, one in self.draws.items()}
        return made | {"PCA reconstructions": self.of_pca[0]} | draws


def parts_of(codec: AlphaGAN, images: PublicImages, num_patients: int, num_draws: int) -> Iterator[tuple[str, Part]]:
    """Each group of patients, drawn and decoded."""
    images = PublicImages(shrunk(images.pixels, codec.config.resolution), images.sources, images.patients, {})
    tenths, groups, weights = images.tenths, images.groups, images.weights
    order = numpy_generator(0, "reconstruction: images of the PCA").permutation(len(images))
    learned = order[tenths[order] > 1]
    linear = LinearCode(images.pixels[learned], weights[learned], codec.config.latent_dim)
    for group, source in GROUPS.items():
        rows = [order[(images.sources[order] == source) & one[order]] for one in (tenths > 1, tenths == HELD_OUT)]
        if not len(rows[0]):
            continue
        members = numpy_generator(0, "attack: patients").permutation(np.unique(groups[rows[0]]))[:num_patients]
        rows[0] = rows[0][np.isin(groups[rows[0]], members)]
        train, held_out = (through(codec, images.pixels[one], groups[one]) for one in rows)
        codes = linear.encode(train.pixels)
        draws = {
            "codec": decoded(codec, copula_draws(train.latents, train.patients, num_draws)),
            "PCA": linear.decode(copula_draws(codes, train.patients, num_draws)),
        }
        of_pca = linear.decode(codes), linear.decode(linear.encode(held_out.pixels))
        yield group, Part(train, held_out, draws, of_pca, scaled_features(held_out.pixels, codec.device))


def scaled_features(pixels: np.ndarray, device: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    """8-bit images -> features with mean 0 and sd 1 over `pixels`; of an array that is kept, once."""
    network = load_radiograph_network("radiograph").to(device)
    plain = features_of(network, pixels).astype(np.float64)
    centre, scale, known = plain.mean(axis=0), plain.std(axis=0).clip(1e-9), {}

    def features(images: np.ndarray) -> np.ndarray:
        if id(images) not in known:
            known[id(images)] = images, (features_of(network, images) - centre) / scale
        return known[id(images)][1]

    return features


def scores_of(codec: AlphaGAN, part: Part, num_bootstraps: int) -> dict:
    """All scores of a group."""
    train, held_out, draws = part.train, part.held_out, part.draws
    varied = {"training images": (train.pixels, train.patients)}
    varied |= {f"{name} draws": (one, np.arange(len(one))) for name, one in draws.items()}
    sets = {name: part.features(one) for name, one in part.sets.items()}
    return {
        "patients": {"training": len(np.unique(train.patients)), "held out": len(np.unique(held_out.patients))},
        "images": {"training": len(train), "held out": len(held_out)},
        "reconstruction": reconstruction(codec, held_out, part.of_pca[1], num_bootstraps),
        "Frechet distance": likeness(sets, part.features(held_out.pixels), held_out.patients, num_bootstraps),
        "MS-SSIM of pairs": diversity(varied),
        **attacks(train, held_out, draws, part.of_pca, part.features, num_bootstraps),
    }


def scores_of_all(parts: Sequence[Part], num_bootstraps: int) -> dict:
    """Frechet distances of all groups together, in the proportions of the held-out images."""
    features = parts[0].features  # one scale for all
    size = [len(part.held_out) for part in parts]
    times = min(len(one) / count for part, count in zip(parts, size, strict=True) for one in part.sets.values())
    sets = {
        name: np.concatenate(
            [features(part.sets[name])[: int(times * count)] for part, count in zip(parts, size, strict=True)]
        )
        for name in parts[0].sets
    }
    held_out = np.concatenate([features(part.held_out.pixels) for part in parts])
    patients = np.concatenate([part.held_out.patients for part in parts])
    return {"Frechet distance": likeness(sets, held_out, patients, num_bootstraps)}


def shrunk(pixels: np.ndarray, side: int) -> np.ndarray:
    """8-bit images at another resolution."""
    parts = np.array_split(pixels, max(1, len(pixels) // 256))
    return np.concatenate([to_uint8(resized(to_tensor(part), side)) for part in parts])


def main() -> None:
    """Measures, writes the scores, and puts them into the codec's card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", type=Path, required=True, help="folder of the codec")
    parser.add_argument(
        "--pack", type=Path, required=True, help="public images, as `train_builtin.py pack` wrote them"
    )
    parser.add_argument("--output", type=Path, help="JSON of the scores; else printed")
    parser.add_argument("--draws", type=int, default=1000, help="images drawn for each group")
    parser.add_argument("--patients", type=int, default=10**6, help="at most so many training patients of each group")
    parser.add_argument("--bootstraps", type=int, default=500, help="a tenth of them for Frechet distances")
    args = parser.parse_args()
    torch.set_num_threads(num_cores())
    codec = AlphaGAN.from_pretrained(args.codec).eval().to("cuda" if torch.cuda.is_available() else "cpu")
    found = {"weights": hash_files(args.codec, [WEIGHTS])[WEIGHTS], "draws": args.draws, "groups": {}}
    parts = []
    for group, part in parts_of(codec, PublicImages.load(args.pack), args.patients, args.draws):
        parts.append(part)
        found["groups"][group] = scores_of(codec, part, args.bootstraps)
    if len(parts) > 1:
        found["groups"]["both"] = scores_of_all(parts, args.bootstraps)
    text = json.dumps(found, indent=2) + "\n"
    args.output.write_text(text) if args.output else print(text)  # noqa: T201
    if (args.codec / PROVENANCE).exists():
        write_provenance(args.codec, read_provenance(args.codec) | {"evidence": found})
        cards.codec_card(args.codec).save(args.codec / CARD)


if __name__ == "__main__":
    main()
