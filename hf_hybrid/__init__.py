"""hf_hybrid: publishable synthetic image + clinical-table datasets from private ones."""

from importlib import import_module

__version__ = "0.1.0"

_NAMES = {
    "AlphaGAN": "hf_hybrid.models",
    "BootstrapSampler": "hf_hybrid.samplers",
    "CTGANSampler": "hf_hybrid.samplers",
    "DiffusionSampler": "hf_hybrid.samplers",
    "GaussianCopulaSampler": "hf_hybrid.samplers",
    "HybridPipeline": "hf_hybrid.pipeline",
    "IndependentSampler": "hf_hybrid.samplers",
    "InputError": "hf_hybrid.errors",
    "LatentTable": "hf_hybrid.latent_table",
    "RecordSchema": "hf_hybrid.schema",
    "Records": "hf_hybrid.records",
    "SmoteSampler": "hf_hybrid.samplers",
    "evaluate_release": "hf_hybrid.evaluation",
    "load_records": "hf_hybrid.records",
    "push": "hf_hybrid.hub",
    "split_by_patient": "hf_hybrid.records",
    "write_phantom": "hf_hybrid.phantom",
    "write_release": "hf_hybrid.release",
}
__all__ = list(_NAMES)


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used: the command line shows its help without waiting for torch."""
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NAMES[name]), name)
