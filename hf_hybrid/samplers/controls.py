"""Controls that hold the training rows themselves: they show what copying gains and what it reveals.

`BootstrapSampler` is the ceiling of every utility score and the floor of privacy; `SmoteSampler` the strong and unsafe
baseline of interpolation. Neither may be published: `contains_training_records` makes every push refuse them.
"""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from hf_hybrid.metrics.membership import nearest_distances
from hf_hybrid.samplers.base import BLOCK, Sampler
from hf_hybrid.samplers.conditions import Conditions, conditions_met
from hf_hybrid.samplers.options import SmoteOptions
from hf_hybrid.samplers.rows import LatentRows
from hf_hybrid.samplers.validation import joint_features


@dataclass
class RowHoldingSampler(Sampler, is_abstract=True):
    """Keeps the rows it was given."""

    contains_training_records: ClassVar[bool] = True

    def learn(self, rows: LatentRows, groups: np.ndarray, logging_dir: Path | None) -> None:
        """Stores the rows; see `Sampler.learn`."""
        self._keep(rows, np.unique(groups, return_inverse=True)[1])

    def draw(self, rng: torch.Generator, conditions: Conditions) -> LatentRows:
        """Draws a block from the rows that meet the conditions; from all where none does."""
        possible = np.flatnonzero(conditions_met(self.schema_, self.rows_.frame, conditions))
        possible = possible if len(possible) else np.arange(len(self.rows_))
        return self._draw(possible[torch.randint(len(possible), (BLOCK,), generator=rng).numpy()], rng)

    def familiarity(self, rows: LatentRows) -> dict[str, np.ndarray]:
        """Nearness to the rows that it keeps; see `Sampler.familiarity`."""
        own, asked = (joint_features(self.transform_, one) for one in (self.rows_, rows))
        return {"nearest row": -nearest_distances(asked, own)}

    def learned(self) -> tuple[dict, dict[str, torch.Tensor]]:
        """All rows."""
        tensors = {
            "rows": torch.from_numpy(self.transform_.transform(self.rows_.latents, self.rows_.frame)),
            "patients": torch.from_numpy(self.patients_),
        }
        return {}, tensors

    def load_learned(self, facts: dict, tensors: dict[str, torch.Tensor]) -> None:
        """Inverse of `learned`."""
        self._keep(LatentRows(*self.transform_.inverse(tensors["rows"].numpy())), tensors["patients"].numpy())

    def _keep(self, rows: LatentRows, patients: np.ndarray) -> None:
        self.rows_, self.patients_ = rows, patients

    @abstractmethod
    def _draw(self, chosen: np.ndarray, rng: torch.Generator) -> LatentRows:
        """Makes a record of each chosen row."""


@dataclass
class BootstrapSampler(RowHoldingSampler):
    """The training rows again, drawn with replacement."""

    name = "bootstrap"
    citation = "Efron 1979, [doi:10.1214/aos/1176344552](https://doi.org/10.1214/aos/1176344552)"
    is_closed_form = True

    def _draw(self, chosen: np.ndarray, rng: torch.Generator) -> LatentRows:
        return self.rows_.take(chosen)


@dataclass
class SmoteSampler(SmoteOptions, RowHoldingSampler):
    """A point between a row and one of its nearest neighbours of another patient (Chawla et al. 2002).

    Latents and numbers are interpolated where both rows have a value; any other cell is that of the nearer row. Its
    options are those of `SmoteOptions`.
    """

    name = "smote"
    citation = "Chawla et al. 2002, SMOTE, [arXiv:1106.1813](https://arxiv.org/abs/1106.1813)"
    is_closed_form = True

    def _keep(self, rows: LatentRows, patients: np.ndarray) -> None:
        from sklearn.neighbors import NearestNeighbors

        super()._keep(rows, patients)
        features = joint_features(self.transform_, rows)
        most = np.bincount(patients).max()  # records of one patient may all be nearest to one of them
        count = min(self.num_neighbours + most, len(rows))
        found = NearestNeighbors(n_neighbors=count).fit(features).kneighbors(features, return_distance=False)
        self.neighbours_ = [
            near[patients[near] != own][: self.num_neighbours] for near, own in zip(found, patients, strict=True)
        ]

    def _draw(self, chosen: np.ndarray, rng: torch.Generator) -> LatentRows:
        places = torch.rand(BLOCK, generator=rng).numpy()
        other = np.array(
            [
                self.neighbours_[row][int(place * len(self.neighbours_[row]))]
                for row, place in zip(chosen, places, strict=True)
            ]
        )
        share = torch.rand(BLOCK, generator=rng, dtype=torch.float64).numpy()
        one, two = self.rows_.take(chosen), self.rows_.take(other)
        latents = one.latents + share[:, None] * (two.latents - one.latents)
        frame = self.rows_.take(np.where(share < 0.5, chosen, other)).frame
        for name, column in self.schema_.table.items():
            if column.is_number:
                pair = np.stack([side.frame[name].to_numpy(np.float64) for side in (one, two)])
                both = np.isfinite(pair).all(axis=0)
                first, second = np.where(both, pair, 0)
                between = np.round(first + share * (second - first), column.decimals)
                frame[name] = np.where(both, between, frame[name].to_numpy(np.float64))
        return LatentRows(latents.astype(np.float32), frame)
