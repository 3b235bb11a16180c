"""Raw image cells to 8-bit pixels: greyscale, colour, palette, 1-bit and 16-bit files, and DICOM."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from hf_hybrid.core.errors import InputError
from hf_hybrid.data.quiet import quiet_libraries

FITS = ("crop", "pad")
RangeOf = Callable[[np.ndarray, bool], tuple[float, float]]  # see `own_range`
SEVERAL_FRAMES = "several frames in one file: give one image a record"

# Nothing else of a DICOM file is even parsed: names and dates of the header stay out of warnings and logs.
_DICOM_TAGS = """
    SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns BitsAllocated BitsStored
    HighBit PixelRepresentation BurnedInAnnotation WindowCenter WindowWidth VOILUTFunction RescaleIntercept
    RescaleSlope ModalityLUTSequence VOILUTSequence
    RedPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableDescriptor
    BluePaletteColorLookupTableDescriptor RedPaletteColorLookupTableData GreenPaletteColorLookupTableData
    BluePaletteColorLookupTableData ExtendedOffsetTable ExtendedOffsetTableLengths PixelData
""".split()


class UnreadableImage(InputError):
    """One image that cannot be read; the message is the reason alone."""


@dataclass
class DecodedImage:
    """An image in memory.

    Args:
        pixels: `(height, width)` or `(height, width, 3)`, 8-bit.
        mode: how the file stores them: Pillow's mode ("L", "I;16", "P", ...) or DICOM's photometric interpretation.
        burned_in: whether the DICOM header says that text is burned into the pixels.
        is_scaled: whether a range of grey values above 8 bits became 0 to 255.
    """

    pixels: np.ndarray
    mode: str
    burned_in: bool = False
    is_scaled: bool = False


def read_image(cell: dict, channels: int = 1) -> np.ndarray:
    """Pixels of a raw image cell.

    Args:
        cell: `{"bytes": ..., "path": ...}`, as an `Image(decode=False)` column of `datasets` holds it.
        channels: 1 (colours become their luminance) or 3 (grey is repeated).

    Returns:
        8-bit `(height, width)` or `(height, width, 3)`, upright, transparency on black. Grey values above 8 bits are
        scaled by the window of a DICOM file or by `own_range`; `Records` scale them by one range for all images.

    Raises:
        UnreadableImage: there is no such file, or it is no single image with 1 to 16 bits.
        InputError: `channels` is not 1 or 3, or a DICOM file cannot be read without the extra `dicom`.
    """
    return decode_image(cell, channels).pixels


def decode_image(cell: dict, channels: int = 1, range_of: RangeOf | None = None) -> DecodedImage:
    """Like `read_image`, with what the file says about its pixels.

    Args:
        cell: see `read_image`.
        channels: likewise.
        range_of: like `own_range`, which it is by default; called for grey values above 8 bits without a window.
    """
    range_of = range_of or own_range
    if channels not in (1, 3):
        raise InputError(f"expected `channels` 1 or 3, found {channels}")
    data = image_bytes(cell)
    is_dicom = data[128:132] == b"DICM" or str(cell["path"]).lower().endswith((".dcm", ".dicom"))
    if is_dicom:
        _check_pydicom()
    try:
        with quiet_libraries():
            decode = _decode_dicom if is_dicom else _decode_pillow
            return decode(data, channels, range_of)
    except InputError:
        raise
    except Exception as error:  # both libraries raise every kind of error for a broken file, some with its contents
        raise UnreadableImage(f"cannot be decoded ({type(error).__name__})") from None


def own_range(values: np.ndarray, is_depth: bool) -> tuple[float, float]:
    """The range of grey values of one image that becomes 0 to 255.

    Args:
        values: the grey values.
        is_depth: whether they are whole numbers from 0 of an unknown depth, and not those of a DICOM file.
    """
    return (0.0, float(highest_of_depth(values.max()))) if is_depth else (float(values.min()), float(values.max()))


def highest_of_depth(value: float) -> int | None:
    """The highest value of the smallest of 8, 10, 12, 14 and 16 bits that holds a value; None if none does."""
    return next((2**bits - 1 for bits in (8, 10, 12, 14, 16) if value < 2**bits), None)


def image_bytes(cell: dict) -> bytes:
    """The image file that a raw cell holds or points to.

    Raises:
        UnreadableImage: there is none.
    """
    if cell is None or (cell["bytes"] is None and cell["path"] is None):
        raise UnreadableImage("no image")
    if cell["bytes"] is not None:
        return cell["bytes"]
    try:
        if "://" in cell["path"]:  # a file inside an archive of a Hub dataset
            import fsspec

            with fsspec.open(cell["path"], "rb") as stream:
                return stream.read()
        return Path(cell["path"]).read_bytes()
    except OSError as error:
        raise UnreadableImage(f"cannot be opened ({type(error).__name__})") from None


def resize(image: np.ndarray, resolution: int, fit: str = "crop") -> np.ndarray:
    """A square image with the aspect kept: cropped to the middle, or padded with black.

    Args:
        image: 8-bit `(height, width)` or `(height, width, 3)`.
        resolution: side of the result in pixels.
        fit: "crop" or "pad".

    Raises:
        InputError: `resolution` is below 1, or `fit` is unknown.
    """
    if resolution < 1:
        raise InputError(f"expected `resolution` of at least 1, found {resolution}")
    if fit not in FITS:
        raise InputError(f"expected `fit` among {list(FITS)}, found {fit!r}")
    to_square = ImageOps.fit if fit == "crop" else ImageOps.pad
    return np.asarray(to_square(Image.fromarray(image), (resolution, resolution), Image.Resampling.LANCZOS))


def grey_squares(images: Iterable[np.ndarray], resolution: int) -> np.ndarray:
    """Square 8-bit images, grey or RGB, as grey ones of one size, `(n, resolution, resolution)`."""
    grey = (one if one.ndim == 2 else np.asarray(Image.fromarray(one).convert("L")) for one in images)
    return np.stack([resize(one, resolution) for one in grey])


def _decode_pillow(data: bytes, channels: int, range_of: RangeOf) -> DecodedImage:
    with Image.open(io.BytesIO(data)) as image:
        mode = image.mode
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # MPO: a photograph with its preview
            raise UnreadableImage(SEVERAL_FRAMES)
        if mode == "F":
            raise UnreadableImage("floating-point grey values: save it with 8 or 16 bits")
        upright = ImageOps.exif_transpose(image)
    if mode.startswith("I"):
        pixels = _from_high_depth(np.asarray(upright), range_of)
        return DecodedImage(_to_channels(pixels, channels), mode, is_scaled=True)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "black"), upright)
    return DecodedImage(np.asarray(upright.convert("L" if channels == 1 else "RGB")), mode)


def _from_high_depth(values: np.ndarray, range_of: RangeOf) -> np.ndarray:
    if highest_of_depth(values.max()) is None or values.min() < 0:
        raise UnreadableImage("grey values outside 0 to 65535: save it with 8 or 16 bits")
    _, highest = range_of(values, True)
    return np.rint(values.astype(np.float32) * (255 / highest)).astype(np.uint8)


def _to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    if (pixels.ndim == 3) == (channels == 3):
        return pixels
    return np.asarray(Image.fromarray(pixels).convert("L" if channels == 1 else "RGB"))


def _check_pydicom() -> None:
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise InputError("expected pydicom to read DICOM files, found none: pip install hf_hybrid[dicom]") from None


def _decode_dicom(data: bytes, channels: int, range_of: RangeOf) -> DecodedImage:
    import pydicom
    from pydicom.pixels import apply_color_lut, pixel_array

    dataset = pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=_DICOM_TAGS)
    if "PixelData" not in dataset:
        raise UnreadableImage("a DICOM file without pixels")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise UnreadableImage(SEVERAL_FRAMES)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    mode, is_scaled = dataset.PhotometricInterpretation, False
    try:
        stored = pixel_array(dataset)
    except RuntimeError:
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise UnreadableImage(f"compressed as {syntax}: install a pydicom plugin for it, e.g. pylibjpeg") from None
    if mode.startswith("MONOCHROME"):
        grey, is_scaled = _window(stored, dataset, range_of)
        pixels = 255 - grey if mode == "MONOCHROME1" else grey
    elif mode == "PALETTE COLOR":
        colours = apply_color_lut(stored, dataset)
        pixels = np.rint(colours / np.iinfo(colours.dtype).max * 255).astype(np.uint8)
    else:
        pixels = np.rint(stored / (2**dataset.BitsStored - 1) * 255).astype(np.uint8)
    burned_in = str(dataset.get("BurnedInAnnotation", "")).upper() == "YES"
    return DecodedImage(_to_channels(pixels, channels), mode, burned_in, is_scaled)


def _window(stored: np.ndarray, dataset, range_of: RangeOf) -> tuple[np.ndarray, bool]:
    """8-bit grey values, and whether `range_of` scaled them: modality rescale, then the VOI table, window or range."""
    from pydicom.pixels import apply_modality_lut, apply_windowing

    values, is_scaled = apply_modality_lut(stored, dataset), False
    widths = np.atleast_1d(dataset.get("WindowWidth") or 0)
    if dataset.get("VOILUTSequence"):
        # Not by pydicom's `apply_voi`, which counts the entries of an 8-bit table in 8 bits.
        table = dataset.VOILUTSequence[0]
        (entries, first, depth), data = table.LUTDescriptor, table.LUTData
        if isinstance(data, bytes):
            data = np.frombuffer(data, np.uint8 if len(data) < 2 * (entries or 2**16) else np.uint16)
        lowest, highest = 0, 2**depth - 1
        values = np.asarray(data)[np.clip(np.rint(values).astype(np.int64) - first, 0, len(data) - 1)]
    elif widths[0] >= 1 and dataset.get("WindowCenter") not in (None, ""):
        lowest, highest = apply_windowing(np.array([-np.inf, np.inf]), dataset)  # the range that a window maps to
        values = apply_windowing(values, dataset)
    elif dataset.BitsStored <= 8 and dataset.PixelRepresentation == 0 and np.array_equal(values, stored):
        lowest, highest = 0, 2**dataset.BitsStored - 1
    else:
        (lowest, highest), is_scaled = range_of(values, False), True
    return np.rint(np.clip((values - lowest) / ((highest - lowest) or 1), 0, 1) * 255).astype(np.uint8), is_scaled
