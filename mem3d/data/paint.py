"""Plausible colours for procedural objects."""

import numpy as np

from mem3d.data.solids import Color

Rng = np.random.Generator

BLACK, GLASS, LIGHT = (30, 30, 32), (60, 78, 98), (250, 244, 215)

# Ranges of hue, strength and light, each in [0, 1].
_KINDS = {
    "any": ((0.0, 1.0), (0.1, 0.75), (0.35, 0.95)),
    "bright": ((0.0, 1.0), (0.6, 0.9), (0.6, 0.95)),
    "pale": ((0.0, 1.0), (0.03, 0.2), (0.8, 0.97)),
    "wood": ((0.04, 0.1), (0.3, 0.7), (0.35, 0.8)),
    "metal": ((0.0, 1.0), (0.04, 0.08), (0.5, 0.95)),
    "dark": ((0.0, 1.0), (0.05, 0.3), (0.1, 0.32)),
}


def color(rng: Rng, *kinds: str) -> Color:
    """Draw a colour of one of the kinds "any" (if none is named), "bright", "pale", and so on."""
    kind = kinds[rng.integers(len(kinds))] if kinds else "any"
    hue, strength, light = (rng.uniform(low, high) for low, high in _KINDS[kind])
    # Hue runs red, green, blue round a circle; strength takes light out of the far channels.
    angle = 2 * np.pi * (hue - np.array([0, 1 / 3, 2 / 3]))
    red, green, blue = 255 * light * (1 - strength * (0.5 - 0.5 * np.cos(angle)))
    return int(red), int(green), int(blue)
