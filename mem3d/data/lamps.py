"""Procedural lamps: on a table, on the floor, from a ceiling, on a wall.

Units of about one voxel of a 32^3 grid; y up, front +x, left and right along z.
"""

import numpy as np

from mem3d.data.paint import Rng, color
from mem3d.data.solids import Color, Part, ball, box, rod, rounded, slab

LIGHT = (250, 244, 215)


def lamp(rng: Rng) -> list[Part]:
    """A table, floor, desk, ceiling or wall lamp, a tripod, a chandelier or a street lamp."""
    styles = {
        "table": _table_lamp,
        "floor": _floor_lamp,
        "desk": _desk_lamp,
        "pendant": _pendant,
        "wall": _wall_lamp,
        "tripod": _tripod,
        "chandelier": _chandelier,
        "street": _street_lamp,
    }
    chosen = str(rng.choice([*styles, "table", "table", "table", "floor", "floor"]))
    return styles[chosen](rng, color(rng, str(rng.choice(["metal", "dark", "wood", "any"]))))


def _shade(rng: Rng, bottom: float, tall: float, radius: float) -> list[Part]:
    """A cone, drum, box, ball or bowl around the y axis."""
    tint = LIGHT if rng.random() < 0.4 else color(rng)
    kind = str(rng.choice(["cone", "cone", "drum", "box", "ball", "bowl"]))
    top, high = (0, bottom + tall, 0), bottom + tall
    if kind == "ball":
        return [ball((0, bottom + tall / 2, 0), (radius, tall / 2, radius), tint)]
    if kind == "bowl":
        return [rod((0, bottom, 0), top, radius * 0.35, tint, taper=2.8, sides=20)]
    if kind == "box":
        taper = float(rng.uniform(0.5, 1))
        return [box((-radius, radius), (bottom, high), (-radius, radius), tint, taper=taper)]
    taper = 1.0 if kind == "drum" else float(rng.uniform(0.25, 0.7))
    return [rod((0, bottom, 0), top, radius, tint, taper=taper, sides=20)]


def _base(rng: Rng, radius: float, tint: Color) -> list[Part]:
    """A disc, a square plate or a dome on the floor."""
    kind, high = str(rng.choice(["disc", "square", "dome"])), float(rng.uniform(1, 2.2))
    if kind == "dome":
        return [rod((0, 0, 0), (0, 2 * high, 0), radius, tint, taper=0.3)]
    corner = 0.5 if kind == "disc" else 0.0
    outline = rounded((-radius, radius), (-radius, radius), max(corner, 0.02))
    return [slab(outline, "y", (0, high), tint)]


def _table_lamp(rng: Rng, tint: Color) -> list[Part]:
    radius, neck = float(rng.uniform(5, 11)), float(rng.uniform(8, 20))
    tall = float(rng.uniform(0.4, 1)) * 24 - neck * 0.4
    parts = _base(rng, float(rng.uniform(3, 7)), tint) + _shade(rng, neck, max(tall, 5), radius)
    body = str(rng.choice(["stick", "vase", "balls", "column"]))
    if body == "vase":
        wide = float(rng.uniform(2.5, 6))
        parts.append(ball((0, neck * 0.45, 0), (wide, neck * 0.45, wide), tint))
    elif body == "balls":
        count = int(rng.integers(2, 5))
        size = neck / count / 2 * 1.1
        radii = (min(size, 4), size, min(size, 4))
        heights = np.linspace(size, neck - size, count)
        parts += [ball((0, height, 0), radii, tint) for height in heights]
    radius = 0.8 if body != "column" else float(rng.uniform(1.6, 4))
    return [*parts, rod((0, 0, 0), (0, neck + 2, 0), radius, tint)]


def _floor_lamp(rng: Rng, tint: Color) -> list[Part]:
    tall, radius = float(rng.uniform(4, 9)), float(rng.uniform(2.8, 6.5))
    parts = _base(rng, float(rng.uniform(2.5, 5)), tint) + _shade(rng, 32 - tall, tall, radius)
    return [*parts, rod((0, 0, 0), (0, 33 - tall, 0), float(rng.uniform(0.6, 1.1)), tint)]


def _desk_lamp(rng: Rng, tint: Color) -> list[Part]:
    elbow = (-float(rng.uniform(2, 9)), float(rng.uniform(12, 18)), 0.0)
    head = (float(rng.uniform(4, 12)), elbow[1] + float(rng.uniform(-1, 10)), 0.0)
    reach = float(rng.uniform(4, 7))
    end = (head[0] + reach * 0.6, head[1] - reach, 0.0)
    shade = rod(head, end, 1.2, color(rng), taper=float(rng.uniform(2.5, 4.2)))
    arms = [rod((0, 0, 0), elbow, 0.8, tint), rod(elbow, head, 0.8, tint), ball(elbow, 1.3, tint)]
    return [*_base(rng, float(rng.uniform(4, 7)), tint), *arms, shade]


def _pendant(rng: Rng, tint: Color) -> list[Part]:
    tall, radius = float(rng.uniform(4, 14)), float(rng.uniform(4, 14))
    length = tall + float(rng.uniform(4, 22))
    cord = rod((0, tall * 0.7, 0), (0, length, 0), 0.6, tint)
    rose = rod((0, length - 1.2, 0), (0, length, 0), float(rng.uniform(1.5, 4)), tint)
    return [cord, rose, *_shade(rng, 0.0, tall, radius)]


def _wall_lamp(rng: Rng, tint: Color) -> list[Part]:
    reach, tall = float(rng.uniform(5, 12)), float(rng.uniform(7, 15))
    radius = float(rng.uniform(3.5, 6.5))
    plate = box((-reach - 1.2, -reach), (-tall * 0.7, tall * 0.5), (-2.5, 2.5), tint)
    arm = rod((-reach, 0, 0), (0, 0, 0), 0.8, tint)
    return [plate, arm, rod((0, -1, 0), (0, 3, 0), 0.8, tint), *_shade(rng, 1.0, tall, radius)]


def _tripod(rng: Rng, tint: Color) -> list[Part]:
    hub, spread = float(rng.uniform(15, 23)), float(rng.uniform(4, 10))
    angles = np.array([0.3, 2.4, 4.5])
    feet = [(spread * np.cos(a), 0, spread * np.sin(a)) for a in angles]
    parts = [rod(foot, (0, hub, 0), 0.8, tint) for foot in feet]
    return parts + _shade(rng, hub - 1, float(rng.uniform(6, 11)), float(rng.uniform(5, 9)))


def _chandelier(rng: Rng, tint: Color) -> list[Part]:
    count, reach = int(rng.integers(3, 7)), float(rng.uniform(8, 15))
    tall, size = float(rng.uniform(8, 20)), float(rng.uniform(1.6, 3.4))
    parts = [rod((0, 0, 0), (0, tall, 0), 0.8, tint), ball((0, 1.5, 0), 2.2, tint)]
    for angle in np.arange(count) * (2 * np.pi / count):
        x, z = reach * np.cos(angle), reach * np.sin(angle)
        parts.append(rod((0, 1.5, 0), (x, 0, z), 0.7, tint))
        cup = rod((x, 0, z), (x, size * 1.8, z), size * 0.6, LIGHT, taper=1.6)
        parts.append(cup)
    return parts


def _street_lamp(rng: Rng, tint: Color) -> list[Part]:
    reach = float(rng.uniform(4, 12))
    pole = rod((0, 0, 0), (0, 30, 0), 1.0, tint, taper=0.6)
    parts = [pole, rod((0, 0, 0), (0, 3, 0), float(rng.uniform(1.6, 3)), tint)]
    for side in (-1, 1) if rng.random() < 0.5 else (1,):
        parts.append(rod((0, 29.5, 0), (side * reach, 31, 0), 0.6, tint))
        parts.append(ball((side * reach, 30.4, 0), (2.8, 1.3, 1.6), LIGHT))
    return parts
