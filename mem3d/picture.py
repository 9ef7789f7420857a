"""Pictures for people: voxel grids, projections over photos, training curves."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mem3d.data.rendering import SIZE, Scene
from mem3d.data.shapes import Shapes
from memstore.files import write_atomic
from memstore.meshes import Mesh, blocky
from memstore.sheets import Rgb, Tile, on_white, sheet

GRID_COLOR = (110, 150, 200)
OVERLAY_COLOR = (230, 60, 40)
_CUBE_DIAGONAL = 1.4  # in sides of the grid; at _CUBE_RATIO a full grid just fits the picture
_CUBE_RATIO = 0.88

_PANELS = {
    "loss": ("loss", "bce", "triplet"),
    "IoU (validation)": ("val_iou", "val_iou_nearest"),
    "recall": (
        *("hit_rate", "val_hit_rate", "top_cosine", "key_cosine"),
        *("triplet_valid", "memory_share"),
    ),
    "memory": ("memory_slots", "merged", "inserted", "evicted"),
}


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
    scene = _scene(full, color, _CUBE_DIAGONAL)
    return on_white(
        scene.render(azimuth=azimuth, elevation=elevation, ratio=_CUBE_RATIO, size=size)
    )


def mesh_pictures(mesh: Mesh, azimuths: Sequence[float], size: int = SIZE) -> list[Rgb]:
    """Draw a mesh of a grid from several sides, on white, to the scale of `grid_picture`.

    Args:
        mesh: with colours of its own, or none.
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


def axes_sheet(
    data: Shapes,
    models: Sequence[int],
    views: Sequence[int] = (0,),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Rgb:
    """Show whether grids and cameras agree: for each model, its voxels projected over its photo.

    A row for one view: photo; photo with the projected voxels in red and the IoU of the two
    silhouettes; the projection; the grid from its front right. For several views: the grid, then
    each view with its projection. A data set in another frame (axes swapped, mirrored, front
    elsewhere) shows at a glance.

    Args:
        data: any data set; a camera that is not known leaves the projection out.
        models: positions in it, a row each; a broken model has its fault for a caption.
        views: which views; those that a model has not are left out.
        progress: called with the models drawn, and how many there are.
    """
    if not len(models):
        raise ValueError(f"{data.root}: got no models, want at least one")
    rows = []
    for i in models:
        rows.append(_model_row(data, i, views))
        if progress is not None:
            progress(len(rows), len(models))
    shown = f"view {views[0]:02d}" if len(views) == 1 else f"{len(views)} views"
    return sheet(rows, f"{len(rows)} of {len(data)} models, {shown}")


def _model_row(data: Shapes, i: int, views: Sequence[int]) -> list[Tile]:
    """One row of the axes sheet."""
    name = f"{data.category(i)}\n{data.source(i).removesuffix('/voxel').split('/')[-1]}"
    try:
        grid = data.grid(i)
        front = Tile(grid_picture(grid), "grid, front right")
        here = [view for view in views if view < data.views(i)]
        photos = [data.image(i, view) for view in here]
        shadows = [data.projection(i, view, grid) for view in here]
    except ValueError as error:
        return [Tile(np.full((SIZE, SIZE), True), f"{name}\nbroken: {error}")]
    laid = [_laid(*pair) for pair in zip(photos, shadows, strict=True)]
    if len(views) > 1:
        return [Tile(front.image, name), *laid]
    if not here:
        return [Tile(front.image, f"{name}\nno view {views[0]:02d}")]
    seen = [] if shadows[0] is None else [Tile(~shadows[0], "voxels, same camera")]
    return [Tile(photos[0], name), *laid, *seen, front]


def _laid(photo: NDArray[np.uint8], shadow: NDArray[np.bool_] | None) -> Tile:
    """A photo under the projection of its voxels, with the IoU of the two silhouettes."""
    if shadow is None:
        return Tile(photo, "camera unknown")
    mask = photo[:, :, 3] > 127
    iou = (shadow & mask).sum() / max((shadow | mask).sum(), 1)
    return Tile(overlay(photo, shadow), "no mask" if mask.all() else f"IoU {iou:.2f}")


def curves(rows: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw a training run: losses, validation IoU, recall, what the memory did.

    Args:
        rows: one per epoch, as in the run's log; fields may be missing, None or not finite.
        path: PNG file to make or replace.
    """
    from matplotlib.figure import Figure  # imported late: it is slow, and only training draws

    figure = Figure(figsize=(10, 6.4), layout="constrained")  # no pyplot: it keeps global state
    for axes, (name, fields) in zip(figure.subplots(2, 2).flat, _PANELS.items(), strict=True):
        for field in fields:
            points = [(_x(row, i), row.get(field)) for i, row in enumerate(rows)]
            known = [(x, y) for x, y in points if y is not None and np.isfinite(y)]
            if known:
                axes.plot(*zip(*known, strict=True), label=field, marker="." * (len(known) < 30))
        axes.set_title(name)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    write_atomic(path, data.getvalue())


def _scene(
    grid: NDArray[np.bool_], color: tuple[int, int, int], diagonal: float | None = None
) -> Scene:
    """A grid's voxels in one colour."""
    mesh = blocky(grid)
    colors = np.broadcast_to(np.array(color, np.uint8), mesh.faces.shape)
    return Scene(Mesh(mesh.vertices, mesh.faces, colors), diagonal)


def _x(row: Mapping[str, Any], number: int) -> float:
    """Epoch of a row, else its number."""
    return float(row.get("epoch", number + 1))
