"""Solid parts in their places: boxes, rods, balls, rings and slabs.

A part is a primitive sent to its place by an affine map; so one inside test serves boxes,
leaning boxes, tapered legs, hulls and wings. Units are free; the shapes in this package use
about 32 for an object's longest side, so that lengths read as voxels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]
Triangles = NDArray[np.int32]
Color = tuple[int, int, int]  # sRGB
Span = tuple[float, float]

SQUARE = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
_AXES = {"y": np.eye(3), "x": np.eye(3)[[1, 2, 0]], "z": np.eye(3)[[2, 0, 1]]}


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
        center, radius = 0.5 - self.thickness / 2, self.thickness / 2
        profile = np.stack([center + radius * np.sin(angle), radius * np.cos(angle)], axis=1)
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
    rest = list(range(len(polygon)))
    triangles = []
    while len(rest) > 3:
        for place in range(len(rest)):
            ear = [rest[place - 1], rest[place], rest[(place + 1) % len(rest)]]
            outside = np.setdiff1d(rest, ear)
            if _is_ear(polygon[ear], polygon[outside], sign):
                break
        triangles.append(ear)  # of a polygon that is not simple, just the last corner
        rest.remove(ear[1])
    return np.array([*triangles, rest], np.int32)


def _is_ear(corner: Points, outside: Points, sign: float) -> bool:
    """Whether a corner (3, 2) is convex and no other corner (N, 2) lies in its triangle."""
    if sign * _area(corner) <= 1e-12:
        return False
    edges = np.roll(corner, -1, 0) - corner
    away = outside[:, None] - corner
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


@dataclass(frozen=True)
class Part:
    """A primitive in its place: world = matrix @ local + offset."""

    primitive: Primitive
    matrix: Points  # (3, 3), invertible
    offset: Points  # (3,)
    color: Color

    def inside(self, points: Points) -> NDArray[np.bool_]:
        """(N,) whether each of the points (N, 3) is in the part."""
        return self.primitive.inside((points - self.offset) @ np.linalg.inv(self.matrix).T)

    def mesh(self) -> tuple[Points, Triangles]:
        """Vertices (V, 3) and outward faces (F, 3)."""
        vertices, faces = self.primitive.mesh()
        a, b, c = (vertices[faces[:, i]] for i in range(3))
        outward = (a * np.cross(b, c)).sum() * np.linalg.det(self.matrix) > 0
        return vertices @ self.matrix.T + self.offset, faces if outward else faces[:, ::-1]

    def bounds(self) -> tuple[Points, Points]:
        """Lowest and highest corner (3,) of the mesh."""
        vertices, _ = self.mesh()
        return vertices.min(0), vertices.max(0)


def box(
    x: Span, y: Span, z: Span, color: Color, *, lean: Span = (0, 0), taper: float = 1.0
) -> Part:
    """Box between two corners; `lean` moves its top by (dx, dz), `taper` shrinks it."""
    low, high = np.array([x, y, z], float).T
    matrix = np.diag(high - low)
    matrix[[0, 2], 1] = lean
    middle = (low + high) / 2 + np.array([lean[0], 0, lean[1]]) / 2
    return Part(Prism(SQUARE, taper), matrix, middle, color)


def rod(
    start: ArrayLike,
    end: ArrayLike,
    radius: float,
    color: Color,
    *,
    taper: float = 1.0,
    sides: int = 16,
) -> Part:
    """Cylinder from start to end; `taper` is its radius at the end over that at the start."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    along = b - a
    other = np.eye(3)[np.argmin(np.abs(along))]
    right = np.cross(along, other)
    right /= np.linalg.norm(right)
    front = np.cross(right, along) / np.linalg.norm(along)
    matrix = np.stack([2 * radius * right, along, 2 * radius * front], axis=1)
    return Part(Prism(_regular(sides), taper), matrix, (a + b) / 2, color)


def ball(center: ArrayLike, radii: ArrayLike, color: Color) -> Part:
    """Ellipsoid with its axes along x, y, z."""
    diameters = 2 * np.broadcast_to(np.asarray(radii, float), (3,))
    return Part(Ball(), np.diag(diameters), np.asarray(center, float), color)


def ring(center: ArrayLike, radius: float, tube: float, color: Color, axis: str = "y") -> Part:
    """Torus of outer radius `radius` around an axis; `tube` is the radius of its tube."""
    matrix = 2 * radius * _AXES[axis]
    return Part(Ring(tube / radius), matrix, np.asarray(center, float), color)


def slab(
    outline: Sequence[Span], axis: str, span: Span, color: Color, *, taper: float = 1.0
) -> Part:
    """Polygon swept along an axis; its corners are (x, z) for "y", (x, y) for "z", (z, y) for "x".

    `taper` shrinks the far end towards the middle of the outline.
    """
    corners = np.array(outline, float)
    low, high = corners.min(0), corners.max(0)
    unit = (corners - (low + high) / 2) / (high - low)
    first, second = {"y": (0, 2), "z": (0, 1), "x": (2, 1)}[axis]
    sweep = "xyz".index(axis)
    matrix, offset = np.zeros((3, 3)), np.zeros(3)
    matrix[first, 0], matrix[second, 2] = high - low
    matrix[sweep, 1] = span[1] - span[0]
    offset[[first, second, sweep]] = [*(low + high) / 2, sum(span) / 2]
    return Part(Prism(tuple((float(a), float(b)) for a, b in unit), taper), matrix, offset, color)


def rounded(x: Span, y: Span, corner: float = 0.5) -> list[Span]:
    """Outline of a rectangle with round corners; `corner` is in [0, 0.5] of each side's length."""
    angle = np.arange(20) * (2 * np.pi / 20) + np.pi / 20
    unit = np.stack([np.cos(angle), np.sin(angle)], 1)
    unit = np.sign(unit) * (0.5 - corner) + unit * corner
    unit /= 2 * np.abs(unit).max(0)
    middle, size = np.array([sum(x), sum(y)]) / 2, np.array([x[1] - x[0], y[1] - y[0]])
    return [(float(a), float(b)) for a, b in middle + unit * size]


def placed(
    parts: Sequence[Part], matrix: Points, about: ArrayLike = 0.0, shift: ArrayLike = 0.0
) -> list[Part]:
    """The parts after an affine map: p becomes matrix @ (p - about) + about + shift."""
    fixed = np.broadcast_to(np.asarray(about, float), (3,))
    return [
        replace(
            part, matrix=matrix @ part.matrix, offset=matrix @ (part.offset - fixed) + fixed + shift
        )
        for part in parts
    ]


def shear(moved: str, along: str, slope: float) -> Points:
    """Matrix (3, 3) that adds `slope` times one coordinate to another."""
    matrix = np.eye(3)
    matrix["xyz".index(moved), "xyz".index(along)] = slope
    return matrix


def turn(axis: str, degrees: float) -> Points:
    """Matrix (3, 3) of a right-handed rotation around an axis."""
    first = "xyz".index(axis) - 2
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    matrix[np.ix_([first, first + 1], [first, first + 1])] = [[cos, -sin], [sin, cos]]
    return matrix


def both(*parts: Part) -> list[Part]:
    """The parts, and their mirror images in z."""
    return [*parts, *placed(parts, np.diag([1.0, 1.0, -1.0]))]


def _regular(sides: int) -> tuple[tuple[float, float], ...]:
    """Regular polygon in the circle of diameter 1."""
    angle = (np.arange(sides) + 0.5) * (2 * np.pi / sides)
    return tuple((0.5 * float(np.cos(a)), 0.5 * float(np.sin(a))) for a in angle)
