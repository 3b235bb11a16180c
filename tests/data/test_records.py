import gc
import io
import json
import logging
import os
import stat
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_hybrid.core.errors import InputError
from hf_hybrid.data.images import read_image, resize
from hf_hybrid.data.records import load_records, write_records
from hf_hybrid.data.schema import RecordSchema
from hf_hybrid.data.sources import overlap, split_names
from hf_hybrid.data.splits import join_equal_images, split_by_patient

GREY = np.add.outer(np.arange(6), 10 * np.arange(8)).astype(np.uint8)  # 6 high, 8 wide, 0 to 75


def encode(image, format="PNG", **options):
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, format, **options)
    return stream.getvalue()


def read(data, channels=1, path=None):
    return read_image({"bytes": data, "path": path}, channels)


def dicom(pixels, photometric="MONOCHROME2", bits=12, **tags):
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.PatientName = "DOE^JOHN"
    dataset.Rows, dataset.Columns = pixels.shape[-3:-1] if photometric == "RGB" else pixels.shape[-2:]
    dataset.SamplesPerPixel = 3 if photometric == "RGB" else 1
    if photometric == "RGB":
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = 8 * pixels.itemsize
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def make_folder(folder, rows, name="metadata.csv"):
    """An image folder: one row a record, its image 8 x 6 and of one grey value that tells the record."""
    folder.mkdir(parents=True)
    for number, row in enumerate(rows):
        path = folder / row["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(np.full((6, 8), 10 * number % 256, np.uint8)))
    table = pd.DataFrame(rows)
    if name == "metadata.csv":
        table.to_csv(folder / name, index=False)
    elif name == "metadata.jsonl":
        table.to_json(folder / name, orient="records", lines=True)
    else:
        table.to_parquet(folder / name)
    return folder


ROWS = [
    {"file_name": "a.png", "patient_id": "p1", "age": "61", "sex": "F"},
    {"file_name": "b.png", "patient_id": "p2", "age": "", "sex": "M"},
    {"file_name": "c.png", "patient_id": "p1", "age": "62", "sex": "NA"},
]


def greys(records):
    return records.pixel_values(4)[:, 0, 0].tolist()


# --- images --------------------------------------------------------------------------------------------------------


def test_reads_every_kind_of_8_bit_image():
    alpha = np.dstack([GREY] * 3 + [np.where(GREY > 40, 255, 0).astype(np.uint8)])
    palette = Image.fromarray(GREY).convert("RGB").quantize(256)
    for data in (
        encode(GREY),
        encode(GREY, "TIFF"),
        encode(np.dstack([GREY] * 3)),
        encode(palette),
        encode(Image.fromarray(GREY).convert("LA")),
    ):
        np.testing.assert_array_equal(read(data), GREY)
        np.testing.assert_array_equal(read(data, 3), np.dstack([GREY] * 3))
    np.testing.assert_array_equal(read(encode(alpha)), np.where(GREY > 40, GREY, 0))
    np.testing.assert_array_equal(read(encode(Image.fromarray(GREY > 40))), np.where(GREY > 40, 255, 0))


def test_colour_becomes_luminance():
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    assert (read(encode(red)) == 76).all()
    np.testing.assert_array_equal(read(encode(red), 3), red)


@pytest.mark.parametrize(("highest", "bits"), [(200, 8), (1000, 10), (4095, 12), (4096, 14), (60000, 16)])
def test_16_bit_images_are_scaled_from_the_depth_they_use(highest, bits):
    image = np.linspace(0, highest, 48).round().astype(np.uint16).reshape(6, 8)
    expected = np.rint(image / (2**bits - 1) * 255)
    for data in (encode(image), encode(image, "TIFF"), encode(Image.fromarray(image.astype(np.int32)), "TIFF")):
        assert Image.open(io.BytesIO(data)).mode in ("I;16", "I")
        np.testing.assert_array_equal(read(data), expected)
        np.testing.assert_array_equal(read(data, 3), np.dstack([expected] * 3))


def test_16_bit_images_of_a_dataset_share_one_range(tmp_path, caplog):
    """Issue 13, point 25: 1020 and 1030 became 254 and 64."""
    for split, highest in {"train": (1020, 1030), "test": (4000, 300)}.items():
        (tmp_path / split).mkdir()
        for number, value in enumerate(highest):
            image = np.linspace(0, value, 48).round().astype(np.uint16).reshape(6, 8)
            (tmp_path / split / f"{number}.png").write_bytes(encode(image))
    train, test = (load_records(f"{tmp_path}:{split}") for split in ("train", "test"))
    with caplog.at_level(logging.INFO):
        assert [int(image.max()) for image in train.pixel_values(8, fit="pad")] == [64, 64]
    assert "grey values 0 to 4095 of all images become 0 to 255" in caplog.text
    assert [int(image.max()) for image in test.select([1, 0]).pixel_values(8, fit="pad")] == [19, 249]
    assert train.select([0]).grey_range is train.grey_range
    summary = test.check_images()
    assert (summary.grey_range, summary.few_greys) == ((0, 4095), 1)
    write_records(load_records(tmp_path), tmp_path / "out")
    assert load_records(tmp_path / "out").check_images().grey_range == (0, 4095)


def test_dicom_images_without_a_window_share_one_range(tmp_path):
    for number, image in enumerate((DEEP // 4, DEEP // 2)):
        (tmp_path / f"{number}.dcm").write_bytes(dicom(image))
    (tmp_path / "2.dcm").write_bytes(dicom(DEEP, WindowCenter=2048, WindowWidth=1024))  # its own window
    pixels = load_records(tmp_path).pixel_values(8, fit="pad")
    assert [int(image.max()) for image in pixels] == [127, 255, 255]
    assert load_records(tmp_path).check_images().grey_range == (0, 2047)


def test_the_orientation_of_a_photograph_is_applied():
    image = Image.fromarray(GREY)
    exif = image.getexif()
    exif[0x0112] = 6  # stored lying on its side: turn it clockwise
    np.testing.assert_array_equal(read(encode(image, exif=exif)), np.rot90(GREY, -1))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode(GREY.astype(np.float32), "TIFF"), "floating-point grey values: save it with 8 or 16 bits"),
        (encode(GREY.astype(np.int32) - 5, "TIFF"), "grey values outside 0 to 65535: save it with 8 or 16 bits"),
        (encode(GREY.astype(np.int32) + 70000, "TIFF"), "grey values outside 0 to 65535: save it with 8 or 16 bits"),
        (
            encode(GREY, "TIFF", save_all=True, append_images=[Image.fromarray(GREY)]),
            "several frames in one file: give one image a record",
        ),
        (encode(GREY)[:50], "cannot be decoded (OSError)"),
        (b"no image", "cannot be decoded (UnidentifiedImageError)"),
        (b"", "cannot be decoded (UnidentifiedImageError)"),
        (None, "no image"),
    ],
)
def test_unreadable_images_say_why(data, reason):
    with pytest.raises(InputError) as error:
        read(data)
    assert str(error.value) == reason


def test_only_one_or_three_channels():
    with pytest.raises(InputError, match="expected `channels` 1 or 3, found 4"):
        read(encode(GREY), 4)


def test_resize_keeps_the_aspect():
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 200
    np.testing.assert_allclose(resize(wide, 5, "crop"), 200, atol=12)
    padded = resize(wide, 30, "pad")
    assert padded.shape == (30, 30) and not padded[:10].any() and not padded[20:].any()
    np.testing.assert_array_equal(padded[10:20], wide)
    square = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    np.testing.assert_array_equal(resize(square, 16), square)
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    assert np.ptp(resize(checks.astype(np.uint8), 8)) < 10  # averaged, not picked
    assert resize(np.ones((1, 500), np.uint8), 8, "pad").shape == (8, 8)
    with pytest.raises(InputError, match="expected `fit` among \\['crop', 'pad'\\], found 'stretch'"):
        resize(wide, 8, "stretch")
    with pytest.raises(InputError, match="expected `resolution` of at least 1, found 0"):
        resize(wide, 0)


# --- DICOM ---------------------------------------------------------------------------------------------------------

DEEP = np.linspace(0, 4095, 48).round().astype(np.uint16).reshape(6, 8)


def test_dicom_window_and_rescale_are_applied():
    plain = read(dicom(DEEP))
    np.testing.assert_array_equal(plain, np.rint(DEEP / 4095 * 255))
    windowed = read(dicom(DEEP, WindowCenter=2048, WindowWidth=1024))
    expected = np.clip((DEEP - 2047.5) / 1023 + 0.5, 0, 1) * 255  # DICOM PS3.3 C.11.2.1.2.1
    np.testing.assert_allclose(windowed, expected, atol=0.51)
    shifted = dicom(DEEP, WindowCenter=2048 - 1000, WindowWidth=1024, RescaleSlope=1, RescaleIntercept=-1000)
    np.testing.assert_allclose(read(shifted), expected, atol=0.51)
    signed = dicom((DEEP.astype(np.int32) - 2048).astype(np.int16), WindowCenter=0, WindowWidth=1024)
    np.testing.assert_allclose(read(signed), expected, atol=0.51)


def test_dicom_monochrome1_is_inverted():
    for tags in ({}, {"WindowCenter": 2048, "WindowWidth": 1024}):
        np.testing.assert_array_equal(read(dicom(DEEP, "MONOCHROME1", **tags)), 255 - read(dicom(DEEP, **tags)))


@pytest.mark.parametrize("depth", [8, 12])
@pytest.mark.parametrize("packed", [True, False])
def test_dicom_value_table_is_applied(depth, packed):
    import pydicom

    entries = np.arange(3000)[::-1] // (3000 / 2**depth)  # the first one stands for 500 and all below
    table = pydicom.Dataset()
    table.LUTDescriptor = [len(entries), 500, depth]
    data = entries.astype(np.uint8 if depth == 8 else np.uint16).tobytes() if packed else entries.astype(int).tolist()
    table.add_new("LUTData", "OW" if packed else "US", data)
    pixels = read(dicom(DEEP, VOILUTSequence=pydicom.Sequence([table])))
    expected = entries[np.clip(DEEP.astype(int) - 500, 0, 2999)] / (2**depth - 1) * 255
    np.testing.assert_array_equal(pixels, np.rint(expected))


def test_8_bit_and_colour_dicom_stay_as_they_are():
    np.testing.assert_array_equal(read(dicom(GREY, bits=8)), GREY)
    np.testing.assert_array_equal(
        read(dicom(GREY, bits=8, RescaleSlope=1, RescaleIntercept=0), 3), np.dstack([GREY] * 3)
    )
    colour = np.dstack([GREY, GREY // 2, GREY])
    data = dicom(colour, "RGB", bits=8)
    np.testing.assert_array_equal(read(data, 3), colour)
    np.testing.assert_array_equal(read(data), read(encode(colour)))


def test_compressed_dicom():
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(dicom(DEEP)))
    dataset.compress(pydicom.uid.RLELossless)
    stream = io.BytesIO()
    dataset.save_as(stream)
    np.testing.assert_array_equal(read(stream.getvalue()), read(dicom(DEEP)))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
    stream = io.BytesIO()
    dataset.save_as(stream)
    with pytest.raises(
        InputError, match="compressed as JPEG-LS Lossless.*: install a pydicom plugin for it, e.g. pylib"
    ):
        read(stream.getvalue())


@pytest.mark.filterwarnings("ignore:Expected implicit VR")
def test_unreadable_dicom_says_why():
    with pytest.raises(InputError, match="several frames in one file"):
        read(dicom(np.stack([GREY, GREY]), bits=8, NumberOfFrames=2))
    with pytest.raises(InputError, match="a DICOM file without pixels"):
        read(b"no DICOM", path="x.dcm")
    with pytest.raises(InputError, match="cannot be decoded"):
        read(dicom(GREY, bits=8)[:-20])


def test_nothing_of_the_dicom_header_reaches_a_message(caplog, recwarn):
    strange = {"PatientBirthDate": "SECRETDATE", "AccessionNumber": "SECRET" * 20, "StudyDate": "SECRETDATE"}
    import pydicom

    with pydicom.config.disable_value_validation():
        data = dicom(GREY, bits=8, **strange)
        broken = dicom(GREY, bits=8, **strange, PhotometricInterpretation="SECRET")
    recwarn.clear()
    np.testing.assert_array_equal(read(data), GREY)
    with pytest.raises(InputError) as error:
        read(broken)
    assert "SECRET" not in "".join([caplog.text, *(str(warning.message) for warning in recwarn), str(error.value)])


def test_dicom_folder(tmp_path, caplog):
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, name in enumerate(["one.dcm", "two.DCM", "IM0003"]):
        (folder / name).write_bytes(dicom(GREY + number, bits=8, BurnedInAnnotation="YES" if number else "NO"))
    (folder / "metadata.csv").write_text("file_name,age\none.dcm,50\ntwo.DCM,61\nIM0003,72\n")
    records = load_records(folder)
    assert list(records.frame["age"]) == [50, 61, 72]
    with caplog.at_level(logging.WARNING):
        pixels = records.pixel_values(6)
    np.testing.assert_array_equal(pixels, [GREY[:, 1:7] + number for number in range(3)])
    assert [message[:72] for message in caplog.messages] == [
        "2 of 3 DICOM headers say that text is burned into the image (BurnedInAnn"
    ]
    summary = records.check_images()
    assert (summary.sizes, summary.modes, summary.burned_in) == ({(8, 6): 3}, {"MONOCHROME2": 3}, 2)


def test_missing_pydicom_is_one_clear_message(tmp_path, monkeypatch):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("one.dcm", "two.dcm"):
        (folder / name).write_bytes(dicom(GREY, bits=8))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(InputError) as error:
        load_records(folder).check_images()
    assert str(error.value) == ("expected pydicom to read DICOM files, found none: pip install hf_hybrid[dicom]")


# --- loading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
@pytest.mark.parametrize("below", ["", "train"])
def test_image_folders(tmp_path, name, below):
    make_folder(tmp_path / "cohort" / below, ROWS, name)
    records = load_records(tmp_path / "cohort")
    assert len(records) == 3
    assert greys(records) == [0, 10, 20]
    assert list(records.frame) == ["age", "sex"]
    np.testing.assert_array_equal(records.frame["age"], [61, np.nan, 62])
    assert list(records.frame["sex"]) == ["F", "M", None]
    assert records.groups.tolist() == [0, 1, 0] and records.groups.dtype == np.int64
    assert records.schema.image_column == "image" and records.unread == {}


def test_image_folder_equals_that_of_datasets(tmp_path):
    import datasets

    rows = [{"file_name": f"{n:02}.png", "crp": n / 2, "sex": "FM"[n % 2]} for n in (3, 1, 2, 0)]
    folder = make_folder(tmp_path / "cohort", rows)
    theirs = datasets.load_dataset("imagefolder", data_dir=str(folder), split="train", cache_dir=tmp_path / "cache")
    ours = load_records(folder)
    assert list(ours.raw) == [name for name in theirs.column_names if name != "image"]
    for name in ours.frame:
        assert list(ours.frame[name]) == theirs[name][:]
    np.testing.assert_array_equal(
        ours.pixel_values(6, fit="pad")[:, 3, 3], [np.array(i)[3, 3] for i in theirs["image"]]
    )


def test_csv_cells_are_kept_as_they_are(tmp_path):
    rows = [
        {"file_name": "test_1.png", "code": "01", "n": "1.50"},
        {"file_name": "train_2.png", "code": "NULL", "n": "x"},
    ]
    records = load_records(make_folder(tmp_path / "latest_test_data", rows))
    assert records.raw.to_dict("list") == {"code": ["01", "NULL"], "n": ["1.50", "x"]}


def test_images_without_a_table(tmp_path):
    for name in ("b/2.png", "a/1.jpg", "a/.hidden.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encode(GREY) if name != "a/1.jpg" else encode(GREY, "JPEG"))
    labelled = load_records(tmp_path)
    assert list(labelled.frame["label"]) == ["a", "b"]
    plain = load_records(tmp_path / "a")
    assert len(plain) == 1 and plain.frame.shape == (1, 0) and list(plain.schema.columns) == ["image"]
    assert plain.pixel_values(4).shape == (1, 4, 4)
    assert plain.select([0]).frame.shape == (1, 0)


def test_a_table_of_file_names_only(tmp_path):
    records = load_records(make_folder(tmp_path / "public", [{"file_name": "a.png"}, {"file_name": "sub/b.png"}]))
    assert records.frame.shape == (2, 0) and records.groups.tolist() == [0, 1]
    assert greys(records) == [0, 10]


def test_splits_of_an_image_folder(tmp_path):
    for number, split in enumerate(["train", "validation", "test"]):
        make_folder(tmp_path / "cohort" / split, ROWS[number : number + 1])
    assert sorted(split_names(f"{tmp_path}/cohort")) == ["test", "train", "validation"]
    assert split_names(f"{tmp_path}/cohort:test") == ["test"]
    assert load_records(tmp_path / "cohort").raw["sex"].tolist() == ["F"]
    assert load_records(tmp_path / "cohort", split="test").raw["sex"].tolist() == ["NA"]
    assert load_records(f"{tmp_path}/cohort:validation", split="test").raw["sex"].tolist() == ["M"]
    for arguments, found in (((f"{tmp_path}/cohort:dev",), "'dev'"), ((f"{tmp_path}/cohort", None, None), "None")):
        with pytest.raises(InputError) as error:
            load_records(*arguments)
        assert str(error.value) == (
            f"expected a split of `{tmp_path}/cohort` among ['test', 'train', 'validation'], "
            f"found {found}: add `:split`"
        )


@pytest.mark.parametrize("nested", [True, False])
def test_parquet(tmp_path, nested):
    images = [encode(np.full((4, 4), 10 * number, np.uint8)) for number in range(3)]
    column = pa.array([{"bytes": image, "path": None} for image in images]) if nested else pa.array(images)
    table = pa.table({"xray": column, "age": pa.array([61, None, 62]), "ok": pa.array([True, None, False])})
    pq.write_table(table, tmp_path / "cohort.parquet")
    for dataset in (tmp_path, tmp_path / "cohort.parquet", f"{tmp_path / 'cohort.parquet'}:train"):
        records = load_records(dataset)
        assert greys(records) == [0, 10, 20]
        assert records.schema.image_column == "xray"
        assert records.raw["age"].tolist() == [61, None, 62] and list(records.frame["ok"]) == [True, None, False]
        assert records.schema.columns["age"].kind == "integer"


def test_classes_are_read_by_name(tmp_path):
    import datasets

    features = datasets.Features(
        image=datasets.Image(),
        sex=datasets.ClassLabel(names=["F", "M"]),
        signs=datasets.List(datasets.ClassLabel(names=["a", "b"])),
    )
    rows = {"image": [Image.fromarray(GREY)] * 4, "sex": [1, None, 0, 1], "signs": [[0, 1], None, [], [1]]}
    release = datasets.Dataset.from_dict(rows, features=features)
    (tmp_path / "release" / "data").mkdir(parents=True)
    release.to_parquet(tmp_path / "release" / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "release" / "README.md").write_text("---\nlicense: mit\n---\n# A release\n")
    (tmp_path / "release" / "assets").mkdir()
    (tmp_path / "release" / "assets" / "grid.png").write_bytes(encode(GREY))
    release.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=release.select([0]), test=release).save_to_disk(tmp_path / "several")
    before = sorted(tmp_path.rglob("*"))
    for dataset in ("release", "one", "several:test"):
        records = load_records(f"{tmp_path}/{dataset}")
        assert list(records.frame["sex"]) == ["M", None, "F", "M"]
        assert list(records.frame["signs"]) == [["a", "b"], None, [], ["b"]]
        np.testing.assert_array_equal(records.pixel_values(6)[0], GREY[:, 1:7])
    assert split_names(f"{tmp_path}/release") == split_names(f"{tmp_path}/one") == ["train"]
    assert split_names(f"{tmp_path}/several") == ["train", "test"]
    assert sorted(tmp_path.rglob("*")) == before  # nothing is written beside private data


def test_hub_id(hub, repo_id):
    import datasets

    rows = {"image": [Image.fromarray(GREY)] * 3, "age": [50, 61, 72]}
    train = datasets.Dataset.from_dict(
        rows, features=datasets.Features(image=datasets.Image(), age=datasets.Value("int64"))
    )
    datasets.DatasetDict(train=train, test=train.select([2])).push_to_hub(repo_id, private=True)
    assert split_names(repo_id) == ["train", "test"]
    assert list(load_records(repo_id).frame["age"]) == [50, 61, 72]
    assert list(load_records(f"{repo_id}:test").frame["age"]) == [72]
    with pytest.raises(InputError, match="among \\['train', 'test'\\], found 'dev'"):
        load_records(f"{repo_id}:dev")
    with pytest.raises(
        InputError, match=r"found `owner/absent`, which `datasets` cannot load \(DatasetNotFoundError\)"
    ):
        load_records("owner/absent")


def test_local_inputs_ask_no_address(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "owner" / "cohort", ROWS)
    records = load_records("owner/cohort")  # like a Hub id, but it is there
    write_records(records, "owner/parquet")
    assert split_names("owner/parquet") == ["train"]
    load_records("owner/parquet").pixel_values(4)
    for typo in ("owner/cohrot", "./cohort", f"{tmp_path}/cohort", "a/b/c", "cohort.parquet", "~/cohort-of-nobody"):
        with pytest.raises(InputError, match="expected a dataset, found no file or folder `.*`: correct the path"):
            load_records(typo)
    assert hub.requests() == []


def test_temporary_files_are_private_and_go_with_the_records(tmp_path, monkeypatch):
    write_records(load_records(make_folder(tmp_path / "cohort", ROWS)), tmp_path / "parquet")
    shared = sorted(Path(os.environ["HF_HOME"]).rglob("*"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    records = load_records(tmp_path / "parquet").select([1, 2])
    assert split_names(str(tmp_path / "parquet")) == ["train"]
    (cache,) = (tmp_path / "tmp").iterdir()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    gc.collect()
    assert greys(records) == [10, 20]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del records
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
    assert list((tmp_path / "tmp").iterdir()) == []
    load_records(tmp_path / "parquet", cache_dir=tmp_path / "below" / "cache")
    assert stat.S_IMODE((tmp_path / "below" / "cache").stat().st_mode) == 0o700
    assert list((tmp_path / "tmp").iterdir()) == []
    assert sorted(Path(os.environ["HF_HOME"]).rglob("*")) == shared


# --- what is wrong with a dataset ----------------------------------------------------------------------------------


def test_files_and_rows_must_match(tmp_path):
    folder = make_folder(tmp_path / "cohort", ROWS)
    (folder / "a.png").rename(folder / "z.png")
    with open(folder / "metadata.csv", "a") as stream:
        stream.write("b.png,p4,50,M\n../../etc/x.png,p5,50,M\n")
    with pytest.raises(InputError) as error:
        load_records(folder)
    assert str(error.value) == (
        f"expected one image below {folder} for each of the 5 rows of `metadata.csv`, found 3 in all, "
        "rows outside the folder: 1 (../../etc/x.png), rows without a file: 2 (a.png; ../../etc/x.png), "
        "rows named twice: 1 (b.png), images without a row: 1 (z.png)"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file_name,age,age\na.png,1,2\n",
            "expected different column names in {}, found ['age'] more than once: rename",
        ),
        ("name,age\na.png,1\n", "expected a column `file_name` and none named `image` in {}, found ['name', 'age']"),
        (
            "file_name;age\na.png;1\n",
            "expected a column `file_name` and none named `image` in {}, found ['file_name;age']",
        ),
        ("file_name,image\na.png,1\n", "expected a column `file_name` and none named `image` in {}"),
        (
            "file_name,age\na.png,1,2\n",
            "expected 2 cells in every row of {}, found another number in row 1: quote",
        ),
        ("file_name,age\na.png,\xff\n", "expected a readable UTF-8 table, found {}: UnicodeDecodeError"),
        (
            "file_name,age\n",
            "for each of the 0 rows of `metadata.csv`, found 1 in all, images without a row: 1 (a.png)",
        ),
    ],
)
def test_wrong_tables_are_refused(tmp_path, text, message):
    (tmp_path / "a.png").write_bytes(encode(GREY))
    (tmp_path / "metadata.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as error:
        load_records(tmp_path)
    assert message.format(tmp_path / "metadata.csv") in str(error.value)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("repeats", [1, 3])
def test_the_index_of_pandas_is_never_released(tmp_path, suffix, repeats):
    """Issue 13, point 21: a header cell that is empty, `__index_level_0__`, `Unnamed: 0`."""
    names = [f"{number:02}.png" for number in range(30)]
    make_folder(tmp_path / "cohort", [{"file_name": name} for name in names])
    (tmp_path / "cohort" / "metadata.csv").unlink()
    table = pd.DataFrame(
        {"file_name": names, "Unnamed: 0": range(30), "Unnamed: 0.1": range(30), "sex": ["F", "M"] * 15}
    )
    table.index = [number // repeats for number in range(30)]
    getattr(table, "to_csv" if suffix == ".csv" else "to_parquet")(tmp_path / "cohort" / f"metadata{suffix}")
    records = load_records(tmp_path / "cohort")
    index = "" if suffix == ".csv" else "__index_level_0__"
    assert list(records.frame) == ["sex"]
    assert {name for name, column in records.schema.columns.items() if column.role == "id"} == {
        *(index, "Unnamed: 0", "Unnamed: 0.1")
    }
    write_records(records, tmp_path / "out")
    assert list(load_records(tmp_path / "out").frame) == ["sex"]
    if suffix == ".parquet":
        table["image"] = [{"bytes": encode(GREY), "path": None}] * 30
        table.to_parquet(tmp_path / "cohort.parquet")
        assert list(load_records(tmp_path / "cohort.parquet").frame) == ["sex"]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('{"file_name": "b.png", "age": 1, "age": 71717}', "age"),
        ('{"file_name": "b.png", "a": {"k": 1, "k": 71717}}', "k"),
    ],
)
def test_a_json_key_that_is_repeated_is_refused(tmp_path, line, key):
    """Issue 13, point 26: the last of two values was kept without a word."""
    make_folder(tmp_path / "cohort", [{"file_name": "a.png"}, {"file_name": "b.png"}])
    (tmp_path / "cohort" / "metadata.csv").unlink()
    (tmp_path / "cohort" / "metadata.jsonl").write_text(f'{{"file_name": "a.png"}}\n\n{line}\n')
    with pytest.raises(InputError) as error:
        load_records(tmp_path / "cohort")
    assert str(error.value) == (
        f"expected each key once in every object of {tmp_path}/cohort/metadata.jsonl, found `{key}` more than once in "
        "line 3: keep one"
    )


@pytest.mark.parametrize("name", ["labels.csv", "Metadata.csv", "metadata.tsv", "sub/labels.xlsx"])
@pytest.mark.parametrize("split", [".", "train"])
def test_a_table_under_another_name_is_refused(tmp_path, name, split):
    """Issue 13, point 26: such a table was ignored."""
    folder = make_folder(tmp_path / "cohort" / split, [{"file_name": "sub/a.png"}])
    (folder / "metadata.csv").rename(folder / name)
    with pytest.raises(InputError) as error:
        load_records(tmp_path / "cohort")
    assert Path(name).name in str(error.value) and "['metadata.csv', 'metadata.jsonl', 'metadata" in str(error.value)
    assert "rename it, or move away what is no table of these images" in str(error.value)


def test_no_records_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "broken.parquet").write_text("x")
    pq.write_table(pa.table({"age": [1]}), tmp_path / "table.parquet")
    pq.write_table(pa.table({"a": [b"x"], "b": [b"x"]}), tmp_path / "two.parquet")
    for name, message in {
        "empty": "expected records, found none in ",
        "text.txt": "expected a folder, a parquet file or a Hub id, found the file ",
        "broken.parquet": "cannot load (ArrowInvalid): check the name, the files",
        "table.parquet": "expected one column of images in ",
        "two.parquet": "found ['a', 'b'] among ['a', 'b']",
    }.items():
        with pytest.raises(InputError) as error:
            load_records(tmp_path / name)
        assert message in str(error.value)


def test_rows_that_datasets_would_lose_are_told(tmp_path, caplog):
    for name in ("train.parquet", "hospital_b.parquet"):
        pq.write_table(pa.table({"image": [encode(GREY)] * 2}), tmp_path / name)
    with caplog.at_level(logging.WARNING):
        assert len(load_records(tmp_path)) == 2
    assert caplog.messages == [f"`datasets` loads 2 of 4 parquet rows in `{tmp_path}`: name its files alike"]


def test_every_unreadable_image_is_named_in_one_message(tmp_path):
    rows = [{"file_name": f"{number:02}.png"} for number in range(30)]
    folder = make_folder(tmp_path / "cohort", rows)
    (folder / "03.png").write_text("no image")
    (folder / "17.png").write_bytes((folder / "17.png").read_bytes()[:50])
    records = load_records(folder).select(range(1, 30))
    expected = (
        "expected 29 readable images, found 2 that are not (row 3 `03.png`: cannot be decoded "
        "(UnidentifiedImageError); row 17 `17.png`: cannot be decoded (OSError)): fix or remove these records"
    )
    for read_all in (
        records.check_images,
        lambda: records.pixel_values(4),
        lambda: list(records.iter_pixels(4, 1, "pad", 2)),
    ):
        with pytest.raises(InputError) as error:
            read_all()
        assert str(error.value) == expected
    for number in range(30):
        (folder / f"{number:02}.png").write_text("no image")
    with pytest.raises(
        InputError, match="19.png`: cannot be decoded \\(UnidentifiedImageError\\); and 10 more\\): fix"
    ):
        load_records(folder).check_images()


# --- records -------------------------------------------------------------------------------------------------------


def test_the_messy_table(tmp_path):
    """Everything that real tables hold at once: 20 rows."""
    rows = [
        {
            "file_name": f"{number:02}.png",
            "patient_id": ["p1", "p1", "", "", *(f"p{n}" for n in range(16))][number],
            "crp": ["0.5", "inf", "-inf", "<0.1", "> 300", "pending", "NA", "", "n/a", "Unknown", *("12.5",) * 10][
                number
            ],
            "sex": ["M", "m", "F", "female?", *("F",) * 16][number],
            "icu": ["Y", "N", "Not visible", *("N",) * 17][number],
            "stage": ["IV", "rare", *("I",) * 18][number],
            "scanner": "same",
            "comment": f"patient {number} was seen, doing well",
            "empty": "",
        }
        for number in range(20)
    ]
    records = load_records(make_folder(tmp_path / "cohort", rows), targets=["icu"])
    assert records.unread == {"crp": ["pending"], "icu": ["Not visible"]}
    assert {name: column.kind for name, column in records.schema.table.items()} == {
        **{"crp": "numeric", "sex": "categorical", "icu": "boolean", "stage": "categorical", "scanner": "categorical"},
        "comment": "categorical",
    }
    nan, inf = np.nan, np.inf
    np.testing.assert_array_equal(records.frame["crp"], [0.5, inf, -inf, -inf, inf, *[nan] * 5, *[12.5] * 10])
    assert list(records.frame["icu"][:4]) == [True, False, None, False]
    assert records.groups.tolist() == [0, 0, 1, 2, 3, 0, *range(4, 18)]  # p0, p1 (again), p2, ...
    assert records.schema.targets == ["icu"]


def test_a_schema_file_or_schema_wins(tmp_path):
    folder = make_folder(tmp_path / "cohort", ROWS)
    (tmp_path / "schema.yaml").write_text("columns: {age: {kind: categorical}, patient_id: {role: id}}\n")
    records = load_records(folder, tmp_path / "schema.yaml", targets=["sex"])
    assert records.schema.columns["age"].categories == ["61", "62"]
    assert records.groups.tolist() == [0, 1, 2] and records.schema.targets == ["sex"]
    records = load_records(folder, {"columns": {"age": {"unit": "years"}}, "missing_values": ["p1"]})
    assert records.schema.columns["age"].unit == "years"
    assert records.groups.tolist() == [0, 1, 2]  # no patient is called p1 now
    schema = RecordSchema.from_dict({"columns": {"image": {"role": "image"}, "age": {"kind": "numeric"}}})
    records = load_records(folder, schema)
    assert records.schema is schema and list(records.frame) == ["age"]
    with pytest.raises(InputError, match="expected `targets` among \\['age'\\], found \\['sex'\\]"):
        load_records(folder, schema, targets=["sex"])


def test_equal_images_are_equal_whatever_size_they_had(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 300, 300)).astype(np.uint8)
    for name, images in (("large", noise), ("small", [resize(image, 64) for image in noise])):
        (tmp_path / name).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{number}.png")
    large, small = (load_records(str(tmp_path / name)) for name in ("large", "small"))
    np.testing.assert_array_equal(large.pixel_values(32, by_way_of=64), small.pixel_values(32))
    assert (large.pixel_values(32) != small.pixel_values(32)).any()


def test_datasets_with_files_in_common(tmp_path):
    for name in ("a/train", "b"):
        (tmp_path / name).mkdir(parents=True)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    for other in (a, f"{a}:train", f"{a}/train", f"{b}/../a"):
        assert overlap(a, other) and overlap(other, a)
    assert not overlap(a, b) and not overlap(a, "owner/name")
    assert overlap("owner/name:train", "owner/name") and not overlap("owner/name", "owner/other")


def test_select_and_iterate(tmp_path):
    records = load_records(make_folder(tmp_path / "cohort", ROWS))
    chosen = records.select([2, 0])
    assert greys(chosen) == [20, 0]
    assert list(chosen.frame["age"]) == [62, 61] and chosen.groups.tolist() == [0, 0]
    assert list(chosen.frame.index) == [0, 1] and list(chosen.raw.index) == [2, 0]
    batches = list(records.iter_pixels(5, channels=3, fit="pad", batch_size=2))
    assert [batch.shape for batch in batches] == [(2, 5, 5, 3), (1, 5, 5, 3)]
    np.testing.assert_array_equal(np.concatenate(batches), records.pixel_values(5, 3, "pad"))
    listed = type(records)(
        list(records.images), *(getattr(records, n) for n in ("frame", "groups", "schema", "unread", "raw"))
    )
    assert greys(listed.select(np.array([1]))) == [10]


def test_patients_are_joined_by_their_images():
    images = [b"a", b"b", b"b", b"c", b"c", b"d", b"d", None, None]
    patients = np.array([4, 4, 3, 3, 1, 0, 0, 2, 5])  # 4, 3 and 1 in a chain; 0 alone; nobody by a blank image
    joined = join_equal_images(patients, images)
    assert len(set(joined[:5])) == 1 and joined[5:].tolist() == [0, 0, 2, 5] and joined[0] in (1, 3, 4)
    assert (join_equal_images(patients, [None] * 9) == patients).all()


def test_split_by_patient():
    groups = np.repeat(np.arange(100), 3)
    splits = split_by_patient(groups, test=0.25, validation=0.1, seed=1)
    assert list(splits) == ["train", "validation", "test"]
    assert {name: len(np.unique(groups[rows])) for name, rows in splits.items()} == {
        "train": 65,
        "validation": 10,
        "test": 25,
    }
    assert sorted(np.concatenate(list(splits.values()))) == list(range(300))
    assert not set(groups[splits["train"]]) & set(groups[splits["test"]])
    again = split_by_patient(groups, test=0.25, validation=0.1, seed=1)
    assert all(np.array_equal(splits[name], again[name]) for name in splits)
    assert not np.array_equal(splits["test"], split_by_patient(groups, seed=2)["test"])
    assert list(split_by_patient(groups, test=0, validation=0.1)) == ["train", "validation"]
    assert {name: len(rows) for name, rows in split_by_patient(np.arange(3)).items()} == dict.fromkeys(splits, 1)


@pytest.mark.parametrize(("test", "validation"), [(0.8, 0.2), (-0.1, 0.1), (1.5, 0), (float("nan"), 0)])
def test_impossible_shares(test, validation):
    with pytest.raises(InputError, match="expected shares `test` and `validation` of at least 0, together below 1"):
        split_by_patient(np.arange(10), test, validation)


def test_too_few_patients_to_split():
    with pytest.raises(InputError, match="expected at least 3 patients to split, found 2"):
        split_by_patient(np.array([0, 0, 0, 1]))


def test_written_records_are_read_back(tmp_path):
    rows = [{**row, "file_name": f"sub/{row['file_name']}"} for row in ROWS]
    records = load_records(make_folder(tmp_path / "cohort", rows))
    write_records(records, tmp_path / "out" / "split", {"train": [2, 0], "test": np.array([1])})
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")) == [
        *("split", "split/data", "split/data/test-00000-of-00001.parquet", "split/data/train-00000-of-00001.parquet"),
        "split/schema.json",
    ]
    assert stat.S_IMODE((tmp_path / "out" / "split").stat().st_mode) == 0o700
    train = load_records(tmp_path / "out" / "split")
    pd.testing.assert_frame_equal(train.raw, records.raw.iloc[[2, 0]].reset_index(drop=True))
    assert greys(train) == [20, 0] and train.groups.tolist() == [0, 0]
    test = load_records(f"{tmp_path / 'out' / 'split'}:test")
    assert test.images[0] == {"bytes": (tmp_path / "cohort/sub/b.png").read_bytes(), "path": "b.png"}
    write_records(train, tmp_path / "again")
    assert load_records(tmp_path / "again").raw.equals(train.raw)


def test_typed_and_mixed_cells_are_written(tmp_path):
    make_folder(tmp_path / "cohort", [{"file_name": "a.png"}, {"file_name": "b.png"}, {"file_name": "c.png"}])
    (tmp_path / "cohort" / "metadata.csv").unlink()
    lines = [
        {"file_name": "a.png", "n": 5, "tags": ["x", "y"], "mixed": 5, "ok": True},
        {"file_name": "b.png", "tags": [], "mixed": "five", "ok": False},
        {"file_name": "c.png", "n": None, "tags": None, "mixed": None},
    ]
    (tmp_path / "cohort" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    records = load_records(tmp_path / "cohort")
    assert records.raw.to_dict("list") == {
        **{
            "n": [5, None, None],
            "tags": [["x", "y"], [], None],
            "mixed": ["5", "five", None],
            "ok": [True, False, None],
        }
    }
    write_records(records, tmp_path / "out")
    again = load_records(tmp_path / "out")
    assert again.raw.to_dict("list") == records.raw.to_dict("list")
    assert again.schema == records.schema


def test_only_lists_of_text_are_labels(tmp_path, caplog):
    """Issue 13, point 24: an embedding of 64 numbers became 3,840 labels, a struct a set of its keys."""
    rows = [{"file_name": f"{number:02}.png"} for number in range(60)]
    make_folder(tmp_path / "cohort", rows)
    (tmp_path / "cohort" / "metadata.csv").unlink()
    rng = np.random.default_rng(0)
    lines = [
        {
            **row,
            "embedding": rng.normal(size=64).tolist(),
            "pressure": rng.normal(100, 9, 2).round(1).tolist() if number else [],
            "patient": {"id": f"p{number}", "vitals": {"pulse": number % 40 + 0.5, "sex": "FM"[number % 2]}},
            "orders": [{"drug": "a", "dose": number}],
            "visits": [number] * (number % 3 + 1),
            "signs": ["a", "b"] if number % 2 else ["b"],
            "words": [f"word {number} {place}" for place in range(5)],
        }
        for number, row in enumerate(rows)
    ]
    (tmp_path / "cohort" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with caplog.at_level(logging.INFO):
        records = load_records(tmp_path / "cohort")
    kinds = {name: column.kind for name, column in records.schema.table.items()}
    assert kinds == {
        **{"pressure_0": "numeric", "pressure_1": "numeric", "patient_vitals_pulse": "numeric"},
        **{"patient_vitals_sex": "categorical", "signs": "multi-label"},
    }
    assert records.schema.group_column == "patient_id" and np.isnan(records.frame["pressure_1"][0])
    several = "lists of numbers: give each part a column of its own, or as many of them, up to 16, in each"
    assert {name: column.note for name, column in records.schema.columns.items() if column.note} == {
        **{"embedding": several, "visits": several, "words": "300 different labels, more than 200"},
        "orders": "lists of structures: give each part a column of its own",
    }
    assert "`pressure` holds several values a cell: read as the columns ['pressure_0', 'pressure_1']" in caplog.text
    write_records(records, tmp_path / "out")
    again = load_records(tmp_path / "out")
    assert again.schema == records.schema and again.raw.to_dict("list") == records.raw.to_dict("list")


def test_nothing_half_written_is_left(tmp_path):
    folder = make_folder(tmp_path / "cohort", ROWS)
    records = load_records(folder)
    (folder / "c.png").unlink()
    with pytest.raises(InputError, match="cannot be opened"):
        write_records(records, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]


def test_only_a_new_or_empty_folder_is_written_to(tmp_path):
    records = load_records(make_folder(tmp_path / "cohort", ROWS))
    (tmp_path / "empty").mkdir()
    write_records(records, tmp_path / "empty")
    assert stat.S_IMODE((tmp_path / "empty").stat().st_mode) == 0o700
    with pytest.raises(InputError, match="expected a new or empty folder as `output_dir`, found files at .*empty"):
        write_records(records, tmp_path / "empty")


def test_large_splits_have_small_row_groups(tmp_path):
    rows = [{"file_name": f"{number}.png", "n": number} for number in range(230)]
    write_records(load_records(make_folder(tmp_path / "cohort", rows)), tmp_path / "out")
    written = pq.ParquetFile(tmp_path / "out" / "data" / "train-00000-of-00001.parquet")
    assert [written.metadata.row_group(number).num_rows for number in range(written.num_row_groups)] == [100, 100, 30]
