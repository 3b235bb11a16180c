"""hf_hybrid: publishable synthetic image + clinical-table datasets from private ones.

The public names are listed here and nowhere else; each is imported when it is first used, so that the command line
shows its help without waiting for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers; `_NAMES` is used at run time
    from hf_hybrid.core.errors import InputError
    from hf_hybrid.data.records import Records, load_records, write_records
    from hf_hybrid.data.schema import RecordSchema
    from hf_hybrid.data.splits import split_by_patient
    from hf_hybrid.evaluation.release_evaluation import evaluate_release
    from hf_hybrid.hub.upload import push
    from hf_hybrid.models.alphagan import AlphaGAN
    from hf_hybrid.phantom.cohort import write_phantom
    from hf_hybrid.samplers.controls import BootstrapSampler, SmoteSampler
    from hf_hybrid.samplers.copula import GaussianCopulaSampler, IndependentSampler
    from hf_hybrid.samplers.ctgan import CTGANSampler
    from hf_hybrid.samplers.diffusion import DiffusionSampler
    from hf_hybrid.synthesis.latent_table import LatentTable
    from hf_hybrid.synthesis.pipeline import HybridPipeline
    from hf_hybrid.synthesis.release import write_release

__version__ = "0.1.0"

_NAMES = {
    "AlphaGAN": "models.alphagan",
    "BootstrapSampler": "samplers.controls",
    "CTGANSampler": "samplers.ctgan",
    "DiffusionSampler": "samplers.diffusion",
    "GaussianCopulaSampler": "samplers.copula",
    "HybridPipeline": "synthesis.pipeline",
    "IndependentSampler": "samplers.copula",
    "InputError": "core.errors",
    "LatentTable": "synthesis.latent_table",
    "RecordSchema": "data.schema",
    "Records": "data.records",
    "SmoteSampler": "samplers.controls",
    "evaluate_release": "evaluation.release_evaluation",
    "load_records": "data.records",
    "push": "hub.upload",
    "split_by_patient": "data.splits",
    "write_phantom": "phantom.cohort",
    "write_records": "data.records",
    "write_release": "synthesis.release",
}
__all__ = [
    "AlphaGAN",
    "BootstrapSampler",
    "CTGANSampler",
    "DiffusionSampler",
    "GaussianCopulaSampler",
    "HybridPipeline",
    "IndependentSampler",
    "InputError",
    "LatentTable",
    "RecordSchema",
    "Records",
    "SmoteSampler",
    "evaluate_release",
    "load_records",
    "push",
    "split_by_patient",
    "write_phantom",
    "write_records",
    "write_release",
]


def __getattr__(name: str) -> object:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
