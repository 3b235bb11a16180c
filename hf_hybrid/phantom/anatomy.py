"""The parts of the body in a phantom: each function draws one on a canvas and returns a share or an absorption.

Lengths are shares of the image side; the numbers were set by eye against frontal chest radiographs.
"""

import numpy as np

from hf_hybrid.phantom.canvas import THORAX, Canvas, signed_distance
from hf_hybrid.phantom.parameters import ImageParameters

_VERTEBRA = 0.06  # from one vertebra to the next
_RIB = 0.068  # from one rib to the next


def body(canvas: Canvas, parameters: ImageParameters) -> tuple[np.ndarray, np.ndarray]:
    """Share of every pixel in the body, and the absorption of its soft tissue."""
    soft, y = parameters.soft_tissue, canvas.y
    neck, shoulder, flank = 0.105 + 0.04 * soft, 0.03 * soft, 0.43 + 0.07 * soft
    top = [(-0.04, neck), (0.02, neck + 0.03), (0.06, 0.24 + shoulder), (0.095, 0.38 + shoulder)]
    top += [(0.13, 0.46 + shoulder), (0.19, 0.53 + shoulder), (0.3, 0.6)]
    trunk = signed_distance([(0.3, flank), (0.6, flank + 0.012), (0.8, flank), (1.1, flank + 0.01)], y, canvas.across)
    arm = canvas.across - (flank + 0.25 * (y - 0.36))  # meets the trunk in the armpit
    clearance = np.minimum(signed_distance(top, y, canvas.across), np.maximum(trunk, arm))
    rounded = 1 - 0.62 * np.exp(-np.clip(clearance, 0, None) / 0.1)
    belly = canvas.inside(y - canvas.base + 0.08, 0.3)
    return canvas.inside(clearance, 0.004), (0.6 + 0.12 * soft) * rounded + 0.1 * np.clip(y, 0, 1) + 0.12 * belly


def lungs(canvas: Canvas, parameters: ImageParameters) -> np.ndarray:
    """Air along the ray, 0 to 1, as if there were no heart."""
    shares = [(-0.01, 0.34), (0, 0.42), (0.015, 0.5), (0.04, 0.565), (0.09, 0.65), (0.17, 0.74), (0.3, 0.84)]
    shares += [(0.5, 0.935), (0.75, 1.0), (1.1, 1.02)]
    lateral = signed_distance(canvas.outline(shares), canvas.y, canvas.across)
    shares = [(-0.01, 0.44), (0, 0.36), (0.015, 0.28), (0.05, 0.2), (0.12, 0.13), (0.3, 0.1)]
    medial = -signed_distance(canvas.outline(shares), canvas.y, canvas.across)
    dome = 0.115 - 0.045 * parameters.inflation
    shares = [(0.0, 0.75), (0.1, 0.93), (0.19, 1.0), (0.27, 0.82), (0.33, 0.47), (0.375, 0.0), (0.4, -0.3)]
    knots = [(across, canvas.base - share * dome) for across, share in shares]
    lift = np.float32(0.022) * (canvas.x < 0)  # the liver lifts the right dome
    bottom = signed_distance(knots, canvas.across, canvas.y + lift)
    edge = np.minimum(np.minimum(lateral, bottom + 0.03), medial + 0.05)
    lungs = canvas.inside(lateral, 0.006) * canvas.inside(medial, 0.035) * canvas.inside(bottom, 0.008)
    return lungs * (1 - 0.5 * np.exp(-np.clip(edge, 0, None) / 0.06))


def mediastinum(canvas: Canvas, parameters: ImageParameters) -> np.ndarray:
    """Share of the chest's depth taken by the heart and the great vessels, 0 to 1."""
    width, knob, base = 2 * THORAX * parameters.heart_width, parameters.aortic_knob, canvas.base
    left = [(0.0, 0.04), (0.12, 0.045), (0.2, 0.054), (0.255, 0.06 + 0.015 * knob), (0.295, 0.068 + 0.032 * knob)]
    left += [(0.335, 0.06 + 0.012 * knob), (0.39, 0.068), (0.45, 0.1), (base - 0.28, 0.45 * width)]
    left += [(base - 0.22, 0.59 * width), (base - 0.16, 0.665 * width), (base - 0.115, 0.69 * width)]
    left += [(base - 0.07, 0.66 * width), (base - 0.03, 0.57 * width), (base, 0.46 * width)]
    right = [(0.0, 0.04), (0.12, 0.045), (0.2, 0.055), (0.36, 0.064), (0.43, 0.068), (base - 0.28, 0.25 * width)]
    right += [
        (base - 0.22, 0.315 * width),
        (base - 0.16, 0.33 * width),
        (base - 0.1, 0.29 * width),
        (base, 0.2 * width),
    ]
    left_edge, right_edge = signed_distance(left, canvas.y, canvas.x), signed_distance(right, canvas.y, -canvas.x)
    thick = 1 - 0.35 * np.exp(-np.clip(np.minimum(left_edge, right_edge), 0, None) / 0.04)
    thick *= 1 - 0.9 * canvas.inside(canvas.y - base + 0.07, 0.12)  # below, the liver is as dense as the heart
    return canvas.inside(left_edge, 0.013) * canvas.inside(right_edge, 0.016) * thick


def ribs(canvas: Canvas) -> np.ndarray:
    """Absorption of ten pairs of tilted rings: the back half descends outwards, the front half inwards."""
    shares = [(-0.06, 0.3), (0.0, 0.5), (0.05, 0.63), (0.17, 0.78), (0.3, 0.87), (0.5, 0.965), (0.75, 1.03)]
    clearance = signed_distance(canvas.outline(shares), canvas.y, canvas.across)
    sine = canvas.across / (canvas.across + np.clip(clearance, 0, None) + 1e-6)  # of the angle around the ring
    cosine = np.sqrt(np.clip(1 - sine**2, 0.01, 1))
    tilt = 1.5 * _RIB
    steepness = np.hypot(1, (tilt / THORAX) * sine / cosine)
    ribs = np.zeros_like(canvas.x)
    for half, half_width, brightness, start in ((1, 0.2, 0.08, 0.12), (-1, 0.24, 0.05, 0.45)):  # back, front
        number = (canvas.y - canvas.apex - 0.005 - tilt * (1 - half * cosine)) / _RIB
        off = np.abs(number - np.clip(np.round(number), 0, 9)) * _RIB / steepness
        rib = canvas.inside(half_width * _RIB - off, 0.011)
        rib *= 0.75 + 0.5 * canvas.inside(off - 0.13 * _RIB, 0.008)  # the hard rim
        ribs += brightness * rib * canvas.inside(sine - start, 0.1)
    return ribs * np.minimum(1 / cosine, 1.6) * canvas.inside(clearance, 0.004)


def spine(canvas: Canvas) -> np.ndarray:
    """Absorption of the vertebrae with pedicles and spinous processes."""
    across, number = canvas.across, canvas.y / _VERTEBRA
    off = np.abs(number - np.round(number)) * _VERTEBRA  # from the middle of a vertebra
    column = canvas.inside(0.036 + 0.012 * canvas.y - across + 0.06 * off, 0.03)
    column *= 0.45 + 0.55 * canvas.inside(0.41 * _VERTEBRA - off, 0.006)
    pedicles = np.exp(-((across - 0.024) ** 2 + 0.5 * off**2) / 0.006**2)
    processes = np.exp(-((across / 0.007) ** 2) - ((off - 0.022) / 0.012) ** 2)
    return 0.045 * column + 0.05 * pedicles + 0.05 * processes


def shoulders(canvas: Canvas, anteroposterior: bool) -> np.ndarray:
    """Absorption of clavicles, shoulder blades and upper arms."""
    across, y = canvas.across, canvas.y
    rise = 0.02 if anteroposterior else 0.0
    axis = [(0.03, 0.18 - rise), (0.1, 0.165 - rise), (0.2, 0.14 - rise), (0.28, 0.115), (0.36, 0.1), (0.42, 0.098)]
    off = np.abs(signed_distance(axis, across, y))
    half_width = 0.0125 + 0.007 * np.clip(1 - across / 0.09, 0, 1)
    clavicle = canvas.inside(half_width - off, 0.004) * (0.7 + 0.5 * canvas.inside(off - 0.6 * half_width, 0.006))
    clavicle *= canvas.inside(across - 0.028, 0.006) * canvas.inside(0.41 - across, 0.01)
    # The blade is a triangle: spine side, armpit side, upper edge. In an AP view it covers part of the lungs.
    inner, outer = (0.26, 0.395) if anteroposterior else (0.335, 0.425)
    edge = np.minimum(across - inner + 0.05 * (y - 0.15), outer - across - 0.42 * (y - 0.15))
    edge = np.minimum(edge, y - 0.16 + 0.1 * across)
    blade = canvas.inside(edge, 0.012) * (0.55 + 0.9 * np.exp(-np.clip(edge, 0, None) / 0.012))
    head = 0.048 - np.hypot(across - 0.455, y - 0.16)
    shaft = np.minimum(0.03 - np.abs(across - 0.46 - 0.16 * (y - 0.16)), y - 0.16)
    return 0.14 * clavicle + 0.08 * blade + 0.13 * canvas.inside(np.maximum(head, shaft), 0.006)


def breasts(canvas: Canvas, size: float) -> np.ndarray:
    """Absorption of the breasts."""
    radius = 0.13 + 0.05 * size
    off = np.hypot(canvas.across - 0.235, 0.9 * (canvas.y - canvas.base + 0.1)) / radius
    return 0.2 * size * np.sqrt(np.clip(1 - off**2, 0, 1)) * canvas.inside((1 - off) * radius, 0.01)


def gas(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Absorption that is missing where the windpipe and the bubble in the stomach are."""
    windpipe = canvas.inside(0.019 - np.abs(canvas.x + 0.006), 0.018) * canvas.inside(0.29 - canvas.y, 0.12)
    left, top, volume = rng.uniform(0.08, 0.16), canvas.base - rng.uniform(0.03, 0.06), rng.normal(0.06, 0.1)
    bubble = 0.035 * (1 - np.hypot((canvas.x - left) / 0.08, (canvas.y - top) / 0.035))
    return 0.14 * windpipe + max(volume, 0.0) * canvas.inside(bubble, 0.02)


def vessels(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Density of two trees of vessels that leave the hila, fork twice and become thinner."""
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


def effusions(canvas: Canvas, parameters: ImageParameters) -> np.ndarray:
    """Share of fluid above the costophrenic angles: level in the middle, drawn up along the wall as a meniscus."""
    share = np.zeros_like(canvas.x)
    for side, height in ((-1, parameters.effusion_right), (1, parameters.effusion_left)):
        if height:
            wall = THORAX * (0.86 + 0.14 * canvas.y) - side * canvas.x  # distance from the wall of the chest
            rise = height * (0.82 + 0.7 * np.exp(-np.clip(wall, 0, None) / (0.03 + 0.12 * height)))
            share += canvas.inside(canvas.y - canvas.base + rise, 0.012) * canvas.inside(side * canvas.x - 0.03, 0.02)
    return share


def nodule(canvas: Canvas, diameter: float, rng: np.random.Generator) -> np.ndarray:
    """Absorption of a ball in the upper or middle field of one lung."""
    side, depth, outwards = rng.choice([-1, 1]), rng.uniform(0.2, 0.6), rng.uniform(0.5, 0.78)
    if not diameter:
        return np.zeros_like(canvas.x)
    x, y = side * THORAX * outwards * (0.8 + 0.2 * depth), canvas.apex + depth * (canvas.base - canvas.apex)
    off = np.hypot(canvas.x - x, canvas.y - y) / (0.5 * diameter)
    return 0.36 * np.sqrt(np.clip(1 - off**2, 0, 1)) * canvas.inside((1 - off) * 0.5 * diameter, 0.006)


def opacities(canvas: Canvas, air: np.ndarray, extent: float, rng: np.random.Generator) -> np.ndarray:
    """Patches in both lungs, 0 to 1, more at the rim and the base, over the share `extent` of the lung area."""
    patches, blotches, grain = (canvas.texture(rng, size) for size in (9, 17, 50))
    score = 1.2 * patches + 0.8 * blotches + 0.25 * grain + 0.5 * rng.standard_normal() * np.sign(canvas.x)
    score += 2.2 / THORAX * canvas.across + 1.6 / (canvas.base - canvas.apex) * canvas.y
    focus = np.sign(rng.standard_normal()) * 0.24, rng.uniform(0.35, 0.65)
    score += 3 * np.exp(-(((canvas.x - focus[0]) / 0.1) ** 2) - ((canvas.y - focus[1]) / 0.11) ** 2)
    threshold = float(np.quantile(score[air > 0.35], 1 - extent))
    return np.clip((score - threshold) / 0.9, 0, 1) * np.clip(0.75 + 0.25 * grain, 0, 1)
