"""What one phantom image shows: anatomy, disease, devices, exposure and position."""

import dataclasses


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
        effusion_right: Height of the fluid above the right costophrenic angle, as a share of the image side, 0 (none)
            to 0.35.
        effusion_left: The same on the left.
        nodule: Diameter of a round spot in a lung, as a share of the image side, 0 (none) to 0.1.
        pacemaker: Draw one below the left clavicle, with its lead.
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
    effusion_right: float = 0.0
    effusion_left: float = 0.0
    nodule: float = 0.0
    pacemaker: bool = False
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
