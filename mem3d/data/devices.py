"""Procedural devices: display, speaker, telephone.

Each function draws one object of its category: a style, then its measures, in units of about one
voxel of a 32^3 grid; y up, front +x, left and right along z.
"""

import numpy as np

from mem3d.data.paint import Rng, color
from mem3d.data.solids import Color, Part, ball, box, ring, rod, rounded, slab

SCREEN, BLACK = (40, 60, 80), (30, 30, 32)


def display(rng: Rng) -> list[Part]:
    """A flat screen on a foot, a tube set, a wall screen, a laptop or two screens."""
    style = str(rng.choice(["foot", "foot", "feet", "tube", "wall", "laptop", "two"]))
    wide, case = 16.0, color(rng, str(rng.choice(["dark", "metal", "any"])))
    tall = wide * 2 * float(rng.choice([rng.uniform(0.5, 0.62), rng.uniform(0.65, 0.85)]))
    thick, lift = float(rng.uniform(1.2, 3)), float(rng.uniform(2, 7))
    if style == "wall":
        lift = 0.0
    elif style == "tube":
        return _tube(rng, case)
    elif style == "laptop":
        deep, lean = float(rng.uniform(8, 11)), float(rng.uniform(1, 8))
        screen = box((-deep, -deep + 1.3), (0, tall * 0.9), (-16, 16), case, lean=(-lean, 0))
        return [box((-deep, deep), (0, 1.4), (-16, 16), case), screen]
    elif style == "two":
        tall, thick = 16 * float(rng.uniform(0.7, 1.2)), 1.5
    halves = ((-16.0, 16.0),) if style != "two" else ((-16.0, -0.5), (0.5, 16.0))
    lean, parts = float(rng.uniform(0, 2.5)), []
    for low, high in halves:
        frame = ((0.0, thick), (lift, lift + tall), (low, high))
        parts.append(box(*frame, case, lean=(-lean, 0)))
        glass = ((thick, thick + 0.3), (lift + 1, lift + tall - 1), (low + 1, high - 1))
        parts.append(box(*glass, SCREEN, lean=(-lean, 0)))
    if rng.random() < 0.5:  # the bulge of the electronics
        z = wide * float(rng.uniform(0.4, 0.8))
        y = (lift + tall * 0.2, lift + tall * float(rng.uniform(0.5, 0.8)))
        parts.append(box((-float(rng.uniform(1, 3)), 0.5), y, (-z, z), case))
    if style == "feet":
        for z in (-wide * 0.65, wide * 0.65):
            parts.append(box((-4, 5), (0, 1.2), (z - 0.8, z + 0.8), BLACK))
            parts.append(box((0, 1.4), (0, lift + 1), (z - 0.8, z + 0.8), BLACK))
    elif style != "wall":
        parts += _foot(rng, lift + tall * 0.3, case)
    return parts


def _foot(rng: Rng, reach: float, tint: Color) -> list[Part]:
    """A neck behind a screen, on a round or square plate."""
    half = float(rng.uniform(0.8, 2.5))
    neck = box((-1.6, 0.2), (0, reach), (-half, half), tint)
    deep, wide = float(rng.uniform(3.5, 6)), float(rng.uniform(4, 10))
    if rng.random() < 0.5:
        return [neck, slab(rounded((-deep, deep), (-wide, wide)), "y", (0, 1.2), tint)]
    return [neck, box((-deep, deep), (0, 1.2), (-wide, wide), tint)]


def _tube(rng: Rng, case: Color) -> list[Part]:
    """A set with a deep back that narrows."""
    wide, tall = float(rng.uniform(11, 15)), float(rng.uniform(18, 26))
    deep, front = float(rng.uniform(8, 16)), float(rng.uniform(3, 8))
    face = [(-wide, 0.0), (wide, 0.0), (wide, tall), (-wide, tall)]
    parts = [box((0, front), (0, tall), (-wide, wide), case)]
    parts.append(slab(face, "x", (0, -deep), case, taper=float(rng.uniform(0.45, 0.75))))
    glass = (front, front + 0.4)
    parts.append(box(glass, (2, tall - 1.5), (-wide + 1.5, wide - 1.5), SCREEN))
    if rng.random() < 0.4:
        parts.append(box((-deep * 0.6, front * 0.7), (-2, 0), (-wide * 0.6, wide * 0.6), case))
    return parts


def speaker(rng: Rng) -> list[Part]:
    """A tower, box, cube on feet, ball, bar, horn or pair of boxes."""
    style = str(rng.choice(["tower", "box", "box", "stand", "ball", "bar", "pair", "monitor"]))
    case = color(rng, str(rng.choice(["wood", "dark", "any"])))
    deep, wide, tall = float(rng.uniform(4, 9)), float(rng.uniform(4, 9)), 32.0
    if style == "ball":
        radii = rng.uniform(9, 14, 3)
        parts = [ball((0, radii[1], 0), (radii[0], radii[1], radii[0]), case)]
        foot = rod((0, -2, 0), (0, 3, 0), float(rng.uniform(4, 8)), BLACK, taper=0.6)
        cone = rod((radii[0] * 0.7, radii[1], 0), (radii[0] * 1.05, radii[1], 0), 6, BLACK)
        return [*parts, foot, cone]
    if style == "bar":
        tall, wide = float(rng.uniform(3, 7)), 16.0
        deep = float(rng.uniform(2, 4.5))
    elif style in ("box", "stand", "pair"):
        tall = float(rng.uniform(12, 22))
    elif style == "monitor":  # a wedge that lies on the stage
        side = [(-8.0, 0.0), (10.0, 0.0), (float(rng.uniform(0, 6)), 14.0), (-8.0, 14.0)]
        wide = float(rng.uniform(9, 15))
        return [slab(side, "z", (-wide, wide), case), *_drivers(rng, 6.5, wide, 13, 0.0, 1, 3.5)]
    places = (0.0,) if style != "pair" else (-wide - 4, wide + 4)
    count, parts = int(rng.integers(1, 4)), []
    for z in places:
        parts += _case(rng, deep, wide, tall, z, case)
        parts += _drivers(rng, deep, wide, tall, z, count, 0.0)
    if style == "stand":
        parts += [
            box((-2, 2), (-14, 0), (-1.3, 1.3), BLACK),
            box((-6, 6), (-15, -13.5), (-6, 6), BLACK),
        ]
    elif style in ("tower", "pair") and rng.random() < 0.4:
        parts += [
            box((-deep - 1, deep + 1), (-1.2, 0), (z - wide - 1, z + wide + 1), BLACK)
            for z in places
        ]
    return parts


def _case(rng: Rng, deep: float, wide: float, tall: float, z: float, tint: Color) -> list[Part]:
    """Square, round-edged or narrowing to the top."""
    kind = str(rng.choice(["square", "square", "round", "taper"]))
    if kind == "round":
        outline = rounded((-deep, deep), (z - wide, z + wide), float(rng.uniform(0.15, 0.5)))
        return [slab(outline, "y", (0, tall), tint)]
    taper = 1.0 if kind == "square" else float(rng.uniform(0.5, 0.85))
    return [box((-deep, deep), (0, tall), (z - wide, z + wide), tint, taper=taper)]


def _drivers(
    rng: Rng, deep: float, wide: float, tall: float, z: float, count: int, back: float
) -> list[Part]:
    """Round membranes in a column on the front, with a raised rim."""
    parts, step = [], tall / count
    for number in range(count):
        radius = min(wide * 0.8, step * 0.42) * float(rng.uniform(0.75, 1))
        y = step * (number + 0.5)
        parts.append(
            rod((deep - 1 - back, y, z), (deep + 0.3 - back, y, z), radius, BLACK, sides=20)
        )
        parts.append(ring((deep + 0.2 - back, y, z), radius, 0.5, (90, 90, 95), "x"))
    return parts


def telephone(rng: Rng) -> list[Part]:
    """A smartphone, key phone, clamshell, brick with aerial, desk phone or wall phone."""
    style = str(rng.choice(["smart", "keys", "keys", "clam", "slider", "brick", "desk", "desk"]))
    if style == "desk":
        return _desk_phone(rng)
    case = color(rng, str(rng.choice(["dark", "metal", "any"])))
    wide, thick = float(rng.uniform(5, 10.5)), float(rng.uniform(0.9, 2.8))
    if style == "keys":
        wide, thick = float(rng.uniform(4, 8)), float(rng.uniform(1.4, 4.4))
    corner, tall = float(rng.uniform(0.05, 0.4)), 16.0
    outline = rounded((-wide, wide), (-tall, tall), corner)
    if style == "clam":
        lean = float(rng.uniform(0, 16))
        lid = box((-1, 1), (0, 15), (-wide, wide), case, lean=(-lean * 0.4, 0))
        base = box((0, 14 - lean * 0.3), (-1.6, 0.6), (-wide, wide), case)
        if rng.random() < 0.5:
            base = box(
                (-1, 1.2), (-15, 0), (-wide, wide), case, lean=(-float(rng.uniform(2, 6)), 0)
            )
        hinge = rod((-0.2, 0, -wide), (-0.2, 0, wide), 1.4, BLACK)
        return [lid, base, hinge]
    body = slab(outline, "x", (-thick, thick), case)
    if style == "slider":
        shift = float(rng.uniform(5, 11))
        upper = [(a, b + shift) for a, b in outline]
        return [body, slab(upper, "x", (thick, thick * 2 + 0.6), color(rng, "dark"))]
    if style == "smart":
        glass = ((thick, thick + 0.3), (-tall * 0.85, tall * 0.9), (-wide * 0.85, wide * 0.85))
        return [body, box(*glass, SCREEN)]
    if style == "brick":
        thick = 3.4
        z, reach = wide * float(rng.choice([-0.55, 0.55])), float(rng.uniform(14, 22))
        body = box((-thick, thick), (-tall, 10), (-wide * 0.8, wide * 0.8), case)
        return [body, rod((0, 9, z), (0, reach, z), 0.9, BLACK), *_keys(wide, thick, 9.0)]
    return [body, *_keys(wide, thick, tall * 0.75)]


def _keys(wide: float, thick: float, top: float) -> list[Part]:
    """A small screen below `top`, and four rows of keys."""
    glass = ((thick, thick + 0.3), (0.8, top), (-wide * 0.75, wide * 0.75))
    parts = [box(*glass, SCREEN)]
    for y in np.linspace(-13.5, -2, 4):
        for z in (-wide * 0.5, 0, wide * 0.5):
            key = ((thick, thick + 0.5), (y - 1, y + 1), (z - wide * 0.16, z + wide * 0.16))
            parts.append(box(*key, (200, 200, 200)))
    return parts


def _desk_phone(rng: Rng) -> list[Part]:
    """A wedge with a handset across it or along its side."""
    case, other = color(rng), color(rng, "dark")
    deep, wide = float(rng.uniform(9, 14)), float(rng.uniform(9, 14))
    low, high = float(rng.uniform(1.5, 4)), float(rng.uniform(5, 11))
    side = [(deep, 0.0), (deep, low), (-deep, high), (-deep, 0.0)]
    parts = [slab(side, "z", (-wide, wide), case)]
    half = min(wide, deep) * 0.95
    across, radius = rng.random() < 0.4, float(rng.uniform(1.3, 2.4))
    slope = (high - low) / (2 * deep)
    for end in (-1, 1):
        x, z = (-deep * 0.55, end * half) if across else (end * half, -wide * 0.65)
        y = low + (deep - x) * slope
        parts.append(box((x - 2.4, x + 2.4), (y - 0.5, y + 3.5), (z - 2.4, z + 2.4), other))
    a = (-deep * 0.55, -half) if across else (-half, -wide * 0.65)
    b = (-deep * 0.55, half) if across else (half, -wide * 0.65)
    ends = [(x, low + (deep - x) * slope + 3.4, z) for x, z in (a, b)]
    parts.append(rod(ends[0], ends[1], radius, other))
    pad = low + (deep - deep * 0.3) * slope
    parts.append(box((0, deep * 0.7), (0, pad + 0.6), (-wide * 0.2, wide * 0.8), (210, 210, 205)))
    return parts
