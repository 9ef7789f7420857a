"""Procedural seats: bench, chair, sofa; and the legs and pedestals that tables share with them.

Each function draws one object of its category: a style, then its measures, in units of about one
voxel of a 32^3 grid; y up from the floor at 0, front +x, left and right along z.
"""

import itertools

import numpy as np

from mem3d.data.paint import Rng, color
from mem3d.data.solids import Color, Part, Span, box, rod, rounded, slab


def chair(rng: Rng) -> list[Part]:
    """Legs, a pedestal, a sled or panels; a seat; a backrest; perhaps arms."""
    deep, wide = rng.uniform(6.5, 9), rng.uniform(6.5, 9)
    high, thick = rng.uniform(10.5, 14.5), rng.uniform(1.6, 3.4)
    wood = color(rng, str(rng.choice(["wood", "metal", "dark", "any"])))
    cloth = color(rng)
    base = rng.choice(["legs", "legs", "pedestal", "sled", "panels"])
    if base == "legs":
        width = float(rng.uniform(1.2, 2.4))
        parts = legs(rng, (-deep, deep), (-wide, wide), high, wood, width)
        if rng.random() < 0.4:
            parts.append(box((-deep, deep), (high * 0.35, high * 0.35 + 1), (-0.6, 0.6), wood))
            for side in (-1, 1):
                z = (side * (wide - 1.2) - 0.6, side * (wide - 1.2) + 0.6)
                parts.append(box((-deep, deep), (high * 0.35, high * 0.35 + 1), z, wood))
    elif base == "pedestal":
        parts = pedestal(rng, high, rng.uniform(0.7, 1) * deep, wood)
    else:
        parts = _side_frames(deep, wide, high, wood, solid=base == "panels")
    if rng.random() < 0.25:
        outline = rounded((-deep, deep), (-wide, wide), rng.uniform(0.3, 0.5))
        parts.append(slab(outline, "y", (high, high + thick), cloth))
    else:
        parts.append(box((-deep, deep), (high, high + thick), (-wide, wide), cloth))
    top = high + thick + rng.uniform(10, 17)
    lean = float(rng.uniform(0, 4))
    parts += bars(rng, wide, (high + thick / 2, top), -deep, lean, cloth)
    return parts + _arms(rng, deep, wide, high + thick, wood)


def sofa(rng: Rng) -> list[Part]:
    """Base, backrest, arms and cushions; straight, with a corner, or a daybed."""
    deep, wide = rng.uniform(5, 9), float(rng.choice([rng.uniform(8, 12), rng.uniform(13, 18)]))
    low, seat = float(rng.choice([0, rng.uniform(1, 4)])), rng.uniform(4.5, 8)
    back, arm = seat + rng.uniform(3, 10), float(rng.choice([0, 1.5, rng.uniform(2, 5)]))
    cloth, wood = color(rng), color(rng, "wood")
    parts = [box((-deep, deep), (low, seat), (-wide, wide), cloth)]
    if low:
        parts += legs(rng, (-deep + 1, deep - 1), (-wide + 1, wide - 1), low, wood, 1.6)
    thick = rng.uniform(1.5, 4.5)
    if rng.random() < 0.88:
        lean = rng.uniform(0, 2.5)
        x = (-deep - thick * 0.3, -deep + thick)
        parts.append(box(x, (low, back), (-wide, wide), cloth, lean=(-lean, 0)))
    tall = rng.uniform(seat + 1, max(back, seat + 2))
    for side in rng.choice([-1, 1], 1) if rng.random() < 0.2 else (-1, 1):
        if arm and rng.random() < 0.9:
            z = side * wide
            if rng.random() < 0.35:
                parts.append(rod((-deep, tall, z), (deep, tall, z), arm / 2 + 0.6, cloth))
            parts.append(box((-deep, deep), (low, tall), (z - arm / 2, z + arm / 2), cloth))
    if rng.random() < 0.25:  # a corner sofa
        reach, side = rng.uniform(4, 11), int(rng.choice([-1, 1]))
        z = tuple(sorted((side * wide, side * wide * rng.uniform(0.2, 0.5))))
        parts.append(box((deep, deep + reach), (low, seat), (z[0], z[1]), cloth))
    count, tint = int(rng.integers(1, 4)), color(rng)
    edges = np.linspace(-wide + arm / 2, wide - arm / 2, count + 1)
    for a, b in itertools.pairwise(edges) if rng.random() < 0.6 else ():
        x = (-deep + thick, deep * 0.95)
        parts.append(box(x, (seat, seat + 1.5), (a + 0.3, b - 0.3), tint))
    return parts


def bench(rng: Rng) -> list[Part]:
    """A long seat, whole or of slats, on legs, panels or blocks, with or without a back."""
    deep, wide = rng.uniform(3, 5.5), rng.uniform(13, 16)
    high, thick = rng.uniform(5.5, 8.5), rng.uniform(1.2, 2.2)
    wood, frame = color(rng, "wood"), color(rng, str(rng.choice(["metal", "dark", "wood"])))
    count = int(rng.choice([1, 1, 3, 4]))
    edges = np.linspace(-deep, deep, count + 1)
    parts = []
    for a, b in itertools.pairwise(edges):
        gap = 0.0 if count == 1 else 0.12 * (b - a)
        parts.append(box((a + gap, b - gap), (high, high + thick), (-wide, wide), wood))
    base = rng.choice(["legs", "panels", "blocks", "middle"])
    inset = wide * rng.uniform(0.65, 1)
    if base == "legs":
        parts += legs(rng, (-deep, deep), (-inset, inset), high, frame, rng.uniform(1.2, 2))
    elif base == "middle":
        parts.append(box((-deep * 0.7, deep * 0.7), (0, high), (-wide * 0.4, wide * 0.4), frame))
    for side in (-1, 1) if base in ("panels", "blocks") else ():
        half, z = (0.8 if base == "panels" else rng.uniform(1.5, 4)), side * (inset - 1)
        parts.append(box((-deep, deep), (0, high), (z - half, z + half), frame))
    if rng.random() < 0.6:
        lean, tall = float(rng.uniform(0, 3.5)), float(rng.uniform(5, 10))
        if rng.random() < 0.5:
            parts += bars(rng, wide, (high, high + tall), -deep, lean, wood)
        else:  # planks on posts
            for share in np.linspace(0.35, 1, int(rng.integers(1, 4))):
                x, y = -deep - lean * share, high + tall * share
                parts.append(box((x, x + 1.1), (y - 1.6, y), (-wide, wide), wood))
            for z in (-inset + 1, inset - 1):
                post = rod((-deep + 0.5, high, z), (-deep + 0.5 - lean, high + tall, z), 0.8, frame)
                parts.append(post)
        if rng.random() < 0.5:
            parts += _arms(rng, deep, wide - 0.5, high + thick, frame)
    return parts


def legs(rng: Rng, x: Span, z: Span, height: float, tint: Color, width: float) -> list[Part]:
    """Four legs under a rectangle: straight or tapered, round or square, upright or splayed."""
    sides = int(rng.choice([4, 12]))
    splay = float(rng.choice([0, rng.uniform(0.5, 2)]))
    taper = float(rng.uniform(1, 1.6))
    parts = []
    for px, out_x in ((x[0] + width / 2, -splay), (x[1] - width / 2, splay)):
        for pz, out_z in ((z[0] + width / 2, -splay), (z[1] - width / 2, splay)):
            foot, top = (px + out_x, 0.0, pz + out_z), (px, height, pz)
            parts.append(rod(foot, top, width / 2, tint, taper=taper, sides=sides))
    return parts


def pedestal(rng: Rng, height: float, reach: float, tint: Color) -> list[Part]:
    """A column on a disc, a star or a cone."""
    column = rod((0, 0, 0), (0, height, 0), rng.uniform(0.7, 1.6), tint)
    style = rng.choice(["disc", "star", "cone"])
    if style == "disc":
        return [column, rod((0, 0, 0), (0, rng.uniform(0.8, 1.6), 0), reach, tint, sides=24)]
    if style == "cone":
        return [column, rod((0, 0, 0), (0, height * 0.4, 0), reach, tint, taper=0.2, sides=24)]
    count = int(rng.choice([3, 4, 5]))
    angles = np.arange(count) * (2 * np.pi / count)
    feet = [(reach * np.cos(a), 0.6, reach * np.sin(a)) for a in angles]
    return [column, *(rod((0, 1.6, 0), foot, 0.8, tint) for foot in feet)]


def bars(rng: Rng, z: float, y: Span, x: float, lean: float, tint: Color) -> list[Part]:
    """A backrest of half width z at x, from y[0] to y[1], its top `lean` further back."""
    thick = float(rng.uniform(1.0, 2.5))
    tall = y[1] - y[0]
    style = rng.choice(["solid", "round", "ladder", "slats", "frame"])
    if style == "solid":
        return [box((x, x + thick), y, (-z, z), tint, lean=(-lean, 0))]
    if style == "round":
        outline = rounded((-z, z), y, rng.uniform(0.2, 0.5))
        return [slab(outline, "x", (x - lean / 2, x - lean / 2 + thick), tint)]
    posts = [
        box((x, x + thick), y, (s * z - 0.7, s * z + 0.7), tint, lean=(-lean, 0)) for s in (-1, 1)
    ]
    top = box((x - lean, x - lean + thick), (y[1] - tall * 0.2, y[1]), (-z, z), tint)
    if style == "frame":
        return [*posts, top]
    count = int(rng.integers(2, 5))
    if style == "slats":
        places = np.linspace(-z, z, count + 2)[1:-1]
        slats = [box((x, x + 1), y, (p - 0.6, p + 0.6), tint, lean=(-lean, 0)) for p in places]
        return [*posts, top, *slats]
    rungs = []
    for share in np.linspace(0.2, 0.75, count):
        back, low = x - lean * share, y[0] + tall * share
        rungs.append(box((back, back + 1.2), (low, low + 1.4), (-z, z), tint))
    return [*posts, top, *rungs]


def _side_frames(deep: float, wide: float, high: float, tint: Color, *, solid: bool) -> list[Part]:
    """Panels left and right, or the bent tubes of a cantilever chair."""
    parts = []
    for side in (-1, 1):
        z = side * (wide - 0.8)
        if solid:
            parts.append(box((-deep, deep), (0, high), (z - 0.8, z + 0.8), tint))
        else:
            front = rod((deep - 0.8, 0.8, z), (deep - 0.8, high + 0.5, z), 0.8, tint)
            parts += [front, rod((-deep, 0.8, z), (deep, 0.8, z), 0.8, tint)]
    if not solid:
        parts.append(rod((-deep + 0.8, 0.8, -wide), (-deep + 0.8, 0.8, wide), 0.8, tint))
    return parts


def _arms(rng: Rng, deep: float, wide: float, seat: float, tint: Color) -> list[Part]:
    """None, rails on posts, or solid sides."""
    style = rng.choice(["none", "none", "rails", "sides"])
    tall, parts = float(rng.uniform(3.5, 7)), []
    for side in (-1, 1) if style != "none" else ():
        z = (side * wide - 0.9, side * wide + 0.9)
        if style == "sides":
            parts.append(box((-deep, deep * 0.9), (seat - 2, seat + tall), z, tint))
        else:
            parts.append(box((-deep, deep * 0.8), (seat + tall, seat + tall + 1.2), z, tint))
            parts.append(box((deep * 0.5, deep * 0.7), (seat - 1, seat + tall), z, tint))
    return parts
