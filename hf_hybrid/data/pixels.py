"""Conversion of pixels between 8-bit images, tensors in [-1, 1] and PNG files."""

import io

import numpy as np
import torch
from PIL import Image


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """8-bit `(batch, height, width[, channels])` -> `(batch, channels, height, width)` in [-1, 1]."""
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_uint8(pixel_values: torch.Tensor) -> np.ndarray:
    """`(batch, channels, height, width)` in [-1, 1] -> 8-bit `(batch, height, width[, 3])`."""
    pixels = (pixel_values.detach().float().clamp(-1, 1) + 1).mul(127.5).round().to(torch.uint8)
    pixels = pixels.permute(0, 2, 3, 1).cpu().numpy()
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG of one 8-bit image without metadata: no text chunk, no EXIF, no name."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def image_grid(pixels: np.ndarray, columns: int = 8) -> np.ndarray:
    """8-bit images `(n, height, width[, 3])` side by side, row by row, on black; n need not fill the last row."""
    count, height, width = pixels.shape[:3]
    rows = -(-count // columns)
    grid = np.zeros((rows * height, columns * width, *pixels.shape[3:]), dtype=np.uint8)
    for index, image in enumerate(pixels):
        top, left = index // columns * height, index % columns * width
        grid[top : top + height, left : left + width] = image
    return grid
