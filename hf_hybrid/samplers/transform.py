"""The latent table as a matrix that a network can learn, and back.

Latents go in standardised; a clinical number either as its normal score (`marginals.Quantiles`) or with the
mode-specific normalisation of CTGAN (Xu et al. 2019, section 4.2); categories, booleans, labels and the states
"missing", "-inf" and "inf" are one-hot blocks. No mode or quantile that is stored belongs to fewer than ten patients.
"""

import warnings
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal, Self

import numpy as np
import pandas as pd

from hf_hybrid.disclosure import MIN_PATIENTS_A_COMPONENT, count_patients
from hf_hybrid.samplers.marginals import Quantiles
from hf_hybrid.schema import RecordSchema

MAX_MODES = 10
_VALUE = "value"


@dataclass
class Block:
    """A one-hot block: which column and question it answers, and its choices.

    Args:
        column: name of the column.
        role: `value` (category or boolean), `state` (value, missing, -inf or inf), `mode` of a number, or `label`.
        choices: what each position stands for.
        start: first position in the matrix.
    """

    column: str
    role: str
    choices: list
    start: int

    @property
    def positions(self) -> slice:
        """Where the block lies in the matrix."""
        return slice(self.start, self.start + len(self.choices))


@dataclass
class Modes:
    """Mixture components of a number: means and standard deviations, in the column's unit."""

    means: list[float]
    sds: list[float]


class TableTransform:
    """Learns from `(latents, frame)` how to write them as one float64 matrix.

    The matrix holds the scalars first (latents, then one per number), the one-hot blocks behind them.

    Args:
        schema: a protected schema (`disclosure.protect`).
        numbers: "modes" (a mixture a number, its mode in a block of its own) or "scores" (normal scores).
    """

    def __init__(self, schema: RecordSchema, numbers: Literal["modes", "scores"] = "modes") -> None:
        self.schema = schema
        self.numbers = numbers

    def fit(self, latents: np.ndarray, frame: pd.DataFrame, groups: np.ndarray) -> Self:
        """Learns means, standard deviations and the distributions of numbers.

        Args:
            latents: `(n, latent_dim)`.
            frame: typed cells, restricted to the schema (`disclosure.restrict`).
            groups: the patient of each record, `(n,)`.
        """
        self.latents_mean_ = latents.mean(0).astype(np.float64)
        self.latents_std_ = latents.std(0).astype(np.float64).clip(1e-6)
        self.numbers_ = {}
        for name, column in self.schema.table.items():
            if column.is_number:
                values = frame[name].to_numpy(np.float64)
                known = np.isfinite(values)
                learn = _fit_modes if self.numbers == "modes" else partial(Quantiles.fit, bounds=column.bounds)
                self.numbers_[name] = learn(values[known], groups[known])
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
        scalar = latents.shape[1]
        chosen_modes = {}
        for name, learned in self.numbers_.items():
            values = frame[name].to_numpy(np.float64)
            finite = np.isfinite(values)
            if self.numbers == "modes":
                means, sds = np.array(learned.means), np.array(learned.sds)
                standard = (np.where(finite, values, means[0])[:, None] - means) / sds
                chosen = np.argmin(standard**2 / 2 + np.log(sds), axis=1)
                matrix[finite, scalar] = standard[finite, chosen[finite]]
                chosen_modes[name] = np.where(finite, chosen, -1)
            else:
                matrix[finite, scalar] = learned.to_scores(values[finite])
            scalar += 1
        for block in self.blocks_:
            chosen = chosen_modes[block.column] if block.role == "mode" else _chosen(block, frame[block.column])
            rows = np.flatnonzero(chosen >= 0)
            matrix[rows, block.start + chosen[rows]] = 1
        return matrix

    def inverse(self, matrix: np.ndarray) -> tuple[np.ndarray, pd.DataFrame]:
        """Matrix, also with soft one-hot blocks -> latents `(n, latent_dim)` float32 and typed cells."""
        latent_dim = len(self.latents_mean_)
        latents = matrix[:, :latent_dim] * self.latents_std_ + self.latents_mean_
        answers = {}
        for block in self.blocks_:
            answers[block.column, block.role, block.choices[-1] if block.role == "label" else None] = np.array(
                block.choices, dtype=object
            )[matrix[:, block.positions].argmax(1)]
        frame, scalar = {}, latent_dim
        for name, column in self.schema.table.items():
            state = answers.get((name, "state", None))
            if column.is_number:
                cells = self._numbers(name, matrix[:, scalar], answers.get((name, "mode", None)))
                scalar += 1
                for word, value in (("missing", np.nan), ("-inf", -np.inf), ("inf", np.inf)):
                    if state is not None:
                        cells = np.where(state == word, value, cells)
            elif column.kind == "multi-label":
                held = [answers[name, "label", label] for label in column.categories]
                cells = [[label for label in row if label] for row in zip(*held, strict=True)]
                if state is not None:
                    cells = [None if word == "missing" else cell for cell, word in zip(cells, state, strict=True)]
                cells = pd.Series(cells, dtype=object)
            else:
                cells = pd.Series(answers[name, "value", None], dtype=object)
            frame[name] = cells
        return latents.astype(np.float32), pd.DataFrame(frame)

    def has_value(self, matrix: np.ndarray) -> np.ndarray:
        """Where each scalar is one, `(n, num_scalars)` bool: not where a number is missing or infinite."""
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
            "kind": self.numbers,
            "numbers": {name: asdict(learned) for name, learned in self.numbers_.items()},
        }

    @classmethod
    def from_dict(cls, schema: RecordSchema, description: dict) -> Self:
        """The transform that `to_dict` described."""
        transform = cls(schema, description["kind"])
        transform.latents_mean_ = np.array(description["latents_mean"])
        transform.latents_std_ = np.array(description["latents_std"])
        kind = Modes if transform.numbers == "modes" else Quantiles
        transform.numbers_ = {name: kind(**learned) for name, learned in description["numbers"].items()}
        transform._lay_out()
        return transform

    def _lay_out(self) -> None:
        """Decides which scalars and blocks there are and where they lie."""
        self.num_scalars_ = len(self.latents_mean_) + len(self.numbers_)
        self.blocks_, start = [], self.num_scalars_
        for name, column in self.schema.table.items():
            states = list(column.states)
            if column.is_number:
                wanted = [("state", [_VALUE, *states])] if states else []
                if self.numbers == "modes":
                    wanted += [("mode", list(range(len(self.numbers_[name].means))))]
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

    def _numbers(self, name: str, scalars: np.ndarray, modes: np.ndarray | None) -> np.ndarray:
        column, learned = self.schema.columns[name], self.numbers_[name]
        if modes is None:
            values = learned.to_values(scalars)
        else:
            chosen = modes.astype(int)
            values = scalars * np.array(learned.sds)[chosen] + np.array(learned.means)[chosen]
        return np.round(np.clip(values, *column.bounds), column.decimals)


def _chosen(block: Block, cells: pd.Series) -> np.ndarray:
    """The position of each cell's answer in a block."""
    if block.role == "label":
        return np.array([int(cell is not None and block.choices[-1] in cell) for cell in cells], dtype=int)
    index = {choice: position for position, choice in enumerate(block.choices)}
    if block.role == "value":
        return np.array([index[cell] for cell in cells], dtype=int)
    chosen = np.full(len(cells), index[_VALUE])
    if cells.dtype == object:  # labels
        chosen[cells.isna().to_numpy()] = index["missing"]
        return chosen
    values = cells.to_numpy(np.float64)
    for word, held in (("missing", np.isnan(values)), ("-inf", values == -np.inf), ("inf", values == np.inf)):
        if word in index:
            chosen[held] = index[word]
    return chosen


def _fit_modes(values: np.ndarray, groups: np.ndarray) -> Modes:
    """Modes of values by a Bayesian mixture; one that fewer than ten patients hold joins its neighbour."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    spread = values.std()
    if spread == 0:
        return Modes([float(values.mean())], [1.0])
    standard = ((values - values.mean()) / spread)[:, None]
    components = min(MAX_MODES, len(values) // MIN_PATIENTS_A_COMPONENT)
    mixture = BayesianGaussianMixture(
        n_components=components,
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=1e-3,
        max_iter=200,
        tol=1e-2,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # modes to normalise by need not be exact
        mixture.fit(standard)
    assigned = mixture.predict(standard)
    kept = [k for k in range(components) if count_patients(groups, assigned == k) >= MIN_PATIENTS_A_COMPONENT]
    if not kept:
        return Modes([float(values.mean())], [float(spread)])
    nearest = np.array(kept)[np.argmin(np.abs(standard - mixture.means_[kept].T), axis=1)]
    assigned = np.where(np.isin(assigned, kept), assigned, nearest)
    return Modes(
        means=[float(values[assigned == k].mean()) for k in kept],
        sds=[float(max(values[assigned == k].std(), 0.01 * spread)) for k in kept],
    )
