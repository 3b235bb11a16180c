"""`hf-hybrid phantom`: draws the built-in cohort."""

import sys
from dataclasses import dataclass

POSITIONAL = ("output_dir",)


@dataclass
class Options:
    """Draws the built-in cohort as an image folder.

    Args:
        output_dir: new folder.
        num_records: records, at least 1.
        resolution: height and width in pixels, 32 to 512.
        seed: seed of the cohort.
        images_only: images without a table, as in a public image set.
    """

    output_dir: str
    num_records: int = 1342
    resolution: int = 64
    seed: int = 0
    images_only: bool = False


def main(options: Options) -> int:
    """Draws the cohort and prints its folder."""
    from hf_hybrid.phantom.cohort import write_phantom

    write_phantom(options.output_dir, options.num_records, options.resolution, options.seed, options.images_only)
    sys.stdout.write(f"{options.num_records} records in {options.output_dir}\n")
    return 0
