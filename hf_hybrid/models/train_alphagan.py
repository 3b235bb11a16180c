"""Training of an AlphaGAN: the losses of Rosca et al. (2017), a held-out score that picks the weights, a PCA beside.

Losses (non-saturating; x a training image, E the encoder, G the generator, D and C the image and code discriminators,
z ~ N(0, 1)):
    E, G:  reconstruction_weight |x - G(E(x))| - adversarial_weight (log D(G(E(x))) + log D(G(z)))
           - code_weight log C(E(x))
    D:     -log D(x) - 1/2 log(1 - D(G(E(x)))) - 1/2 log(1 - D(G(z)))
    C:     -log C(z) - log(1 - C(E(x)))            (the first arXiv version swaps prior and posterior here)
"""

import hashlib
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from PIL import Image
from torch import nn
from torch.nn import functional

from hf_hybrid.core.errors import InputError, check_above, check_at_least, check_share
from hf_hybrid.core.files import private_folder
from hf_hybrid.core.provenance import refuse_paths
from hf_hybrid.core.randomness import generator
from hf_hybrid.data.pixels import image_grid, to_tensor, to_uint8
from hf_hybrid.data.records import Records
from hf_hybrid.models.alphagan import AlphaGAN, principal_components
from hf_hybrid.models.codec_scores import held_out_score
from hf_hybrid.models.discriminators import CodeDiscriminator, ImageDiscriminator
from hf_hybrid.training.arguments import TrainingArguments
from hf_hybrid.training.run import TrainingRun
from hf_hybrid.training.weights import MovingAverage, average_gradients

logger = logging.getLogger(__name__)

WEIGHTS, ORDER, NOISE, AUGMENTATION, HELD_OUT = range(5)  # streams of random numbers
_SCORED_IMAGES = 128
_BATCH = 64


@dataclass
class CodecArguments(TrainingArguments):
    """Options of a codec training, beside those of every training.

    Args:
        reconstruction_weight: weight of the L1 reconstruction loss (lambda of the paper).
        adversarial_weight: weight of the image discriminator in the codec's loss.
        code_weight: weight of the code discriminator in the codec's loss.
        discriminator_learning_rate: of both discriminators.
        linear_learning_rate_scale: learning rate of the linear path relative to `learning_rate`.
        augmentation: largest relative change of contrast and brightness, drawn a record; 0 for none.
        validation_share: share of the images held out to score and choose the weights (at most 128 images).
        validation_steps: steps between two scores.
    """

    learning_rate: float = 4e-4
    max_train_steps: int = 20000
    reconstruction_weight: float = 20.0
    adversarial_weight: float = 1.0
    code_weight: float = 1.0
    discriminator_learning_rate: float = 2e-4
    linear_learning_rate_scale: float = 0.01
    augmentation: float = 0.05
    validation_share: float = 0.1
    validation_steps: int = 500

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        check_at_least(self, 1, "validation_steps")
        check_above(self, 0, "validation_share", "discriminator_learning_rate")
        check_share(self, "validation_share")
        check_at_least(self, 0, "reconstruction_weight", "adversarial_weight", "code_weight", "augmentation")


@dataclass
class Batch:
    """One micro-batch: images `(batch, channels, height, width)` in [-1, 1] and prior codes `(batch, latent_dim)`."""

    pixel_values: torch.Tensor
    noise: torch.Tensor


class AlphaGANTrainer:
    """Trains an AlphaGAN on 8-bit images under Accelerate.

    Args:
        codec: the networks to train.
        pixels: 8-bit images `(n, height, width[, 3])` at the codec's resolution; may be a memmap.
        arguments: the options.
        logging_dir: private folder for checkpoints, log and grids.
    """

    def __init__(self, codec: AlphaGAN, pixels: np.ndarray, arguments: CodecArguments, logging_dir: Path) -> None:
        self.arguments = arguments
        self.pixels = pixels
        self.logging_dir = Path(logging_dir)
        held_out = min(_SCORED_IMAGES, max(1, round(arguments.validation_share * len(pixels))))
        order = torch.randperm(len(pixels), generator=generator(arguments.seed, HELD_OUT)).numpy()
        self.held_out, self.train = np.sort(order[:held_out]), np.sort(order[held_out:])
        self.accelerator = arguments.accelerator(logging_dir)
        config = codec.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(arguments.seed)
            discriminators = nn.ModuleDict(
                {
                    "image": ImageDiscriminator(
                        config.resolution, config.in_channels, config.base_channels, config.max_channels
                    ),
                    "code": CodeDiscriminator(config.latent_dim),
                }
            )
        codec.initialise_linear_path(self._pca_images())
        # Evaluation mode: placed and saved by Accelerate, gradients averaged by us (see `average_gradients`).
        # Channels last: faster on CPU (scripts/speed.py), and what tensor cores want.
        self.codec, self.discriminators = (
            self.accelerator.prepare_model(module.to(memory_format=torch.channels_last), evaluation_mode=True)
            for module in (codec, discriminators)
        )
        self.codec_optimizer, codec_scheduler = self._optimizer(self.codec, arguments.learning_rate)
        self.discriminators_optimizer, discriminators_scheduler = self._optimizer(
            self.discriminators, arguments.discriminator_learning_rate
        )
        self.schedulers = (codec_scheduler, discriminators_scheduler)
        self.average = MovingAverage(self.accelerator, self.codec, arguments.ema_decay)
        # Every score loads these weights; a checkpoint that killed training left may be older than them, never newer.
        self.best_dir = self.logging_dir / "best"
        images = Path(getattr(pixels, "filename", None) or "in memory").name
        configuration = {"codec": dict(config), "num_images": len(pixels), "images": images}
        self.run = TrainingRun(self.accelerator, arguments, logging_dir, configuration)

    def fit(self) -> dict[str, dict[str, float]]:
        """Trains to the end of the budget and loads the best weights into `codec`.

        Returns:
            Held-out scores (see `held_out_score`) of the chosen weights and of a PCA with as many dimensions.
        """
        self.run.resume()
        for step in self.run.steps("training the codec"):
            losses = self.train_step(self.batches(step))
            for scheduler in self.schedulers:
                scheduler.step()
            self.average.update()
            self.run.log(step, losses)
            if step % self.arguments.validation_steps == 0 or step == self.arguments.max_train_steps:
                self._validate(step)
        if not self.best_dir.exists():  # the time was up before the first score
            self._validate(self.run.step)
        self.accelerator.wait_for_everyone()
        self.codec = AlphaGAN.from_pretrained(self.best_dir).to(self.accelerator.device).eval()
        return {"codec": self._score_codec(), "pca": self._score_pca()}

    def batches(self, step: int) -> list[Batch]:
        """This process's micro-batches of a step.

        Which images and which noise a step sees is the same however it is divided over processes and accumulation.
        """
        arguments, latent_dim = self.arguments, self.codec.config.latent_dim
        size, shares = arguments.train_batch_size, self.accelerator.num_processes
        total = size * shares * arguments.gradient_accumulation_steps
        positions = np.arange((step - 1) * total, step * total)
        indices = np.concatenate(
            [
                self._permutation(epoch)[positions[positions // len(self.train) == epoch] % len(self.train)]
                for epoch in np.unique(positions // len(self.train))
            ]
        )
        noise = torch.randn(total, latent_dim, generator=generator(arguments.seed, NOISE, step))
        change = 2 * torch.rand(total, 2, 1, 1, 1, generator=generator(arguments.seed, AUGMENTATION, step)) - 1
        change = arguments.augmentation * change
        found = []
        for part in range(arguments.gradient_accumulation_steps):
            first = (part * shares + self.accelerator.process_index) * size
            mine = slice(first, first + size)
            images = to_tensor(self.pixels[indices[mine]])
            images = (images * (1 + change[mine, 0]) + change[mine, 1]).clamp(-1, 1)
            device = self.accelerator.device
            found.append(Batch(images.to(device, non_blocking=True), noise[mine].to(device, non_blocking=True)))
        return found

    def train_step(self, batches: list[Batch]) -> dict[str, torch.Tensor]:
        """Updates encoder and generator, then both discriminators on the same images and codes.

        Returns:
            The losses of the last micro-batch.
        """
        self.codec_optimizer.zero_grad()
        self.discriminators.requires_grad_(False)
        drawn = []
        for batch in batches:
            with self.accelerator.autocast():
                codes = self.codec.encode_raw(batch.pixel_values)
                fakes = self.codec.decode_raw(torch.cat([codes, batch.noise]))
                losses = self.codec_loss(batch, codes, fakes)
            self.accelerator.backward(sum(losses.values()) / len(batches))
            drawn.append((batch, codes.detach(), fakes.detach()))
        average_gradients(self.accelerator, self.codec)
        self.codec_optimizer.step()

        self.discriminators_optimizer.zero_grad()
        self.discriminators.requires_grad_(True)
        for batch, codes, fakes in drawn:
            with self.accelerator.autocast():
                judged = self.discriminators_loss(batch, codes, fakes)
            self.accelerator.backward(sum(judged.values()) / len(batches))
        average_gradients(self.accelerator, self.discriminators)
        self.discriminators_optimizer.step()
        return {name: loss.detach() for name, loss in (losses | judged).items()}

    def codec_loss(self, batch: Batch, codes: torch.Tensor, fakes: torch.Tensor) -> dict[str, torch.Tensor]:
        """Losses of encoder and generator, weighted.

        Args:
            batch: images and prior codes.
            codes: of the images.
            fakes: reconstructions of the images, then samples from the prior codes.
        """
        arguments = self.arguments
        reconstruction = functional.l1_loss(fakes[: len(codes)].float(), batch.pixel_values)
        return {
            "reconstruction": arguments.reconstruction_weight * reconstruction,
            # Twice the mean over both kinds of fake = the sum of the two terms of the loss.
            "adversarial": arguments.adversarial_weight * 2 * _says(self.discriminators["image"](fakes), True),
            "code": arguments.code_weight * _says(self.discriminators["code"](codes), True),
        }

    def discriminators_loss(self, batch: Batch, codes: torch.Tensor, fakes: torch.Tensor) -> dict[str, torch.Tensor]:
        """Losses of the image and the code discriminator; arguments as of `codec_loss`, detached."""
        judge, judge_code = self.discriminators["image"], self.discriminators["code"]
        return {
            "image_discriminator": _says(judge(batch.pixel_values), True) + _says(judge(fakes), False),
            "code_discriminator": _says(judge_code(batch.noise), True) + _says(judge_code(codes), False),
        }

    def _optimizer(self, module: nn.Module, learning_rate: float) -> tuple:
        from diffusers.optimization import get_scheduler

        arguments = self.arguments
        linear = module.linear_parameters() if isinstance(module, AlphaGAN) else []
        others = [parameter for parameter in module.parameters() if all(parameter is not one for one in linear)]
        # A weight of the linear path meets thousands of pixels: at the full rate Adam undoes the PCA in a few steps.
        groups = [{"params": others}, {"params": linear, "lr": learning_rate * arguments.linear_learning_rate_scale}]
        groups = [group for group in groups if group["params"]]
        optimizer = torch.optim.Adam(groups, lr=learning_rate, betas=(0.5, 0.99))
        # Not prepared: Accelerate would step a prepared scheduler once per process.
        scheduler = get_scheduler(
            arguments.lr_scheduler,
            optimizer,
            num_warmup_steps=arguments.lr_warmup_steps,
            num_training_steps=arguments.max_train_steps,
        )
        self.accelerator.register_for_checkpointing(scheduler)
        return self.accelerator.prepare_optimizer(optimizer), scheduler

    def _permutation(self, epoch: int) -> np.ndarray:
        order = torch.randperm(len(self.train), generator=generator(self.arguments.seed, ORDER, int(epoch)))
        return self.train[order.numpy()]

    def _pca_images(self) -> torch.Tensor:
        """Training images for a PCA, as many as fit into 1 GiB."""
        values = int(np.prod(self.pixels.shape[1:]))
        return to_tensor(self.pixels[self.train[: min(4096, 2**28 // values)]])

    def _validate(self, step: int) -> None:
        """Scores the averaged weights on held-out images and keeps the best ones."""
        if not self.accelerator.is_main_process:
            return
        with self.average.applied():
            self.codec.eval()
            self._standardise_latents()
            score = self._score_codec()
            self.run.log(step, {f"validation_{name}": value for name, value in score.items()}, always=True)
            if self.run.is_best(score["score"]):
                temporary = self.best_dir.with_suffix(".tmp")
                self.codec.save_pretrained(temporary)
                shutil.rmtree(self.best_dir, ignore_errors=True)
                temporary.rename(self.best_dir)
            self._write_grid(step)
            self.codec.train()

    @torch.inference_mode()
    def _standardise_latents(self) -> None:
        count = total = squares = 0
        for first in range(0, len(self.train), _BATCH):
            codes = self.codec.encode_raw(self._images(self.train[first : first + _BATCH])).double()
            count, total, squares = count + len(codes), total + codes.sum(0), squares + codes.square().sum(0)
        mean = total / count
        self.codec.latents_mean.copy_(mean)
        self.codec.latents_std.copy_((squares / count - mean.square()).clamp(1e-12).sqrt())

    def _images(self, indices: np.ndarray) -> torch.Tensor:
        return to_tensor(self.pixels[indices]).to(self.accelerator.device)

    @torch.inference_mode()
    def _score_codec(self) -> dict[str, float]:
        def encode_and_decode(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            parts = [part.to(self.accelerator.device) for part in images.split(_BATCH)]
            latents = [self.codec.encode(part).latents for part in parts]
            return torch.cat(latents).cpu(), torch.cat([self.codec.decode(part).sample for part in latents]).cpu()

        return held_out_score(encode_and_decode, to_tensor(self.pixels[self.held_out]))

    def _score_pca(self) -> dict[str, float]:
        """The linear control: the same score for a PCA of the training images with as many dimensions."""
        mean, components, scale = principal_components(self._pca_images().flatten(1), self.codec.config.latent_dim)

        def encode_and_decode(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            codes = (images.flatten(1) - mean) @ components.T
            return codes / scale, (mean + codes @ components).view_as(images).clamp(-1, 1)

        return held_out_score(encode_and_decode, to_tensor(self.pixels[self.held_out]))

    @torch.inference_mode()
    def _write_grid(self, step: int) -> None:
        """Held-out images above their reconstructions above samples from the prior; stays in the private folder."""
        images = self._images(self.held_out[:8])
        noise = torch.randn(8, self.codec.config.latent_dim, generator=generator(self.arguments.seed, NOISE))
        shown = torch.cat([images, self.codec(images).sample, self.codec.decode(noise.to(images.device)).sample])
        path = self.logging_dir / "grids" / f"step-{step:06d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image_grid(to_uint8(shown), columns=len(images))).save(path)


def train_codec(
    load: Callable[[], Records],
    config: dict,
    arguments: CodecArguments,
    output_dir: Path,
    image_source: str | None = None,
    logging_dir: Path | None = None,
    identity: str = "",
) -> dict[str, dict[str, float]]:
    """Trains a codec and writes its folder: config, safetensors, provenance, sample grid and card.

    Args:
        load: gives the public images; not called when a broken run left their pixels.
        config: arguments of `AlphaGAN`.
        arguments: the options of the training.
        output_dir: the codec's folder; nothing in it but `logs/` yet.
        image_source: what the images are, for the cards.
        logging_dir: private folder for checkpoints, log and grids; `output_dir/logs` if None.
        identity: changes when the images do; what was left by a run on others is not used.

    Returns:
        The held-out scores of the codec and of a PCA.
    """
    output_dir = Path(output_dir)
    refuse_paths({"image_source": image_source})
    if (output_dir / "README.md").exists():  # written last
        raise InputError(f"expected a new `output_dir`, found a codec in {output_dir}: name another folder")
    logging_dir = private_folder(logging_dir or output_dir / "logs")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(arguments.seed)
        codec = AlphaGAN(**config)
    trainer = AlphaGANTrainer(codec, _pixels(load, codec, logging_dir, identity), arguments, logging_dir)
    scores = trainer.fit()
    if trainer.accelerator.is_main_process:
        count = len(trainer.pixels)
        training = {
            "images": image_source or f"{count} images whose source is not named",
            "num_images": count,
            "steps": trainer.run.step,
            "seed": arguments.seed,
            "scores": {name: {key: round(value, 4) for key, value in found.items()} for name, found in scores.items()},
        }
        trainer.codec.cpu().save_with_card(output_dir, training)
    trainer.accelerator.wait_for_everyone()
    return scores


def _pixels(load: Callable[[], Records], codec: AlphaGAN, logging_dir: Path, identity: str) -> np.ndarray:
    """All images at the codec's resolution, decoded once into a file that is read by memory map."""
    config = codec.config
    wanted = f"{identity} {config.resolution} {config.in_channels} {config.resize_mode}"
    path = logging_dir / f"pixels-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}.npy"
    with PartialState().main_process_first():
        if not path.exists():
            records, temporary = load(), path.with_suffix(".tmp")
            side, first = (config.resolution, config.resolution), 0
            shape = (len(records), *side) if config.in_channels == 1 else (len(records), *side, 3)
            pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            for batch in records.iter_pixels(config.resolution, config.in_channels, config.resize_mode):
                pixels[first : first + len(batch)] = batch
                first += len(batch)
            pixels.flush()
            temporary.rename(path)
    pixels = np.load(path, mmap_mode="r")
    if len(pixels) <= config.latent_dim:
        raise InputError(
            f"expected more images than `latent_dim` {config.latent_dim}, found {len(pixels)}: add images or lower it"
        )
    return pixels


def _says(logits: torch.Tensor, real: bool) -> torch.Tensor:
    """Cross-entropy of logits against one answer: -log D or -log(1 - D)."""
    return functional.softplus(-logits.float() if real else logits.float()).mean()
