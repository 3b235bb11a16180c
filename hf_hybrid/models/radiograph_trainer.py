"""Training of the network that image scores are measured in, on one half of the public patients."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from hf_hybrid.core.randomness import seed_for
from hf_hybrid.models.augmentation import augmented, on_device
from hf_hybrid.models.public_images import UNKNOWN, PublicImages
from hf_hybrid.models.radiograph_network import RadiographNetwork, features_of
from hf_hybrid.training.arguments import TrainingArguments
from hf_hybrid.training.run import TrainingRun, make_accelerator
from hf_hybrid.training.weights import MovingAverage

_SMOOTHING, _FEWEST = 0.05, 5
_AGE_MEAN, _AGE_SD = 47.0, 17.0


@dataclass
class RadiographArguments(TrainingArguments):
    """Options of the training, beside those of every training.

    Args:
        warp: strength of the random changes of the images, see `augmented`.
        sides: resolutions that steps take in turn.
    """

    learning_rate: float = 1e-3
    warp: float = 1.5
    sides: tuple[int, ...] = (96, 128, 192, 256)


class RadiographTrainer:
    """Trains a `RadiographNetwork`.

    Args:
        images: the public images to learn from.
        arguments: the options.
        logging_dir: folder for checkpoints and log.
    """

    def __init__(self, images: PublicImages, arguments: RadiographArguments, logging_dir: Path) -> None:
        self.arguments = arguments
        self.accelerator = make_accelerator(arguments, logging_dir)
        self.device = self.accelerator.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(arguments.seed, "feature network: weights"))
            network = RadiographNetwork(len(binary_names(images)), int(images.labels["kind"].max()) + 1)
        self.network = self.accelerator.prepare_model(
            network.to(self.device, memory_format=torch.channels_last), evaluation_mode=True
        )
        self.pixels = torch.from_numpy(np.ascontiguousarray(images.pixels))[:, None].to(self.device)
        self.weights = torch.from_numpy(images.weights).float().to(self.device)
        binary = np.stack([images.labels[name] for name in binary_names(images)], axis=1)
        self.binary, self.age, self.kind = (
            torch.from_numpy(one).float().to(self.device)
            for one in (binary, images.labels["age"], images.labels["kind"])
        )
        fused = self.device.type == "cuda"
        optimizer = torch.optim.AdamW(network.parameters(), arguments.learning_rate, weight_decay=0.05, fused=fused)
        self.optimizer = self.accelerator.prepare_optimizer(optimizer)
        self.average = MovingAverage(self.accelerator, self.network, arguments.ema_decay)
        self.run = TrainingRun(self.accelerator, arguments, logging_dir, {"num_images": len(images)})

    def fit(self) -> RadiographNetwork:
        """Trains to the end of the budget; returns the network with its averaged weights."""
        self.run.resume()
        for step in self.run.steps("feature network"):
            rng = on_device(self.device, self.arguments.seed, "feature network: images", step)
            for group in self.optimizer.param_groups:
                group["lr"] = self.run.learning_rate()
            chosen = torch.multinomial(self.weights, self.arguments.train_batch_size, replacement=True, generator=rng)
            images = augmented(self.pixels[chosen].float() / 127.5 - 1, rng, self.arguments.warp)
            side = self.arguments.sides[step % len(self.arguments.sides)]
            images = functional.interpolate(images, size=side, mode="area")
            self.optimizer.zero_grad()
            with self.accelerator.autocast():
                losses = self._losses(self.network(images), chosen)
            self.accelerator.backward(sum(losses.values()))
            self.optimizer.step()
            self.average.update()
            self.run.log(step, {name: loss.detach() for name, loss in losses.items()})
        self.average.keep()
        return self.network.eval()

    def _losses(self, features: torch.Tensor, chosen: torch.Tensor) -> dict[str, torch.Tensor]:
        """Losses of the labels that an image has, each a mean over the batch."""
        binary, age, kind = (one.float() for one in self.network.heads(features))
        wanted, years, kinds = self.binary[chosen], self.age[chosen], self.kind[chosen]
        known = (wanted != UNKNOWN).float()
        smooth = wanted.clamp(0, 1) * (1 - 2 * _SMOOTHING) + _SMOOTHING
        each = functional.binary_cross_entropy_with_logits(binary, smooth, reduction="none") * known
        of_kind = functional.cross_entropy(kind, kinds.clamp(min=0).long(), reduction="none", label_smoothing=0.1)
        return {
            "binary": 4 * each.mean(),
            "age": (
                functional.huber_loss(age, (years - _AGE_MEAN) / _AGE_SD, reduction="none") * (years != UNKNOWN)
            ).mean(),
            "kind": (of_kind * (kinds != UNKNOWN)).mean(),
        }


def binary_names(images: PublicImages) -> list[str]:
    """The labels that are yes or no, in order."""
    return sorted(name for name in images.labels if name not in ("age", "kind"))


def label_scores(network: RadiographNetwork, images: PublicImages) -> dict[str, float]:
    """How well the labels of images are predicted: AUC of each that five images have and five lack, R2 of age."""
    from sklearn.metrics import r2_score, roc_auc_score

    with torch.inference_mode():
        features = torch.from_numpy(features_of(network, images.pixels))
        binary, age, kind = (one.cpu().numpy() for one in network.cpu().heads(features))
    answers = {name: (images.labels[name], binary[:, place]) for place, name in enumerate(binary_names(images))}
    kinds = images.labels["kind"]
    for place in range(kind.shape[1]):
        answers[f"kind {place}"] = (np.where(kinds == UNKNOWN, UNKNOWN, kinds == place), kind[:, place])
    found = {}
    for name, (wanted, told) in answers.items():
        known = wanted != UNKNOWN
        if min((wanted[known] == answer).sum() for answer in (0, 1)) >= _FEWEST:
            found[name] = float(roc_auc_score(wanted[known], told[known]))
    adult = images.labels["age"] != UNKNOWN
    found["age (R2)"] = float(r2_score((images.labels["age"][adult] - _AGE_MEAN) / _AGE_SD, age[adult]))
    return found
