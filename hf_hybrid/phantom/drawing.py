"""A frontal chest radiograph drawn from parameters: geometry and grey scale of real ones, no model of radiology."""

import numpy as np

from hf_hybrid.core.errors import InputError
from hf_hybrid.phantom import anatomy
from hf_hybrid.phantom.canvas import Canvas
from hf_hybrid.phantom.devices import draw_devices
from hf_hybrid.phantom.parameters import ImageParameters

_RESOLUTIONS = (32, 512)


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
    shape_rng, vessel_rng, opacity_rng, device_rng, texture_rng, noise_rng, nodule_rng = rng.spawn(7)
    canvas = Canvas(parameters, resolution, shape_rng)
    body, absorption = anatomy.body(canvas, parameters)
    heart = anatomy.mediastinum(canvas, parameters)
    air = anatomy.lungs(canvas, parameters) * (1 - 0.8 * heart)
    fluid = air * anatomy.effusions(canvas, parameters)
    air *= 1 - parameters.opacity_density * anatomy.opacities(canvas, air, parameters.opacity_extent, opacity_rng)
    air -= 0.97 * np.minimum(fluid, air)
    bones = anatomy.ribs(canvas) + anatomy.spine(canvas) + anatomy.shoulders(canvas, parameters.anteroposterior)
    grain = sum(canvas.texture(texture_rng, size) for size in (20, 60))

    absorption += 0.22 * heart + 0.12 * fluid + anatomy.nodule(canvas, parameters.nodule, nodule_rng)
    absorption += (0.5 * anatomy.vessels(canvas, vessel_rng) - 0.5) * air
    absorption += (0.4 + 0.8 * parameters.bone_density) * bones
    absorption += anatomy.breasts(canvas, parameters.breast) - anatomy.gas(canvas, texture_rng)
    absorption += (0.007 + 0.012 * air) * grain
    absorption *= body
    absorption += draw_devices(canvas, parameters, device_rng)
    absorption *= 1 + 0.09 * canvas.texture(texture_rng, 5)  # uneven exposure

    # Film: a curve that saturates, then exposure and contrast. The brighter, the fewer quanta, the more noise.
    grey = 1 - np.exp(-1.55 * np.clip(absorption, 0, None) * (1 + 0.22 * parameters.exposure))
    grey = 1.06 * grey**parameters.contrast
    noise = noise_rng.standard_normal(grey.shape, dtype=np.float32) * (parameters.noise * resolution / 64)
    return np.clip(255 * grey + noise * (0.3 + grey) + 0.5, 0, 255).astype(np.uint8)


def check_resolution(resolution: int) -> None:
    """Checks the side of the image.

    Raises:
        InputError: `resolution` is below 32 or above 512.
    """
    low, high = _RESOLUTIONS
    if not low <= resolution <= high:
        raise InputError(f"expected `resolution` from {low} to {high}, found {resolution}")
