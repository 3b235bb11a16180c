"""The decoded contents of the files of a folder: text, names, and what images hold besides pixels."""

import base64
import html
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

MIN_LENGTH = 5  # minimum length of a string to search for: shorter ones occur by chance
# Pixels, and a few numbers for displaying them.
_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"pHYs", b"gAMA", b"sRGB", b"cHRM", b"sBIT"}
_DATA_URI = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")
_TELLTALE = {
    "a path of a private machine": re.compile(r"(?<![\w.:/-])(/home/|/Users/|/root/|/mnt/|/tmp/|[A-Z]:\\)\w"),
    "a time": re.compile(r"\b(19|20)\d\d-[01]\d-[0-3]\d[T ][0-2]\d:[0-5]\d"),
}


def find_leaks(folder: str | Path, names: Iterable[str], private: Iterable[str] = ()) -> list[str]:
    """Searches decoded files for what must not be published.

    Args:
        folder: folder of the files.
        names: relative paths of the files to search.
        private: strings that must not occur in them; those shorter than `MIN_LENGTH` are ignored.

    Returns:
        One sentence per finding, without the private string itself.
    """
    wanted = {text for text in private if len(text) >= MIN_LENGTH}
    leaks = []
    for name in names:
        found = set()
        text = "\n".join(texts(Path(folder) / name, found))
        found |= {what for what, pattern in _TELLTALE.items() if pattern.search(text)}
        # Not as part of a longer word: "norman" in "normandy".
        seen = [one for one in wanted if one in text and re.search(rf"(?<![^\W_]){re.escape(one)}(?![^\W_])", text)]
        if seen:
            found.add(f"{len(seen)} names or texts of the private records")
        leaks += [f"{name} holds {what}" for what in sorted(found)]
    return leaks


def texts(path: Path, found: set[str]) -> Iterator[str]:
    """All text of a file; images in it that hold more than pixels are added to `found`."""
    if path.suffix == ".parquet":
        yield from _parquet_texts(path, found)
    elif path.suffix == ".png":
        yield from _image_texts(path.read_bytes(), found)
    elif path.suffix == ".safetensors":
        with path.open("rb") as file:
            yield file.read(int.from_bytes(file.read(8), "little")).decode()
    else:
        text = path.read_text(encoding="utf-8")
        for encoded in _DATA_URI.findall(text):
            yield from _image_texts(base64.b64decode(encoded), found)
        text = _DATA_URI.sub("", text)
        if path.suffix == ".json":
            yield "\n".join(_strings(json.loads(text)))
        elif path.suffix == ".md":
            yield text
            yield re.sub(r"\\(.)", r"\1", text)  # without escape characters
        else:
            yield html.unescape(text)


def _strings(facts: object) -> Iterator[str]:
    """Every text in nested facts, and numbers as text."""
    if isinstance(facts, dict):
        for key, value in facts.items():
            yield key
            yield from _strings(value)
    elif isinstance(facts, list):
        for value in facts:
            yield from _strings(value)
    else:
        yield str(facts)


def _parquet_texts(path: Path, found: set[str]) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        yield " ".join(schema.names)
        for field in schema:
            yield from (text.decode(errors="replace") for pair in (field.metadata or {}).items() for text in pair)
        for key, value in (file.metadata.metadata or {}).items():
            if key != b"ARROW:schema":  # the schema once more, in bytes
                yield f"{key.decode(errors='replace')} {value.decode(errors='replace')}"
        for batch in file.iter_batches(batch_size=64):
            for column in batch.columns:
                if pa.types.is_struct(column.type):
                    for cell in column.to_pylist():
                        if cell and cell.get("path"):
                            found.add("file names of images")
                            yield cell["path"]
                        if cell and cell.get("bytes"):
                            yield from _image_texts(cell["bytes"], found)
                else:
                    yield from _cell_texts(column)


def _cell_texts(column: pa.Array) -> Iterator[str]:
    while pa.types.is_dictionary(column.type) or pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column.flatten()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        yield from (cell for cell in column.to_pylist() if cell)
    elif pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        yield from (cell.decode("latin-1") for cell in column.to_pylist() if cell)


def _image_texts(data: bytes, found: set[str]) -> Iterator[str]:
    if not data.startswith(b"\x89PNG"):
        found.add("an image that is no PNG")
        return
    place = 8
    while place < len(data):
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind not in _PIXEL_CHUNKS:
            found.add(f"an image with more than pixels ({kind.decode(errors='replace')})")
            yield data[place + 8 : place + 8 + size].decode("latin-1")
        place += 12 + size
    if place > len(data):
        found.add("a broken image")
    with Image.open(io.BytesIO(data)) as image:
        yield " ".join(f"{key} {value}" for key, value in image.info.items())
