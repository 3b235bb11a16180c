"""Training of an AlphaGAN: the losses of Rosca et al. (2017), a held-out score that picks the weights, a PCA baseline.

Losses (non-saturating; x a training image, E the encoder and the noise on codes, G the generator, D and C the image
and code discriminators, z ~ N(0, 1)):
    E, G:  reconstruction_weight |x - G(E(x))| - adversarial_weight (log D(G(E(x))) + log D(G(z)))
           - code_weight log C(E(x))
    D:     -log D(x) - 1/2 log(1 - D(G(E(x)))) - 1/2 log(1 - D(G(z)))
    C:     -log C(z) - log(1 - C(E(x)))            (the first arXiv version swaps prior and posterior here)

A codec with noise on its codes learns how much by E, G: + code_noise_weight KL(E(x) || N(0, 1)), the distance of a
variational autoencoder (Kingma and Welling 2014, arXiv 1312.6114). With `sample_adversary`, D tells samples G(z) from
reconstructions alone: G: - adversarial_weight log D(G(z)), D: -log D(G(E(x))) - log(1 - D(G(z))).
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from hf_hybrid.core.files import read_json, write_json
from hf_hybrid.core.randomness import generator
from hf_hybrid.data.pixels import image_grid, to_tensor, to_uint8
from hf_hybrid.models.alphagan import AlphaGAN, principal_components
from hf_hybrid.models.codec_batches import Batch, CodecBatches, divided
from hf_hybrid.models.codec_scores import held_out_score, is_no_worse
from hf_hybrid.models.discriminators import binary_loss, make_discriminators
from hf_hybrid.models.options import CodecArguments
from hf_hybrid.training.graphs import GraphedStep, can_record, learning_rate_of
from hf_hybrid.training.run import TrainingRun, make_accelerator
from hf_hybrid.training.weights import MovingAverage, average_gradients

_PCA_IMAGES, _PCA_VALUES = 4096, 2**28
_BATCH = 64


class AlphaGANTrainer:
    """Trains an AlphaGAN on 8-bit images under Accelerate.

    Args:
        codec: the networks to train.
        pixels: 8-bit images `(n, height, width[, 3])` at the codec's resolution; may be a memmap.
        arguments: the options.
        logging_dir: private folder for checkpoints, log and grids.
        groups: the patient of each image, `(n,)`; None when each image is a patient.
        keep_weights: whether to start from the codec's own weights, without a PCA.
    """

    def __init__(
        self,
        codec: AlphaGAN,
        pixels: np.ndarray,
        arguments: CodecArguments,
        logging_dir: Path,
        groups: np.ndarray | None = None,
        keep_weights: bool = False,
    ) -> None:
        self.arguments = arguments
        self.pixels = pixels
        self.logging_dir = Path(logging_dir)
        self.train, self.held_out = divided(np.arange(len(pixels)) if groups is None else groups, arguments)
        self.accelerator = make_accelerator(arguments, logging_dir)
        self.codec = codec
        self.batches = CodecBatches(pixels, self.train, arguments, self.accelerator, codec.config.latent_dim)
        if not keep_weights:
            codec.initialise_linear_path(self._pca_images())
        discriminators = make_discriminators(codec, arguments.seed)
        # Evaluation mode: placed and saved by Accelerate, gradients averaged by us (see `average_gradients`).
        # Channels last: faster on CPU (scripts/speed.py), and the layout that tensor cores need.
        self.codec, self.discriminators = (
            self.accelerator.prepare_model(module.to(memory_format=torch.channels_last), evaluation_mode=True)
            for module in (codec, discriminators)
        )
        self.codec_optimizer, codec_scheduler = self._optimizer(self.codec, arguments.learning_rate)
        self.discriminators_optimizer, discriminators_scheduler = self._optimizer(
            self.discriminators, arguments.discriminator_learning_rate
        )
        self.schedulers = (codec_scheduler, discriminators_scheduler)
        optimizers = [self.codec_optimizer, self.discriminators_optimizer]
        self.graphed_step = GraphedStep(self.accelerator, self._single_step, optimizers)
        self.average = MovingAverage(self.accelerator, self.codec, arguments.ema_decay)
        # Every score loads these weights. After a kill the newest checkpoint may be older than they are, never newer.
        self.best_dir = self.logging_dir / "best"
        images = Path(getattr(pixels, "filename", None) or "in memory").name
        configuration = {"codec": codec.arguments, "num_images": len(pixels), "images": images}
        self.run = TrainingRun(self.accelerator, arguments, logging_dir, configuration)

    def fit(self) -> dict[str, dict[str, float]]:
        """Trains to the end of the budget and loads the best weights into `codec`.

        Returns:
            Held-out scores (see `held_out_score`) of the chosen weights and of a PCA with as many dimensions.
        """
        self.run.resume()
        if self.run.step == 0:
            self._validate(0)  # the linear path, a PCA, is a candidate too
        with self.batches.ahead() as batches_of:
            for step in self.run.steps("training the codec"):
                self.advance(step, batches_of)
                if step % self.arguments.validation_steps == 0:
                    self._validate(step)
        if self.run.step % self.arguments.validation_steps:
            self._validate(self.run.step)
        self.accelerator.wait_for_everyone()
        self.codec = AlphaGAN.from_pretrained(self.best_dir).to(self.accelerator.device).eval()
        return {"codec": self._score_codec(), "pca": self._score_pca()}

    def advance(self, step: int, batches_of: Callable[[int], list[Batch]]) -> None:
        """A step of the loop with all that belongs to it, from its input to its line of the log."""
        with self.run.waiting():
            batches = batches_of(step)
        losses = self.graphed_step(*vars(batches[0]).values()) if len(batches) == 1 else self.train_step(batches)
        for scheduler in self.schedulers:
            scheduler.step()
        self.average.update()
        self.run.log(step, losses)

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
                noisy = self.codec.with_noise(codes, batch.code_noise)
                fakes = self.codec.decode_raw(torch.cat([noisy, batch.noise]))
                losses = self.codec_loss(batch, codes, noisy, fakes)
            self.accelerator.backward(sum(losses.values()) / len(batches))
            drawn.append((batch, noisy.detach(), fakes.detach()))
        average_gradients(self.accelerator, self.codec)
        self.codec_optimizer.step()

        self.discriminators_optimizer.zero_grad()
        self.discriminators.requires_grad_(True)
        for batch, codes, fakes in drawn:
            with self.accelerator.autocast():
                of_discriminators = self.discriminators_loss(batch, codes, fakes)
            self.accelerator.backward(sum(of_discriminators.values()) / len(batches))
        average_gradients(self.accelerator, self.discriminators)
        self.discriminators_optimizer.step()
        return {name: loss.detach() for name, loss in (losses | of_discriminators).items()}

    def _single_step(self, *batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.train_step([Batch(*batch)])

    def codec_loss(
        self, batch: Batch, codes: torch.Tensor, noisy: torch.Tensor, fakes: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Losses of encoder and generator, weighted.

        Args:
            batch: images and prior codes.
            codes: of the images.
            noisy: the codes with their noise.
            fakes: reconstructions of the images, then samples from the prior codes.
        """
        arguments, count = self.arguments, len(codes)
        reconstruction = functional.l1_loss(fakes[:count].float(), batch.pixel_values)
        # Twice the mean over both kinds of fake = the sum of the two terms of the loss.
        judged, factor = (fakes[count:], 1) if arguments.sample_adversary else (fakes, 2)
        adversarial = factor * binary_loss(self.discriminators["image"](judged), True)
        losses = {
            "reconstruction": arguments.reconstruction_weight * reconstruction,
            "adversarial": arguments.adversarial_weight * adversarial,
            "code": arguments.code_weight * binary_loss(self.discriminators["code"](noisy), True),
        }
        if arguments.code_noise_weight and self.codec.log_code_noise is not None:
            log_sd = self.codec.log_code_noise
            distance = (codes.float().square().mean(0) + (2 * log_sd).exp() - 1) / 2 - log_sd
            losses["code_noise"] = arguments.code_noise_weight * distance.sum()
        return losses

    def discriminators_loss(self, batch: Batch, codes: torch.Tensor, fakes: torch.Tensor) -> dict[str, torch.Tensor]:
        """Losses of the image and the code discriminator.

        Args:
            batch: images and prior codes.
            codes: of the images with their noise, detached.
            fakes: reconstructions of the images, then samples from the prior codes; detached.
        """
        count = len(codes)
        real, judged = (
            (fakes[:count], fakes[count:]) if self.arguments.sample_adversary else (batch.pixel_values, fakes)
        )
        of_images = self.discriminators["image"](torch.cat([real, judged])).split([count, len(judged)])
        of_codes = self.discriminators["code"](torch.cat([batch.noise, codes])).chunk(2)
        return {
            f"{name}_discriminator": binary_loss(one, True) + binary_loss(other, False)
            for name, (one, other) in {"image": of_images, "code": of_codes}.items()
        }

    def _optimizer(self, module: nn.Module, learning_rate: float) -> tuple:
        from diffusers.optimization import get_scheduler

        arguments = self.arguments
        linear = module.linear_parameters() if isinstance(module, AlphaGAN) else []
        others = [parameter for parameter in module.parameters() if all(parameter is not one for one in linear)]
        # A weight of the linear path sees thousands of pixels: at the full rate Adam undoes the PCA in a few steps.
        rates = (others, learning_rate), (linear, learning_rate * arguments.linear_learning_rate_scale)
        groups = [{"params": one, "lr": learning_rate_of(self.accelerator, rate)} for one, rate in rates if one]
        optimizer = torch.optim.Adam(groups, betas=(0.5, 0.99), fused=True, capturable=can_record(self.accelerator))
        # Not prepared: Accelerate would step a prepared scheduler once per process.
        scheduler = get_scheduler(
            arguments.lr_scheduler,
            optimizer,
            num_warmup_steps=arguments.lr_warmup_steps,
            num_training_steps=arguments.max_train_steps,
        )
        self.accelerator.register_for_checkpointing(scheduler)
        return self.accelerator.prepare_optimizer(optimizer), scheduler

    def _pca_images(self) -> torch.Tensor:
        """Random training images for a PCA: as many as fit into 1 GiB, or twice its dimensions."""
        values = int(np.prod(self.pixels.shape[1:]))
        size = max(self.codec.config.latent_dim, self.codec.config.num_components)
        count = min(_PCA_IMAGES, max(_PCA_VALUES // values, 2 * size))
        order = torch.randperm(len(self.train), generator=generator(self.arguments.seed, "codec: images of the PCA"))
        return to_tensor(self.pixels[np.sort(self.train[order[:count].numpy()])])

    def _validate(self, step: int) -> None:
        """Scores the averaged weights on held-out images and keeps the best of those no worse than at the start."""
        if not self.accelerator.is_main_process:
            return
        with self.average.applied():
            self.codec.eval()
            self._standardise_latents()
            score = self._score_codec()
            self.run.log(step, {f"validation_{name}": value for name, value in score.items()}, always=True)
            path = self.logging_dir / "start.json"
            if step == 0:
                write_json(path, score)
            if is_no_worse(score, read_json(path)) and self.run.is_best(score["score"]):
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
            return torch.cat(latents).cpu(), torch.cat(
                [self.codec.decode(part, detail=False).sample for part in latents]
            ).cpu()

        return held_out_score(encode_and_decode, to_tensor(self.pixels[self.held_out]))

    def _score_pca(self) -> dict[str, float]:
        """The linear baseline: the same score for a PCA of the training images with as many dimensions."""
        mean, components, scale = principal_components(self._pca_images().flatten(1), self.codec.config.latent_dim)

        def encode_and_decode(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            codes = (images.flatten(1) - mean) @ components.T
            return codes / scale, (mean + codes @ components).view_as(images).clamp(-1, 1)

        return held_out_score(encode_and_decode, to_tensor(self.pixels[self.held_out]))

    @torch.inference_mode()
    def _write_grid(self, step: int) -> None:
        """Held-out images above their reconstructions above samples from the prior; stays in the private folder."""
        images = self._images(self.held_out[:8])
        noise = torch.randn(
            8, self.codec.config.latent_dim, generator=generator(self.arguments.seed, "codec: images of the log")
        )
        shown = torch.cat([images, self.codec(images).sample, self.codec.decode(noise.to(images.device)).sample])
        path = self.logging_dir / "grids" / f"step-{step:06d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image_grid(to_uint8(shown), columns=len(images))).save(path)
