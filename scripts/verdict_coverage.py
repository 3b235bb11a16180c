"""Coverage of the verdicts: how often each family of attacks passes, is inconclusive and fails, by number of records.

python scripts/verdict_coverage.py docs/results/coverage.json --options.seeds 40

Releases are fresh draws of other people, draws of a Gaussian copula and the leaks of `planted_leaks.py`. A run that
was broken off goes on where it stopped. The table is written beside the JSON.
"""

import json
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import planted_leaks
from jsonargparse import auto_cli

from hf_hybrid.commands.cli import guarded
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.families import VERDICTS
from hf_hybrid.core.files import write_atomically
from hf_hybrid.core.provenance import versions

_WORDS = VERDICTS[::-1]


@dataclass
class Options:
    """What is simulated.

    Args:
        sizes: records of a private cohort; a quarter of its patients are held out.
        seeds: cohorts of each size.
        multiple: synthetic records per training record.
        releases: names of releases, see `planted_leaks.PLANTS`.
    """

    sizes: list[int] = field(default_factory=lambda: [60, 150, 300, 1000])
    seeds: int = 40
    multiple: int = 2
    releases: list[str] = field(default_factory=lambda: list(planted_leaks.PLANTS))


def main(output: Path, options: Options | None = None) -> int:
    """Scores every release of every cohort that the file does not have yet.

    Args:
        output: JSON file; the table has its name and the ending `.md`.
        options: what is simulated.
    """
    options = options or Options()
    found = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    rows = found.get("rows", [])
    made = {(row["records"], row["seed"], row["release"]) for row in rows if found.get("multiple") == options.multiple}
    if not made:
        rows = []
    for seed in range(options.seeds):
        for size in options.sizes:
            wanted = [name for name in options.releases if (size, seed, name) not in made]
            for row in scored(size, seed, wanted, options.multiple):
                rows.append(row)
                save(output, rows, options)
    save(output, rows, options)
    return 0


def scored(size: int, seed: int, releases: list[str], multiple: int) -> list[dict]:
    """The verdicts of the releases of one cohort; `error` where the cohort is too small to be evaluated."""
    rows = []
    try:
        setting = planted_leaks.Setting(seed, size, multiple) if releases else None
    except (InputError, ValueError) as error:
        return [_row(size, seed, name, error=type(error).__name__) for name in releases]
    for name in releases:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = setting.score(name).families
            families = {one.name: [one.verdict.word, list(one.verdict.failed)] for one in found}
            rows.append(_row(size, seed, name, families=families))
        except (InputError, ValueError) as error:
            rows.append(_row(size, seed, name, error=type(error).__name__))
        sys.stderr.write(f"{json.dumps(rows[-1])}\n")
    return rows


def _row(size: int, seed: int, release: str, **found: object) -> dict:
    return {"records": size, "seed": seed, "release": release, **found}


def counts(rows: list[dict]) -> dict[tuple[str, int], dict[str, Counter]]:
    """How often each verdict was given, by release and size, of every family; `error` is a verdict."""
    found: dict[tuple[str, int], dict[str, Counter]] = {}
    for row in rows:
        families = found.setdefault((row["release"], row["records"]), {})
        for family, (word, _) in row.get("families", {"not evaluated": ["error", []]}).items():
            families.setdefault(family, Counter())[word] += 1
    return found


def table(rows: list[dict]) -> str:
    """A Markdown table: pass / inconclusive / fail of each family, the number of cohorts in front."""
    by_release = counts(rows)
    names = list(dict.fromkeys(name for one in by_release.values() for name in one if name != "not evaluated"))
    lines = [
        "Cohorts in which each family of attacks passed / was inconclusive / failed.",
        "",
        "| Release | Records | Cohorts | " + " | ".join(names) + " | not evaluated |",
        "| --- |" + " --- |" * (len(names) + 3),
    ]
    order = list(dict.fromkeys(row["release"] for row in rows))
    for (release, size), families in sorted(by_release.items(), key=lambda one: (order.index(one[0][0]), one[0][1])):
        cells = [" / ".join(str(families.get(name, Counter())[word]) for word in _WORDS) for name in names]
        errors = families.get("not evaluated", Counter())["error"]
        total = errors + max((families[name].total() for name in names if name in families), default=0)
        lines.append(f"| {release} | {size:,} | {total} | {' | '.join(cells)} | {errors} |")
    return "\n".join(lines) + "\n"


def save(output: Path, rows: list[dict], options: Options) -> None:
    """Writes the JSON file and the table."""
    output.parent.mkdir(parents=True, exist_ok=True)
    # Sizes and seeds are those of the rows: several calls may have made them.
    facts = {"versions": versions(), "multiple": options.multiple, "rows": rows}
    write_atomically(output, json.dumps(facts, indent=1) + "\n")
    write_atomically(output.with_suffix(".md"), table(rows))


if __name__ == "__main__":
    sys.exit(guarded(lambda: auto_cli(main, as_positional=True)))
