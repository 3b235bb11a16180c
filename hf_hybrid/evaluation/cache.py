"""A cache of report parts in a private folder, by records, options and code."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from hf_hybrid.core.files import private_folder, write_atomically
from hf_hybrid.core.provenance import code_hash, versions
from hf_hybrid.evaluation.records import ComparedRecords

# Packages that affect parts, in addition to those that affect a release, and their modules.
_ALSO_DECIDE = {
    "scipy": "scipy",
    "scikit-image": "skimage",
    "torchxrayvision": "torchxrayvision",
    "transformers": "transformers",
}


class PartCache:
    """Measured parts, so that a second run repeats only what has changed.

    Args:
        folder: created with mode 0700; None disables the cache.
        compared: the evaluated records.
    """

    def __init__(self, folder: Path | None = None, compared: ComparedRecords | None = None) -> None:
        self.folder = folder and private_folder(folder)
        if folder:
            private_folder(folder.parent)
            columns = {name: asdict(column) | {"role": None} for name, column in compared.schema.table.items()}
            others = {name: version(name) for name, module in _ALSO_DECIDE.items() if find_spec(module)}
            made_by = [columns, versions(), others, code_hash()]
            found = hashlib.sha256(json.dumps(made_by, default=str).encode())
            for one in compared.sets:
                found.update(one.pixels.tobytes() + one.groups.tobytes() + one.frame.to_csv().encode())
            self.records = found.hexdigest()
            for one, name in zip(compared.sets, ("release", "train", "test"), strict=True):
                one.feature_store().keep(folder / f"features-{name}.npz", self.records)

    def part(self, name: str, decides: dict, measure: Callable[[], object]) -> object:
        """The part cached for the same records and `decides`, or else measured now; as read back from JSON."""
        if self.folder is None:
            return json.loads(json.dumps(measure(), allow_nan=False))
        inputs = json.dumps([self.records, decides], sort_keys=True, default=str)
        digest, path = hashlib.sha256(inputs.encode()).hexdigest(), self.folder / f"{name}.json"
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if kept.get("inputs") != digest:
            kept = {"inputs": digest, "found": measure()}
            write_atomically(path, json.dumps(kept, allow_nan=False))
        return json.loads(json.dumps(kept["found"]))
