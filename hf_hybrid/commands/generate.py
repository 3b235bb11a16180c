"""`hf-hybrid generate`: draws a release from a pipeline."""

import sys
from dataclasses import dataclass

from hf_hybrid.commands.options_parser import pick
from hf_hybrid.core.errors import InputError, check_at_least
from hf_hybrid.synthesis.options import ReleaseInfo


@dataclass(kw_only=True)
class Options(ReleaseInfo):
    """Draws a release from a pipeline.

    Args:
        pipeline: folder or Hub id.
        num_records: number of records.
        output_dir: new folder of the release.
        seed: seed of the records; the first ones do not depend on their number.
        conditions: such as "outcome=deceased,sex=F,age=60..80,crp=missing"; all hold in every record.
    """

    pipeline: str
    num_records: int
    output_dir: str
    seed: int = 0
    conditions: str | None = None

    def __post_init__(self) -> None:
        """Raises InputError for no records."""
        check_at_least(self, 1, "num_records")


def main(options: Options) -> int:
    """Draws a release and prints its folder."""
    from hf_hybrid.synthesis.pipeline import HybridPipeline
    from hf_hybrid.synthesis.release import write_release

    pipeline = HybridPipeline.from_pretrained(options.pipeline)
    info = pick(ReleaseInfo, options)
    conditions = parse_conditions(options.conditions, pipeline.schema) if options.conditions else None
    write_release(pipeline, options.output_dir, options.num_records, options.seed, conditions, info)
    sys.stdout.write(f"{options.num_records} records in {options.output_dir}, not evaluated\n")
    return 0


def parse_conditions(text: str, schema) -> dict:
    """Reads "outcome=deceased,age=60..80" for a schema.

    Raises:
        InputError: a part is not `column=value`, or the column is unknown.
    """
    from hf_hybrid.data.cells import to_boolean, to_number

    conditions = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or name not in schema.table:
            raise InputError(
                f"expected `conditions` as column=value with a column of {list(schema.table)}, found {part!r}"
            )
        column = schema.table[name]
        if value == "missing":
            conditions[name] = None
        elif column.is_number:
            numbers = [to_number(word) for word in value.split("..")]
            if None in numbers or len(numbers) > 2:
                raise InputError(f"expected a number or low..high for `{name}`, found {value!r}")
            conditions[name] = numbers[0] if len(numbers) == 1 else tuple(numbers)
        elif column.kind == "boolean":
            conditions[name] = to_boolean(value)
            if conditions[name] is None:
                raise InputError(f"expected yes, no or missing for `{name}`, found {value!r}")
        else:
            conditions[name] = value
    return conditions
