"""Columns that are given while others are drawn: read from a latent table, checked, and made a matrix."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from hf_hybrid.core.errors import InputError
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.tables import from_arrow
from hf_hybrid.samplers.rows import LatentRows, latent_features, latent_names
from hf_hybrid.samplers.transform import STATES, Block, TableTransform

if TYPE_CHECKING:
    from datasets import Dataset

LATENTS = "latents"  # name of all latents together among the names of columns


def read_given(
    table: "Dataset", given: Sequence[str] | None, schema: RecordSchema, latent_dim: int
) -> tuple[LatentRows, list[str]]:
    """The given latents (zeros when they are not) and cells of a table, and the names of what is given.

    Args:
        table: `n` records; what is not given may be absent.
        given: names of columns, and `LATENTS`; None for all that the table holds.
        schema: of the sampler.
        latent_dim: of the sampler.

    Raises:
        InputError: a name that is not in the table, or other features than those of a latent table.
    """
    columns = {LATENTS: latent_names(latent_dim)} | {name: [name] for name in schema.table}
    held = [name for name, parts in columns.items() if set(parts) <= set(table.column_names)]
    unknown = [name for name in given or () if name not in held]
    if unknown:
        raise InputError(f"expected `given` among {held}, which the table holds, found {unknown}")
    given = held if given is None else list(given)
    features = latent_features(schema, latent_dim)
    other = [part for name in given for part in columns[name] if table.features[part] != features[part]]
    if other:
        raise InputError(f"expected the features of a latent table, found others in {other}: cast them first")
    table = table.with_format("arrow")[:]
    latents = np.zeros((len(table), latent_dim), dtype=np.float32)
    if LATENTS in given:
        latents[:] = np.stack([table[name].to_numpy() for name in columns[LATENTS]], axis=1)
    frame = from_arrow({name: table[name] for name in given if name != LATENTS}, schema)
    return LatentRows(latents, frame.reindex(range(len(table)))), given


def check_given_cells(frame: pd.DataFrame, schema: RecordSchema, fill_missing: bool) -> None:
    """Checks that the given cells hold only states that their columns have.

    Args:
        frame: the given columns.
        schema: of the sampler.
        fill_missing: whether missing cells are to be filled; they are allowed then.

    Raises:
        InputError: a cell is missing or infinite where its column never is.
    """
    for name, cells in frame.items():
        column = schema.table[name]
        if cells.isna().any() and "missing" not in column.states and not fill_missing:
            raise InputError(f"expected a value in every cell of `{name}`, found a missing one: do not give it")
        if column.is_number and any(
            (cells == value).any() and state not in column.states
            for state, value in (("inf", np.inf), ("-inf", -np.inf))
        ):
            raise InputError(f"expected finite numbers in `{name}`, found an infinite one: do not give it")


def choices_without_value(blocks: Iterable[Block], columns: list[str]) -> torch.Tensor:
    """Which choices of these columns are not a value (but missing or infinite), `(choices,)` bool.

    Args:
        blocks: all blocks of the transform.
        columns: those whose missing cells are to be filled.
    """
    return torch.tensor(
        [
            block.column in columns
            and (choice is None if block.role == "value" else block.role == "state" and choice in STATES)
            for block in blocks
            for choice in block.choices
        ],
        dtype=torch.bool,
    )


def given_matrix(
    transform: TableTransform, latents: np.ndarray, frame: pd.DataFrame, given: list[str]
) -> torch.Tensor:
    """The transform's matrix of the given columns, 0 elsewhere, `(n, width)` float32.

    Args:
        transform: of the sampler.
        latents: `(n, latent_dim)`; any numbers when they are not given.
        frame: at least the given columns, `n` rows.
        given: names of columns, and `LATENTS`.
    """
    cells = {}
    for name, column in transform.schema.table.items():
        if column.is_number:
            cells[name] = frame[name].to_numpy(np.float64) if name in given else np.zeros(len(latents))
        elif name in given:
            cells[name] = frame[name]
        else:  # any cell that the column can hold
            blocks = (block for block in transform.blocks_ if block.column == name)
            filling = [] if column.kind == "multi-label" else next(blocks).choices[0]
            cells[name] = pd.Series([filling] * len(latents), dtype=object)
    matrix = torch.from_numpy(transform.transform(latents, pd.DataFrame(cells))).float()
    is_given = torch.tensor([name in given for name in position_names(transform)])
    return torch.where(is_given, matrix, 0)


def position_names(transform: TableTransform) -> list[str]:
    """The column that each position of the transform's matrix belongs to, `LATENTS` for all latents."""
    names = [LATENTS] * len(transform.latents_mean_) + list(transform.numbers_)
    return names + [block.column for block in transform.blocks_ for _ in block.choices]
