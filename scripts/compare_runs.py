"""Compares the results of two runs, for a change that must not change them.

    python scripts/compare_runs.py runs/before runs/after

Byte for byte: parquet shards, weights, schemas, configurations, sample grids, cohorts, records, latent tables. Value
by value: reports (every number, name by name; texts may differ) and `benchmark.json` but for times and memory. Cards,
pages, charts, logs and hashes of those may differ. Exits with 1 where anything else does.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

BYTES = ("*.parquet", "*.safetensors", "schema.json", "config.json", "samples.png", "truth.csv", "metadata.csv",
         "groups.npy", "data-*.arrow", "scores.npz")  # fmt: skip
VALUES = ("report.json", "pipeline-report.json", "benchmark.json")
UNTIMED = {"fit_seconds", "records_per_second", "peak_memory_mb"}
# Words of a report that were renamed: the numbers behind them are the same.
RENAMED = {
    "patients learned from": "training patients",
    "unseen patients": "held-out patients",
    "real, unseen patients": "real, held-out patients",
}


def files(folder: Path, patterns: tuple[str, ...]) -> dict[str, Path]:
    """Files by their relative names, checkpoints and caches left out."""
    found = {path.relative_to(folder).as_posix(): path for pattern in patterns for path in folder.rglob(pattern)}
    return {
        name: path
        for name, path in found.items()
        if not any(part.startswith("checkpoint") or part in ("cache", "best") for part in path.parts)
    }


def numbers(facts: object, where: str = "") -> Iterator[tuple[str, object]]:
    """Every number, truth value and null of nested facts by its place; lists of named entries by their names."""
    if isinstance(facts, dict):
        for key, value in facts.items():
            if key not in UNTIMED and key not in ("versions", "files"):
                yield from numbers(value, f"{where}/{RENAMED.get(key, key)}")
    elif isinstance(facts, list):
        for place, value in enumerate(facts):
            name = value.get("name", place) if isinstance(value, dict) else place
            yield from numbers(value, f"{where}/{name}")
    elif not isinstance(facts, str):
        yield where, facts


def differing_values(one: Path, other: Path) -> list[str]:
    """Places where two JSON files hold other numbers, or where one of them has none."""
    sides = [dict(numbers(json.loads(path.read_text(encoding="utf-8")))) for path in (one, other)]
    return [
        f"{place}: {sides[0].get(place, 'absent')} before, {sides[1].get(place, 'absent')} after"
        for place in sorted({*sides[0], *sides[1]})
        if sides[0].get(place, "absent") != sides[1].get(place, "absent")
    ]


def main() -> int:
    """Prints what is equal and what is not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    arguments = parser.parse_args()
    wrong, equal = [], {"byte for byte": 0, "value by value": 0}
    for how, patterns in (("byte for byte", BYTES), ("value by value", VALUES)):
        before, after = (files(folder, patterns) for folder in (arguments.before, arguments.after))
        wrong += [f"{name}: in one run only" for name in sorted(before.keys() ^ after.keys())]
        for name in sorted(before.keys() & after.keys()):
            if how == "byte for byte":
                found = [] if before[name].read_bytes() == after[name].read_bytes() else ["other bytes"]
            else:
                found = differing_values(before[name], after[name])
            wrong += [f"{name}: {one}" for one in found]
            equal[how] += not found
    for how, count in equal.items():
        sys.stdout.write(f"{count} files equal {how}\n")
    sys.stdout.write("".join(f"differs: {one}\n" for one in wrong[:100]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
