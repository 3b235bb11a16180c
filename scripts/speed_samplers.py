"""ctgan.CTGAN and CTGANSampler behind the same calls, and the table that both learn: what `speed.py` compares."""

import contextlib
import io
import re

import numpy as np
import pandas as pd
import torch

from hf_hybrid.data import privacy_rule
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.samplers.base import BLOCK
from hf_hybrid.samplers.conditions import check_request, conditions_met
from hf_hybrid.samplers.ctgan import CTGANSampler
from hf_hybrid.samplers.rows import LatentRows, latent_names

BATCH_SIZE = 500  # this and all other settings of both are ctgan's defaults


class Stock:
    """ctgan.CTGAN behind the calls that are compared.

    Args:
        updates: of the generator.

    Attributes:
        loop_seconds: duration of all updates of `fit` by its progress bar, in whole seconds.
    """

    def __init__(self, updates: int) -> None:
        self.updates, self.loop_seconds = updates, 0.0

    def prepare(self, rows: LatentRows, schema: RecordSchema) -> None:
        """Writes rows as a table that ctgan takes: states and labels in columns of their own, nothing missing."""
        from ctgan import CTGAN

        self.schema, columns, self.discrete = schema, {}, []
        columns |= dict(zip(latent_names(rows.latents.shape[1]), rows.latents.T, strict=True))
        for name, column in schema.table.items():
            cells = rows.frame[name]
            if column.is_number:
                finite = cells[np.isfinite(cells)]
                columns[name] = cells.where(np.isfinite(cells), finite.median())
                if column.states:
                    columns[name + " state"] = cells.map(_state)
                    self.discrete.append(name + " state")
            else:
                columns[name] = cells.map(lambda cell: "|".join(cell) if isinstance(cell, list) else str(cell))
                self.discrete.append(name)
        self.table = pd.DataFrame(columns)
        epochs = round(self.updates / max(len(rows) // BATCH_SIZE, 1))
        gpu = torch.cuda.is_available()
        self.model = CTGAN(epochs=epochs, batch_size=BATCH_SIZE, enable_gpu=gpu, verbose=True)

    def fit(self) -> None:
        """Learns the table."""
        with contextlib.redirect_stderr(io.StringIO()) as shown:
            self.model.fit(self.table, self.discrete)
        elapsed = re.findall(r"\[([\d:]+)<", shown.getvalue())[-1]
        self.loop_seconds = sum(60**place * int(part) for place, part in enumerate(reversed(elapsed.split(":"))))

    def sample(self, count: int) -> LatentRows:
        """Samples and reads the table back."""
        drawn = self.model.sample(count)
        latents = drawn[[name for name in drawn if name.startswith("z_")]].to_numpy(np.float32)
        frame = {}
        for name, column in self.schema.table.items():
            if column.is_number:
                cells = drawn[name].clip(*column.bounds).round(column.decimals)
                for state in column.states:
                    cells[drawn[name + " state"] == state] = np.nan if state == "missing" else float(state)
            elif column.kind == "multi-label":
                split = [None if cell == "None" else [one for one in cell.split("|") if one] for cell in drawn[name]]
                cells = pd.Series(split, dtype=object)
            else:
                words = {"None": None, "True": True, "False": False} if column.kind == "boolean" else {"None": None}
                cells = pd.Series([words.get(cell, cell) for cell in drawn[name]], dtype=object)
            frame[name] = cells
        return LatentRows(latents, pd.DataFrame(frame))

    def forward(self, count: int) -> None:
        """The generator alone, in the batches of `sample`."""
        model = self.model
        _forward(model._generator, model._embedding_dim + model._data_sampler.dim_cond_vec(), count, BATCH_SIZE)

    def obeyed(self, name: str, wanted: str | tuple[float, float]) -> float | None:
        """Share of records that meet a condition; None where it cannot be asked."""
        if isinstance(wanted, tuple):
            return None
        return float((self.model.sample(1000, name, wanted)[name] == wanted).mean())


class _Ours:
    """CTGANSampler behind the same calls."""

    def __init__(self, sampler: CTGANSampler) -> None:
        self.sampler = sampler

    def prepare(self, rows: LatentRows, schema: RecordSchema) -> None:
        """Writes rows as a dataset."""
        self.schema, self.table = schema, rows.to_dataset(schema)

    def fit(self) -> None:
        """Learns the table."""
        self.sampler.fit(self.table, self.schema)

    def sample(self, count: int) -> LatentRows:
        """Samples and reads the dataset back."""
        return LatentRows.from_dataset(self.sampler.sample(count, 0), self.schema)

    def forward(self, count: int) -> None:
        """The generator alone, in the batches of `sample`."""
        sampler = self.sampler
        _forward(sampler.generator_, sampler.embedding_dim + sampler.blocks_.num_choices, count, BLOCK)

    def obeyed(self, name: str, wanted: str | tuple[float, float]) -> float:
        """Share of records that meet a condition."""
        sample = self.sampler.sample(1000, 0, {name: wanted})
        frame = LatentRows.from_dataset(sample, self.schema).frame
        return float(conditions_met(self.schema, frame, check_request(self.schema, 1, 0, {name: wanted})).mean())


def _forward(generator: torch.nn.Module, width: int, count: int, batch_size: int) -> None:
    with torch.inference_mode():
        for _ in range(-(-count // batch_size)):
            generator(torch.randn(batch_size, width, device=next(generator.parameters()).device))


def ours(updates: int, seed: int) -> _Ours:
    """CTGANSampler with ctgan's settings, on all records."""
    settings = {"max_train_steps": updates, "batch_size": BATCH_SIZE, "learning_rate": 2e-4, "pac": 10}
    return _Ours(CTGANSampler(**settings, validation_share=0.0, seed=seed))


def draw_table(rows: int, latent_dim: int) -> tuple[LatentRows, RecordSchema]:
    """A made-up latent table with 6 numbers and 7 categories."""
    rng = np.random.default_rng(0)
    columns = {f"number_{index}": np.exp(rng.normal(2.3, 0.5, rows)).round(1) for index in range(6)}
    for index in range(7):
        columns[f"category_{index}"] = pd.Series(rng.choice(list("abcdef")[: 2 + index % 4], rows), dtype=object)
    frame = pd.DataFrame(columns)
    schema = privacy_rule.protect(RecordSchema.infer(frame, "image"), frame, np.arange(rows))
    latents = rng.normal(size=(rows, latent_dim)).astype(np.float32)
    return LatentRows(latents, privacy_rule.restrict(schema, frame)), schema


def _state(cell: float) -> str:
    if np.isnan(cell):
        return "missing"
    return "value" if np.isfinite(cell) else f"{cell}"
