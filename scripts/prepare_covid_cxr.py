"""Makes the image folder of configs/covid_cxr.yaml from a clone of github.com/ieee8023/covid-chestxray-dataset.

    python scripts/prepare_covid_cxr.py CLONE OUTPUT_DIR

Frontal radiographs (PA, AP, AP supine), the largest centred square of each, 256 px, 8-bit grey, beside a
`metadata.csv` with one row per image. Every image keeps its own licence, mostly CC BY-NC-SA: for research, not for
redistribution. An image that is there twice, under two patient numbers, is taken once: else one patient would be among
training and held-out patients.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jsonargparse import auto_cli
from PIL import Image

from hf_hybrid.commands.cli import guarded
from hf_hybrid.core.errors import InputError
from hf_hybrid.core.files import new_folder
from hf_hybrid.data.images import read_image, resize

COLUMNS = {
    "patientid": "patient_id",
    "age": "age",
    "sex": "sex",
    "view": "view",
    "finding": "finding",
    "survival": "survival",
    "intubated": "intubated",
    "went_icu": "went_icu",
    "needed_supplemental_O2": "needed_supplemental_o2",
    "offset": "offset",
    "temperature": "temperature",
    "pO2_saturation": "po2_saturation",
    "leukocyte_count": "leukocyte_count",
    "neutrophil_count": "neutrophil_count",
    "lymphocyte_count": "lymphocyte_count",
}
FRONTAL = ("PA", "AP", "AP Supine")


@dataclass
class Options:
    """What to read and where to write.

    Args:
        clone: folder of the clone, with `metadata.csv` and `images/`.
        output_dir: new folder.
        resolution: height and width in pixels.
    """

    clone: Path
    output_dir: Path
    resolution: int = 256


def main(options: Options) -> int:
    """Writes the image folder and says how many records it holds."""
    path = options.clone / "metadata.csv"
    if not path.is_file():
        raise InputError(f"expected metadata.csv in {options.clone}, found none: give a clone of the dataset")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError:
        raise InputError(
            f"expected a table, found {path}, which does not read as CSV: clone the dataset again"
        ) from None
    absent = sorted({*COLUMNS, "modality", "filename"} - set(table))
    if absent:
        raise InputError(f"expected the columns of covid-chestxray-dataset, found no {', '.join(absent)} in {path}")
    table = table[(table["modality"] == "X-ray") & table["view"].isin(FRONTAL)].reset_index(drop=True)
    table["finding"] = table["finding"].map(finding)
    with new_folder(options.output_dir, mode=0o700) as folder:
        (folder / "train").mkdir()
        names, seen = [], set()
        for index, name in enumerate(table["filename"]):
            source = options.clone / "images" / name
            if not source.is_file():
                continue  # some images of the table were withdrawn from the repository
            image = resize(read_image({"bytes": None, "path": str(source)}), options.resolution, "crop")
            if image.tobytes() in seen:
                continue
            seen.add(image.tobytes())
            names.append((index, f"cxr_{index:04d}.png"))
            Image.fromarray(image).save(folder / "train" / names[-1][1])
        rows = table.iloc[[index for index, _ in names]].rename(columns=COLUMNS)[list(COLUMNS.values())]
        rows.insert(0, "file_name", [name for _, name in names])
        rows.to_csv(folder / "train" / "metadata.csv", index=False)
    sys.stdout.write(f"{len(names)} frontal radiographs in {options.output_dir}\n")
    return 0


def finding(text: str) -> str:
    """The repository's finding ("COVID-19", "Pneumonia/Viral/COVID-19", ...) in three words; empty when not known."""
    if text in ("", "todo", "Unknown"):
        return ""
    if "COVID-19" in text:
        return "covid19"
    return "no_finding" if text == "No Finding" else "other_pneumonia"


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(auto_cli(Options, as_positional=True))))
