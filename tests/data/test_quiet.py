"""No library that reads private files says what is in them: all that a process prints is searched for a name."""

import io
import logging
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hf_hybrid.data.quiet import quiet_libraries

NAME = "ZYXWVUT^JOHN"
READ = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, force=True)
from hf_hybrid.data.records import load_records
for dataset in sys.argv[1:]:
    try:
        records = load_records(dataset)
        records.check_images()
        records.pixel_values(4)
    except ValueError as error:
        print("refused:", error)
"""
COMMANDS = """
import os, sys
from hf_hybrid.commands import cli
assert cli.main(["split", sys.argv[1], sys.argv[1] + "-divided"]) == 0
sys.stdout.flush()
told = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what `inspect` prints is the table, for whoever holds it
assert cli.main(["inspect", sys.argv[1] + "-divided"]) == 0
sys.stdout.flush()
os.dup2(told, 1)
"""


def png(seed=0):
    stream, text = io.BytesIO(), PngInfo()
    text.add_text("PatientName", NAME)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "PNG", pnginfo=text)
    return stream.getvalue()


def run(code, *arguments):
    """Everything that a new process writes to its two descriptors."""
    done = subprocess.run([sys.executable, *code, *map(str, arguments)], capture_output=True, text=True)
    return done.stdout, done.stderr


def columns(count=40):
    """A column of each kind with the name in it, beside a patient who has it for a number."""
    number = np.arange(count)
    return {
        "patient_id": [NAME, *(f"p{one}" for one in number[1:])],
        "age": [NAME, *(str(20 + one % 30) for one in number[1:])],
        "crp": [NAME, *(str(one / 2) for one in number[1:])],
        "icu": [NAME, *("YN"[one % 2] for one in number[1:])],
        "sex": [NAME, *("FM"[one % 2] for one in number[1:])],
        "signs": [f"a|{NAME}", *("a|b" if one % 2 else "b" for one in number[1:])],
        "seen": [NAME, *(f"2020-03-{one % 28 + 1:02}" for one in number[1:])],
        "report": [f"{NAME} is patient {one} and does well" for one in number],
    }


def image_folder(folder):
    folder.mkdir()
    table = columns()
    names = [f"{one:03}.png" for one in range(len(table["age"]))]
    for place, name in enumerate(names):
        (folder / name).write_bytes(png(place))
    pd.DataFrame({"file_name": names, **table}).to_csv(folder / "metadata.csv", index=False)
    return folder


def parquet(folder, name, second):
    """Two splits; the name is a text in a column of the second that is something else in the first."""
    (folder / name / "data").mkdir(parents=True)
    for split, cells in (("train", second[0]), ("test", second[1])):
        table = pa.table({"image": [png()] * len(cells), "lab": cells})
        pq.write_table(table, folder / name / "data" / f"{split}-00000-of-00001.parquet")
    return folder / name


FIRSTS = {"whole": [1, 2], "number": [0.5, 1.5], "truth": [True, False], "list": [[1], [2]]}


def scan_folder(folder):
    """A scan with the name in its header, and one that cannot be read and has it in what would be told of that."""
    pydicom = pytest.importorskip("pydicom")
    from test_records import dicom

    folder.mkdir()
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    with pydicom.config.disable_value_validation():
        (folder / "one.dcm").write_bytes(
            dicom(grey, bits=8, PatientID=NAME, StudyDate=NAME, AccessionNumber=3 * NAME, BurnedInAnnotation=NAME)
        )
        broken = pydicom.dcmread(io.BytesIO(dicom(grey, bits=8)))
        broken.file_meta.MediaStorageSOPInstanceUID = NAME
        broken.file_meta.ImplementationVersionName = NAME
        broken.PhotometricInterpretation = NAME
        stream = io.BytesIO()
        broken.save_as(stream)
        (folder / "two.dcm").write_bytes(stream.getvalue())
    return folder


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What one process prints that divides, inspects and reads all of them."""
    folder = tmp_path_factory.mktemp("quiet")
    datasets = [parquet(folder, name, (cells, [NAME, NAME])) for name, cells in FIRSTS.items()]
    return run(["-c", COMMANDS + READ], image_folder(folder / "cohort"), scan_folder(folder / "scans"), *datasets)


def test_a_text_in_a_column_of_the_second_split_is_not_printed(printed):
    """Issue 13, point 23: the logger of `datasets` wrote the cell to stderr."""
    out, err = printed
    assert NAME not in out + err
    assert out.count("refused: expected one type of each column in all parquet files of") == len(FIRSTS)
    assert "found several of `lab` (int64 and string): write the files alike" in out


def test_nothing_of_a_header_or_table_is_printed(printed):
    out, err = printed
    assert NAME not in out + err
    assert "written to" in out and "two.dcm" in out


def test_silence_ends_with_the_last_block():
    logger, below = logging.getLogger("pydicom"), logging.getLogger("PIL.of a test")
    level = logger.level
    below.setLevel(logging.DEBUG)
    with quiet_libraries():
        with quiet_libraries():
            logger.setLevel(logging.DEBUG)  # as its import would
            with quiet_libraries():
                pass
            assert not logger.isEnabledFor(logging.CRITICAL)
        assert not logger.isEnabledFor(logging.CRITICAL) and not below.isEnabledFor(logging.CRITICAL)
    assert logger.level == logging.DEBUG and below.level == logging.DEBUG
    logger.setLevel(level)
    below.setLevel(logging.NOTSET)
