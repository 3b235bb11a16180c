"""What stands in published files once they are decoded."""

import base64
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from example_folders import make_pipeline, make_release, png
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hf_hybrid.hub.audit import find_leaks

CANARY = "Zyxwvut-4711"
PRIVATE = "1 names or texts of the private records"


def png_with(text: str) -> bytes:
    info, stream = PngInfo(), io.BytesIO()
    info.add_text("Comment", text, zip=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def png_with_exif() -> bytes:
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x010E] = CANARY
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(stream, "PNG", exif=exif)
    return stream.getvalue()


def records(images: list[dict], **columns) -> bytes:
    stream = io.BytesIO()
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(images, kind), **columns}), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "a.json",
            json.dumps({"x": [f"seen by {CANARY} today"]}).encode(),
            {PRIVATE},
        ),
        ("a.json", json.dumps({"x": "Zyxwvut é"}).encode(), {PRIVATE}),
        ("a.md", CANARY.encode(), {PRIVATE}),
        ("a.md", b"made in /home/somebody/x", {"a path of a private machine"}),
        ("a.json", b'{"made": "2026-11-02T10:11:12"}', {"a time"}),
        (
            "a.html",
            b'<img src="data:image/png;base64,' + base64.b64encode(png_with(CANARY)) + b'">',
            {PRIVATE, "an image with more than pixels (zTXt)"},
        ),
        ("a.png", png_with("nothing"), {"an image with more than pixels (zTXt)"}),
        (
            "a.png",
            png_with_exif(),
            {PRIVATE, "an image with more than pixels (eXIf)"},
        ),
        (
            "a.parquet",
            records([{"bytes": png(), "path": f"{CANARY}.png"}]),
            {"file names of images", PRIVATE},
        ),
        (
            "a.parquet",
            records([{"bytes": png_with(CANARY), "path": None}]),
            {PRIVATE, "an image with more than pixels (zTXt)"},
        ),
        (
            "a.parquet",
            records([{"bytes": png(), "path": None}], note=pa.array([CANARY])),
            {PRIVATE},
        ),
        ("a.parquet", records([{"bytes": b"\xff\xd8\xff", "path": None}]), {"an image that is no PNG"}),
        ("a.parquet", records([], note=pa.array([CANARY]).dictionary_encode()[:0]), set()),
        ("a.parquet", records([None], note=pa.array([CANARY]).dictionary_encode()), {PRIVATE}),
        ("a.parquet", records([None], note=pa.array([["x", CANARY]])), {PRIVATE}),
        ("a.parquet", records([None], note=pa.array([CANARY.encode()])), {PRIVATE}),
        ("a.md", f"see {CANARY}.dcm".encode(), {PRIVATE}),
        ("a.md", f"see scan_{CANARY}_1.".encode(), {PRIVATE}),
        ("a.md", f"x{CANARY}".encode(), set()),
    ],
)
def test_what_must_not_be_published_is_found(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    private = [CANARY, "Zyxwvut é"]
    found = set(find_leaks(tmp_path, [name], private))
    assert found == {f"{name} holds {what}" for what in expected}
    assert CANARY not in str(found)


def test_weights_are_looked_through(tmp_path):
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros(3)}, tmp_path / "a.safetensors", metadata={"who": CANARY})
    assert find_leaks(tmp_path, ["a.safetensors"], [CANARY])


@pytest.mark.parametrize("make", [make_release, make_pipeline])
def test_what_we_publish_holds_nothing_of_it(tmp_path, make):
    folder = make(tmp_path / "folder")
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert find_leaks(folder, names, [CANARY, "patient-0001"]) == []


def test_short_strings_stand_anywhere_by_chance(tmp_path):
    (tmp_path / "a.md").write_text("1234 and patients")
    assert find_leaks(tmp_path, ["a.md"], ["1234", "patient"]) == []
