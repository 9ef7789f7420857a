"""Procedural furniture: cabinet, table.

Each function draws one object of its category: a style, then its measures, in units of about one
voxel of a 32^3 grid; y up from the floor at 0, front +x, left and right along z.
"""

import itertools

import numpy as np

from mem3d.data.paint import Rng, color
from mem3d.data.seats import legs, pedestal
from mem3d.data.solids import Color, Part, Span, box, rod, rounded, slab


def table(rng: Rng) -> list[Part]:
    """A round, oval, square or long top on legs, a pedestal, trestles, panels or drawers."""
    deep, wide = rng.uniform(7.5, 11.5), rng.uniform(12, 16)
    # A dining table is about half as high as long; a coffee table, a quarter.
    high = rng.uniform(13, 17) if rng.random() < 0.7 else rng.uniform(7, 10)
    thick = rng.uniform(1.3, 2.8)
    wood = color(rng, str(rng.choice(["wood", "wood", "metal", "any"])))
    top = str(rng.choice(["long", "long", "long", "square", "round", "oval"]))
    if top in ("round", "square"):
        deep = wide = rng.uniform(9, 14)
    corner = 0.5 if top in ("round", "oval") else 0.0
    outline = rounded((-deep, deep), (-wide, wide), corner)
    if not corner:
        outline = [(-deep, -wide), (deep, -wide), (deep, wide), (-deep, wide)]
    parts = [slab(outline, "y", (high - thick, high), wood)]
    inset = 0.66 if corner else rng.uniform(0.85, 1)
    x, z = (-deep * inset, deep * inset), (-wide * inset, wide * inset)
    base = str(rng.choice(["legs", "legs", "pedestal", "trestle", "panels", "drawers"]))
    if base == "pedestal":
        return parts + pedestal(rng, high, rng.uniform(0.4, 0.8) * min(deep, wide), wood)
    if base == "trestle":
        return parts + _trestles(x, z, high - thick, wood)
    if base == "legs":
        parts += legs(rng, x, z, high - thick, wood, rng.uniform(1.2, 2.6))
        if rng.random() < 0.35:
            parts.append(box((x[0], x[1]), (high - thick - 2, high - thick), z, wood))
    for side in (-1, 1) if base != "legs" else ():
        width = 1.5 if base == "panels" else rng.uniform(4, 0.9 * wide)
        ends = sorted((side * z[1], side * (z[1] - width)))
        parts.append(box(x, (0, high), (ends[0], ends[1]), color(rng, "wood")))
        if base == "drawers" and rng.random() < 0.5:
            break  # a desk with drawers on one side stands on a panel on the other
    if base == "drawers":
        parts.append(box(x, (0, high), (z[1] - 1.2, z[1]), wood))
    if rng.random() < 0.3:
        parts.append(box(x, (high * 0.25, high * 0.25 + 1), z, wood))  # a shelf
    return parts


def _trestles(x: Span, z: Span, high: float, tint: Color) -> list[Part]:
    """Two pairs of crossing legs with a beam between them."""
    parts = [box((-0.8, 0.8), (high * 0.3, high * 0.3 + 1.4), z, tint)]
    for end in (0.85 * z[0], 0.85 * z[1]):
        for foot in x:
            parts.append(rod((foot, 0, end), (foot * 0.15, high, end), 1.0, tint, sides=4))
    return parts


def cabinet(rng: Rng) -> list[Part]:
    """A wardrobe, sideboard, chest, open shelf or two-part cupboard."""
    deep, wide, high = rng.uniform(4, 9), rng.uniform(5, 16), rng.uniform(9, 32)
    wood, other = color(rng, str(rng.choice(["wood", "wood", "any"]))), color(rng, "wood")
    style = rng.choice(["closed", "closed", "shelf", "two", "island"])
    low = float(rng.choice([0, 0, rng.uniform(2, 6)]))
    parts = []
    if low:
        parts += legs(rng, (-deep, deep), (-wide, wide), low, other, rng.uniform(1.3, 2.4))
    if style == "shelf":
        parts += _shelf(rng, deep, wide, (low, low + high), wood, other)
    elif style == "two":
        middle = low + high * rng.uniform(0.3, 0.6)
        back = -deep + 2 * deep * rng.uniform(0.35, 0.7)
        parts.append(box((-deep, deep), (low, middle), (-wide, wide), wood))
        parts += _shelf(rng, (back + deep) / 2, wide, (middle, low + high), wood, other)
        shift = np.array([(back - deep) / 2, 0.0, 0.0])
        parts[-1:] = [Part(p.primitive, p.matrix, p.offset + shift, p.color) for p in parts[-1:]]
    else:
        parts.append(box((-deep, deep), (low, low + high), (-wide, wide), wood))
        if style == "island":
            y = (low + high, low + high + 1.2)
            over = rng.uniform(1, 3)
            parts.append(box((-deep - over, deep + over), y, (-wide - over, wide + over), other))
    rows, columns = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    if style != "shelf":
        top = low + high if style != "two" else middle
        parts += _fronts(deep, wide, (low, float(top)), (rows, columns), color(rng, "wood"))
    return parts


def _shelf(rng: Rng, deep: float, wide: float, y: Span, tint: Color, back: Color) -> list[Part]:
    """An open box with boards."""
    parts = []
    if rng.random() < 0.7:
        parts.append(box((-deep, -deep + 1), y, (-wide, wide), back))
    for z in (-wide + 0.6, wide - 0.6):
        parts.append(box((-deep, deep), y, (z - 0.6, z + 0.6), tint))
    for height in np.linspace(y[0] + 0.6, y[1] - 0.6, int(rng.integers(3, 6))):
        parts.append(box((-deep, deep), (height - 0.6, height + 0.6), (-wide, wide), tint))
    return parts


def _fronts(deep: float, wide: float, y: Span, count: tuple[int, int], tint: Color) -> list[Part]:
    """Doors or drawers, each with a knob."""
    heights = np.linspace(*y, count[0] + 1)
    widths = np.linspace(-wide, wide, count[1] + 1)
    parts = []
    for a, b in itertools.pairwise(heights):
        for c, d in itertools.pairwise(widths):
            front = (deep, deep + 0.4)
            parts.append(box(front, (a + 0.3, b - 0.3), (c + 0.3, d - 0.3), tint))
            high, side = (a + b) / 2, (c + d) / 2
            knob = ((deep + 0.3, deep + 0.9), (high - 0.3, high + 0.3), (side - 0.3, side + 0.3))
            parts.append(box(*knob, (60, 60, 60)))
    return parts
