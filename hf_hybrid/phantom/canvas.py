"""The canvas of a phantom: chest coordinates of the pixels, and the primitives that draw on them."""

import functools
import math

import numpy as np
from scipy.ndimage import gaussian_filter

from hf_hybrid.phantom.parameters import ImageParameters

THORAX = 0.385  # half of the widest inner thorax, as a share of the image side
# A table of the heights or widths at which an outline is looked up, and the window that rounds its corners.
_PER_UNIT = 1024
_LOOKUP = np.arange(-0.75, 1.75, 1 / _PER_UNIT).astype(np.float32)
_ROUNDING = (np.hanning(33)[1:-1] / np.hanning(33).sum()).astype(np.float32)


class Canvas:
    """Chest coordinates of the pixels, as float32 squares, and the drawing primitives.

    `x` runs from the midline to the patient's left (right in the image), `across` is its absolute value, `y` runs
    down from the top edge. `apex` and `base` are the heights of the lung tops and of the costophrenic angles.
    """

    def __init__(self, parameters: ImageParameters, resolution: int, rng: np.random.Generator):
        self.resolution = resolution
        self.pixel = 1.0 / (resolution * parameters.zoom)
        angle = math.radians(parameters.rotation)
        # Image = turn @ chest + shift, about the image centre: pixels are mapped backwards, strokes forwards.
        self.turn = parameters.zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self.shift = np.array([parameters.shift_x, parameters.shift_y])
        centre = (np.arange(resolution) + 0.5) / resolution - 0.5
        image = np.stack(np.meshgrid(centre, centre)) - self.shift[:, None, None]
        self.x, self.y = np.tensordot(np.linalg.inv(self.turn), image, 1).astype(np.float32)
        # Individual shape: the coordinates are bent smoothly, by a fraction of a rib.
        self.x += 0.028 * self.texture(rng, 7)
        self.y += 0.5 + 0.028 * self.texture(rng, 7)
        self.across = np.abs(self.x)
        self.apex = 0.14 if parameters.anteroposterior else 0.115
        self.base = 0.80 + 0.045 * parameters.inflation

    def outline(self, shares: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """Knots (`y`, half width) from shares of the lung height, 0 the top, and of half the thorax."""
        return [(self.apex + depth * (self.base - self.apex), THORAX * share) for depth, share in shares]

    def inside(self, clearance: np.ndarray, softness: float = 0.0) -> np.ndarray:
        """Share of every pixel inside an outline: 1 where the signed distance `clearance` is well above 0."""
        step = clearance / math.hypot(1.5 * self.pixel, softness)
        step += 0.5
        np.clip(step, 0, 1, out=step)
        share = 3 - 2 * step
        share *= step
        share *= step
        return share

    def texture(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """A smooth random field: cubic spline through about `size` independent normal values a side."""
        field = rng.standard_normal((size, size)).astype(np.float32)
        for _ in ("rows", "columns"):
            taps = zip(*_spline(self.resolution, size), strict=True)
            field = sum(weight[:, None] * field[index] for index, weight in taps).T.copy()
        return field

    def strokes(self, points: np.ndarray, brightness: np.ndarray, width: float) -> np.ndarray:
        """Lines with a Gaussian profile.

        Args:
            points: `(lines, steps, 2)` chest coordinates.
            brightness: In the middle of a line, broadcast to `(lines, steps)`.
            width: Standard deviation across a line.
        """
        length = np.linalg.norm(np.diff(points, axis=1, append=points[:, -1:]), axis=-1)
        # A line keeps its integral at every resolution: brightness x length x integral of the profile / pixel area.
        mass = (brightness * length * (width * math.sqrt(2 * math.pi) / self.pixel**2)).ravel()
        position = ((points - [0, 0.5]).reshape(-1, 2) @ self.turn.T + self.shift + 0.5) * self.resolution
        position = np.clip(position + 0.5, 0, self.resolution + 0.999)  # points outside go to a margin of one pixel
        corner = position.astype(int)
        (right, down), side = (position - corner).T, self.resolution + 2
        first = corner[:, 1] * side + corner[:, 0]
        pixels = np.concatenate([first, first + 1, first + side, first + side + 1])
        shares = np.concatenate([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down])
        image = np.bincount(pixels, shares * np.tile(mass, 4), side * side).reshape(side, side)[1:-1, 1:-1]
        return gaussian_filter(image.astype(np.float32), width / self.pixel, truncate=3)


def signed_distance(knots: list[tuple[float, float]], along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Signed distance to the polygon `across = f(along)` with rounded corners, positive where `across` is smaller."""
    where, value = np.array(knots).T
    curve = np.convolve(np.interp(_LOOKUP, where, value).astype(np.float32), _ROUNDING, "same")
    cosine = np.ones_like(curve)
    cosine[1:-1] = 1 / np.hypot(1, (curve[2:] - curve[:-2]) * _PER_UNIT / 2)
    index = ((along - _LOOKUP[0]) * _PER_UNIT + 0.5).astype(np.intp)
    distance = curve.take(index, mode="clip")
    distance -= across
    distance *= cosine.take(index, mode="clip")
    return distance


@functools.lru_cache
def _spline(resolution: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """For `resolution` pixels in a row, the four of `size` values they depend on and their cubic B-spline weights."""
    position = (np.arange(resolution) + 0.5) / resolution * (size - 3) + 1
    index = position.astype(int) + np.arange(-1, 3)[:, None]
    distance = np.abs(position - index)
    near, far = 2 / 3 - distance**2 + distance**3 / 2, np.clip(2 - distance, 0, None) ** 3 / 6
    return index, np.where(distance < 1, near, far).astype(np.float32)
