"""Training of the map that makes a codec's codes normal, after encoder and generator."""

from pathlib import Path

import numpy as np
import torch

from hf_hybrid.core.randomness import generator
from hf_hybrid.data.pixels import to_tensor
from hf_hybrid.models.alphagan import AlphaGAN
from hf_hybrid.models.augmentation import augmented, on_device
from hf_hybrid.models.options import CodecArguments, FlowArguments
from hf_hybrid.training.graphs import set_learning_rate
from hf_hybrid.training.run import TrainingRun, make_accelerator
from hf_hybrid.training.weights import BestWeights, MovingAverage

_COPIES, _BATCH = 16, 128  # changed copies of each image, whose codes are kept
_HELD_OUT_NOISES = 4


class CodeFlowTrainer:
    """Trains a codec's `code_flow` by maximum likelihood of noisy codes; all else of the codec stays as it is.

    Args:
        codec: with a flow; the rest of it is trained.
        pixels: 8-bit images `(n, height, width[, 3])` at the codec's resolution.
        parts: positions of the images to learn from and of those to score.
        of_codec: how the codec was trained; the same changes of the images are made here.
        logging_dir: private folder for checkpoints and log.
    """

    def __init__(
        self,
        codec: AlphaGAN,
        pixels: np.ndarray,
        parts: tuple[np.ndarray, np.ndarray],
        of_codec: CodecArguments,
        logging_dir: Path,
    ) -> None:
        steps, seed = of_codec.flow_train_steps, of_codec.seed
        self.arguments = FlowArguments(
            max_train_steps=steps, checkpointing_steps=steps, mixed_precision="no", seed=seed
        )
        self.codec, self.seed = codec.eval(), self.arguments.seed
        self.accelerator = make_accelerator(self.arguments, logging_dir)
        copies = _COPIES if of_codec.warp else 1
        train, held_out = parts
        self.codes = torch.stack([self._codes(pixels, train, of_codec.warp, copy) for copy in range(copies)])
        self.held_out = self._codes(pixels, held_out, 0.0, 0)
        flow = codec.code_flow
        noisy = self._noisy(self.codes[0], 0)
        flow.mean.copy_(noisy.mean(0))
        flow.scale.copy_(noisy.std(0))
        self.flow = self.accelerator.prepare_model(flow, evaluation_mode=True)
        optimizer = torch.optim.AdamW(flow.parameters(), self.arguments.learning_rate, weight_decay=0.01)
        self.optimizer = self.accelerator.prepare_optimizer(optimizer)
        self.average = MovingAverage(self.accelerator, self.flow, self.arguments.ema_decay)
        self.best = BestWeights(self.accelerator, self.flow)
        self.run = TrainingRun(self.accelerator, self.arguments, logging_dir, {"num_images": len(pixels)})

    def fit(self) -> dict[str, float]:
        """Trains to the end of the budget, or returns to the start if nothing else was better on held-out images.

        Returns:
            Held-out loss (see `CodeFlow.loss`) `at_start` and of the weights that are kept.
        """
        at_start = self._held_out_loss()
        self.run.resume()
        self.run.is_best(at_start)
        for step in self.run.steps("making the codes normal"):
            set_learning_rate(self.optimizer, self.run.learning_rate())
            loss = self.flow.loss(self._batch(step))
            self.optimizer.zero_grad()
            self.accelerator.backward(loss)
            self.accelerator.clip_grad_norm_(self.flow.parameters(), 1.0)
            self.optimizer.step()
            self.average.update()
            self.run.log(step, {"loss": loss.detach()})
            if step % self.arguments.validation_steps == 0:
                self._validate(step)
        if self.run.step % self.arguments.validation_steps:
            self._validate(self.run.step)
        self.best.restore()
        return {"at_start": at_start, "kept": self._held_out_loss(), "step": self.best.step}

    def _batch(self, step: int) -> torch.Tensor:
        """Noisy codes of random images."""
        rng, count = generator(self.seed, "code flow: images", step), self.arguments.train_batch_size
        copy, image = (torch.randint(size, (count,), generator=rng) for size in self.codes.shape[:2])
        return self._noisy(self.codes[copy, image], step)

    def _noisy(self, codes: torch.Tensor, *keys: int) -> torch.Tensor:
        noise = torch.randn(codes.shape, generator=generator(self.seed, "code flow: noise", *keys))
        return self.codec.with_noise(codes, noise.to(codes.device)).detach()

    def _validate(self, step: int) -> None:
        with self.average.applied():
            loss = self._held_out_loss()
            if self.run.is_best(loss):
                self.best.keep(step)
        self.run.log(step, {"held_out_loss": loss}, always=True)

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        """Of the codes of held-out images, each with a few noises."""
        noisy = [self._noisy(self.held_out, 0, place) for place in range(_HELD_OUT_NOISES)]
        return float(self.codec.code_flow.loss(torch.cat(noisy)))

    @torch.no_grad()
    def _codes(self, pixels: np.ndarray, images: np.ndarray, warp: float, copy: int) -> torch.Tensor:
        device, found = self.accelerator.device, []
        self.codec.to(device)
        for first in range(0, len(images), _BATCH):
            part = to_tensor(pixels[images[first : first + _BATCH]]).to(device)
            if warp:
                part = augmented(part, on_device(device, self.seed, "code flow: warps", copy, first), warp)
            found.append(self.codec.encode_raw(part))
        return torch.cat(found)
