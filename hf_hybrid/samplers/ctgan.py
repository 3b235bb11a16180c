"""CTGANSampler: a conditional table GAN over latents and clinical columns (Xu et al. 2019, arXiv 1907.00503).

ctgan's network classes are imported; transform, loop, training-by-sampling and conditional sampling are written from
the paper. What differs from it on purpose: latents go in standardised instead of as mixtures, `pac` is 1 by default,
steps are counted instead of epochs, the generator samples in evaluation mode, and conditions are drawn with their true
frequency when sampling, so that prevalence is kept.
"""

import hashlib
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from ctgan.synthesizers.ctgan import Discriminator, Generator
from torch import nn
from torch.nn import functional

from hf_hybrid.errors import InputError
from hf_hybrid.randomness import generator
from hf_hybrid.samplers.base import BLOCK, Conditions, LatentRows, Sampler
from hf_hybrid.samplers.transform import TableTransform
from hf_hybrid.schema import RecordSchema
from hf_hybrid.training import TrainingArguments, TrainingRun

if TYPE_CHECKING:
    from datasets import Dataset

CHECKPOINTING_STEPS = 500


@dataclass
class CTGANSampler(Sampler):
    """A conditional Wasserstein GAN over table rows.

    Args:
        max_train_steps: generator updates (ctgan's default of 300 epochs makes about 600 at 1,000 rows).
        batch_size: rows a step, drawn with replacement; even and a multiple of `pac`.
        embedding_dim: length of the noise.
        generator_dim: widths of the generator's residual layers.
        discriminator_dim: widths of the critic's layers.
        pac: rows that the critic judges together; more than 1 loses the pairing of image and row on few records.
        learning_rate: of both networks.
        gradient_penalty: weight of the critic's gradient penalty.
        temperature: of the Gumbel softmax over one-hot blocks.
        seed: seed of weights, batches and noise in training.
    """

    max_train_steps: int = 3000
    batch_size: int = 200
    embedding_dim: int = 128
    generator_dim: tuple[int, ...] = (256, 256)
    discriminator_dim: tuple[int, ...] = (256, 256)
    pac: int = 1
    learning_rate: float = 1e-3
    gradient_penalty: float = 10.0
    temperature: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for options that do not fit together."""
        if self.pac < 1 or self.batch_size < 2 or self.batch_size % 2 or self.batch_size % self.pac:
            raise InputError(
                f"expected `batch_size` even and a multiple of `pac`, found {self.batch_size} and {self.pac}"
            )
        for name in ("max_train_steps", "embedding_dim", "learning_rate", "temperature"):
            if getattr(self, name) <= 0:
                raise InputError(f"expected `{name}` above 0, found {getattr(self, name)}")
        for name in ("generator_dim", "discriminator_dim"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise InputError(f"expected `{name}` as widths of at least one layer, found {getattr(self, name)}")

    def fit(
        self,
        table: "Dataset",
        schema: RecordSchema,
        groups: np.ndarray | None = None,
        logging_dir: Path | None = None,
    ) -> Self:
        """Learns a latent table; see `Sampler.fit`."""
        rows = LatentRows.from_dataset(table, schema)
        groups = np.arange(len(rows)) if groups is None else np.asarray(groups)
        self.schema_ = schema
        self.transform_ = TableTransform(schema).fit(rows.latents, rows.frame, groups)
        matrix = torch.from_numpy(self.transform_.transform(rows.latents, rows.frame)).float()
        self._prepare(matrix[:, self.transform_.num_scalars_ :].mean(0))
        with tempfile.TemporaryDirectory() as temporary:
            self._train(matrix, Path(logging_dir or temporary))
        return self

    def draw(self, rng: torch.Generator, conditions: Conditions) -> LatentRows:
        """Draws a block; a condition on a category, boolean or label is given to the generator."""
        asked = self._asked(conditions)
        if asked is None:
            condition, _, _ = self._conditions(self.drawn_, BLOCK, rng)
        else:
            condition = functional.one_hot(torch.tensor([asked] * BLOCK), self.num_choices_).float()
        self.generator_.eval()
        with torch.inference_mode():
            fake = self._activate(*self._logits(self.generator_, condition, rng))
        return LatentRows(*self.transform_.inverse(fake.numpy()))

    def learned(self) -> tuple[dict, dict[str, torch.Tensor]]:
        """The transform, the frequencies of categories and the generator; the critic is never saved."""
        facts = {
            "transform": self.transform_.to_dict(),
            "frequencies": [round(f, 4) for f in self.frequencies_.tolist()],
        }
        return facts, self.generator_.state_dict()

    def load_learned(self, facts: dict, tensors: dict[str, torch.Tensor]) -> None:
        """Inverse of `learned`."""
        self.transform_ = TableTransform.from_dict(self.schema_, facts["transform"])
        self._prepare(torch.tensor(facts["frequencies"]))
        self.generator_.load_state_dict(tensors)

    # --- training --------------------------------------------------------------------------------------------------

    def _prepare(self, frequencies: torch.Tensor) -> None:
        """Lays out the one-hot blocks and makes the generator."""
        self.blocks_ = self.transform_.blocks_
        sizes = [len(block.choices) for block in self.blocks_]
        self.num_choices_ = sum(sizes)
        # Rows of equal length, so that all blocks go through one softmax; the filling never wins.
        self.block_index_ = torch.full((len(sizes), max(sizes, default=1)), -1)
        first = 0
        for block, size in enumerate(sizes):
            self.block_index_[block, :size] = torch.arange(first, first + size)
            first += size
        self.frequencies_ = torch.round(frequencies, decimals=4)
        # What to draw by: asking for a mode of a number asks for a value, and would make missing ones rarer.
        stateful = {block.column for block in self.blocks_ if block.role == "state"}
        self.drawn_ = self.frequencies_.clone()
        for block in self.blocks_:
            if block.role == "mode" and block.column in stateful:
                first = block.start - self.transform_.num_scalars_
                self.drawn_[first : first + len(block.choices)] = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.generator_ = Generator(
                self.embedding_dim + self.num_choices_, tuple(self.generator_dim), self.transform_.width
            )

    def _train(self, matrix: torch.Tensor, logging_dir: Path) -> None:
        arguments = TrainingArguments(
            max_train_steps=self.max_train_steps,
            train_batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            mixed_precision="no",
            checkpointing_steps=CHECKPOINTING_STEPS,
            seed=self.seed,
        )
        accelerator = arguments.accelerator(logging_dir)
        if accelerator.num_processes > 1:
            raise InputError(f"expected one process, found {accelerator.num_processes}")
        device = accelerator.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + 1)
            critic = Discriminator(matrix.shape[1] + self.num_choices_, tuple(self.discriminator_dim), self.pac)
        network, critic = (accelerator.prepare_model(one, evaluation_mode=True) for one in (self.generator_, critic))
        adam = {"lr": self.learning_rate, "betas": (0.5, 0.9)}
        generator_optimizer = accelerator.prepare_optimizer(
            torch.optim.Adam(network.parameters(), weight_decay=1e-6, **adam)
        )
        critic_optimizer = accelerator.prepare_optimizer(torch.optim.Adam(critic.parameters(), **adam))
        rows = hashlib.sha256(matrix.numpy().tobytes()).hexdigest()  # stays in the private folder
        configuration = {"sampler": asdict(self), "rows": rows, "schema": self.schema_.to_dict()}
        run = TrainingRun(accelerator, arguments, logging_dir, configuration)
        run.resume()
        flags = matrix[:, self.transform_.num_scalars_ :]
        weights, holders = torch.log1p(flags.sum(0)), _Holders(flags)
        network.train()
        for step in run.steps("training the sampler"):
            rng = generator(self.seed, step)
            with torch.random.fork_rng():
                torch.manual_seed(int(torch.randint(2**31, (), generator=rng)))  # the critic's dropout

                condition, choice, _ = self._conditions(weights, self.batch_size, rng)
                condition = condition.to(device)
                real = torch.cat([matrix[holders.draw(choice, rng)].to(device), condition], 1)
                with torch.no_grad():
                    fake = torch.cat([self._activate(*self._logits(network, condition, rng)), condition], 1)
                penalty = _gradient_penalty(critic, real, fake, self.pac, rng)
                critic_loss = critic(fake).mean() - critic(real).mean() + self.gradient_penalty * penalty
                critic_optimizer.zero_grad()
                accelerator.backward(critic_loss)
                critic_optimizer.step()

                condition, choice, block = self._conditions(weights, self.batch_size, rng)
                condition = condition.to(device)
                logits, noise = self._logits(network, condition, rng)
                judged = critic(torch.cat([self._activate(logits, noise), condition], 1)).mean()
                ignored = self._condition_loss(logits, choice.to(device), block.to(device))
                generator_optimizer.zero_grad()
                accelerator.backward(ignored - judged)
                generator_optimizer.step()
            run.log(step, {"critic": critic_loss.detach(), "judged": judged.detach(), "condition": ignored.detach()})
        self.generator_ = accelerator.unwrap_model(network).cpu().eval()

    def _logits(
        self, network: nn.Module, condition: torch.Tensor, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The generator's raw output for fresh noise, `(n, width)`, and Gumbel noise for its one-hot blocks."""
        noise = torch.randn(len(condition), self.embedding_dim, generator=rng).to(condition.device)
        uniform = torch.rand(len(condition), self.num_choices_, generator=rng).clamp(1e-10, 1 - 1e-7)
        return network(torch.cat([noise, condition], 1)), -torch.log(-torch.log(uniform)).to(condition.device)

    def _blocks_of(self, choices: torch.Tensor, filling: float) -> torch.Tensor:
        """Values of all choices `(n, num_choices)` -> one row a block `(n, num_blocks, longest block)`."""
        index = self.block_index_.to(choices.device)
        return choices[:, index.clamp(min=0)].masked_fill(index < 0, filling)

    def _activate(self, logits: torch.Tensor, gumbel: torch.Tensor) -> torch.Tensor:
        """Scalars pass through; each one-hot block goes through a Gumbel softmax, all blocks at once."""
        scalars = self.transform_.num_scalars_
        blocks = self._blocks_of((logits[:, scalars:] + gumbel) / self.temperature, -torch.inf)
        soft = torch.softmax(blocks, dim=2)[:, (self.block_index_ >= 0).to(logits.device)]
        return torch.cat([logits[:, :scalars], soft], 1)

    def _condition_loss(self, logits: torch.Tensor, choice: torch.Tensor, block: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the asked block against the asked choice: what makes the generator obey."""
        blocks = self._blocks_of(logits[:, self.transform_.num_scalars_ :], -torch.inf)
        log_shares = torch.log_softmax(blocks, dim=2)[torch.arange(len(block)), block]
        position = choice - self.block_index_.to(choice.device)[block, 0]
        return functional.nll_loss(log_shares, position)

    def _conditions(
        self, weights: torch.Tensor, count: int, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draws a block uniformly and a choice in it by `weights` (paper, section 4.3).

        Returns:
            One-hot conditions `(count, num_choices)`, the choices and the blocks, both `(count,)`.
        """
        shares = self._blocks_of(weights[None], 0.0)[0]
        possible = torch.nonzero(shares.sum(1)).flatten()
        block = possible[torch.randint(len(possible), (count,), generator=rng)]
        position = torch.multinomial(shares[block], 1, generator=rng)[:, 0]
        choice = self.block_index_[block, position]
        return functional.one_hot(choice, self.num_choices_).float(), choice, block

    def _asked(self, conditions: Conditions) -> int | None:
        """The rarest choice among the conditions that are one-hot choices, None when there is none."""
        offset = self.transform_.num_scalars_
        asked = []
        for block in self.blocks_:
            wanted = conditions.get(block.column, _UNASKED)
            if block.role == "state" and wanted is None:
                wanted = "missing"
            if wanted is None and block.role == "label":
                continue  # None is this label's absence there
            if wanted is not _UNASKED and block.role != "mode" and wanted in block.choices and wanted != "value":
                asked.append(block.start - offset + block.choices.index(wanted))
        return min(asked, key=lambda choice: float(self.frequencies_[choice]), default=None)


_UNASKED = object()


class _Holders:
    """Which rows hold each choice, for drawing real rows that match a condition.

    Args:
        flags: one-hot blocks of all rows, `(n, num_choices)`.
    """

    def __init__(self, flags: torch.Tensor) -> None:
        held = torch.nonzero(flags.T)
        self.rows = held[:, 1]
        self.counts = torch.bincount(held[:, 0], minlength=flags.shape[1])
        self.first = self.counts.cumsum(0) - self.counts

    def draw(self, choice: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """One row for each choice, uniformly among its holders."""
        share = torch.rand(len(choice), generator=rng, dtype=torch.float64)
        return self.rows[self.first[choice] + (share * self.counts[choice]).long()]


def _gradient_penalty(
    critic: nn.Module, real: torch.Tensor, fake: torch.Tensor, pac: int, rng: torch.Generator
) -> torch.Tensor:
    """Mean squared distance of the critic's gradient norm from 1 between real and fake (Gulrajani et al. 2017)."""
    share = torch.rand(len(real) // pac, 1, generator=rng).repeat_interleave(pac, 0).to(real.device)
    between = (share * real + (1 - share) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.view(len(real) // pac, -1).norm(dim=1) - 1).square().mean()
