"""DiffusionSampler: a denoising model over latents and clinical columns, given any of them.

Trained with random column masks, so that one network answers every question of the form "these columns given, draw
those" (in the spirit of TabDDPM, Kotelnikov et al. 2023, arXiv 2209.15421, and of Ho and Salimans 2022, arXiv
2207.12598, for columns left out). On few records such a model first learns how image and row belong together and then
the records themselves: training is scored on validation patients, and the best weights are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from hf_hybrid.core.errors import InputError
from hf_hybrid.core.randomness import generator, numpy_generator, seed_for
from hf_hybrid.samplers.base import BLOCK
from hf_hybrid.samplers.conditions import Conditions, conditions_met, split_conditions
from hf_hybrid.samplers.denoiser import Denoiser
from hf_hybrid.samplers.given_columns import (
    LATENTS,
    check_given_cells,
    choices_without_value,
    given_matrix,
    position_names,
    read_given,
)
from hf_hybrid.samplers.masks import draw_masks
from hf_hybrid.samplers.moments import shrunk_moments
from hf_hybrid.samplers.noise import NoiseSchedule
from hf_hybrid.samplers.options import LEVELS, PATTERNS_A_STEP, DiffusionOptions
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.samplers.trained import TrainedSampler
from hf_hybrid.samplers.validation import Validation

if TYPE_CHECKING:
    from datasets import Dataset

_PATTERNS = 64  # combinations of columns that are trained
_ATTACKED_LEVELS, _ATTACK_DRAWS = (50, 100, 200, 400, 600), 4
_CANDIDATES = 4  # records drawn for each that is wanted, where a range will refuse some


@dataclass
class DiffusionSampler(DiffusionOptions, TrainedSampler):
    """A denoising diffusion model that starts as a Gaussian one; its options are those of `DiffusionOptions`."""

    name = "diffusion"
    citation = "Kotelnikov et al. 2023, TabDDPM, [arXiv:2209.15421](https://arxiv.org/abs/2209.15421)"
    is_closed_form = False

    def draw(self, rng: torch.Generator, conditions: Conditions) -> LatentRows:
        """Draws a block; conditions on a single value are given to the network.

        Columns with other conditions are drawn next, several times, and the rest only for records that meet them.
        """
        exact, free = split_conditions(self.schema_, conditions)
        count = BLOCK * (_CANDIDATES if free else 1)
        frame = pd.DataFrame({name: pd.Series([cell] * count, dtype=object) for name, cell in exact.items()})
        known = given_matrix(
            self.transform_, np.zeros((count, len(self.transform_.latents_mean_))), frame, list(exact)
        )
        if free:
            known = self._denoise(known, list(exact), list(free), rng)
            met = conditions_met(self.schema_, self.transform_.inverse(known.numpy())[1], free)
            known = known[np.flatnonzero(met)[:BLOCK]]
        drawn = self._draw_rest(known, [*exact, *free], rng)
        latents, cells = self.transform_.inverse(drawn.numpy())
        # The given value itself: the network's precision would round a number of many digits.
        return LatentRows(latents, cells.assign(**{name: frame[name].iloc[: len(cells)] for name in exact}))

    def complete(
        self, table: "Dataset", given: Sequence[str] | None = None, seed: int = 0, fill_missing: bool = False
    ) -> "Dataset":
        """Draws the columns of each record that are not given, conditional on those that are.

        Args:
            table: `n` records with the features that `sample` gives; what is not given may be absent.
            given: names of columns, and `LATENTS` for all latents together; None for all that the table holds.
            seed: at least 0.
            fill_missing: draw a value where a given cell is missing; else the cell is given as missing.

        Returns:
            A latent table of `n` records, the given cells and latents unchanged.

        Raises:
            InputError: a name that is not in the table, other features, a negative seed, or a cell that its column
                cannot hold.
        """
        rows, given = read_given(table, given, self.schema_, len(self.transform_.latents_mean_))
        if seed < 0:
            raise InputError(f"expected `seed` of at least 0, found {seed}")
        cells = [name for name in given if name != LATENTS]
        check_given_cells(rows.frame[cells], self.schema_, fill_missing)
        holes = rows.frame[cells].isna().to_numpy(bool) & fill_missing
        parts, places = [], []
        # Records with the same holes are drawn together.
        for index, pattern in enumerate(np.unique(holes, axis=0)):
            alike = np.flatnonzero((holes == pattern).all(axis=1))
            empty = [name for name, hole in zip(cells, pattern, strict=True) if hole]
            for block in range(0, len(alike), BLOCK):
                chosen = alike[block : block + BLOCK]
                rng = generator(seed, "completed rows", index, block)
                parts.append(self._complete_rows(rows.take(chosen), given, empty, rng))
                places.append(chosen)
        return LatentRows.concatenate(parts).take(np.argsort(np.concatenate(places))).to_dataset(self.schema_)

    @torch.inference_mode()
    def familiarity(self, rows: LatentRows) -> dict[str, np.ndarray]:
        """Denoising losses at several noise levels, likelihood under the moments; see `Sampler.familiarity`."""
        matrix = torch.from_numpy(self.transform_.transform(rows.latents, rows.frame)).float()
        network, has_value = self.denoiser_, self._has_value(matrix)
        everything = np.ones((1, len(self.names_)), dtype=bool)
        latents = np.array([[name == LATENTS for name in self.names_]])
        found = {}
        for what, given, drawn in (
            ("denoising loss", ~everything, everything),
            ("denoising loss of the latents given the row", ~latents, latents),
        ):
            patterns, total = network.patterns(given, drawn), 0
            for number, step in enumerate(_ATTACKED_LEVELS * _ATTACK_DRAWS):
                normal = torch.randn(matrix.shape, generator=generator(0, "attack: noise", number))[None]
                level = self.noise_.levels(torch.tensor(step)).expand(1, len(matrix), 1, 2).unbind(-1)
                errors, surprises, _ = network.losses(
                    patterns, matrix[None], matrix[None], has_value[None], level, normal
                )
                total = total + (errors + surprises)[0]
            found[what] = -total.numpy().astype(np.float64)
        away = torch.where(has_value, matrix - network.mean, 0).double().numpy()
        covariance = network.covariance.double().numpy() + 1e-6 * np.eye(away.shape[1])
        return found | {"likelihood": -(away * np.linalg.solve(covariance, away.T).T).sum(axis=1) / 2}

    def learned(self) -> tuple[dict, dict[str, torch.Tensor]]:
        """The moments and the averaged weights."""
        return {}, self.denoiser_.state_dict()

    def load_learned(self, facts: dict, tensors: dict[str, torch.Tensor]) -> None:
        """Inverse of `learned`."""
        self._prepare()
        self.denoiser_.load_state_dict(tensors)

    # --- drawing ---------------------------------------------------------------------------------------------------

    def _complete_rows(self, rows: LatentRows, given: list[str], empty: list[str], rng: torch.Generator) -> LatentRows:
        """Draws the columns of these records that are not given, and missing cells of the columns `empty`."""
        held = [name for name in given if name not in empty]
        known = given_matrix(self.transform_, rows.latents, rows.frame, held)
        forbidden = choices_without_value(self.transform_.blocks_, empty)
        latents, cells = self.transform_.inverse(self._draw_rest(known, held, rng, forbidden).numpy())
        cells = cells.assign(**{name: rows.frame[name] for name in held if name != LATENTS})
        return LatentRows(rows.latents if LATENTS in held else latents, cells)

    def _draw_rest(
        self, known: torch.Tensor, given: list[str], rng: torch.Generator, forbidden: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Draws all columns that are not given, in one go or the row first; see `_denoise`."""
        rest = [name for name in self.names_ if name not in given]
        row = [name for name in rest if name != LATENTS]
        for drawn in filter(None, [row, [LATENTS]] if self.table_first and LATENTS in rest else [rest]):
            known = self._denoise(known, given, drawn, rng, forbidden)
            given = [*given, *drawn]
        return known

    @torch.inference_mode()
    def _denoise(
        self,
        known: torch.Tensor,
        given: list[str],
        drawn: list[str],
        rng: torch.Generator,
        forbidden: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Draws columns given others; columns in neither list are unknown.

        Args:
            known: the transform's matrix, `(n, width)`, 0 where nothing is known.
            given: names of columns.
            drawn: names of columns.
            rng: noise comes from here, on the CPU.
            forbidden: choices that must not be drawn, `(choices,)` bool.

        Returns:
            The matrix with the drawn columns filled in.
        """
        if not len(known):
            return known
        is_given, is_drawn = (np.array([[name in names for name in self.names_]]) for names in (given, drawn))
        patterns = self.denoiser_.patterns(is_given, is_drawn)
        filled = self.noise_.denoise(self.denoiser_, patterns, known, self.num_inference_steps, rng, forbidden)
        filled = torch.where(self._has_value(filled), filled, 0)
        return torch.where(patterns.drawn.cpu(), filled, known)

    # --- training --------------------------------------------------------------------------------------------------

    def _prepare(self, shares: np.ndarray | None = None) -> None:
        """Lays out columns, and makes the network and the noise levels; see `TrainedSampler`."""
        self.names_ = [LATENTS, *self.schema_.table]
        self.column_of_ = np.array([self.names_.index(name) for name in position_names(self.transform_)])
        sizes = [len(block.choices) for block in self.transform_.blocks_]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(self.seed, "sampler: weights"))
            self.denoiser_ = Denoiser(self.column_of_, sizes, self.hidden_dim, self.num_layers, self.dropout).eval()
        self.noise_ = NoiseSchedule(LEVELS)

    def _start(self, matrix: np.ndarray, groups: np.ndarray) -> None:
        """Gives the network the moments of the rows: it starts as a Gaussian with these; see `TrainedSampler`."""
        mean, covariance = shrunk_moments(self.transform_, matrix, groups)
        self.denoiser_.mean.copy_(torch.from_numpy(mean))
        self.denoiser_.covariance.copy_(torch.from_numpy(covariance))

    def _has_value(self, matrix: torch.Tensor) -> torch.Tensor:
        """Where the matrix holds something, `(n, width)` bool: not where a number is missing or infinite."""
        held = torch.ones(matrix.shape, dtype=torch.bool)
        held[:, : self.transform_.num_scalars_] = torch.from_numpy(self.transform_.has_value(matrix.numpy()))
        return held

    def _train(self, matrix: torch.Tensor, validation: Validation, logging_dir: Path) -> None:
        arguments = self._arguments(self.ema_decay)
        accelerator = self._accelerator(arguments, logging_dir)
        device = accelerator.device
        network = self.denoiser_ = accelerator.prepare_model(self.denoiser_, evaluation_mode=True)
        optimizer = accelerator.prepare_optimizer(
            torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        )
        rng = numpy_generator(self.seed, "sampler: masks")
        patterns = network.patterns(*draw_masks(rng, len(self.names_), _PATTERNS, self.table_first))
        data, has_value = matrix.to(device), self._has_value(matrix).to(device)
        scale = network.covariance.diagonal().sqrt()  # or rare choices would drown in the noise
        shape = (PATTERNS_A_STEP, self.batch_size // PATTERNS_A_STEP)
        for step, run in self._steps(accelerator, arguments, network, matrix, validation, logging_dir):
            rng = generator(self.seed, "sampler: steps", step)
            picked = patterns.take(torch.randint(_PATTERNS, shape[:1], generator=rng).to(device))
            index = torch.randint(len(data), shape, generator=rng).to(device)
            level = self.noise_.levels(torch.randint(LEVELS, (*shape, 1), generator=rng)).to(device)
            normal, blur = torch.randn(2, *shape, data.shape[1], generator=rng).to(device)
            rows = data[index]
            known = rows + self.given_noise * blur * scale
            with torch.random.fork_rng():
                torch.manual_seed(int(torch.randint(2**31, (), generator=rng)))  # dropout
                sums = network.losses(picked, rows, known, has_value[index], level, normal)
            errors, surprises, questions = (one.sum() for one in sums)
            scalars, choices = errors / questions, surprises / questions
            optimizer.zero_grad()
            accelerator.backward(scalars + choices)
            optimizer.step()
            run.log(step, {"scalars": scalars.detach(), "choices": choices.detach()})
        self.denoiser_ = accelerator.unwrap_model(network).cpu()
