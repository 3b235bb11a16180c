"""A frontal chest radiograph drawn from parameters: geometry and grey scale of real ones, no model of radiology."""

import dataclasses
import functools
import math

import numpy as np
from scipy.ndimage import gaussian_filter

from hf_hybrid.core.errors import InputError

_RESOLUTIONS = (32, 512)


@dataclasses.dataclass(frozen=True)
class ImageParameters:
    """What one image shows; the defaults are a healthy adult, posteroanterior view.

    Attributes:
        anteroposterior: AP view, at the bedside: shoulder blades over the lungs, low lung tops. PA otherwise.
        heart_width: Cardiothoracic ratio, the widest heart over the widest inner thorax, 0.3 to 0.7.
        inflation: -1 (shallow breath, high domes) to 1.5 (hyperinflated, low and flat domes).
        soft_tissue: Thickness of the chest wall, 0 (thin) to 1 (obese).
        breast: Size of the breast shadows, 0 (none) to 1.
        bone_density: Brightness of the bones, 0 to 1.
        aortic_knob: Prominence of the aortic arch, 0 to 1.
        opacity_extent: Share of the lung area with opacities, 0 to 1.
        opacity_density: Share of the air that an opacity replaces, 0 to 1 (consolidation).
        endotracheal_tube: Draw it, together with a stomach tube.
        central_line: Draw a central venous line.
        electrodes: Number of electrocardiogram electrodes with their leads, 0 to 5.
        marker: Draw the letter L beside the patient's left shoulder.
        exposure: -1 (dark film) to 1 (bright film).
        contrast: Exponent of the grey curve, 0.7 (flat) to 1.4 (steep).
        noise: Standard deviation of the quantum noise at 64 pixels, in grey levels of 255. It grows with the
            resolution, as a smaller pixel catches fewer quanta.
        rotation: Degrees in the image plane, clockwise.
        shift_x: Shift to the right, as a share of the image side.
        shift_y: Shift downwards, as a share of the image side.
        zoom: Magnification.
    """

    anteroposterior: bool = False
    heart_width: float = 0.46
    inflation: float = 0.0
    soft_tissue: float = 0.3
    breast: float = 0.0
    bone_density: float = 0.7
    aortic_knob: float = 0.3
    opacity_extent: float = 0.0
    opacity_density: float = 0.7
    endotracheal_tube: bool = False
    central_line: bool = False
    electrodes: int = 0
    marker: bool = False
    exposure: float = 0.0
    contrast: float = 1.1
    noise: float = 0.5
    rotation: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    zoom: float = 1.08


def draw_phantom(parameters: ImageParameters, resolution: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one chest radiograph.

    Args:
        parameters: What the image shows.
        resolution: Side in pixels, 32 to 512. The same `rng` state gives the same anatomy at every resolution.
        rng: Draws the individual shape, the vessels, the places of opacities and devices, and the quantum noise.

    Returns:
        `(resolution, resolution)` uint8, 0 is black.
    """
    check_resolution(resolution)
    # Children of the generator: a change of one parameter leaves the random shape of everything else as it is.
    shape_rng, vessel_rng, opacity_rng, device_rng, texture_rng, noise_rng = rng.spawn(6)
    canvas = _Canvas(parameters, resolution, shape_rng)
    body, absorption = _body(canvas, parameters)
    heart = _mediastinum(canvas, parameters)
    air = _lungs(canvas, parameters) * (1 - 0.8 * heart)
    air *= 1 - parameters.opacity_density * _opacities(canvas, air, parameters.opacity_extent, opacity_rng)
    bones = _ribs(canvas) + _spine(canvas) + _shoulders(canvas, parameters.anteroposterior)
    grain = sum(canvas.texture(texture_rng, size) for size in (20, 60))

    absorption += 0.22 * heart
    absorption += (0.5 * _vessels(canvas, vessel_rng) - 0.5) * air
    absorption += (0.4 + 0.8 * parameters.bone_density) * bones
    absorption += _breasts(canvas, parameters.breast) - _gas(canvas, texture_rng)
    absorption += (0.007 + 0.012 * air) * grain
    absorption *= body
    absorption += _devices(canvas, parameters, device_rng)
    absorption *= 1 + 0.09 * canvas.texture(texture_rng, 5)  # uneven exposure

    # Film: a curve that saturates, then exposure and contrast. The brighter, the fewer quanta, the more noise.
    grey = 1 - np.exp(-1.55 * np.clip(absorption, 0, None) * (1 + 0.25 * parameters.exposure))
    grey = 1.12 * grey**parameters.contrast
    noise = noise_rng.standard_normal(grey.shape, dtype=np.float32) * (parameters.noise * resolution / 64)
    return np.clip(255 * grey + noise * (0.3 + grey) + 0.5, 0, 255).astype(np.uint8)


def check_resolution(resolution: int) -> None:
    """Refuses a side that the drawing is not made for.

    Raises:
        InputError: `resolution` is below 32 or above 512.
    """
    low, high = _RESOLUTIONS
    if not low <= resolution <= high:
        raise InputError(f"expected `resolution` from {low} to {high}, found {resolution}")


# The drawing. Lengths are shares of the image side; the numbers were set by eye against frontal chest radiographs.
_THORAX = 0.385  # half of the widest inner thorax
_VERTEBRA = 0.06  # from one vertebra to the next
_RIB = 0.068  # from one rib to the next


class _Canvas:
    """Chest coordinates of the pixels, as float32 squares, and the drawing primitives.

    `x` runs from the midline to the patient's left (right in the image), `across` is its absolute value, `y` runs
    down from the top edge. `apex` and `base` are the heights of the lung tops and of the costophrenic angles.
    """

    def __init__(self, parameters: ImageParameters, resolution: int, rng: np.random.Generator):
        self.resolution = resolution
        self.pixel = 1.0 / (resolution * parameters.zoom)
        angle = math.radians(parameters.rotation)
        # Image = turn @ chest + shift, about the image centre: pixels are mapped back, strokes forth.
        self.turn = parameters.zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self.shift = np.array([parameters.shift_x, parameters.shift_y])
        centre = (np.arange(resolution) + 0.5) / resolution - 0.5
        image = np.stack(np.meshgrid(centre, centre)) - self.shift[:, None, None]
        self.x, self.y = np.tensordot(np.linalg.inv(self.turn), image, 1).astype(np.float32)
        # No two chests are alike: bend the ruler smoothly, by a fraction of a rib.
        self.x += 0.028 * self.texture(rng, 7)
        self.y += 0.5 + 0.028 * self.texture(rng, 7)
        self.across = np.abs(self.x)
        self.apex = 0.14 if parameters.anteroposterior else 0.115
        self.base = 0.80 + 0.045 * parameters.inflation

    def outline(self, shares: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """Knots (`y`, half width) from shares of the lung height, 0 the top, and of half the thorax."""
        return [(self.apex + depth * (self.base - self.apex), _THORAX * share) for depth, share in shares]

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
        position = np.clip(position + 0.5, 0, self.resolution + 0.999)  # a margin of one pixel holds what is outside
        corner = position.astype(int)
        (right, down), side = (position - corner).T, self.resolution + 2
        first = corner[:, 1] * side + corner[:, 0]
        pixels = np.concatenate([first, first + 1, first + side, first + side + 1])
        shares = np.concatenate([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down])
        image = np.bincount(pixels, shares * np.tile(mass, 4), side * side).reshape(side, side)[1:-1, 1:-1]
        return gaussian_filter(image.astype(np.float32), width / self.pixel, truncate=3)


@functools.lru_cache
def _spline(resolution: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """For `resolution` pixels in a row, the four of `size` values they depend on and their cubic B-spline weights."""
    position = (np.arange(resolution) + 0.5) / resolution * (size - 3) + 1
    index = position.astype(int) + np.arange(-1, 3)[:, None]
    distance = np.abs(position - index)
    near, far = 2 / 3 - distance**2 + distance**3 / 2, np.clip(2 - distance, 0, None) ** 3 / 6
    return index, np.where(distance < 1, near, far).astype(np.float32)


_PER_UNIT = 1024
_LOOKUP = np.arange(-0.75, 1.75, 1 / _PER_UNIT).astype(np.float32)
_ROUNDING = (np.hanning(33)[1:-1] / np.hanning(33).sum()).astype(np.float32)


def _clearance(knots: list[tuple[float, float]], along: np.ndarray, across: np.ndarray) -> np.ndarray:
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


def _body(canvas: _Canvas, parameters: ImageParameters) -> tuple[np.ndarray, np.ndarray]:
    """Share of every pixel in the body, and the absorption of its soft tissue."""
    soft, y = parameters.soft_tissue, canvas.y
    neck, shoulder, flank = 0.105 + 0.04 * soft, 0.03 * soft, 0.43 + 0.07 * soft
    top = [(-0.04, neck), (0.02, neck + 0.03), (0.06, 0.24 + shoulder), (0.095, 0.38 + shoulder)]
    top += [(0.13, 0.46 + shoulder), (0.19, 0.53 + shoulder), (0.3, 0.6)]
    trunk = _clearance([(0.3, flank), (0.6, flank + 0.012), (0.8, flank), (1.1, flank + 0.01)], y, canvas.across)
    arm = canvas.across - (flank + 0.25 * (y - 0.36))  # meets the trunk in the armpit
    clearance = np.minimum(_clearance(top, y, canvas.across), np.maximum(trunk, arm))
    rounded = 1 - 0.62 * np.exp(-np.clip(clearance, 0, None) / 0.1)
    belly = canvas.inside(y - canvas.base + 0.08, 0.3)
    return canvas.inside(clearance, 0.004), (0.6 + 0.12 * soft) * rounded + 0.1 * np.clip(y, 0, 1) + 0.12 * belly


def _lungs(canvas: _Canvas, parameters: ImageParameters) -> np.ndarray:
    """Air along the ray, 0 to 1, as if there were no heart."""
    shares = [(-0.01, 0.34), (0, 0.42), (0.015, 0.5), (0.04, 0.565), (0.09, 0.65), (0.17, 0.74), (0.3, 0.84)]
    shares += [(0.5, 0.935), (0.75, 1.0), (1.1, 1.02)]
    lateral = _clearance(canvas.outline(shares), canvas.y, canvas.across)
    shares = [(-0.01, 0.44), (0, 0.36), (0.015, 0.28), (0.05, 0.2), (0.12, 0.13), (0.3, 0.1)]
    medial = -_clearance(canvas.outline(shares), canvas.y, canvas.across)
    dome = 0.115 - 0.045 * parameters.inflation
    shares = [(0.0, 0.75), (0.1, 0.93), (0.19, 1.0), (0.27, 0.82), (0.33, 0.47), (0.375, 0.0), (0.4, -0.3)]
    knots = [(across, canvas.base - share * dome) for across, share in shares]
    bottom = _clearance(
        knots, canvas.across, canvas.y + np.float32(0.022) * (canvas.x < 0)
    )  # the liver lifts the right dome
    edge = np.minimum(np.minimum(lateral, bottom + 0.03), medial + 0.05)
    lungs = canvas.inside(lateral, 0.006) * canvas.inside(medial, 0.035) * canvas.inside(bottom, 0.008)
    return lungs * (1 - 0.5 * np.exp(-np.clip(edge, 0, None) / 0.06))


def _mediastinum(canvas: _Canvas, parameters: ImageParameters) -> np.ndarray:
    """Share of the chest's depth taken by the heart and the great vessels, 0 to 1."""
    width, knob, base = 2 * _THORAX * parameters.heart_width, parameters.aortic_knob, canvas.base
    left = [(0.0, 0.04), (0.12, 0.045), (0.2, 0.054), (0.255, 0.06 + 0.015 * knob), (0.295, 0.068 + 0.032 * knob)]
    left += [(0.335, 0.06 + 0.012 * knob), (0.39, 0.068), (0.45, 0.1), (base - 0.28, 0.42 * width)]
    left += [(base - 0.2, 0.61 * width), (base - 0.13, 0.68 * width), (base - 0.08, 0.68 * width), (base, 0.5 * width)]
    right = [(0.0, 0.04), (0.12, 0.045), (0.2, 0.055), (0.36, 0.064), (0.43, 0.068), (base - 0.27, 0.25 * width)]
    right += [(base - 0.18, 0.33 * width), (base - 0.11, 0.30 * width), (base, 0.2 * width)]
    left_edge, right_edge = _clearance(left, canvas.y, canvas.x), _clearance(right, canvas.y, -canvas.x)
    thick = 1 - 0.35 * np.exp(-np.clip(np.minimum(left_edge, right_edge), 0, None) / 0.04)
    thick *= 1 - 0.9 * canvas.inside(canvas.y - base + 0.07, 0.12)  # below, the liver is as dense as the heart
    return canvas.inside(left_edge, 0.022) * canvas.inside(right_edge, 0.022) * thick


def _ribs(canvas: _Canvas) -> np.ndarray:
    """Ten pairs of tilted rings seen from the front: the back half descends outwards, the front half inwards."""
    shares = [(-0.06, 0.3), (0.0, 0.5), (0.05, 0.63), (0.17, 0.78), (0.3, 0.87), (0.5, 0.965), (0.75, 1.03)]
    clearance = _clearance(canvas.outline(shares), canvas.y, canvas.across)
    sine = canvas.across / (canvas.across + np.clip(clearance, 0, None) + 1e-6)  # of the angle around the ring
    cosine = np.sqrt(np.clip(1 - sine**2, 0.01, 1))
    tilt = 1.5 * _RIB
    steepness = np.hypot(1, (tilt / _THORAX) * sine / cosine)
    ribs = np.zeros_like(canvas.x)
    for half, half_width, brightness, start in ((1, 0.2, 0.08, 0.12), (-1, 0.24, 0.05, 0.45)):  # back, front
        number = (canvas.y - canvas.apex - 0.005 - tilt * (1 - half * cosine)) / _RIB
        off = np.abs(number - np.clip(np.round(number), 0, 9)) * _RIB / steepness
        rib = canvas.inside(half_width * _RIB - off, 0.011)
        rib *= 0.75 + 0.5 * canvas.inside(off - 0.13 * _RIB, 0.008)  # the hard rim
        ribs += brightness * rib * canvas.inside(sine - start, 0.1)
    return ribs * np.minimum(1 / cosine, 1.6) * canvas.inside(clearance, 0.004)


def _spine(canvas: _Canvas) -> np.ndarray:
    """Vertebrae with pedicles and spinous processes."""
    across, number = canvas.across, canvas.y / _VERTEBRA
    off = np.abs(number - np.round(number)) * _VERTEBRA  # from the middle of a vertebra
    column = canvas.inside(0.036 + 0.012 * canvas.y - across + 0.06 * off, 0.03)
    column *= 0.45 + 0.55 * canvas.inside(0.41 * _VERTEBRA - off, 0.006)
    pedicles = np.exp(-((across - 0.024) ** 2 + 0.5 * off**2) / 0.006**2)
    processes = np.exp(-((across / 0.007) ** 2) - ((off - 0.022) / 0.012) ** 2)
    return 0.045 * column + 0.05 * pedicles + 0.05 * processes


def _shoulders(canvas: _Canvas, anteroposterior: bool) -> np.ndarray:
    """Clavicles, shoulder blades and upper arms."""
    across, y = canvas.across, canvas.y
    rise = 0.02 if anteroposterior else 0.0
    axis = [(0.03, 0.18 - rise), (0.1, 0.165 - rise), (0.2, 0.14 - rise), (0.28, 0.115), (0.36, 0.1), (0.42, 0.098)]
    off = np.abs(_clearance(axis, across, y))
    half_width = 0.0125 + 0.007 * np.clip(1 - across / 0.09, 0, 1)
    clavicle = canvas.inside(half_width - off, 0.004) * (0.7 + 0.5 * canvas.inside(off - 0.6 * half_width, 0.006))
    clavicle *= canvas.inside(across - 0.028, 0.006) * canvas.inside(0.41 - across, 0.01)
    # The blade is a triangle: spine side, armpit side, upper edge. At the bedside it lies over the lungs.
    inner, outer = (0.26, 0.395) if anteroposterior else (0.335, 0.425)
    edge = np.minimum(across - inner + 0.05 * (y - 0.15), outer - across - 0.42 * (y - 0.15))
    edge = np.minimum(edge, y - 0.16 + 0.1 * across)
    blade = canvas.inside(edge, 0.012) * (0.55 + 0.9 * np.exp(-np.clip(edge, 0, None) / 0.012))
    head = 0.048 - np.hypot(across - 0.455, y - 0.16)
    shaft = np.minimum(0.03 - np.abs(across - 0.46 - 0.16 * (y - 0.16)), y - 0.16)
    return 0.14 * clavicle + 0.08 * blade + 0.13 * canvas.inside(np.maximum(head, shaft), 0.006)


def _breasts(canvas: _Canvas, size: float) -> np.ndarray:
    radius = 0.13 + 0.05 * size
    off = np.hypot(canvas.across - 0.235, 0.9 * (canvas.y - canvas.base + 0.1)) / radius
    return 0.2 * size * np.sqrt(np.clip(1 - off**2, 0, 1)) * canvas.inside((1 - off) * radius, 0.01)


def _gas(canvas: _Canvas, rng: np.random.Generator) -> np.ndarray:
    """The windpipe and the bubble in the stomach, as missing absorption."""
    windpipe = canvas.inside(0.019 - np.abs(canvas.x + 0.006), 0.018) * canvas.inside(0.29 - canvas.y, 0.12)
    left, top, volume = rng.uniform(0.08, 0.16), canvas.base - rng.uniform(0.03, 0.06), rng.normal(0.06, 0.1)
    bubble = 0.035 * (1 - np.hypot((canvas.x - left) / 0.08, (canvas.y - top) / 0.035))
    return 0.14 * windpipe + max(volume, 0.0) * canvas.inside(bubble, 0.02)


def _vessels(canvas: _Canvas, rng: np.random.Generator) -> np.ndarray:
    """Two trees of vessels that leave the hila, fork twice and thin out."""
    along = np.linspace(0, 1, 24)
    side = np.repeat([-1.0, 1.0], 11)
    start = np.stack([0.085 * side, 0.43 - 0.01 * side], 1) + rng.normal(0, 0.012, (22, 2))
    angle = np.tile(np.linspace(-1.15, 1.35, 11), 2) + rng.normal(0, 0.12, 22)
    length = rng.uniform(0.16, 0.30, 22)
    orders = []
    for brightness in (0.18, 0.24, 0.24):
        bend, wave = rng.normal(0, [0.35, 0.12], (len(angle), 2)).T[..., None]
        heading = angle[:, None] + bend * along + wave * np.sin(6 * along)
        step = np.stack([np.sign(start[:, :1]) * np.cos(heading), np.sin(heading)], -1) * length[:, None, None]
        points = start[:, None] + np.cumsum(step, 1) / len(along)
        orders.append((points, np.broadcast_to(brightness * (1 - 0.8 * along), heading.shape)))
        fork = rng.integers(5, len(along), (len(points), 2))
        start = np.take_along_axis(points, fork[..., None], 1).reshape(-1, 2)
        turn = rng.choice([-1, 1], fork.shape) * rng.uniform(0.3, 0.8, fork.shape)
        angle = (np.take_along_axis(heading, fork, 1) + turn).ravel()
        length = np.repeat(length, 2) * rng.uniform(0.35, 0.7, fork.size)
    trunks, (points, brightness) = orders[0], map(np.concatenate, zip(*orders[1:], strict=True))
    hila = np.exp(-(((canvas.across - 0.09) / 0.05) ** 2) - ((canvas.y - 0.44) / 0.1) ** 2)
    return 0.28 * hila + canvas.strokes(*trunks, 0.0065) + canvas.strokes(points, brightness, 0.003)


def _opacities(canvas: _Canvas, air: np.ndarray, extent: float, rng: np.random.Generator) -> np.ndarray:
    """Patches in both lungs, 0 to 1, more at the rim and the base, over the share `extent` of the lung area."""
    patches, blotches, grain = (canvas.texture(rng, size) for size in (9, 17, 50))
    score = 1.2 * patches + 0.8 * blotches + 0.25 * grain + 0.5 * rng.standard_normal() * np.sign(canvas.x)
    score += 2.2 / _THORAX * canvas.across + 1.6 / (canvas.base - canvas.apex) * canvas.y
    threshold = float(np.quantile(score[air > 0.35], 1 - extent))
    return np.clip((score - threshold) / 0.9, 0, 1) * np.clip(0.75 + 0.25 * grain, 0, 1)


def _devices(canvas: _Canvas, parameters: ImageParameters, rng: np.random.Generator) -> np.ndarray:
    """Endotracheal and stomach tube, central line, electrodes with leads, marker."""
    along = np.linspace(0, 1, 192)[:, None]
    lines, discs = [], np.zeros_like(canvas.x)  # lines: points and brightness
    if parameters.endotracheal_tube:
        tip = [-0.006, rng.uniform(0.22, 0.29)]
        tube = _bezier([0.01, -0.1], [0.01, 0.0], [0.0, 0.1], tip, along)
        lines += [(tube - [0.009, 0], 0.15), (tube + [0.009, 0], 0.15), (tube + [0.004, 0], 0.35)]
        lines.append((_bezier([0.0, -0.1], [0.04, 0.4], [-0.03, 0.5], [0.1, canvas.base + 0.02], along), 0.2))
    if parameters.central_line:
        entry, tip = rng.normal([-0.16, 0.0], 0.02), [-0.045, rng.uniform(0.36, 0.44)]
        lines.append((_bezier(entry, [-0.06, 0.12], [-0.05, 0.22], tip, along), 0.3))
    places = rng.normal([[-0.3, 0.2], [0.31, 0.21], [0.33, 0.62], [-0.31, 0.63], [0.05, 0.5]], 0.025)
    for place in places[: parameters.electrodes]:
        leave = [math.copysign(rng.uniform(0.2, 0.6), place[0]), rng.choice([-0.1, 1.1])]
        lines.append((_bezier(place, rng.normal(place, 0.2), rng.normal(leave, 0.2), leave, along), 0.24))
        x, y = place.tolist()
        discs += 0.25 * canvas.inside(0.011 - np.hypot(canvas.x - x, canvas.y - y), 0.003)
    if parameters.marker:
        corner, stem, foot = np.array([[0.41, 0.07], [0, 0.04 / 0.6], [0.025 / 0.4, 0]])
        lines.append((np.where(along < 0.6, corner + stem * (along - 0.6), corner + foot * (along - 0.6)), 0.9))
    if not lines:
        return discs
    points, brightness = zip(*lines, strict=True)
    return discs + canvas.strokes(np.stack(points), np.array(brightness)[:, None], 0.0024)


def _bezier(start: list, leave: list, approach: list, end: list, along: np.ndarray) -> np.ndarray:
    """Cubic curve from `start` towards `leave`, then from `approach` to `end`, at the shares `along` of the way."""
    weights = [(1 - along) ** 3, 3 * along * (1 - along) ** 2, 3 * along**2 * (1 - along), along**3]
    return sum(
        weight * np.asarray(point) for weight, point in zip(weights, (start, leave, approach, end), strict=True)
    )
