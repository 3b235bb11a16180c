"""What is given of records that a sampler completes: read from a latent table, and checked."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from hf_hybrid.core.errors import InputError
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.tables import from_arrow
from hf_hybrid.samplers.rows import LatentRows, latent_features, latent_names
from hf_hybrid.samplers.transform import Block

if TYPE_CHECKING:
    from datasets import Dataset

LATENTS = "latents"  # stands for all latents together among the names of columns


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
            and (choice is None if block.role == "value" else block.role == "state" and choice != "value")
            for block in blocks
            for choice in block.choices
        ],
        dtype=torch.bool,
    )
