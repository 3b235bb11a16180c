"""`hf-hybrid inspect`: the schema of a dataset as a table, and warnings about problems."""

import sys
from dataclasses import dataclass

POSITIONAL = ("dataset",)


@dataclass
class Options:
    """Shows the schema of a dataset and warns about what would spoil a release or a score.

    Args:
        dataset: image folder, parquet, saved `datasets` folder or Hub id; `name:split` picks a split.
        schema: YAML or JSON file that overrides the inferred schema.
        targets: columns that the utility scores will predict.
    """

    dataset: str
    schema: str | None = None
    targets: list[str] | None = None


def main(options: Options) -> int:
    """Prints the schema and the warnings; 0 whatever they are."""
    from hf_hybrid.data.records import load_records
    from hf_hybrid.evaluation.inspection import describe_records, find_problems

    records = load_records(options.dataset, options.schema, targets=options.targets)
    images = records.check_images()
    sys.stdout.write(describe_records(records, images) + "\n\n")
    problems = find_problems(records, images)
    for problem in problems:
        sys.stdout.write(f"warning: {problem}\n")
    sys.stdout.write(f"{len(problems) or 'no'} warning{'' if len(problems) == 1 else 's'}\n")
    return 0
