"""The built-in cohort: drawn chest radiographs linked with 14 clinical variables.

Everything is drawn from formulas, so the cohort may be shared, and the truth behind every image is known. The images
have the geometry and the grey scale of frontal chest radiographs; they are no anatomical or radiological model.
"""

import os
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from PIL import Image

from hf_hybrid.core.cores import num_cores
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import new_folder
from hf_hybrid.core.randomness import numpy_generator
from hf_hybrid.data.image_folder import TABLE_NAMES
from hf_hybrid.phantom.drawing import check_resolution, draw_phantom
from hf_hybrid.phantom.parameters import ImageParameters
from hf_hybrid.phantom.patients import Cohort, sample_patients, sample_records

_MANY = 500  # images that are worth the start of processes: some five seconds of one core


def sample_cohort(num_records: int, seed: int) -> Cohort:
    """Sample tables and linked image parameters of patients with pneumonia.

    Severity, age and comorbidity drive everything. The opacities hold a part of the disease of which the table says
    at most that there are some, the oxygen saturation one that the image does not show, and the outcome depends on
    both. About 15 % of the patients have two or three records: same person and outcome, while the disease moves
    towards that outcome. Every finding in the table is drawn, and no image shows one that the table does not name.

    Args:
        num_records: 1 or more. A larger cohort starts with the records of a smaller one.
        seed: 0 or more.
    """
    if num_records < 1:
        raise InputError(f"expected `num_records` of at least 1, found {num_records}")
    several = numpy_generator(seed, "visits", 0).random(num_records)
    patient = np.repeat(np.arange(num_records), 1 + (several < 0.15) + (several < 0.05))[:num_records]
    visit = np.arange(num_records) - np.searchsorted(patient, patient)
    person = sample_patients(num_records, numpy_generator(seed, "patients", 0)).iloc[patient].reset_index(drop=True)
    return sample_records(
        person, visit, numpy_generator(seed, "values: uniform", 0), numpy_generator(seed, "values: normal", 0)
    )


def public_seed(seed: int) -> int:
    """The seed of public images for a user's `seed`: their people are never those of a cohort that a user draws."""
    return int(numpy_generator(seed, "public images", 0).integers(2**63))


def write_phantom(
    output_dir: str | os.PathLike,
    num_records: int = 1342,
    resolution: int = 64,
    seed: int = 0,
    images_only: bool = False,
) -> None:
    """Write a cohort as an image folder that `datasets.load_dataset("imagefolder", data_dir=output_dir)` reads.

    Writes `train/*.png` (8-bit grey), `train/metadata.csv` (`file_name`, `patient_id` and the 14 variables) and,
    outside the loaded data, `truth.csv` (the image parameters by `file_name`). The same arguments give the same bytes,
    and more records leave the first ones as they are. The folder appears only when it is complete.

    Args:
        output_dir: A new or an empty folder.
        num_records: 1 or more.
        resolution: Side of the images in pixels, 32 to 512.
        seed: 0 or more.
        images_only: Only the images, no table and no truth: the public image set. Its people are never those of the
            cohort of the same seed.

    Raises:
        InputError: For a folder that is not empty, or a number out of range.
    """
    check_resolution(resolution)
    if images_only:
        seed = public_seed(seed)
    with new_folder(output_dir) as folder:
        cohort = sample_cohort(num_records, seed)
        file_names = [f"{index:05d}.png" for index in range(num_records)]
        (folder / "train").mkdir()
        paths = [folder / "train" / file_name for file_name in file_names]
        _write_images(paths, cohort.truth.to_dict("records"), resolution, seed)
        if not images_only:
            for table, path in ((cohort.table, f"train/{TABLE_NAMES[0]}"), (cohort.truth, "truth.csv")):
                table.assign(file_name=file_names)[["file_name", *table.columns]].to_csv(
                    folder / path, index=False, lineterminator="\n"
                )


def _write_images(paths: list[Path], truth: list[dict], resolution: int, seed: int) -> None:
    """One image a record, whose parameters are in `truth`; many images on all cores."""
    cores = num_cores() if len(paths) >= _MANY else 1
    parts = np.array_split(np.arange(len(paths)), max(1, len(paths) // _MANY) * cores)
    Parallel(cores)(
        delayed(_write_part)([(int(index), paths[index], truth[index]) for index in part], resolution, seed)
        for part in parts
    )


def _write_part(records: list[tuple[int, Path, dict]], resolution: int, seed: int) -> None:
    for index, path, parameters in records:
        image = draw_phantom(ImageParameters(**parameters), resolution, numpy_generator(seed, "image", index))
        Image.fromarray(image).save(path)
