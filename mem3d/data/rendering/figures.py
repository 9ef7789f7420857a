"""Pictures for people: voxel grids, meshes, projections over photos."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mem3d.data.rendering.renderer import SIZE, Scene
from memstore.voxels.contact_sheet import Rgb, on_white
from memstore.voxels.mesh import Mesh, blocky

GRID_COLOR = (110, 150, 200)
OVERLAY_COLOR = (230, 60, 40)
_CUBE_DIAGONAL = 1.4  # in sides of the grid; at _CUBE_RATIO a full grid just fits the picture
_CUBE_RATIO = 0.88


def grid_picture(
    grid: NDArray[Any],
    size: int = SIZE,
    *,
    azimuth: float = 35.0,
    elevation: float = 25.0,
    color: tuple[int, int, int] = GRID_COLOR,
    threshold: float = 0.5,
) -> Rgb:
    """Draw a grid's voxels on white, always to the same scale.

    Args:
        grid: (R, R, R) bool, or occupancy in [0, 1], which is full where above the threshold.
        size: pixels per side.
        azimuth: degrees; 0 sees the front (+x).
        elevation: degrees above the horizon.
        color: sRGB of the voxels.
        threshold: for occupancy.

    Returns:
        (size, size, 3); all white if no voxel is full.
    """
    full = grid if grid.dtype == np.bool_ else grid > threshold
    mesh = blocky(full)
    colors = np.broadcast_to(np.array(color, np.uint8), mesh.faces.shape)
    scene = Scene(Mesh(mesh.vertices, mesh.faces, colors), _CUBE_DIAGONAL)
    return on_white(
        scene.render(azimuth=azimuth, elevation=elevation, ratio=_CUBE_RATIO, size=size)
    )


def mesh_pictures(mesh: Mesh, azimuths: Sequence[float], size: int = SIZE) -> list[Rgb]:
    """Draw a mesh of a grid from several sides, on white, to the scale of `grid_picture`.

    Args:
        mesh: with colors of its own, or none.
        azimuths: degrees; 0 sees the front (+x), 90 the side +z.
        size: pixels per side.

    Returns:
        (size, size, 3) for each azimuth; all white without faces.
    """
    colors = np.broadcast_to(np.array(GRID_COLOR, np.uint8), mesh.faces.shape)
    if mesh.vertex_colors is not None:
        colors = mesh.vertex_colors[mesh.faces].mean(1).astype(np.uint8)
    elif mesh.colors is not None:
        colors = mesh.colors
    scene = Scene(Mesh(mesh.vertices, mesh.faces, colors), _CUBE_DIAGONAL)
    return [
        on_white(scene.render(azimuth=azimuth, elevation=25.0, ratio=_CUBE_RATIO, size=size))
        for azimuth in azimuths
    ]


def overlay(image: NDArray[np.uint8], silhouette: NDArray[np.bool_]) -> Rgb:
    """Lay a silhouette (H, W) over a picture (H, W, 3 or 4), in translucent red."""
    if image.shape[:2] != silhouette.shape:
        raise ValueError(f"silhouette: got {silhouette.shape}, want {image.shape[:2]}")
    picture = on_white(image)
    mixed = picture[silhouette] * 0.5 + np.array(OVERLAY_COLOR) * 0.5
    picture[silhouette] = mixed.astype(np.uint8)
    return picture
