"""Tubes, lines, electrodes and the side marker in a phantom."""

import math

import numpy as np

from hf_hybrid.phantom.canvas import Canvas
from hf_hybrid.phantom.parameters import ImageParameters


def draw_devices(canvas: Canvas, parameters: ImageParameters, rng: np.random.Generator) -> np.ndarray:
    """Absorption of pacemaker, tubes to trachea and stomach, central line, electrodes with leads, the letter L."""
    along = np.linspace(0, 1, 192)[:, None]
    lines, discs = [], np.zeros_like(canvas.x)  # lines: points and brightness
    pocket = rng.spawn(1)[0].normal([0.27, 0.235], 0.012)  # below the left clavicle
    if parameters.pacemaker:
        corner = np.maximum(np.abs(np.stack([canvas.x, canvas.y]) - pocket[:, None, None]) - 0.018, 0)
        discs += 0.55 * canvas.inside(0.024 - np.hypot(*corner), 0.003)
        tip = [0.1, canvas.base - 0.09]
        lines.append((_bezier(pocket, [0.2, 0.1], [0.06, 0.14], [-0.02, 0.2], along), 0.35))
        lines.append((_bezier([-0.02, 0.2], [-0.1, 0.45], [-0.07, 0.72], tip, along), 0.35))
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
