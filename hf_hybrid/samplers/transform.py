"""The latent table as a matrix that a network can learn, and back.

Latents go in standardised, a clinical number as its normal score (`marginals.Quantiles`); categories, booleans, labels
and the states of a number (a value, "missing", "-inf", "inf" or a point mass) are one-hot blocks. No stored quantile
or point mass belongs to fewer than ten patients; each patient counts once.
"""

from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import pandas as pd

from hf_hybrid.core.errors import InputError
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.tables import codes_of
from hf_hybrid.samplers.marginals import Quantiles, patient_weights, point_masses

_VALUE = "value"
STATES = {"missing": np.nan, "-inf": -np.inf, "inf": np.inf}


@dataclass
class Block:
    """A one-hot block: which column and question it answers, and its choices.

    Args:
        column: name of the column.
        role: `value` (category or boolean), `state` (value, missing, -inf, inf or a point mass) or `label`.
        choices: what each position stands for.
        start: first position in the matrix.
    """

    column: str
    role: str
    choices: list
    start: int

    @property
    def positions(self) -> slice:
        """The position of the block in the matrix."""
        return slice(self.start, self.start + len(self.choices))


class TableTransform:
    """Learns from `(latents, frame)` how to write them as one float64 matrix.

    The matrix holds the scalars first (latents, then one per number), the one-hot blocks behind them.

    Args:
        schema: a protected schema (`privacy_rule.protect`).
    """

    def __init__(self, schema: RecordSchema) -> None:
        self.schema = schema

    def fit(self, latents: np.ndarray, frame: pd.DataFrame, groups: np.ndarray) -> Self:
        """Learns means, standard deviations and the distributions of numbers.

        Args:
            latents: `(n, latent_dim)`.
            frame: typed cells, restricted to the schema (`privacy_rule.restrict`).
            groups: the patient of each record, `(n,)`.
        """
        weights = patient_weights(groups)
        self.latents_mean_ = np.average(latents.astype(np.float64), axis=0, weights=weights)
        variance = np.average((latents - self.latents_mean_) ** 2, axis=0, weights=weights)
        self.latents_std_ = np.sqrt(variance).clip(1e-6)
        self.numbers_, self.masses_ = {}, {}
        for name, column in self.schema.table.items():
            if column.is_number:
                values = frame[name].to_numpy(np.float64)
                known = np.isfinite(values)
                self.masses_[name] = point_masses(values[known], groups[known], column.bounds)
                known &= ~np.isin(values, self.masses_[name])
                self.numbers_[name] = Quantiles.fit(values[known], groups[known], column.bounds)
        self._lay_out()
        return self

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return self.num_scalars_ + sum(len(block.choices) for block in self.blocks_)

    def transform(self, latents: np.ndarray, frame: pd.DataFrame) -> np.ndarray:
        """Returns the matrix `(n, width)`; a scalar without a value is 0."""
        matrix = np.zeros((len(frame), self.width))
        matrix[:, : latents.shape[1]] = (latents - self.latents_mean_) / self.latents_std_
        for scalar, (name, learned) in enumerate(self.numbers_.items(), latents.shape[1]):
            values = frame[name].to_numpy(np.float64)
            has_score = np.isfinite(values) & ~np.isin(values, self.masses_[name])
            matrix[has_score, scalar] = learned.to_scores(values[has_score])
        rows = np.arange(len(matrix))
        for block in self.blocks_:
            matrix[rows, block.start + _chosen(block, frame[block.column])] = 1
        return matrix

    def inverse(self, matrix: np.ndarray) -> tuple[np.ndarray, pd.DataFrame]:
        """Matrix, also with soft one-hot blocks -> latents `(n, latent_dim)` float32 and typed cells."""
        latent_dim = len(self.latents_mean_)
        latents = matrix[:, :latent_dim] * self.latents_std_ + self.latents_mean_
        answers = {}
        for block in self.blocks_:
            chosen = np.array(block.choices, dtype=object)[matrix[:, block.positions].argmax(axis=1)]
            answers.setdefault((block.column, block.role), []).append(chosen)
        frame, scalar = {}, latent_dim
        for name, column in self.schema.table.items():
            (state,) = answers.get((name, "state"), [None])
            if column.is_number:
                values = self.numbers_[name].to_values(matrix[:, scalar])
                cells = np.round(np.clip(values, *column.bounds), column.decimals)
                scalar += 1
                for choice, value in {**STATES, **{mass: mass for mass in self.masses_[name]}}.items():
                    if choice in column.states or choice in self.masses_[name]:
                        cells[state == choice] = value
            elif column.kind == "multi-label":
                held = np.stack([answer.astype(bool) for answer in answers[name, "label"]], axis=1)
                cells = _label_lists(held, column.categories)
                if column.states:
                    cells[state == "missing"] = None
            else:
                (cells,) = answers[name, "value"]
            frame[name] = cells
        return latents.astype(np.float32), pd.DataFrame(frame)

    def has_value(self, matrix: np.ndarray) -> np.ndarray:
        """Where each scalar has a score, `(n, num_scalars)`: not where a number is missing or another state."""
        known = np.ones((len(matrix), self.num_scalars_), dtype=bool)
        scalar_of = {name: len(self.latents_mean_) + index for index, name in enumerate(self.numbers_)}
        for block in self.blocks_:
            if block.role == "state" and block.column in scalar_of:
                known[:, scalar_of[block.column]] = matrix[:, block.start] == 1
        return known

    def to_dict(self) -> dict:
        """JSON-able form of what was learned; no row, no extreme."""
        return {
            "latents_mean": self.latents_mean_.tolist(),
            "latents_std": self.latents_std_.tolist(),
            "numbers": {name: asdict(learned) for name, learned in self.numbers_.items()},
            "masses": {name: masses for name, masses in self.masses_.items() if masses},
        }

    @classmethod
    def from_dict(cls, schema: RecordSchema, description: dict) -> Self:
        """The transform that `to_dict` described."""
        transform = cls(schema)
        transform.latents_mean_ = np.array(description["latents_mean"])
        transform.latents_std_ = np.array(description["latents_std"])
        transform.numbers_ = {name: Quantiles(**learned) for name, learned in description["numbers"].items()}
        transform.masses_ = {name: description["masses"].get(name, []) for name in transform.numbers_}
        transform._lay_out()
        return transform

    def _lay_out(self) -> None:
        """Lays out the scalars and the blocks in the matrix."""
        self.num_scalars_ = len(self.latents_mean_) + len(self.numbers_)
        self.blocks_, start = [], self.num_scalars_
        for name, column in self.schema.table.items():
            states = [*column.states, *self.masses_.get(name, [])]
            if column.is_number:
                wanted = [("state", [_VALUE, *states])] if states else []
            elif column.kind == "multi-label":
                wanted = [("state", [_VALUE, *states])] if states else []
                wanted += [("label", [None, label]) for label in column.categories]
            elif column.kind == "boolean":
                kept = [
                    value
                    for value in (False, True)
                    if not column.categories or str(value).lower() in column.categories
                ]
                wanted = [("value", [*kept, *([None] if states else [])])]
            else:
                wanted = [("value", [*column.categories, *([None] if states else [])])]
            for role, choices in wanted:
                self.blocks_.append(Block(name, role, choices, start))
                start += len(choices)


def _chosen(block: Block, cells: pd.Series) -> np.ndarray:
    """The position of each cell's answer in a block."""
    if block.role == "label":
        return np.array([int(cell is not None and block.choices[-1] in cell) for cell in cells], dtype=int)
    if block.role == "value":
        chosen = codes_of(cells, block.choices)
        if (chosen < 0).any():
            raise InputError(f"expected `{block.column}` among {block.choices}, found another value: correct it")
        return chosen
    index = {choice: position for position, choice in enumerate(block.choices)}
    chosen = np.full(len(cells), index[_VALUE])
    if cells.dtype == object:  # labels
        chosen[cells.isna().to_numpy()] = index["missing"]
        return chosen
    values = cells.to_numpy(np.float64)
    for choice, position in index.items():
        if choice != _VALUE:
            value = STATES.get(choice, choice)
            chosen[np.isnan(values) if choice == "missing" else values == value] = position
    return chosen


def _label_lists(held: np.ndarray, labels: list[str]) -> np.ndarray:
    """Which labels each record holds, `(n, labels)` bool -> their sorted lists, `(n,)`."""
    kinds, which = np.unique(held, axis=0, return_inverse=True)
    lists = np.empty(len(kinds), dtype=object)
    lists[:] = [sorted(label for label, holds in zip(labels, kind, strict=True) if holds) for kind in kinds]
    return lists[which.ravel()]
