"""Pictures for people: voxel grids, meshes, projections over photos."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mem3d.data.rendering.renderer import SIZE, Scene
from memstore.voxels.contact_sheet import Rgb, on_white
from memstore.voxels.grids import pack, unpack
from memstore.voxels.mesh import Mesh

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
    drawn = grid_drawing(pack(full.ravel()).tobytes(), len(full), size, azimuth, elevation, color)
    return drawn.copy()


@lru_cache(maxsize=512)  # photos of one kind recall the same shapes: 29 MB of pictures at SIZE
def grid_drawing(
    bits: bytes, side: int, size: int, azimuth: float, elevation: float, color: tuple[int, int, int]
) -> Rgb:
    """`grid_picture` of a grid's bits."""
    mesh = bars(unpack(np.frombuffer(bits, np.uint8), side**3).reshape((side,) * 3))
    colors = np.broadcast_to(np.array(color, np.uint8), mesh.faces.shape)
    scene = Scene(Mesh(mesh.vertices, mesh.faces, colors), _CUBE_DIAGONAL)
    return on_white(
        scene.render(azimuth=azimuth, elevation=elevation, ratio=_CUBE_RATIO, size=size)
    )


def bars(grid: NDArray[np.bool_]) -> Mesh:
    """`blocky` with the faces of one plane that lie in a row as one: a fifth as many, to be drawn.

    Corners of one bar lie on edges of others, which nothing but a picture should be made of.

    Args:
        grid: (R, R, R).
    """
    side = len(grid)
    full = np.pad(grid, 1)
    quads = []
    for axis in range(3):
        across, along = (axis + 1) % 3, (axis + 2) % 3
        for step in (0, 1):  # the voxel's low face, its high face
            faces = full & ~np.roll(full, 1 - 2 * step, axis)
            starts = np.argwhere(_in_order(faces & ~np.roll(faces, 1, along), axis, across))
            ends = np.argwhere(_in_order(faces & ~np.roll(faces, -1, along), axis, across))
            quad = np.empty((len(starts), 4, 3), np.int64)
            quad[..., axis] = starts[:, :1] + step
            quad[..., across] = starts[:, 1:2] + ((0, 1, 1, 0) if step else (0, 0, 1, 1))
            length = ends[:, 2:] + 1
            far = np.array((0, 0, 1, 1) if step else (0, 1, 1, 0))
            quad[..., along] = np.where(far, length, starts[:, 2:])
            quads.append(quad)
    corners = np.concatenate(quads).reshape(-1, 3)
    vertices = ((corners - 1) / side - 0.5).astype(np.float32)
    rows = np.arange(len(corners), dtype=np.int32).reshape(-1, 4)
    return Mesh(vertices, rows[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3))


def _in_order(grid: NDArray[np.bool_], axis: int, across: int) -> NDArray[np.bool_]:
    """With (axis, across, the third) as its axes."""
    return grid.transpose(axis, across, 3 - axis - across)


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
