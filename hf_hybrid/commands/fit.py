"""`hf-hybrid fit`: fits a sampler to private records."""

import shutil
import sys
from dataclasses import asdict, dataclass, field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hf_hybrid.samplers.registry import SAMPLERS, sampler_class

if TYPE_CHECKING:
    from hf_hybrid.samplers.base import Sampler


def _named(settings: object, name: str) -> "Sampler":
    """The sampler of that name, unfitted, with its options."""
    entry = SAMPLERS[name]
    section = entry.section or (name if entry.options else None)
    return sampler_class(name)(**asdict(getattr(settings, section)) if section else {})


# A section of options for each sampler of the registry that has some.
SamplerSettings = make_dataclass(
    "SamplerSettings",
    [
        (name, entry.options, field(default_factory=entry.options, kw_only=True))
        for name, entry in SAMPLERS.items()
        if entry.options
    ],
    namespace={"named": _named, "__doc__": "Options of each sampler that has options.", "__module__": __name__},
)


@dataclass(kw_only=True)
class SamplerOptions(SamplerSettings):
    """Which sampler, and its options.

    Args:
        sampler: which sampler; bootstrap and smote hold training records, and their output cannot be pushed.
    """

    sampler: Literal[*SAMPLERS] = "copula"

    @property
    def chosen(self) -> "Sampler":
        """The selected sampler."""
        return self.named(self.sampler)


@dataclass(kw_only=True)
class Options(SamplerOptions):
    """Fits a sampler to private records: encodes the images, protects the table, fits, saves a pipeline.

    Args:
        codec: `builtin:radiographs` and others of the package, a folder or a Hub id.
        dataset: private records: image folder, parquet, saved `datasets` folder or Hub id; `name:split` picks a split.
        output_dir: new folder of the pipeline; checkpoints are kept in `<output_dir>.logs` until it is done.
        schema: YAML or JSON file that overrides the inferred schema.
        targets: columns that the utility scores will predict.
        allow_other_images: encode images of another kind than the codec's public ones all the same; it is said in the
            card.
    """

    codec: str
    dataset: str
    output_dir: str
    schema: str | None = None
    targets: list[str] | None = None
    allow_other_images: bool = False


def main(options: Options) -> int:
    """Fits and prints the folder of the pipeline."""
    from hf_hybrid.core.files import new_folder
    from hf_hybrid.data.records import load_records
    from hf_hybrid.reports.card_facts import how_it_learned
    from hf_hybrid.synthesis.pipeline import HybridPipeline

    output_dir = Path(options.output_dir)
    logs = output_dir.with_name(output_dir.name + ".logs")
    with new_folder(output_dir) as folder:
        records = load_records(options.dataset, options.schema, targets=options.targets)
        pipeline = HybridPipeline.fit(records, options.codec, options.chosen, logs, options.allow_other_images)
        pipeline.save_pretrained(folder)
    shutil.rmtree(logs, ignore_errors=True)  # its critic saw private rows: not kept longer than needed
    sys.stdout.write(f"images: {pipeline.facts['sampler']['training']['images']}\n")
    sys.stdout.write(f"sampler: {how_it_learned(pipeline.facts['sampler'])}\n")
    sys.stdout.write(f"pipeline in {options.output_dir}\n")
    return 0
