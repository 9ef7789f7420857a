"""Polygons cut into triangles: a polygon of n corners gives n - 2, concave ones included.

Triangles that all turn the polygon's own way cover it exactly once, since their sides inside it
cancel. So a fan from the first corner is taken where it does that, and ears are clipped elsewhere.

Source: G. H. Meisters, "Polygons have ears" (1975).
"""

import numpy as np

from mem3d.data.meshes.pieces import (
    MAX_CORNERS,
    MAX_FACES,
    Floats,
    Ints,
    check_count,
    check_indices,
)

_FLAT = 1e-12  # area of a triangle that counts as none; a polygon's extent is 1
_BLOCK = 1 << 18  # corners handled at once: bounds the memory
_MAX_WORK = 1_000_000_000  # corners looked at in search of ears, some ten seconds
_TRY = 1_000  # corners that take as long as beginning to look


def triangulate(vertices: Floats, corners: Ints, counts: Ints) -> tuple[Ints, Ints, str]:
    """Cut polygons into triangles.

    Args:
        vertices: (V, 3).
        corners: (N,) vertices of all polygons, one polygon after another.
        counts: (P,) corners of each polygon; those of fewer than three give no triangle.

    Returns:
        triangles (T, 3) as places in `corners`, by polygon; the polygon (T,) of each; and what is
        to be told about them, or "".

    Raises:
        ValueError: corners of vertices that are not there, or more triangles than we take.
    """
    check_count("corners of faces", len(corners), MAX_CORNERS)
    check_count("faces", int((counts - 2).clip(0).sum()), MAX_FACES)
    check_indices("faces of vertices", corners, len(vertices))
    starts = np.cumsum(counts) - counts
    triangles, owners, tangled = [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)], 0
    work = [_MAX_WORK]  # what is left of it
    for sides in np.unique(counts[counts > 2]):
        alike = np.flatnonzero(counts == sides)
        for block in np.array_split(alike, -(-len(alike) * sides // _BLOCK)):
            fans = _fan(int(sides))[None].repeat(len(block), axis=0)
            if sides > 3:
                rings = vertices[corners[starts[block, None] + np.arange(sides)]]
                tangled += _mend(fans, _flattened(rings), work)
            triangles.append((starts[block, None, None] + fans).reshape(-1, 3))
            owners.append(block.repeat(sides - 2))
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(triangles)[order], owner[order], _report(counts, tangled)


def _report(counts: Ints, tangled: int) -> str:
    """What is to be told."""
    thin = int((counts < 3).sum())
    parts = [f"{thin} faces of fewer than three corners are left out"] if thin else []
    parts += [f"{tangled} faces cross themselves and are read as fans"] if tangled else []
    return "; ".join(parts)


def _fan(sides: int) -> Ints:
    """(n - 2, 3): 0 1 2, 0 2 3, ..."""
    second = np.arange(1, sides - 1)
    return np.stack([np.zeros_like(second), second, second + 1], axis=1)


def _flattened(rings: Floats) -> Floats:
    """Polygons (P, n, 3) in their own planes: (P, n, 2), counterclockwise, extent 1."""
    with np.errstate(all="ignore"):  # of vertices that are not finite, refused elsewhere
        rings = rings - rings[:, :1]
        rings = rings / np.maximum(np.abs(rings).max((1, 2), keepdims=True), 1e-300)
        normals = np.cross(rings, np.roll(rings, -1, axis=1)).sum(1)  # Newell's
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
        # The axis least along the normal gives a direction across it.
        across = np.cross(normals, np.eye(3)[np.abs(normals).argmin(1)])
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-300)
        flat: Floats = np.einsum(
            "pnk,pdk->pnd", rings, np.stack([across, np.cross(normals, across)], 1)
        )
    return flat


def _mend(fans: Ints, rings: Floats, work: list[int]) -> int:
    """Put ears (n - 2, 3) in place of the fans (P, n - 2, 3) that do not fit; how many remain."""
    area = _area(rings[:, 0, None], rings[:, 1:-1], rings[:, 2:])
    tangled = 0
    for number in np.flatnonzero(~(area >= -_FLAT).all(1)):
        ears = _ears(rings[number], work)
        if ears is None:
            tangled += 1
        else:
            fans[number] = ears
    return tangled


def _ears(ring: Floats, work: list[int]) -> Ints | None:
    """Triangles (n - 2, 3) of one polygon (n, 2); None where it crosses itself."""
    rest, ears, place, misses = np.arange(len(ring)), [], 0, 0
    while len(rest) > 2:
        work[0] -= _TRY + len(rest)
        if work[0] < 0:
            raise ValueError("got concave faces of too many corners, want triangles")
        place %= len(rest)
        ear = rest[[place - 1, place, (place + 1) % len(rest)]]
        if _is_ear(ring[ear], ring, rest):
            ears.append(ear)
            rest = np.delete(rest, place)
            misses = 0
            place -= 1  # what stands before it may be an ear now
        else:
            place, misses = place + 1, misses + 1
            if misses > len(rest):
                return None
    return np.array(ears)


def _is_ear(ear: Floats, ring: Floats, rest: Ints) -> bool:
    """Whether a triangle (3, 2) turns as the polygon does, and none of its corners lies within."""
    (ax, ay), (bx, by), (cx, cy) = ear.tolist()
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if abs(area) <= _FLAT:
        return True
    if not area > 0:
        return False
    x, y = ring[rest].T
    within = (bx - ax) * (y - ay) - (by - ay) * (x - ax) > -_FLAT
    within &= (cx - bx) * (y - by) - (cy - by) * (x - bx) > -_FLAT
    within &= (ax - cx) * (y - cy) - (ay - cy) * (x - cx) > -_FLAT
    # Corners on its edges count as well, but for its own, and those of a bridge to a hole on them.
    for own in ear:
        within &= (np.abs(ring[rest] - own) > _FLAT).any(1)
    return not within.any()


def _area(a: Floats, b: Floats, c: Floats) -> Floats:
    """Twice the area of triangles of points (..., 2), > 0 where they are counterclockwise."""
    twice: Floats = (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1])
    twice = twice - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
    return twice
