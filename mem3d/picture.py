"""Pictures for people: voxel grids, contact sheets, projections over photos, training curves."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mem3d.data.files import write_atomic
from mem3d.data.meshes import Mesh, blocky
from mem3d.data.r2n2 import R2N2
from mem3d.data.rendering import SIZE, Scene, project

Rgb = NDArray[np.uint8]  # (H, W, 3)

GRID_COLOR = (110, 150, 200)
OVERLAY_COLOR = (230, 60, 40)
_CUBE_DIAGONAL = 1.4  # in sides of the grid; at _CUBE_RATIO a full grid just fits the picture
_CUBE_RATIO = 0.88
_FONT_SIZE, _LINE, _GAP = 12, 15, 8  # pixels
_INK = (40, 40, 40)

_PANELS = {
    "loss": ("loss", "bce", "triplet"),
    "IoU (validation)": ("val_iou", "val_iou_nearest"),
    "recall": ("hit_rate", "val_hit_rate", "top_cosine", "triplet_valid"),
    "memory": ("memory_slots", "merged", "inserted", "evicted"),
}


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet, (H, W, 3 or 4) uint8 or (H, W) bool, and the text below it."""

    image: NDArray[Any]
    caption: str = ""


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


def overlay(image: NDArray[np.uint8], silhouette: NDArray[np.bool_]) -> Rgb:
    """Lay a silhouette (H, W) over a picture (H, W, 3 or 4), in translucent red."""
    if image.shape[:2] != silhouette.shape:
        raise ValueError(f"silhouette: got {silhouette.shape}, want {image.shape[:2]}")
    picture = on_white(image)
    mixed = picture[silhouette] * 0.5 + np.array(OVERLAY_COLOR) * 0.5
    picture[silhouette] = mixed.astype(np.uint8)
    return picture


def on_white(image: NDArray[Any]) -> Rgb:
    """A picture (H, W), (H, W, 3) or (H, W, 4), uint8 or bool, as RGB on white; always a copy."""
    pixels = image.astype(np.uint8) * 255 if image.dtype == np.bool_ else image
    if pixels.dtype != np.uint8 or pixels.shape[2:] not in ((), (3,), (4,)) or pixels.ndim < 2:
        raise ValueError(f"image: got {image.dtype} {image.shape}, want uint8 (H, W, 3 or 4)")
    opaque = Image.fromarray(pixels).convert("RGBA")
    white = Image.new("RGBA", opaque.size, "white")
    return np.array(Image.alpha_composite(white, opaque).convert("RGB"))


def sheet(rows: Sequence[Sequence[Tile]], title: str | None = None, size: int = SIZE) -> Rgb:
    """Arrange pictures in rows, each with its caption below.

    Args:
        rows: of tiles; rows may differ in length.
        title: one line above all.
        size: a tile's longest side in pixels; smaller and larger pictures are scaled to it.

    Returns:
        (height, width, 3).
    """
    lines = [max((_lines(tile) for tile in row), default=0) for row in rows]
    columns = max((len(row) for row in rows), default=0)
    top = _GAP + (_LINE + _GAP if title else 0)
    height = top + sum(size + _LINE * count + _GAP for count in lines)
    width = max(_GAP + columns * (size + _GAP), 2 * _GAP)
    canvas = Image.new("RGB", (width, max(height, 2 * _GAP)), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=_FONT_SIZE)
    if title:
        draw.text((_GAP, _GAP), _fit(title, font, width - 2 * _GAP), _INK, font)
    for row, count in zip(rows, lines, strict=True):
        for column, tile in enumerate(row):
            left = _GAP + column * (size + _GAP)
            canvas.paste(_framed(tile.image, size), (left, top))
            for number, line in enumerate(tile.caption.splitlines()):
                text = _fit(line, font, size)
                middle = left + (size - font.getlength(text)) / 2
                draw.text((middle, top + size + _LINE * number), text, _INK, font)
        top += size + _LINE * count + _GAP
    return np.array(canvas)


def axes_sheet(dataset: R2N2, view: int = 0, count: int = 12) -> Rgb:
    """Show whether grids and cameras agree: for each model, its voxels projected over its photo.

    A row: photo; photo with the projected voxels in red and the IoU of the two silhouettes; the
    grid from the same camera; the grid from its front right. A data set in another frame (axes
    swapped, mirrored, front elsewhere) shows at a glance.

    Args:
        dataset: at least one model.
        view: which view; a model with fewer views is left out.
        count: how many models to draw, spread evenly over the data set.
    """
    if not len(dataset):
        raise ValueError(f"{dataset.root}: got no models, want at least one")
    chosen = np.unique(np.linspace(0, len(dataset) - 1, count).astype(int))
    rows = []
    for i in (int(i) for i in chosen if dataset.views(int(i)) > view):
        photo, grid, row = dataset.image(i, view), dataset.grid(i), dataset.cameras(i)[view]
        if photo.shape[0] != photo.shape[1]:
            raise ValueError(f"{dataset.source(i)}: got view {photo.shape[:2]}, want a square")
        shadow = project(grid, row, len(photo))
        mask = photo[:, :, 3] > 127
        iou = (shadow & mask).sum() / max((shadow | mask).sum(), 1)
        same = _scene(grid, GRID_COLOR).render(
            azimuth=row[0], elevation=row[1], ratio=row[3], size=len(photo)
        )
        tiles = [
            Tile(photo, dataset.models[i].category),
            Tile(overlay(photo, shadow), f"IoU {iou:.2f}"),
            Tile(same, "grid, same camera"),
            Tile(grid_picture(grid), "grid, front right"),
        ]
        rows.append(tiles)
    return sheet(rows, f"{len(rows)} of {len(dataset)} models, view {view:02d}")


def save_png(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Write a picture (H, W, 3 or 4) as PNG; `path` never holds half a file."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    write_atomic(path, data.getvalue())


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


def _lines(tile: Tile) -> int:
    """Lines of its caption."""
    return len(tile.caption.splitlines())


def _framed(image: NDArray[Any], size: int) -> Image.Image:
    """The picture scaled to fit a white square."""
    picture = Image.fromarray(on_white(image))
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (size, size), "white")
    square.paste(picture, ((size - width) // 2, (size - height) // 2))
    return square


def _fit(text: str, font: Any, width: int) -> str:
    """Shorten a text in its middle until it fits: both ends of a model's name tell it apart."""
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
        if font.getlength(short) <= width:
            return short
    return text[:1]
