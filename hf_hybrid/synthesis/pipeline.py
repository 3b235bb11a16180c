"""HybridPipeline: codec + sampler + schema, from which synthetic image + row records are drawn."""

import atexit
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
import torch
from huggingface_hub import ModelCard, ModelHubMixin
from PIL import Image
from torch.nn import functional

from hf_hybrid import __version__
from hf_hybrid.core.artifacts import CARD, CODEC_FOLDER, CONFIG, REPORT, SAMPLER_FOLDER, SAMPLES, SCHEMA
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import read_json, write_json
from hf_hybrid.core.provenance import hash_files, read_provenance, versions, write_provenance
from hf_hybrid.core.randomness import seed_for
from hf_hybrid.core.report import Report
from hf_hybrid.data.pixels import encode_png, image_grid, to_uint8
from hf_hybrid.data.records import Records
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.tables import to_arrow
from hf_hybrid.hub import upload
from hf_hybrid.hub.download import local_folder
from hf_hybrid.models.builtin import builtin_facts, codec_folder, is_builtin
from hf_hybrid.models.calibration import compare_images
from hf_hybrid.models.codec import Codec
from hf_hybrid.models.registry import load_codec_model
from hf_hybrid.reports import cards
from hf_hybrid.samplers.base import BLOCK, Sampler
from hf_hybrid.samplers.conditions import Conditions, check_request
from hf_hybrid.samplers.registry import load_sampler
from hf_hybrid.synthesis.latent_table import LatentTable

if TYPE_CHECKING:
    from datasets import Dataset

DECODED = 64  # images decoded at once
_SAMPLE_IMAGES = 32


class HybridPipeline(ModelHubMixin):
    """Draws synthetic records: the sampler draws latents and rows, the codec's generator draws the images.

    Args:
        codec: on whichever device the images are to be drawn.
        sampler: fitted.
        schema: the protected schema that the sampler was fitted with.
        facts: what made codec and sampler, as in `provenance.json` (keys `codec` and `sampler`).
    """

    def __init__(self, codec: Codec, sampler: Sampler, schema: RecordSchema, facts: dict) -> None:
        self.codec = codec.eval()
        self.sampler = sampler
        self.schema = schema
        self.facts = facts
        self.report: Report | None = None  # on attacks on its files, of a folder that was evaluated

    @classmethod
    def fit(
        cls,
        records: Records | LatentTable,
        codec: str | Path | Codec,
        sampler: Sampler,
        logging_dir: Path | None = None,
        allow_other_images: bool = False,
    ) -> Self:
        """Learns private records.

        Args:
            records: the private records, or their latent table.
            codec: `builtin:NAME`, folder or Hub id of a codec, or the codec itself (whose training the cards then call
                "not stated").
            sampler: unfitted, with its options.
            logging_dir: private folder with which a broken fit is resumed.
            allow_other_images: whether images of another kind than the codec's public ones are encoded all the same.

        Raises:
            InputError: the images are of another kind, or there is too little to learn from.
        """
        codec, codec_facts = load_codec(codec) if isinstance(codec, str | Path) else (codec, codec.facts())
        if isinstance(records, LatentTable):
            table = records
        else:
            images = compare_images(records, codec, codec_facts, allow_other_images)
            table = LatentTable.encode(records, codec, images)
        sampler.fit(table.dataset, table.schema, table.groups, logging_dir)
        return cls(codec, sampler, table.schema, {"codec": codec_facts, "sampler": _sampler_facts(sampler, table)})

    def __call__(self, num_records: int, seed: int = 0, conditions: Conditions | None = None) -> "Dataset":
        """Draws records into a temporary Arrow file, so that memory does not grow with their number.

        Args:
            num_records: how many, at least 1; the first ones are the same whatever the number.
            seed: at least 0.
            conditions: see `Sampler.sample`.

        Returns:
            A dataset with an `Image` column and typed clinical columns.
        """
        from datasets import Dataset

        # Until the process ends, as `datasets` does with its own: later `map` calls write their caches beside it.
        folder = tempfile.mkdtemp(prefix="hf_hybrid-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder) / "records.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, self.features.arrow_schema) as writer:
            for block in self.blocks(num_records, seed, conditions):
                writer.write_table(block)
        return Dataset.from_file(str(path))

    @property
    def features(self):
        """`datasets.Features` of the records."""
        return self.schema.to_features()

    def blocks(
        self, num_records: int, seed: int, conditions: Conditions | None = None, first: int = 0
    ) -> Iterator[pa.Table]:
        """Draws records and yields `DECODED` of them at a time, starting with record `first`.

        `first` is a multiple of `DECODED`.
        """
        conditions = check_request(self.schema, num_records, seed, conditions)
        for start in range(first - first % BLOCK, num_records, BLOCK):
            needed = min(BLOCK, num_records - start)
            rows = self.sampler.sample_block(seed, start // BLOCK, conditions, needed)
            for inner in range(max(first - start, 0), needed, DECODED):
                part = rows.take(slice(inner, inner + DECODED))
                (images,) = decode_images(self.codec, part.latents, seed, start + inner)
                columns = {
                    self.schema.image_column: [{"bytes": encode_png(image), "path": None} for image in images],
                    **to_arrow(part.frame, self.schema),
                }
                yield pa.table(columns, schema=self.features.arrow_schema)

    def sample_grid(self, seed: int = 0) -> bytes:
        """PNG of the first 32 records' images side by side."""
        dataset = self(_SAMPLE_IMAGES, seed)
        return grid_of(dataset[self.schema.image_column])

    # --- folders and the Hub ---------------------------------------------------------------------------------------

    def _save_pretrained(self, save_directory: Path) -> None:
        self.codec.save_pretrained(save_directory / CODEC_FOLDER)
        self.sampler.save_pretrained(save_directory / SAMPLER_FOLDER)
        self.schema.save(save_directory / SCHEMA)
        config = {"_class_name": type(self).__name__, "_hf_hybrid_version": __version__}
        write_json(save_directory / CONFIG, config)
        (save_directory / SAMPLES).parent.mkdir(exist_ok=True)
        (save_directory / SAMPLES).write_bytes(self.sample_grid())
        names = [CONFIG, SCHEMA, SAMPLES]
        for folder in (CODEC_FOLDER, SAMPLER_FOLDER):
            names += [f"{folder}/{path.name}" for path in (save_directory / folder).iterdir()]
        if self.report:
            write_json(save_directory / REPORT, self.report.to_dict())
            names.append(REPORT)
        facts = {"versions": versions(), **self.facts, "files": hash_files(save_directory, names)}
        write_provenance(save_directory, facts)
        cards.pipeline_card(save_directory).save(save_directory / CARD)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs) -> Self:
        """Loads a folder or a Hub id (`revision`, `token`, `cache_dir` and so on go to `snapshot_download`).

        Raises:
            InputError: nothing there that loads, another class, or a sampler that is not known.
        """
        return cls._from_pretrained(model_id=str(pretrained_model_name_or_path), **kwargs)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **kwargs) -> Self:
        folder = local_folder(model_id, **kwargs)
        config = _read_config(folder)
        if config.get("_class_name") != cls.__name__:
            raise InputError(
                f"expected a {cls.__name__} at `{model_id}`, found {config.get('_class_name')}: "
                "name a pipeline that hf-hybrid fit made"
            )
        schema = RecordSchema.load(folder / SCHEMA)
        kept = ("codec", "sampler", "license", "accepted_risk")
        facts = {key: value for key, value in read_provenance(folder).items() if key in kept}
        codec = load_codec_model(folder / CODEC_FOLDER).to(_device())
        pipeline = cls(codec, load_sampler(folder / SAMPLER_FOLDER, schema), schema, facts)
        if (folder / REPORT).is_file():
            pipeline.report = Report.from_dict(read_json(folder / REPORT))
        return pipeline

    def push_to_hub(
        self, repo_id: str, *, public: bool = False, gated: bool | None = None, token: str | None = None
    ) -> str:
        """Saves and uploads the pipeline by `hub.push` (private unless `public`); returns the repository's address."""
        with tempfile.TemporaryDirectory(prefix="hf_hybrid-") as folder:
            self.save_pretrained(folder)
            return upload.push(folder, repo_id, public=public, gated=gated, token=token).url

    def generate_model_card(self, *args, **kwargs) -> ModelCard:
        """Not used: `save_pretrained` writes the card from the saved files."""
        raise AssertionError("the card is written by _save_pretrained")


@torch.inference_mode()
def decode_images(codec: Codec, latents: np.ndarray, seed: int, first: int = 0) -> Iterator[np.ndarray]:
    """Decodes `(n, latent_dim)` into 8-bit images, `DECODED` at a time.

    The last batch is filled up and cut again: a convolution's last bits depend on the size of its batch.

    Args:
        codec: decodes.
        latents: of the records from number `first` on.
        seed: of the release; with a record's number it gives the seed of its detail.
        first: number of the first record.
    """
    for start in range(0, len(latents), DECODED):
        part = torch.from_numpy(latents[start : start + DECODED])
        filled = functional.pad(part, (0, 0, 0, DECODED - len(part)))
        seeds = [seed_for(seed, "codec: detail", first + start + place) for place in range(DECODED)]
        yield to_uint8(codec.decode(filled.to(codec.device), seeds=seeds).sample[: len(part)])


def load_codec(name: str | Path) -> tuple[Codec, dict]:
    """A codec, on the GPU if there is one, and what made it, from `builtin:NAME`, a folder or a Hub id."""
    folder = codec_folder(name)
    facts = read_provenance(folder)["codec"] | ({"builtin": builtin_facts(name)} if is_builtin(name) else {})
    return load_codec_model(folder).to(_device()).eval(), facts


def _sampler_facts(sampler: Sampler, table: LatentTable) -> dict:
    """What provenance and cards say of a sampler and of the table that it learned."""
    configuration = asdict(sampler)
    training = {
        "num_records": len(table.dataset),
        "num_patients": len(set(table.groups.tolist())),
        "images": table.images,
    }
    if "max_train_steps" in configuration:  # not in closed form
        training |= {
            "steps": configuration["max_train_steps"],
            "kept_step": sampler.best_step_,
            "seed": configuration["seed"],
        }
    return {
        "class": type(sampler).__name__,
        "config": configuration,
        "training": training,
        "contains_training_records": sampler.contains_training_records,
        "is_closed_form": sampler.is_closed_form,
        "citation": sampler.citation,
    }


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def grid_of(images: list[Image.Image]) -> bytes:
    """PNG of images side by side, eight in a row."""
    return encode_png(image_grid(np.stack([np.asarray(image) for image in images])))


def _read_config(folder: Path) -> dict:
    try:
        return read_json(folder / CONFIG)
    except (OSError, json.JSONDecodeError):
        raise InputError(f"expected a {CONFIG} in {folder}, found none that reads: name another folder") from None
