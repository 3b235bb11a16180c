"""GaussianCopulaSampler: rows and latents as one Gaussian seen through marginals, and its unpaired control.

Every column becomes coordinates of one multivariate normal (Hoff 2007, arXiv math/0610413, section 2, with moments in
place of its sampler): a latent or a number is one coordinate, a choice among K is K - 1 nested questions ("is it the
first? else, is it the second?"), each answered yes where its coordinate lies above a threshold. Missing and infinite
are choices too. A coordinate counts only where its question is asked, so that marginals come out exactly.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import ndtr, ndtri

from hf_hybrid.samplers.base import BLOCK, Sampler
from hf_hybrid.samplers.conditions import Conditions, conditions_met
from hf_hybrid.samplers.marginals import patient_weights
from hf_hybrid.samplers.moments import correlations, shrink
from hf_hybrid.samplers.options import CopulaOptions
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.samplers.tetrachoric import slope, tetrachoric
from hf_hybrid.samplers.transform import Block

_CANDIDATES = 8  # rows drawn for each that is wanted, where conditions will refuse some
_MAX_CORRELATION = 0.98


@dataclass
class GaussianCopulaSampler(CopulaOptions, Sampler):
    """Marginals and one correlation matrix, shrunk; fitted in a fraction of a second, no randomness in it.

    Its options are those of `CopulaOptions`.
    """

    name = "copula"
    citation = "Hoff 2007, Gaussian copula, [arXiv:math/0610413](https://arxiv.org/abs/math/0610413)"
    is_closed_form = True

    def learn(self, rows: LatentRows, groups: np.ndarray, logging_dir: Path | None) -> None:
        """Finds the order of questions, thresholds and correlations; see `Sampler.learn`."""
        matrix = self.transform_.transform(rows.latents, rows.frame)
        self.orders_ = [self._order(block, matrix) for block in self.transform_.blocks_]
        self._find_correlations(matrix, groups)

    def draw(self, rng: torch.Generator, conditions: Conditions) -> LatentRows:
        """Draws a block; of candidates that meet no condition, no latents are drawn."""
        count = BLOCK * (_CANDIDATES if conditions else 1)
        latent_dim, dim = len(self.transform_.latents_mean_), len(self.cholesky_)
        noise = torch.randn(count, dim - latent_dim, generator=rng, dtype=torch.float64).numpy()
        coordinates = np.zeros((count, dim))
        coordinates[:, latent_dim:] = noise @ self.cholesky_[latent_dim:, latent_dim:].T
        _, frame = self.transform_.inverse(self._answers(coordinates))
        kept = np.flatnonzero(conditions_met(self.schema_, frame, conditions))[:BLOCK]
        own = torch.randn(len(kept), latent_dim, generator=rng, dtype=torch.float64).numpy()
        latents = np.concatenate([own, noise[kept]], axis=1) @ self.cholesky_[:latent_dim].T
        latents = latents * self.transform_.latents_std_ + self.transform_.latents_mean_
        return LatentRows(latents.astype(np.float32), frame.iloc[kept].reset_index(drop=True))

    def familiarity(self, rows: LatentRows) -> dict[str, np.ndarray]:
        """Log-likelihood, an answer at the mean of its side, what is unknown at 0; see `Sampler.familiarity`."""
        matrix = self.transform_.transform(rows.latents, rows.frame)
        asked = self.transform_.has_value(matrix)
        scalars = np.where(asked, matrix[:, : self.transform_.num_scalars_], 0)
        answers, shares, number = [], 0, 0
        for block, order in zip(self.transform_.blocks_, self.orders_, strict=True):
            open_ = self._is_asked(block, matrix)
            for choice in order[:-1]:
                yes, threshold = matrix[:, block.start + choice] == 1, self.thresholds_[number]
                density = np.exp(-(threshold**2) / 2) / np.sqrt(2 * np.pi)
                side = np.where(yes, density / ndtr(-threshold), -density / ndtr(threshold))
                answers.append(np.where(open_, side, 0))
                shares = shares + np.where(open_, np.log(np.where(yes, ndtr(-threshold), ndtr(threshold))), 0)
                open_, number = open_ & ~yes, number + 1
        coordinates = np.column_stack([scalars, *answers])
        surprise = (coordinates * np.linalg.solve(self.correlation_, coordinates.T).T).sum(axis=1)
        # Of scalars the marginal is in it; of answers it is the share.
        own = np.square(coordinates[:, scalars.shape[1] :]).sum(axis=1)
        return {"likelihood": (own - surprise) / 2 + shares}

    def learned(self) -> tuple[dict, dict[str, torch.Tensor]]:
        """Thresholds and the correlation matrix."""
        return {"orders": [[int(one) for one in order] for order in self.orders_]}, {
            "correlation": torch.from_numpy(self.correlation_),
            "thresholds": torch.from_numpy(self.thresholds_),
        }

    def load_learned(self, facts: dict, tensors: dict[str, torch.Tensor]) -> None:
        """Inverse of `learned`."""
        self.orders_ = [np.array(order) for order in facts["orders"]]
        self.thresholds_ = tensors["thresholds"].numpy()
        self.correlation_ = tensors["correlation"].numpy()
        self._factorise()

    # --- learning --------------------------------------------------------------------------------------------------

    def _order(self, block: Block, matrix: np.ndarray) -> np.ndarray:
        """In which order the choices of a block are asked for.

        Missing comes first; the others by the position of their records' scalars along the direction that separates
        them best, so that groups of increasing severity are asked for in that order.
        """
        held, scalars = matrix[:, block.positions], matrix[:, : self.transform_.num_scalars_]
        means = held.T @ scalars / np.maximum(held.sum(axis=0), 1)[:, None] - scalars.mean(axis=0)
        weighted = means * np.sqrt(held.sum(axis=0))[:, None]
        place = means @ np.linalg.svd(weighted, full_matrices=False)[2][0]
        is_missing = [choice in (None, "missing") and block.role != "label" for choice in block.choices]
        return np.lexsort((np.round(place, 9), ~np.array(is_missing)))

    def _find_correlations(self, matrix: np.ndarray, groups: np.ndarray) -> None:
        transform = self.transform_
        yes, asked, thresholds, reliability = [], [], [], []
        weights = patient_weights(groups)
        for block, order in zip(transform.blocks_, self.orders_, strict=True):
            open_ = self._is_asked(block, matrix)
            for choice in order[:-1]:
                yes.append((matrix[:, block.start + choice] == 1) & open_)
                asked.append(open_)
                # A question that few are asked, or that all answer alike, is answered with its share alone.
                share = (weights[yes[-1]].sum() + 0.5) / (weights[open_].sum() + 1)
                threshold = ndtri(1 - share)
                density = np.exp(-(threshold**2) / 2) / np.sqrt(2 * np.pi)
                thresholds.append(threshold)
                reliability.append(density / np.sqrt(share * (1 - share)))
                open_ = open_ & ~yes[-1]
        self.thresholds_ = np.array(thresholds)
        nobody = np.zeros((len(matrix), 0), dtype=bool)
        found, patients = correlations(
            matrix[:, : transform.num_scalars_],
            transform.has_value(matrix),
            np.column_stack([nobody, *yes]),
            np.column_stack([nobody, *asked]),
            groups,
        )
        s, answers = transform.num_scalars_, slice(transform.num_scalars_, None)
        correlation, slopes = found.copy(), np.ones_like(found)
        # An answer varies less than the coordinate behind it, so it correlates less with a scalar.
        slopes[:s, answers] = slopes[answers, :s].T[:] = reliability
        correlation[:s, answers] = found[:s, answers] / reliability
        correlation[answers, :s] = correlation[:s, answers].T
        correlation[answers, answers], slopes[answers, answers] = self._of_answers(found[answers, answers])
        correlation = np.clip(correlation, -_MAX_CORRELATION, _MAX_CORRELATION)
        np.fill_diagonal(correlation, 1)
        variance = np.where(patients > 0, ((1 - found**2) / slopes) ** 2 / patients.clip(min=1), 0)
        self.correlation_ = self._shrink(correlation, variance)
        self._factorise()

    def _of_answers(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Correlations of the coordinates behind answers, from those of the answers; and the slope of these on those.

        Both `(q, q)`; answers that do not correlate, or whose correlation is not disclosed, get 0.
        """
        share = ndtr(-self.thresholds_)
        deviation = np.sqrt(share * (1 - share))
        rows, columns = np.nonzero(np.triu(found, 1))
        first, second = self.thresholds_[rows], self.thresholds_[columns]
        units = deviation[rows] * deviation[columns]
        solved = tetrachoric(
            first, second, share[rows] * share[columns] + found[rows, columns] * units, _MAX_CORRELATION
        )
        correlation, slopes = np.zeros_like(found), np.ones_like(found)
        correlation[rows, columns] = correlation[columns, rows] = solved
        # Where the density vanishes, an estimate says nothing of its own error: at most that at no correlation.
        density = np.maximum(slope(first, second, solved), slope(first, second, np.zeros_like(solved)))
        slopes[rows, columns] = slopes[columns, rows] = density / units
        return correlation, slopes

    def _shrink(self, correlation: np.ndarray, variance: np.ndarray) -> np.ndarray:
        return shrink(correlation, variance, ~np.eye(len(correlation), dtype=bool), self.shrinkage)

    def _factorise(self) -> None:
        """A factor that draws the row first and the latents given the row: the order of coordinates is turned."""
        reversed_ = self.correlation_[::-1, ::-1]
        self.cholesky_ = np.linalg.cholesky(reversed_)[::-1, ::-1]

    # --- questions -------------------------------------------------------------------------------------------------

    def _is_asked(self, block: Block, matrix: np.ndarray) -> np.ndarray:
        """Labels are asked for only where the column is not missing."""
        if block.role == "label":
            for other in self.transform_.blocks_:
                if other.column == block.column and other.role == "state":
                    return matrix[:, other.start] == 1
        return np.ones(len(matrix), dtype=bool)

    def _answers(self, coordinates: np.ndarray) -> np.ndarray:
        """Coordinates -> the transform's matrix."""
        transform = self.transform_
        matrix = np.zeros((len(coordinates), transform.width))
        matrix[:, : transform.num_scalars_] = coordinates[:, : transform.num_scalars_]
        yes = coordinates[:, transform.num_scalars_ :] > self.thresholds_
        first = 0
        for block, order in zip(transform.blocks_, self.orders_, strict=True):
            answers = np.column_stack([yes[:, first : first + len(order) - 1], np.ones(len(yes), dtype=bool)])
            matrix[np.arange(len(yes)), block.start + order[answers.argmax(axis=1)]] = 1
            first += len(order) - 1
        return matrix


@dataclass
class IndependentSampler(GaussianCopulaSampler):
    """Rows and latents, each as the copula draws them, paired at random: what a score must beat to show pairing."""

    name = "independent"

    def _shrink(self, correlation: np.ndarray, variance: np.ndarray) -> np.ndarray:
        correlation = super()._shrink(correlation, variance)
        latent_dim = len(self.transform_.latents_mean_)
        correlation[:latent_dim, latent_dim:] = correlation[latent_dim:, :latent_dim] = 0
        return correlation
