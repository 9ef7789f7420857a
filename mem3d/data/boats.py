"""Procedural watercraft.

Units of about one voxel of a 32^3 grid; y up, bow at +x, left and right along z.
"""

import numpy as np

from mem3d.data.paint import Rng, color
from mem3d.data.solids import Color, Part, ball, box, rod, slab
from mem3d.data.vehicles import GLASS, wings

STYLES = ("sail", "sail", "motor", "freighter", "ferry", "rowing", "catamaran", "submarine")


def watercraft(rng: Rng) -> list[Part]:
    """A sailing boat, motor boat, freighter, ferry, rowing boat, catamaran or submarine."""
    style = str(rng.choice(STYLES))
    paint, deck = color(rng), color(rng, "wood")
    long = float(rng.uniform(9, 14) if style == "sail" else 16)
    wide = float(rng.uniform(2.4, 6)) * long / 15
    tall = float(rng.uniform(2, 6))
    if style == "submarine":
        return _submarine(rng, paint)
    if style == "rowing":
        return _open_boat(long, float(rng.uniform(4, 6)), tall, paint, deck)
    if style == "catamaran":
        gap = wide * float(rng.uniform(0.9, 1.4))
        parts = [p for z in (-gap, gap) for p in _hull(rng, long, wide * 0.35, tall, z, paint)]
        parts.append(box((-long * 0.7, long * 0.3), (tall - 1, tall + 0.5), (-gap, gap), deck))
    else:
        parts = _hull(rng, long, wide, tall, 0.0, paint)
    if style == "sail" or (style == "catamaran" and rng.random() < 0.6):
        return parts + _rig(rng, long, tall, deck)
    if style in ("motor", "catamaran"):
        x = (-long * float(rng.uniform(0.3, 0.8)), long * float(rng.uniform(0, 0.35)))
        y, z = (tall, tall + float(rng.uniform(1.5, 4))), (-wide * 0.7, wide * 0.7)
        parts.append(box(x, y, z, color(rng, "metal"), taper=0.8))
        window = ((x[0] + 1, x[1] - 2), (y[1], y[1] + 1.5), (-wide * 0.5, wide * 0.5))
        return [*parts, box(*window, GLASS)]
    return parts + _upper_works(rng, style, long, wide, tall)


def _submarine(rng: Rng, paint: Color) -> list[Part]:
    """A long round body with a sail, planes and a rudder."""
    thick, sail = float(rng.uniform(1.8, 3)), (float(rng.uniform(-2, 3)), float(rng.uniform(4, 6)))
    return [
        ball((0, 0, 0), (16, thick, thick), paint),
        rod((-8, 0, 0), (10, 0, 0), thick, paint),
        box(sail, (0, thick + 3), (-0.9, 0.9), paint),
        box((-15, -12.5), (-4, 4), (-0.5, 0.5), paint),
        *wings(-12, 2.5, 2, 4, 0.5, 0, paint),
    ]


def _hull(rng: Rng, long: float, wide: float, tall: float, z: float, tint: Color) -> list[Part]:
    """A solid hull with a pointed bow, wider at the deck than at the keel."""
    stern = float(rng.uniform(0.55, 1))
    bow = float(rng.uniform(0.2, 0.65)) * long
    outline = [(long, z), (bow + (long - bow) * 0.45, z + wide * 0.7), (bow, z + wide)]
    outline += [(-long * 0.5, z + wide), (-long, z + wide * stern)]
    outline += [(x, 2 * z - other) for x, other in outline[:0:-1]]
    flare = float(rng.uniform(1.15, 1.8))
    keel = [(x / flare, z + (other - z) / flare) for x, other in outline]
    return [slab(keel, "y", (0, tall), tint, taper=flare)]


def _open_boat(long: float, wide: float, tall: float, paint: Color, wood: Color) -> list[Part]:
    """A hollow boat: floor, two bent sides, thwarts."""
    stations = np.linspace(-1, 1, 7)
    widths = wide * np.sqrt(1 - 0.9 * np.abs(stations) ** 2.5)
    outline = [(long * s, w) for s, w in zip(stations, widths, strict=True)]
    outline += [(x, -w) for x, w in outline[::-1]]
    parts = [slab(outline, "y", (0, 1.2), paint)]
    ends = list(zip(outline, outline[1:] + outline[:1], strict=True))
    for (x0, z0), (x1, z1) in ends:
        wall = [(x0, z0), (x1, z1), (x1 * 0.93, z1 * 0.75), (x0 * 0.93, z0 * 0.75)]
        parts.append(slab(wall, "y", (0, tall), paint))
    for x in (-long * 0.45, long * 0.1):
        parts.append(box((x, x + 2), (tall - 1.2, tall - 0.2), (-wide * 0.9, wide * 0.9), wood))
    return parts


def _rig(rng: Rng, long: float, deck: float, wood: Color) -> list[Part]:
    """One or two masts with sails in the boat's plane, or square ones across it."""
    parts, square = [], rng.random() < 0.3
    places = (0.1,) if rng.random() < 0.6 else (0.35, -0.35)
    for place in places:
        x, top = (
            long * place,
            deck + float(rng.uniform(14, 26)) * (1 if place == places[0] else 0.8),
        )
        parts.append(rod((x, 0, 0), (x, top, 0), 0.6, wood))
        cloth = color(rng, "metal")
        if square:
            for share in (0.3, 0.65):
                y, half = deck + (top - deck) * share, float(rng.uniform(3, 5.5))
                parts.append(box((x, x + 1), (y, y + (top - deck) * 0.28), (-half, half), cloth))
            continue
        boom = x - long * float(rng.uniform(0.5, 0.8)) / len(places)
        main = [(x, deck + 2), (boom, deck + 2), (x, top)]
        parts.append(slab(main, "z", (-0.5, 0.5), cloth))
        if place == places[0] and rng.random() < 0.7:
            jib = [(long * 0.95, deck + 0.5), (x + 0.5, deck + 1.5), (x + 0.5, top * 0.85)]
            parts.append(slab(jib, "z", (-0.5, 0.5), cloth))
    return parts


def _upper_works(rng: Rng, style: str, long: float, wide: float, deck: float) -> list[Part]:
    """Bridge, funnels, and containers or decks."""
    white, parts = color(rng, "metal"), []
    tall = float(rng.uniform(3, 8))
    if style == "ferry":
        level, ends = deck, (-long * 0.85, long * float(rng.uniform(0.2, 0.6)))
        for _ in range(int(rng.integers(1, 4))):
            parts.append(box(ends, (level, level + 2), (-wide * 0.85, wide * 0.85), white))
            level, ends = level + 2, (ends[0] * 0.85, ends[1] * 0.75)
        x = float(rng.uniform(-6, 0))
        return [*parts, rod((x, level, 0), (x - 0.6, level + 4, 0), 1.3, color(rng))]
    x = -long * float(rng.choice([0.85, 0.4]))
    parts.append(box((x, x + 4.5), (deck, deck + tall), (-wide * 0.9, wide * 0.9), white))
    for place in np.arange(x + 6, long * 0.55, float(rng.uniform(4, 6))):
        stack = deck + float(rng.uniform(1, 5))
        parts.append(
            box((place, place + 3.6), (deck, stack), (-wide * 0.8, wide * 0.8), color(rng))
        )
    return parts
