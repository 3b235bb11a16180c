"""hf_hybrid: publishable synthetic image + clinical-table datasets from private ones."""

__version__ = "0.1.0"
