"""Contact sheets of a data set: what augmentation does, and whether voxels and photos agree."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.augment import NONE, Augmentation
from mem3d.data.images.backgrounds import Backgrounds
from mem3d.data.images.preprocess import Grid, train_pixels
from mem3d.data.rendering.figures import OVERLAY_COLOR, grid_picture, overlay
from mem3d.data.rendering.renderer import SIZE
from memstore.files import Progress
from memstore.voxels.contact_sheet import Legend, Rgb, Tile, sheet

AZIMUTH = 35.0  # degrees, from where grids are seen
TOGETHER = 4  # samples of all transforms together, per shape
_OVER = Legend("", (OVERLAY_COLOR,), ("the voxels, laid over the picture by its camera",))


def augmentation_sheet(
    data: ShapeDataset,
    shapes: Sequence[int],
    how: Augmentation,
    backgrounds: Backgrounds | None = None,
    *,
    size: int = 128,
    view: int = 0,
    seed: int = 0,
) -> Rgb:
    """Two rows per shape: the view, its grid, each transform alone; then all of them, with grids.

    Args:
        data: any data set.
        shapes: positions in it.
        how: settings to show.
        backgrounds: photos for some of the views.
        size: pixels per side of what the network sees.
        view: which view; a shape with fewer views shows its last.
        seed: another seed, other samples.

    Returns:
        (height, width, 3).

    Raises:
        ValueError: there is no shape.
    """
    if not len(shapes):
        raise ValueError(f"{data.root}: got no shapes, want at least one")
    rows = []
    for i in shapes:
        rgba, grid = data.image(i, min(view, data.views(i) - 1)), data.grid(i)
        tiles = []
        for name, (alone, photos) in _alone(how, backgrounds).items():
            rng = np.random.default_rng([seed, i])
            image, shape = train_pixels(rgba, grid, size, rng, alone, photos)
            tiles.append(Tile(image.transpose(1, 2, 0), name))
            if name in ("as tested", "mirrored"):
                tiles.append(_grid_tile(shape, name == "mirrored"))
        rows.append(tiles)
        together = []
        for sample in range(TOGETHER):
            rng, same = (np.random.default_rng([seed, i, sample]) for _ in range(2))
            image, shape = train_pixels(rgba, grid, size, rng, how, backgrounds)
            is_mirrored = bool(
                train_pixels(rgba, _marked(), size, same, how, backgrounds)[1][0, 0, 1]
            )
            name = "all, mirrored" if is_mirrored else "all"
            together += [Tile(image.transpose(1, 2, 0), name), _grid_tile(shape, is_mirrored)]
        rows.append(together)
    return sheet(rows, f"augmentation, {len(shapes)} of {len(data)} shapes, seed {seed}")


def _alone(
    how: Augmentation, backgrounds: Backgrounds | None
) -> dict[str, tuple[Augmentation, Backgrounds | None]]:
    """{caption: settings of one transform, always applied}, for those that are in use."""
    settings: dict[str, tuple[Augmentation, Backgrounds | None]] = {"as tested": (NONE, None)}
    if how.flip:
        settings["mirrored"] = replace(NONE, flip=1), None
    changes: dict[str, dict[str, object]] = {
        "scale, shift": {"scale": how.scale, "shift": how.shift},
        "background": {"background": how.background},
        "jitter": {"jitter": how.jitter},
        "PCA noise": {"pca_noise": how.pca_noise},
        "channels": {"permute": float(how.permute > 0)},
        "occluder": {"max_occlusion": how.max_occlusion, "occlusion_probability": 1.0},
    }
    for name, change in changes.items():
        alone = replace(NONE, **change)  # type: ignore[arg-type]
        if alone != replace(NONE, occlusion_probability=alone.occlusion_probability):
            settings[name] = alone, None
    if backgrounds is not None:
        settings["photo behind"] = replace(NONE, photos=1), backgrounds
    return settings


def _marked() -> Grid:
    """A grid of 2^3 that is not its own mirror image, as many shapes are: full at z = 0."""
    grid = np.zeros((2, 2, 2), bool)
    grid[:, :, 0] = True
    return grid


def _grid_tile(grid: Grid, is_mirrored: bool) -> Tile:
    """The grid to learn from a picture, drawn from the front right, or its mirror image."""
    if is_mirrored:  # where the mirror puts the eye: a grid that was not mirrored would look wrong
        return Tile(grid_picture(grid, azimuth=-AZIMUTH), "its grid, eye mirrored")
    return Tile(grid_picture(grid, azimuth=AZIMUTH), "its grid")


def axes_sheet(
    data: ShapeDataset,
    shapes: Sequence[int],
    views: Sequence[int] = (0,),
    *,
    progress: Progress | None = None,
) -> Rgb:
    """Show whether grids and cameras agree: for each shape, its voxels projected over its photo.

    A row for one view: photo; photo with the projected voxels in red and the IoU of the two
    silhouettes; the projection; the grid from its front right. For several views: the grid, then
    each view with its projection. A data set in another frame (axes swapped, mirrored, front
    elsewhere) shows at a glance.

    Args:
        data: any data set; a camera that is not known leaves the projection out.
        shapes: positions in it, a row each; a broken shape has its fault for a caption.
        views: which views; those that a shape has not are left out.
        progress: called with the shapes drawn, and how many there are.
    """
    if not len(shapes):
        raise ValueError(f"{data.root}: got no shapes, want at least one")
    rows = []
    for i in shapes:
        rows.append(_shape_row(data, i, views))
        if progress is not None:
            progress(len(rows), len(shapes))
    which = f"view {views[0]:02d}" if len(views) == 1 else f"{len(views)} views"
    return sheet(rows, f"{len(rows)} of {len(data)} shapes, {which}", legend=_OVER)


def _shape_row(data: ShapeDataset, i: int, views: Sequence[int]) -> list[Tile]:
    """One row of the axes sheet."""
    name = f"{data.category(i)}\n{data.shape_id(i).removesuffix('/voxel').split('/')[-1]}"
    try:
        grid = data.grid(i)
        front = Tile(grid_picture(grid), "grid, front right")
        here = [view for view in views if view < data.views(i)]
        photos = [data.image(i, view) for view in here]
        shadows = [data.projection(i, view, grid) for view in here]
    except ValueError as error:
        return [Tile(np.full((SIZE, SIZE), True), f"{name}\nbroken: {error}")]
    overlays = [_overlay(*pair) for pair in zip(photos, shadows, strict=True)]
    if len(views) > 1:
        return [Tile(front.image, name), *overlays]
    if not here:
        return [Tile(front.image, f"{name}\nno view {views[0]:02d}")]
    projections = [] if shadows[0] is None else [Tile(~shadows[0], "voxels, same camera")]
    return [Tile(photos[0], name), *overlays, *projections, front]


def _overlay(photo: NDArray[np.uint8], shadow: NDArray[np.bool_] | None) -> Tile:
    """A photo under the projection of its voxels, with the IoU of the two silhouettes."""
    if shadow is None:
        return Tile(photo, "camera unknown")
    mask = photo[:, :, 3] > 127
    iou = (shadow & mask).sum() / max((shadow | mask).sum(), 1)
    return Tile(overlay(photo, shadow), "no mask" if mask.all() else f"IoU {iou:.2f}")
