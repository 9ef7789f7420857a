"""Solids of size 1 around the origin, with an exact inside test and a closed mesh."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Triangles = NDArray[np.int32]


class Primitive(Protocol):
    """A solid around the origin."""

    def inside(self, points: Points) -> NDArray[np.bool_]:
        """(N,) whether each of the points (N, 3) is in the solid."""

    def mesh(self) -> tuple[Points, Triangles]:
        """Closed triangles, either all facing out or all facing in."""


@dataclass(frozen=True)
class Prism:
    """A polygon in (x, z), swept along y from -0.5 to 0.5 while it shrinks to `taper`."""

    polygon: tuple[tuple[float, float], ...]  # simple; may be concave
    taper: float = 1.0  # > 0, size of the top over size of the bottom

    def inside(self, points: Points) -> NDArray[np.bool_]:
        """Even-odd rule in the cross-section at each point's height."""
        size = 1 + (points[:, 1] + 0.5) * (self.taper - 1)
        x, z = points[:, 0] / size, points[:, 2] / size
        odd = np.zeros(len(points), np.bool_)
        corners = np.array(self.polygon)
        for (x0, z0), (x1, z1) in zip(corners, np.roll(corners, -1, 0), strict=True):
            if z0 != z1:
                crosses = (z0 > z) != (z1 > z)
                odd ^= crosses & (x < x0 + (z - z0) * (x1 - x0) / (z1 - z0))
        return odd & (np.abs(points[:, 1]) <= 0.5)

    def mesh(self) -> tuple[Points, Triangles]:
        """Two caps and the sides between them."""
        flat = np.array(self.polygon)
        count = len(flat)
        bottom = np.stack([flat[:, 0], np.full(count, -0.5), flat[:, 1]], axis=1)
        top = bottom * (self.taper, -1, self.taper)
        cap = _triangulate(self.polygon)
        here = np.arange(count)
        after = np.roll(here, -1)
        sides = [[here, after, here + count], [after, after + count, here + count]]
        faces = np.concatenate(
            [cap, cap[:, ::-1] + count, *(np.stack(s, 1)[:, ::-1] for s in sides)]
        )
        return np.concatenate([bottom, top]), faces.astype(np.int32)


@dataclass(frozen=True)
class Ball:
    """The sphere of diameter 1."""

    def inside(self, points: Points) -> NDArray[np.bool_]:
        """Exact; the mesh is a polyhedron within."""
        inside: NDArray[np.bool_] = (points**2).sum(1) <= 0.25
        return inside

    def mesh(self) -> tuple[Points, Triangles]:
        """20 x 12 facets."""
        latitude = np.linspace(0, np.pi, 13)
        profile = np.stack([0.5 * np.sin(latitude), 0.5 * np.cos(latitude)], axis=1)
        return _turned(profile, 20, closed=False)


@dataclass(frozen=True)
class Ring:
    """A torus around y with outer diameter 1."""

    thickness: float  # diameter of the tube, in (0, 0.5)

    def inside(self, points: Points) -> NDArray[np.bool_]:
        """Exact; the mesh is a polyhedron within."""
        across = np.hypot(points[:, 0], points[:, 2]) - (0.5 - self.thickness / 2)
        return across**2 + points[:, 1] ** 2 <= self.thickness**2 / 4

    def mesh(self) -> tuple[Points, Triangles]:
        """24 x 8 facets."""
        angle = np.arange(8) * (np.pi / 4)
        centre, radius = 0.5 - self.thickness / 2, self.thickness / 2
        profile = np.stack([centre + radius * np.sin(angle), radius * np.cos(angle)], axis=1)
        return _turned(profile, 24, closed=True)


def _area(polygon: Points) -> float:
    """Signed area, positive if anticlockwise in (x, z)."""
    x, z = polygon.T
    return float((x * np.roll(z, -1) - z * np.roll(x, -1)).sum() / 2)


@lru_cache(maxsize=1024)  # boxes share one polygon, and rods a few
def _triangulate(corners: tuple[tuple[float, float], ...]) -> Triangles:
    """Triangles (N - 2, 3) of a simple polygon, by cutting ears; they turn as the polygon does."""
    polygon = np.array(corners)
    sign = 1.0 if _area(polygon) > 0 else -1.0
    left = list(range(len(polygon)))
    triangles = []
    while len(left) > 3:
        for place in range(len(left)):
            ear = [left[place - 1], left[place], left[(place + 1) % len(left)]]
            others = np.setdiff1d(left, ear)
            if _is_ear(polygon[ear], polygon[others], sign):
                break
        triangles.append(ear)  # of a polygon that is not simple, just the last corner
        left.remove(ear[1])
    return np.array([*triangles, left], np.int32)


def _is_ear(corner: Points, others: Points, sign: float) -> bool:
    """Whether a corner (3, 2) is convex and no other corner (N, 2) lies in its triangle."""
    if sign * _area(corner) <= 1e-12:
        return False
    edges = np.roll(corner, -1, 0) - corner
    away = others[:, None] - corner
    turns = sign * (edges[:, 0] * away[..., 1] - edges[:, 1] * away[..., 0])
    return not bool((turns >= 0).all(1).any())


def _turned(profile: Points, count: int, *, closed: bool) -> tuple[Points, Triangles]:
    """Turn a profile (P, 2) of (radius, height) around y in `count` steps."""
    angle = np.arange(count) * (2 * np.pi / count)
    radius, height = profile.T
    x, z = np.cos(angle)[:, None] * radius, np.sin(angle)[:, None] * radius
    vertices = np.stack([x, np.broadcast_to(height, x.shape), z], axis=2).reshape(-1, 3)
    size = len(profile)
    here = np.arange(size if closed else size - 1)
    after = (here + 1) % size
    a = (np.arange(count) * size)[:, None]
    b = np.roll(a, -1, 0)
    quads = np.stack([a + here, a + after, b + after, b + here], axis=2).reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    p, q, r = (vertices[faces[:, i]] for i in range(3))
    flat = np.linalg.norm(np.cross(q - p, r - p), axis=1) < 1e-12  # at the poles of a ball
    return vertices, faces[~flat].astype(np.int32)
