"""Jinja templates of the cards and the report, shipped as `hf_hybrid.templates`."""
