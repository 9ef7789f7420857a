"""Procedural vehicles: aeroplane, car.

Each function draws one object of its category: a style, then its measures, in units of about one
voxel of a 32^3 grid; y up, front +x, left and right along z.
"""

from mem3d.data.paint import Rng, color
from mem3d.data.solids import Color, Part, Span, ball, box, rod, slab

GLASS, RUBBER = (70, 85, 100), (35, 35, 38)


# Half span, chord at the root, sweep of the tip, chord at the tip over that at the root.
_WINGS: dict[str, tuple[Span, Span, Span, Span]] = {
    "airliner": ((11, 16), (3, 6.5), (4, 9), (0.25, 0.5)),
    "light": ((11, 15), (3, 5.5), (0, 1.5), (0.5, 1)),
    "biplane": ((10, 13), (3, 5), (0, 1), (1, 1)),
    "fighter": ((7, 11), (9, 13), (4, 9), (0.1, 0.4)),
    "glider": ((15, 18), (1.8, 3), (0, 1.5), (0.3, 0.6)),
}


def aeroplane(rng: Rng) -> list[Part]:
    """An airliner, a light propeller plane, a biplane, a jet fighter or a glider."""
    style = str(rng.choice(["airliner", *_WINGS]))
    paint, trim = color(rng, str(rng.choice(["metal", "any"]))), color(rng)
    long = float(rng.uniform(14, 16) if style in ("airliner", "fighter") else rng.uniform(10, 13))
    thick = float(rng.uniform(1.2, 2.3))
    half, root, sweep, tip = (float(rng.uniform(*span)) for span in _WINGS[style])
    parts = [
        rod((-long * 0.55, 0, 0), (long * 0.7, 0, 0), thick, paint),
        ball((long * 0.7, 0, 0), (long * 0.3, thick, thick), paint),
        rod((-long * 0.55, 0, 0), (-long, thick * 0.5, 0), thick, paint, taper=0.3),
        *_tail(rng, long, thick, half, trim),
    ]
    front = float(rng.uniform(0.05, 0.35)) * long
    high = thick * float(rng.choice([-0.6, 0.7]))
    levels = [high] if style != "biplane" else [-thick, thick + 2.5]
    for level in levels:
        parts += wings(front, root, root * tip, half, sweep, level, paint)
    if style == "biplane":
        x = front - root / 2
        for z in (-0.6 * half, 0.6 * half):
            parts.append(rod((x, levels[0], z), (x, levels[1], z), 0.5, trim))
    if style == "airliner":
        parts += _engines(rng, front, half, sweep, high, trim)
    elif style == "fighter":
        parts.append(ball((long * 0.45, thick * 0.8, 0), (2.6, 1.1, 0.9), GLASS))
    elif style != "glider":
        parts += _propeller(long, front, thick, trim)
    return parts


def _propeller(long: float, front: float, thick: float, tint: Color) -> list[Part]:
    """A propeller at the nose, and two wheels on struts."""
    parts = [box((long * 0.96, long * 1.02), (-4, 4), (-0.4, 0.4), RUBBER)]
    y = -thick - 2.4
    for z in (-2.0, 2.0):
        parts.append(rod((front, y, z - 0.4), (front, y, z + 0.4), 1.1, RUBBER))
        parts.append(rod((front, y, z), (front, 0, z * 0.3), 0.5, tint))
    return parts


def wings(
    front: float, root: float, tip: float, half: float, sweep: float, y: float, tint: Color
) -> list[Part]:
    """A pair of flat wings whose leading edge starts at x = front."""
    parts = []
    for side in (-1, 1):
        outline = [(front, 0.0), (front - sweep, side * half)]
        outline += [(front - sweep - tip, side * half), (front - root, 0.0)]
        parts.append(slab(outline, "y", (y - 0.5, y + 0.5), tint))
    return parts


def _tail(rng: Rng, long: float, thick: float, half: float, tint: Color) -> list[Part]:
    """Fin and tailplane; the tailplane sits low or on top of the fin."""
    tall, deep = float(rng.uniform(3, 6)), float(rng.uniform(2, 4))
    twin = rng.random() < 0.2
    base = thick * 0.4
    fin = [
        (-long + deep, base),
        (-long + 0.6, base + tall),
        (-long - 1, base + tall),
        (-long, base),
    ]
    reach = half * float(rng.uniform(0.28, 0.42))
    places = (-reach * 0.8, reach * 0.8) if twin else (0.0,)
    parts = [slab(fin, "z", (z - 0.45, z + 0.45), tint) for z in places]
    level = base + (tall if rng.random() < 0.3 and not twin else 0.3)
    return parts + wings(-long + deep * 0.8, deep, deep * 0.6, reach, 1.0, level, tint)


def _engines(
    rng: Rng, front: float, half: float, sweep: float, y: float, tint: Color
) -> list[Part]:
    """One or two engines under each wing."""
    parts = []
    for share in (0.35,) if rng.random() < 0.6 else (0.3, 0.6):
        for side in (-1, 1):
            x, z = front - sweep * share, side * half * share
            parts.append(rod((x - 2, y - 1.2, z), (x + 1.5, y - 1.2, z), 1.1, tint))
    return parts


def car(rng: Rng) -> list[Part]:
    """A saloon, estate, van, pickup, sports car, bus or lorry, on wheels."""
    style = str(
        rng.choice(["saloon", "saloon", "estate", "van", "pickup", "sports", "bus", "lorry"])
    )
    long, wide = 15.5, float(rng.uniform(5.2, 7.2))
    paint = color(rng)
    ground, belt = float(rng.uniform(1.2, 2.2)), float(rng.uniform(4.6, 6.2))
    roof = belt + float(rng.uniform(2.6, 4.4))
    if style in ("van", "bus", "lorry"):
        roof += float(rng.uniform(1, 3.5))
        wide += 0.6
    elif style == "sports":
        belt, roof = belt - 0.9, roof - 1.8
    nose, boot = belt - float(rng.uniform(0, 1.6)), belt - float(rng.uniform(0, 0.8))
    body = [(long, ground), (long, nose - 0.6), (long - 1, nose), (long * 0.35, belt)]
    body += [(-long * 0.6, belt), (-long, boot), (-long, ground)]
    parts = [slab(body, "z", (-wide, wide), paint)]
    # Where the cabin's roof and its foot begin and end, in shares of half the length.
    shares = {
        "saloon": (0.15, 0.45, -0.35, -0.7),
        "estate": (0.2, 0.5, -0.85, -0.98),
        "van": (0.5, 0.9, -0.97, -1.0),
        "pickup": (0.2, 0.45, -0.1, -0.2),
        "sports": (-0.05, 0.35, -0.3, -0.75),
        "bus": (0.93, 1.0, -1.0, -1.0),
        "lorry": (0.7, 0.95, 0.4, 0.38),
    }[style]
    shift = float(rng.uniform(-0.06, 0.06)) if style not in ("bus", "van") else 0.0
    top_front, foot_front, top_back, foot_back = ((share + shift) * long for share in shares)
    cabin = [(foot_front, belt), (top_front, roof), (top_back, roof), (foot_back, belt)]
    inset = wide * float(rng.uniform(0.82, 0.97))
    tint = paint if style in ("van", "bus") else GLASS
    parts.append(slab(cabin, "z", (-inset, inset), tint))
    roof_span = (min(top_back, top_front - 1), top_front)
    parts.append(box(roof_span, (roof - 0.4, roof + 0.4), (-inset, inset), paint))
    parts += _cargo(rng, style, long, wide, belt, roof)
    return parts + _wheels(rng, long, wide, ground)


def _cargo(rng: Rng, style: str, long: float, wide: float, belt: float, roof: float) -> list[Part]:
    """The bed of a pickup, the box or tank of a lorry."""
    paint = color(rng)
    if style == "pickup":
        walls = [
            box((-long, -long * 0.25), (belt, belt + 1.5), (z - 0.5, z + 0.5), paint)
            for z in (-wide + 0.5, wide - 0.5)
        ]
        return [*walls, box((-long, -long + 1), (belt, belt + 1.5), (-wide, wide), paint)]
    if style == "lorry":
        x, top = (-long, long * 0.3), roof + float(rng.uniform(-2, 4))
        if rng.random() < 0.3:
            radius = min(wide * 0.95, (top - belt) / 2 + 1)
            return [rod((x[0], belt + radius, 0), (x[1], belt + radius, 0), radius, paint)]
        return [box(x, (belt - 1, top), (-wide * 1.05, wide * 1.05), paint)]
    return []


def _wheels(rng: Rng, long: float, wide: float, ground: float) -> list[Part]:
    """Four wheels."""
    radius = ground + float(rng.uniform(0.8, 1.6))
    parts = []
    for x in (long * float(rng.uniform(0.5, 0.66)), -long * float(rng.uniform(0.5, 0.66))):
        for side in (-1, 1):
            start, end = (x, radius, side * (wide - 2)), (x, radius, side * (wide + 0.3))
            parts.append(rod(start, end, radius, RUBBER, sides=20))
    return parts
