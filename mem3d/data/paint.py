"""Plausible colours for procedural objects."""

import numpy as np

from mem3d.data.solids import Color

Rng = np.random.Generator


def color(rng: Rng, kind: str = "any") -> Color:
    """Draw a colour: "wood", "metal", "dark" or "any"."""
    hue, strength, light = rng.uniform(0, 1), rng.uniform(0.1, 0.75), rng.uniform(0.35, 0.95)
    if kind == "wood":
        hue, strength, light = rng.uniform(0.04, 0.1), rng.uniform(0.3, 0.7), rng.uniform(0.35, 0.8)
    elif kind == "metal":
        strength, light = 0.06, rng.uniform(0.55, 0.95)
    elif kind == "dark":
        strength, light = 0.1, rng.uniform(0.12, 0.32)
    # Hue runs red, green, blue round a circle; strength takes light out of the far channels.
    angle = 2 * np.pi * (hue - np.array([0, 1 / 3, 2 / 3]))
    red, green, blue = 255 * light * (1 - strength * (0.5 - 0.5 * np.cos(angle)))
    return int(red), int(green), int(blue)
