"""`hf-hybrid split`: train, validation and test by patient, written as parquet."""

import sys
from dataclasses import dataclass

POSITIONAL = ("dataset", "output_dir")


@dataclass
class Options:
    """Divides a dataset into train, validation and test, so that no patient and no image is in two of them.

    Args:
        dataset: image folder, parquet, saved `datasets` folder or Hub id; `name:split` picks a split.
        output_dir: new folder for the three splits, as private as the dataset.
        test: share of test patients; 0 for none.
        validation: share of validation patients; 0 for none.
        seed: seed of the division of patients.
        schema: YAML or JSON file that overrides the inferred schema, for example which column identifies patients.
    """

    dataset: str
    output_dir: str
    test: float = 0.25
    validation: float = 0.1
    seed: int = 0
    schema: str | None = None


def main(options: Options) -> int:
    """Writes the splits and prints how many records and patients each has."""
    import numpy as np

    from hf_hybrid.data.records import load_records, write_records
    from hf_hybrid.data.splits import join_equal_images, split_by_patient

    records = load_records(options.dataset, options.schema)
    images = records.check_images()
    groups = join_equal_images(records.groups, images.digests)
    splits = split_by_patient(groups, options.test, options.validation, options.seed)
    write_records(records, options.output_dir, splits)
    for name, indices in splits.items():
        patients = len(np.unique(records.groups[indices]))
        sys.stdout.write(f"{name}: {len(indices)} records of {patients} patients\n")
    if records.schema.group_column is None:
        sys.stdout.write("warning: no group column: every record counts as a separate patient\n")
    if images.burned_in:
        sys.stdout.write(f"warning: {images.burned_in} DICOM headers say that text is burned into the image\n")
    sys.stdout.write(f"written to {options.output_dir}\n")
    return 0
