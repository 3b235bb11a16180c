"""`hf-hybrid fit`: fits a sampler to private records."""

import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hf_hybrid.samplers.options import CopulaOptions, CTGANOptions, DiffusionOptions, SmoteOptions
from hf_hybrid.samplers.registry import sampler_class

if TYPE_CHECKING:
    from hf_hybrid.samplers.base import Sampler


@dataclass(kw_only=True)
class SamplerSettings:
    """Options of each sampler that has options.

    Args:
        copula: options of the Gaussian copula, also for `independent`, which pairs its rows and latents at random.
        ctgan: options of the CTGAN.
        diffusion: options of the denoising model.
        smote: options of the interpolating control.
    """

    copula: CopulaOptions = field(default_factory=CopulaOptions)
    ctgan: CTGANOptions = field(default_factory=CTGANOptions)
    diffusion: DiffusionOptions = field(default_factory=DiffusionOptions)
    smote: SmoteOptions = field(default_factory=SmoteOptions)

    def named(self, name: str) -> "Sampler":
        """The sampler of that name, unfitted, with its options."""
        options = self.copula if name == "independent" else getattr(self, name, None)  # the same but for the pairing
        return sampler_class(name)(**asdict(options) if options else {})


@dataclass(kw_only=True)
class SamplerOptions(SamplerSettings):
    """Which sampler, and its options.

    Args:
        sampler: which sampler; bootstrap and smote hold training records, and their output cannot be pushed.
    """

    sampler: Literal["copula", "ctgan", "diffusion", "bootstrap", "independent", "smote"] = "copula"

    @property
    def chosen(self) -> "Sampler":
        """The selected sampler."""
        return self.named(self.sampler)


@dataclass(kw_only=True)
class Options(SamplerOptions):
    """Fits a sampler to private records: encodes the images, protects the table, fits, saves a pipeline.

    Args:
        codec: folder or Hub id.
        dataset: private records: image folder, parquet, saved `datasets` folder or Hub id; `name:split` picks a split.
        output_dir: new folder of the pipeline; checkpoints are kept in `<output_dir>.logs` until it is done.
        schema: YAML or JSON file that overrides the inferred schema.
        targets: columns that the utility scores will predict.
    """

    codec: str
    dataset: str
    output_dir: str
    schema: str | None = None
    targets: list[str] | None = None


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
        pipeline = HybridPipeline.fit(records, options.codec, options.chosen, logs)
        pipeline.save_pretrained(folder)
    shutil.rmtree(logs, ignore_errors=True)  # its critic saw private rows: not kept longer than needed
    sys.stdout.write(f"sampler: {how_it_learned(pipeline.facts['sampler'])}\n")
    sys.stdout.write(f"pipeline in {options.output_dir}\n")
    return 0
