"""Ray-traced pictures of meshes, from the cameras of the R2N2 data set.

The object is centered and scaled to a bounding box with diagonal 1. The camera stands at
1.75 * ratio * (cos e cos a, sin e, cos e sin a), looks at the origin and has y up; its focal
length is 35/32 of the image's width (a field of view of about 49 degrees; the "25" in R2N2's
metadata is a setting of the program it was made with).

Source: constants of 3D-R2N2's renders as in PyTorch3D's r2n2 data set; light and color: ours.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mem3d.data.rendering.light import Floats, facing, lamp, strength
from mem3d.data.rendering.texture import Paint, to_linear, to_srgb
from memstore.voxels.mesh import Mesh, blocky

SIZE = 137  # pixels, the side of R2N2's views
FOCAL = 35 / 32  # focal length over image width: 35 mm lens, 32 mm sensor
MAX_DISTANCE = 1.75
DEFAULT_COLOR = (168, 172, 178)

_MANY = 20_000  # corners; from so many on, cells that hold them are looked at instead
_CELLS = 32  # along the object's diagonal
_KEPT = 512  # rays a row; a picture of more, 8 MB of rays, computes them anew
_NUDGE = 1e-4  # in units of the object's diagonal; a shadow ray starts this far off the surface


class _Hits(NamedTuple):
    """Where rays meet the mesh, in columns (N,)."""

    face: NDArray[np.int32]  # -1: the ray meets nothing
    distance: Floats
    second: Floats  # weight of the face's second corner
    third: Floats  # and of its third

    def only(self, which: NDArray[np.bool_]) -> "_Hits":
        """The hits that a mask (N,) picks."""
        return _Hits(self.face[which], self.distance[which], self.second[which], self.third[which])


class Scene:
    """A mesh made ready for rays; keep it to draw many views of one mesh."""

    def __init__(
        self, mesh: Mesh, diagonal: float | None = None, paint: Paint | None = None
    ) -> None:
        """Scale a mesh and build its ray-tracing tree.

        Args:
            mesh: without faces, every picture is empty.
            diagonal: this length becomes 1 and the origin stays, so that several meshes are drawn
                to one scale; None centers the mesh and scales its own bounding box.
            paint: colors within the faces, in place of the mesh's own.
        """
        # Training and reconstructing need this module's geometry, and no ray.
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        if paint is not None and len(paint.corners) != len(mesh.faces):
            raise ValueError(f"paint: got {len(paint.corners)} faces, want {len(mesh.faces)}")
        corners = mesh.vertices[mesh.faces].astype(np.float64)  # (F, 3, 3)
        if len(corners):
            middle: Any = 0.0
            length = diagonal or 0.0
            if not length:
                low, high = corners.min((0, 1)), corners.max((0, 1))
                middle, length = (low + high) / 2, float(np.linalg.norm(high - low)) or 1.0
            corners = (corners - middle) / length
        self._corners = corners.astype(np.float32)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length_F1 = np.linalg.norm(normals, axis=1, keepdims=True)
        self._normals = (normals / np.maximum(length_F1, 1e-30)).astype(np.float32)
        colors = np.array(DEFAULT_COLOR) if mesh.colors is None else mesh.colors
        self._paint = paint
        linear = to_linear(np.broadcast_to(colors, (len(corners), 3)) / 255)
        self._albedo = linear.astype(np.float32)
        self._embree = EmbreeScene(robust=True)  # robust: no ray slips between two triangles
        if len(corners):
            faces = np.arange(3 * len(corners), dtype=np.int32).reshape(-1, 3)
            TriangleMesh(self._embree, self._corners.reshape(-1, 3), faces)
        self._hull = _hull(self._corners.reshape(-1, 3))

    def render(
        self,
        *,
        azimuth: float,
        elevation: float,
        ratio: float,
        size: int = SIZE,
        samples: int = 2,
        shadows: bool = True,
    ) -> NDArray[np.uint8]:
        """Draw the mesh.

        Args:
            azimuth: degrees; 0 sees the front (+x), 90 the side +z.
            elevation: degrees above the horizon.
            ratio: distance over MAX_DISTANCE.
            size: pixels per side.
            samples: rays per pixel and axis; alpha takes samples^2 + 1 values.
            shadows: whether the first light casts any.

        Returns:
            (size, size, 4) RGBA; alpha is the share of rays that hit, and color is not mixed
            with any background: (0, 0, 0) where alpha is 0.
        """
        eye, axes = camera(azimuth, elevation, ratio)
        pixels, rays = self._rays(eye, axes, size, samples)
        hits = self._cast(eye, rays)
        hit = hits.face >= 0
        rays_hit = np.bincount(pixels[hit], minlength=size * size)
        hits = hits.only(hit)
        light = self._albedo_at(hits) * self._shade(eye, axes, rays[hit], hits, shadows)[:, None]
        total = [np.bincount(pixels[hit], light[:, i], minlength=size * size) for i in range(3)]
        covered = np.flatnonzero(rays_hit)
        mean = np.stack(total, axis=1)[covered] / rays_hit[covered, None]
        picture = np.zeros((size * size, 4), np.uint8)
        picture[covered, :3] = to_srgb(mean.clip(0, 1)) * 255 + 0.5
        picture[covered, 3] = rays_hit[covered] * (255 / samples**2) + 0.5
        return picture.reshape(size, size, 4)

    def silhouette(
        self, *, azimuth: float, elevation: float, ratio: float, size: int = SIZE
    ) -> NDArray[np.bool_]:
        """(size, size) whether the ray through each pixel's center hits the mesh."""
        eye, axes = camera(azimuth, elevation, ratio)
        pixels, rays = self._rays(eye, axes, size, 1)
        mask = np.zeros(size * size, np.bool_)
        mask[pixels] = self._cast(eye, rays).face >= 0
        return mask.reshape(size, size)

    def _rays(
        self, eye: Floats, axes: Floats, size: int, samples: int
    ) -> tuple[NDArray[np.int64], Floats]:
        """Pixel number (N,) and direction (N, 3) of each ray that may hit the mesh."""
        low, high = np.zeros(2), np.zeros(2)
        if len(self._corners):
            turned = (self._hull - eye) @ axes.T  # right, up, towards the viewer
            depth = np.maximum(-turned[:, 2:], 1e-3)
            place = turned[:, :2] / depth * (FOCAL * size) * (1, -1) + size / 2
            low, high = np.floor(place.min(0) - 1), np.ceil(place.max(0) + 1)
        low, high = low.clip(0, size).astype(int), high.clip(0, size).astype(int)
        picture_rays = _kept_rays if size * samples <= _KEPT else _picture_rays
        pixels, local = picture_rays(size, samples)
        columns, rows = (slice(a * samples, b * samples) for a, b in zip(low, high, strict=True))
        inside = local[rows, columns].reshape(-1, 3)
        return pixels[rows, columns].ravel(), (inside @ axes).astype(np.float32)

    def _cast(self, start: Floats, rays: Floats) -> "_Hits":
        """What each ray (N, 3) hits first."""
        if not len(self._corners) or not len(rays):
            nothing = np.zeros(len(rays), np.float32)
            return _Hits(np.full(len(rays), -1, np.int32), nothing, nothing, nothing)
        starts = np.ascontiguousarray(np.broadcast_to(start, rays.shape), np.float32)
        hits: dict[str, Any] = self._embree.run(starts, rays, output=1)
        return _Hits(hits["primID"], hits["tfar"], hits["u"], hits["v"])

    def _albedo_at(self, hits: "_Hits") -> Floats:
        """Linear color (N, 3) of the surface, without light."""
        if self._paint is None:
            return self._albedo[hits.face]
        return self._paint.at(hits.face, hits.second, hits.third)

    def _shade(
        self, eye: Floats, axes: Floats, rays: Floats, hits: "_Hits", shadows: bool
    ) -> Floats:
        """Strength (N,) of the light at each hit: two lights, some light from above."""
        normal = self._normals[hits.face]
        # A face seen from behind is lit as its other side: some meshes are open or inside out.
        normal = normal * -np.sign(np.einsum("ij,ij->i", normal, rays))[:, None]
        first = facing(normal, 0, axes)
        if shadows:
            lit = np.flatnonzero(first)
            place = eye + rays[lit] * hits.distance[lit, None] + normal[lit] * np.float32(_NUDGE)
            first[lit[self._blocked(place, lamp(0, axes))]] = 0
        return strength(normal, axes, first)

    def _blocked(self, places: Floats, towards: Floats) -> NDArray[np.bool_]:
        """(N,) whether anything stands between each of the places (N, 3) and a far light."""
        if not len(places):
            return np.zeros(0, np.bool_)
        rays = np.ascontiguousarray(np.broadcast_to(towards, places.shape))
        hits: NDArray[np.int32] = self._embree.run(places, rays, query="OCCLUDED")
        return hits >= 0


def _picture_rays(size: int, samples: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixel number (N, N) and direction (N, N, 3), in the camera's axes, of a picture's rays."""
    at = np.arange(size * samples)
    place = (at + 0.5) / samples - size / 2
    local = np.full((len(at), len(at), 3), -FOCAL * size)
    local[..., 0], local[..., 1] = place, -place[:, None]
    local /= np.linalg.norm(local, axis=2, keepdims=True)
    return (at // samples)[:, None] * size + at // samples, local


_kept_rays = lru_cache(maxsize=2)(_picture_rays)


def camera(azimuth: float, elevation: float, ratio: float) -> tuple[Floats, Floats]:
    """Place of a camera.

    Args:
        azimuth: degrees around y, from +x towards +z.
        elevation: degrees above the horizon, in (-90, 90).
        ratio: distance over MAX_DISTANCE, > 0.

    Returns:
        Eye (3,), and axes (3, 3): unit vectors right, up, towards the viewer.
    """
    if not (-90 < elevation < 90 and 0 < ratio < np.inf and np.isfinite(azimuth)):
        values = (azimuth, elevation, ratio)
        raise ValueError(f"camera: got {values}, want elevation in (-90, 90) and ratio > 0")
    a, e = np.deg2rad([azimuth, elevation])
    back = np.array([np.cos(e) * np.cos(a), np.sin(e), np.cos(e) * np.sin(a)])
    right = np.array([np.sin(a), 0.0, -np.cos(a)])
    axes = np.stack([right, np.cross(back, right), back])
    return (MAX_DISTANCE * ratio * back).astype(np.float32), axes.astype(np.float32)


def render(
    mesh: Mesh,
    *,
    azimuth: float,
    elevation: float,
    ratio: float,
    size: int = SIZE,
    samples: int = 2,
    shadows: bool = True,
) -> NDArray[np.uint8]:
    """Draw one view of a mesh: Scene(mesh).render(...), where the arguments are explained."""
    return Scene(mesh).render(
        azimuth=azimuth,
        elevation=elevation,
        ratio=ratio,
        size=size,
        samples=samples,
        shadows=shadows,
    )


def project(
    grid: NDArray[np.bool_], camera_row: Sequence[float] | NDArray[np.float64], size: int = SIZE
) -> NDArray[np.bool_]:
    """Silhouette of a grid's voxels in a view of the data set.

    Args:
        grid: (R, R, R) bool; an empty one gives an empty picture.
        camera_row: (5,) row of R2N2.cameras: azimuth, elevation, in-plane rotation (must be 0),
            ratio, field of view (not used, as in the data set).
        size: pixels per side.

    Returns:
        (size, size) True where a voxel is seen.
    """
    azimuth, elevation, rotation, ratio = (float(value) for value in camera_row[:4])
    if rotation != 0:
        raise ValueError(f"camera_row: got in-plane rotation {rotation}, want 0")
    scene = Scene(blocky(grid))
    return scene.silhouette(azimuth=azimuth, elevation=elevation, ratio=ratio, size=size)


def _hull(corners: Floats) -> Floats:
    """Points (M, 3), few, whose convex hull holds the corners (N, 3)."""
    if len(corners) < _MANY:
        return corners
    low = corners.min(0)
    cells = ((corners - low) * _CELLS).astype(np.int64)
    sides = cells.max(0) + 2
    step = np.indices((2, 2, 2)).reshape(3, 8).T
    used = np.unique(np.ravel_multi_index(tuple(cells.T), tuple(sides)))
    around = np.stack(np.unravel_index(used, tuple(sides)), axis=1)[:, None] + step
    numbers = np.unique(np.ravel_multi_index(tuple(around.reshape(-1, 3).T), tuple(sides)))
    points: Floats = np.stack(np.unravel_index(numbers, tuple(sides)), axis=1) / _CELLS + low
    return points.astype(np.float32)
