"""Pictures for people: voxel grids, meshes, projections over photos."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mem3d.data.rendering.light import Floats, facing, lamp, reaching, shaded, strength
from mem3d.data.rendering.rasterizer import draw_faces, projected
from mem3d.data.rendering.renderer import SIZE, camera
from mem3d.data.rendering.voxels import draw_voxels
from memstore.voxels.contact_sheet import Rgb, on_white
from memstore.voxels.mesh import Mesh

GRID_COLOR = (110, 150, 200)
OVERLAY_COLOR = (230, 60, 40)
_CUBE_DIAGONAL = 1.4  # in sides of the grid; at _CUBE_RATIO a full grid just fits the picture
_CUBE_RATIO = 0.88
_ELEVATION = 25.0  # degrees
_ZOOMS = (1.6, 1.4, 1.2, 1.0)


def grid_picture(
    grid: NDArray[Any],
    size: int = SIZE,
    *,
    azimuth: float = 35.0,
    elevation: float = _ELEVATION,
    color: tuple[int, int, int] = GRID_COLOR,
    threshold: float = 0.5,
    zoom: float = 1.0,
) -> Rgb:
    """Draw a grid's voxels on white, to a scale that does not depend on what is full.

    Args:
        grid: (R, R, R) bool, or occupancy in [0, 1], which is full where above the threshold.
        size: pixels per side.
        azimuth: degrees; 0 sees the front (+x).
        elevation: degrees above the horizon.
        color: sRGB of the voxels.
        threshold: for occupancy.
        zoom: how much nearer than where a full grid just fits; see `zoom_of`.

    Returns:
        (size, size, 3); all white if no voxel is full.
    """
    full = grid if grid.dtype == np.bool_ else grid > threshold
    eye, axes = _camera(azimuth, elevation, zoom)
    [picture] = draw_voxels(full[None], np.array(color, np.uint8), eye, axes, size)
    return np.asarray(picture)


def grid_pictures(
    grids: Sequence[NDArray[np.bool_]],
    azimuth: float,
    zoom: float,
    color: tuple[int, int, int] = GRID_COLOR,
) -> list[Rgb]:
    """`grid_picture` of each of several grids (R, R, R), in little more than half the time."""
    eye, axes = _camera(azimuth, _ELEVATION, zoom)
    return list(draw_voxels(np.array(grids), np.array(color, np.uint8), eye, axes, SIZE))


def zoom_of(grids: Sequence[NDArray[np.bool_]], azimuths: Sequence[float]) -> float:
    """The largest of a few zooms at which grids (R, R, R) fit their pictures from all sides."""
    full = np.array([grid for grid in grids if grid.any()])
    if not len(full):
        return 1.0
    vertices = _box_corners(full)
    for zoom in _ZOOMS[:-1]:
        sides = [
            projected(vertices, *_camera(azimuth, _ELEVATION, zoom), SIZE)[:2]
            for azimuth in azimuths
        ]
        if all(((place > 1) & (place < SIZE - 2)).all() for places in sides for place in places):
            return zoom
    return _ZOOMS[-1]


def _box_corners(grids: NDArray[np.bool_]) -> Floats:
    """(8 K, 3) corners of the boxes around what is full in each of grids (K, R, R, R), none empty.

    In the frame of `memstore.voxels.mesh`.
    """
    side = grids.shape[1]
    corners = []
    for axis, ends in enumerate(np.indices((2, 2, 2)).reshape(3, 8), 1):
        layers = np.asarray(grids.any(tuple({1, 2, 3} - {axis})))
        first, last = layers.argmax(1), side - layers[:, ::-1].argmax(1)
        corners.append(np.stack([first, last])[ends].ravel() / side - 0.5)
    return np.stack(corners, axis=-1).astype(np.float32)


def _camera(azimuth: float, elevation: float, zoom: float) -> tuple[Floats, Floats]:
    """Eye and axes, in units of the cube's side; at zoom 1 a full grid just fits the picture."""
    eye, axes = camera(azimuth, elevation, _CUBE_RATIO / zoom)
    return eye * np.float32(_CUBE_DIAGONAL), axes


def mesh_pictures(
    mesh: Mesh,
    grid: NDArray[np.bool_],
    azimuths: Sequence[float],
    size: int = SIZE,
    zoom: float = 1.0,
    cameras: Sequence[tuple[Floats, Floats]] = (),
) -> list[Rgb]:
    """Draw a mesh of a grid from several sides, on white, to the scale of `grid_picture`.

    Args:
        mesh: closed; with colors of its own, or none.
        grid: (R, R, R) that casts its shadows.
        azimuths: degrees; 0 sees the front (+x), 90 the side +z.
        size: pixels per side.
        zoom: as of `grid_picture`.
        cameras: eye (3,) and axes (3, 3) of further pictures, as `renderer.camera` gives them, in
            sides of the grid.

    Returns:
        (size, size, 3) for each azimuth, then each camera; all white without faces.
    """
    from scipy.ndimage import map_coordinates  # imported late: it is slow

    albedo = _face_colors(mesh)
    normals = _normals(mesh)
    middles = mesh.vertices.T.take(mesh.faces.T, 1).sum(1) / np.float32(3)
    # A voxel off the surface: it is not to shade itself.
    places = (middles + normals / len(grid) + 0.5) * len(grid) + 0.5
    pictures = []
    sides = [_camera(azimuth, _ELEVATION, zoom) for azimuth in azimuths]
    for eye, axes in (*sides, *cameras):
        front = np.flatnonzero((normals * (eye[:, None] - middles)).sum(0) > 0)
        light = reaching(grid, lamp(0, axes))
        sun = map_coordinates(light, places.take(front, 1), order=1, mode="nearest")
        turned = normals.take(front, 1).T
        colors = shaded(albedo[front], strength(turned, axes, facing(turned, 0, axes) * sun))
        pictures.append(draw_faces(mesh.vertices, mesh.faces[front], colors, eye, axes, size))
    return pictures


def _face_colors(mesh: Mesh) -> NDArray[np.uint8]:
    """(F, 3) sRGB: a face's own, or the mean of its corners'."""
    if mesh.vertex_colors is not None:
        total = mesh.vertex_colors.T.take(mesh.faces.T, 1).sum(1, np.uint16)
        return np.asarray((total // 3).astype(np.uint8).T)
    if mesh.colors is not None:
        return mesh.colors
    return np.broadcast_to(np.array(GRID_COLOR, np.uint8), mesh.faces.shape)


def _normals(mesh: Mesh) -> Floats:
    """(3, F) of length one; zeros of faces without an area."""
    first, second, third = (mesh.vertices.T.take(corner, 1) for corner in mesh.faces.T)
    a, b = second - first, third - first
    across = np.stack([a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)])
    length = np.sqrt((across**2).sum(0))
    return np.asarray(across / np.maximum(length, np.float32(1e-30)))


def overlay(image: NDArray[np.uint8], silhouette: NDArray[np.bool_]) -> Rgb:
    """Lay a silhouette (H, W) over a picture (H, W, 3 or 4), in translucent red."""
    if image.shape[:2] != silhouette.shape:
        raise ValueError(f"silhouette: got {silhouette.shape}, want {image.shape[:2]}")
    picture = on_white(image)
    mixed = picture[silhouette] * 0.5 + np.array(OVERLAY_COLOR) * 0.5
    picture[silhouette] = mixed.astype(np.uint8)
    return picture
