"""Codecs on the same divisions of a private dataset, several seeds, with paired differences from the first one.

    python scripts/compare_codecs.py OUTPUT.json COVID_CXR '{today: "builtin:radiographs", before: OLD_CODEC}'

`--schema_of scripts/configs/covid_cxr.yaml` reads it as that run does, `--settings.divisions '[0, 1]'` asks for fewer.

The file holds scores and no path. See `studies/codec_comparison.py`.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
import yaml
from jsonargparse import auto_cli

from hf_hybrid.commands.cli import guarded
from hf_hybrid.core import provenance
from hf_hybrid.core.cores import num_cores
from hf_hybrid.core.files import write_json
from hf_hybrid.data.records import load_records
from hf_hybrid.studies.codec_comparison import ComparisonSettings, compare_codecs
from hf_hybrid.synthesis.pipeline import load_codec

_DEFAULT = ComparisonSettings()


def main(
    output: Path,
    dataset: str,
    codecs: dict[str, str],
    schema_of: Path | None = None,
    settings: ComparisonSettings = _DEFAULT,
) -> int:
    """Writes the scores.

    Args:
        output: JSON file.
        dataset: the private dataset.
        codecs: name -> `builtin:NAME`, folder or Hub id; others are compared with the first.
        schema_of: YAML configuration of a run whose `schema` is used.
        settings: how to compare.
    """
    torch.set_num_threads(num_cores())
    schema = yaml.safe_load(schema_of.read_text(encoding="utf-8")).get("schema") if schema_of else None
    records = load_records(dataset, schema)
    loaded = {name: load_codec(one)[0] for name, one in codecs.items()}
    found = {
        "settings": asdict(settings),
        "records": {"records": len(records), "patients": len(set(records.groups.tolist()))},
        "codecs": {
            name: {**codec.arguments, "numbers": sum(one.numel() for one in codec.parameters())}
            for name, codec in loaded.items()
        },
        **compare_codecs(records, loaded, settings),
        "versions": provenance.versions(),
    }
    write_json(output, found)
    for name, scores in found["pooled"].items():
        shown = {score: [one["value"], *(one["interval"] or [])] for score, one in scores.items()}
        sys.stdout.write(f"{name}\n{json.dumps(shown, indent=1)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: auto_cli(main, as_positional=True)))
