"""CTGANSampler: a conditional table GAN over latents and clinical columns (Xu et al. 2019, arXiv 1907.00503).

ctgan's generator is imported; critic, transform, loop, training-by-sampling and conditional sampling are written from
the paper. What differs from it on purpose: latents go in standardised and numbers as normal scores instead of as
mixtures, the last layer starts in closed form, steps are counted instead of epochs, critic and generator see the same
draws of a step, the generator that scores best on validation patients is kept, it samples in evaluation mode, and
conditions are drawn with their true frequency when sampling, so that prevalence is kept.
"""

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ctgan.synthesizers.ctgan import Generator
from torch import nn

from hf_hybrid.core.randomness import generator, seed_for
from hf_hybrid.samplers.base import BLOCK
from hf_hybrid.samplers.blocks import OneHotBlocks, gumbel
from hf_hybrid.samplers.conditions import Conditions
from hf_hybrid.samplers.critic import Critic
from hf_hybrid.samplers.ctgan_start import GaussianStart
from hf_hybrid.samplers.moments import shrunk_moments
from hf_hybrid.samplers.options import CTGANOptions
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.samplers.rows_by_choice import RowsByChoice
from hf_hybrid.samplers.trained import TrainedSampler
from hf_hybrid.samplers.validation import Validation

_ATTACK_STARTS, _ATTACK_STEPS = 32, 100


@dataclass
class _Batch:
    """The rows of one step: real and fake ones `(n, width + choices)`, each row followed by its condition.

    Attributes:
        choice: the condition of each row, as the number of a choice, `(n,)`.
        real: real rows that meet the conditions.
        fake: drawn rows, their choices as soft one-hot vectors.
        choices: the logits of all choices of the fake rows, `(n, choices)`.
    """

    choice: torch.Tensor
    real: torch.Tensor
    fake: torch.Tensor
    choices: torch.Tensor


@dataclass
class CTGANSampler(CTGANOptions, TrainedSampler):
    """A conditional Wasserstein GAN over table rows; its options are those of `CTGANOptions`."""

    name = "ctgan"
    citation = "Xu et al. 2019, CTGAN, [arXiv:1907.00503](https://arxiv.org/abs/1907.00503)"
    is_closed_form = False

    def draw(self, rng: torch.Generator, conditions: Conditions) -> LatentRows:
        """Draws a block; a condition on a category, boolean or label is given to the generator."""
        asked, device = self._asked(conditions), next(self.generator_.parameters()).device
        if asked is None:
            condition = self.blocks_.one_hot(self.blocks_.draw(self.frequencies_, BLOCK, rng))
        else:
            condition = self.blocks_.one_hot(torch.full((BLOCK,), asked))
        noise = torch.randn(BLOCK, self.embedding_dim, generator=rng)
        uniform = torch.rand(BLOCK, self.blocks_.num_choices, generator=rng)
        with torch.inference_mode():
            logits = self.generator_(torch.cat([noise, condition], 1).to(device)).cpu()
        scalars, choices = logits.split([self.transform_.num_scalars_, self.blocks_.num_choices], 1)
        drawn = self.blocks_.choose(choices + gumbel(uniform))
        return LatentRows(*self.transform_.inverse(torch.cat([scalars, drawn], 1).numpy()))

    def familiarity(self, rows: LatentRows) -> dict[str, np.ndarray]:
        """Nearness of the best record that some noise makes (GAN-Leaks, Chen et al. 2020, arXiv 1909.03935).

        The noise is sought by gradient descent from the best of several starts, the condition being the record's own
        rarest choice.
        """
        matrix = torch.from_numpy(self.transform_.transform(rows.latents, rows.frame)).float()
        scalars = self.transform_.num_scalars_
        has_value = torch.from_numpy(self.transform_.has_value(matrix.numpy()))
        held = matrix[:, scalars:]
        rarest = torch.where(held == 1, self.frequencies_, torch.inf).argmin(dim=1) if held.shape[1] else None
        condition = held[:, :0] if rarest is None else self.blocks_.one_hot(rarest)
        network = copy.deepcopy(self.generator_).cpu().requires_grad_(False)

        def distance(noise: torch.Tensor) -> torch.Tensor:
            made, choices = network(torch.cat([noise, condition], 1)).split([scalars, held.shape[1]], 1)
            apart = ((made - matrix[:, :scalars]).square() * has_value).sum(dim=1)
            return apart - (held * self.blocks_.log_softmax(choices)).sum(dim=1)

        rng = generator(0, "attack: noise", 0)
        noise, nearest = torch.zeros(len(matrix), self.embedding_dim), torch.full((len(matrix),), torch.inf)
        for _ in range(_ATTACK_STARTS):
            start = torch.randn(noise.shape, generator=rng)
            with torch.no_grad():
                found = distance(start)
            noise = torch.where((found < nearest)[:, None], start, noise)
            nearest = torch.minimum(found, nearest)
        noise.requires_grad_(True)
        optimizer = torch.optim.Adam([noise], lr=0.05)
        for _ in range(_ATTACK_STEPS):
            optimizer.zero_grad()
            distance(noise).sum().backward()
            optimizer.step()
        return {"best-latent distance": -distance(noise).detach().double().numpy()}

    def learned(self) -> tuple[dict, dict[str, torch.Tensor]]:
        """The frequencies of categories and the generator; the critic is never saved."""
        return {"frequencies": [round(f, 4) for f in self.frequencies_.tolist()]}, self.generator_.state_dict()

    def load_learned(self, facts: dict, tensors: dict[str, torch.Tensor]) -> None:
        """Inverse of `learned`."""
        self._prepare(np.array(facts["frequencies"]))
        self.generator_.load_state_dict(tensors)
        self.generator_.eval()

    # --- training --------------------------------------------------------------------------------------------------

    def _prepare(self, shares: np.ndarray) -> None:
        """Lays out the one-hot blocks and makes the generator; see `TrainedSampler`."""
        self.blocks_ = OneHotBlocks([len(block.choices) for block in self.transform_.blocks_])
        self.frequencies_ = torch.from_numpy(shares).float().round(decimals=4)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(self.seed, "sampler: weights"))
            self.generator_ = Generator(
                self.embedding_dim + self.blocks_.num_choices, tuple(self.generator_dim), self.transform_.width
            )

    @torch.no_grad()
    def _start(self, matrix: np.ndarray, groups: np.ndarray) -> None:
        """Sets the generator's last layer, which sees noise, condition and the hidden layers, in closed form.

        It starts as a Gaussian of the rows' moments, with the shares of choices given the condition, and learns what
        that misses; from a random start, few updates on few rows pair image and row worse than at random.
        """
        mean, covariance = shrunk_moments(self.transform_, matrix, groups)
        sizes = [len(block.choices) for block in self.transform_.blocks_]
        start = GaussianStart(mean, covariance, sizes, self.embedding_dim)
        start.calibrate(self.blocks_, self.frequencies_, generator(self.seed, "sampler: start"))
        last = self.generator_.seq[-1]
        last.weight.zero_()[:, -start.weight.shape[1] :] = torch.from_numpy(start.weight)
        last.bias.copy_(torch.from_numpy(start.bias))

    def _train(self, matrix: torch.Tensor, validation: Validation, logging_dir: Path) -> None:
        arguments = self._arguments()
        accelerator = self._accelerator(arguments, logging_dir)
        device = accelerator.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            # One stream on the device; Accelerate keeps its state in the checkpoints.
            torch.manual_seed(seed_for(self.seed, "sampler: steps", 0))
            critic = Critic(self.transform_.width + self.blocks_.num_choices, self.discriminator_dim, self.pac)
            network, critic = (
                accelerator.prepare_model(one, evaluation_mode=True) for one in (self.generator_, critic)
            )
            generator_optimizer, critic_optimizer = (
                accelerator.prepare_optimizer(
                    torch.optim.Adam(
                        one.parameters(), self.learning_rate, betas=(0.5, 0.9), weight_decay=1e-6, fused=True
                    )
                )
                for one in (network, critic)
            )
            blocks = copy.deepcopy(self.blocks_).to(device)
            data = RowsByChoice(matrix.to(device), self.transform_.num_scalars_)
            weights = torch.log1p(data.counts)
            for step, run in self._steps(accelerator, arguments, network, matrix, validation, logging_dir):
                batch = self._batch(network, blocks, data, weights)
                critic.requires_grad_(True)
                critic_loss = self._critic_loss(critic, batch)
                critic_optimizer.zero_grad()
                accelerator.backward(critic_loss)
                critic_optimizer.step()
                critic.requires_grad_(False)
                scores, ignored = self._generator_losses(critic, blocks, batch)
                generator_optimizer.zero_grad()
                accelerator.backward(ignored - scores)
                generator_optimizer.step()
                losses = {"critic": critic_loss, "judged": scores, "condition": ignored}
                run.log(step, {name: loss.detach() for name, loss in losses.items()})
        self.generator_ = accelerator.unwrap_model(network).cpu()

    def _batch(self, network: nn.Module, blocks: OneHotBlocks, data: RowsByChoice, weights: torch.Tensor) -> _Batch:
        """Draws a condition for each row, real rows that meet the conditions, and fake rows given the conditions."""
        choice = blocks.draw(weights, self.batch_size)
        condition = blocks.one_hot(choice)
        real = torch.cat([data.draw(choice), condition], 1)
        noise = torch.randn(self.batch_size, self.embedding_dim, device=real.device)
        logits = network(torch.cat([noise, condition], 1))
        scalars, choices = logits.split([self.transform_.num_scalars_, blocks.num_choices], 1)
        soft = blocks.softmax((choices + gumbel(torch.rand_like(choices))) / self.temperature)
        return _Batch(choice, real, torch.cat([scalars, soft, condition], 1), choices)

    def _critic_loss(self, critic: Critic, batch: _Batch) -> torch.Tensor:
        """Wasserstein loss; the critic's gradient norm is to be 1 between real and fake (Gulrajani et al. 2017)."""
        fake = batch.fake.detach()
        fakes, reals = critic(torch.cat([fake, batch.real])).chunk(2)
        share = torch.rand(self.batch_size // self.pac, 1, device=fake.device).repeat_interleave(self.pac, 0)
        gradient = critic.gradient(torch.lerp(fake, batch.real, share))
        penalty = (gradient.norm(dim=1) - 1).square().mean()
        return fakes.mean() - reals.mean() + self.gradient_penalty * penalty

    def _generator_losses(
        self, critic: Critic, blocks: OneHotBlocks, batch: _Batch
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The critic's mean score of the fake rows, and how far they ignore their conditions."""
        scores = critic(batch.fake).mean()
        # Cross-entropy of the conditions: it makes the generator meet them.
        log_shares = blocks.log_softmax(batch.choices)
        has_choices = log_shares.shape[1] > 0
        return scores, -log_shares.gather(1, batch.choice[:, None]).mean() if has_choices else 0 * scores

    def _asked(self, conditions: Conditions) -> int | None:
        """The rarest choice among the conditions that are one-hot choices, None when there is none."""
        asked = []
        for block in self.transform_.blocks_:
            wanted = conditions.get(block.column, _UNASKED)
            if block.role == "state":
                wanted = _STATES.get(wanted, _UNASKED)
            if wanted is None and block.role == "label":
                continue  # None is this label's absence there
            if wanted is not _UNASKED and wanted in block.choices:
                asked.append(block.start - self.transform_.num_scalars_ + block.choices.index(wanted))
        return min(asked, key=lambda choice: float(self.frequencies_[choice]), default=None)


_UNASKED = object()
_STATES = {None: "missing", (math.inf, math.inf): "inf", (-math.inf, -math.inf): "-inf"}
