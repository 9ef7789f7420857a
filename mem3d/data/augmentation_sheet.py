"""Contact sheet of what augmentation does: each transform alone, then all together."""

from dataclasses import replace

import numpy as np

from mem3d.data.augmentation import NONE, Augmentation
from mem3d.data.backgrounds import Backgrounds
from mem3d.data.shapes import Shapes
from mem3d.data.transforms import Grid, NetworkInput, denormalise, train_input
from mem3d.picture import grid_picture
from memstore.sheets import Rgb, Tile, sheet

TOGETHER = 4  # samples of all transforms together, per model


def augmentation_sheet(
    data: Shapes,
    how: Augmentation,
    backgrounds: Backgrounds | None = None,
    *,
    size: int = 128,
    count: int = 3,
    view: int = 0,
    seed: int = 0,
) -> Rgb:
    """Two rows per model: the view, its grid, each transform alone; then all of them, with grids.

    Args:
        data: models to choose from, evenly over the set.
        how: settings to show.
        backgrounds: photos for some of the views.
        size: pixels per side of what the network sees.
        count: most models.
        view: which view; a model with fewer views shows its last.
        seed: another seed, other samples.

    Returns:
        (height, width, 3).

    Raises:
        ValueError: there is no model.
    """
    if not len(data):
        raise ValueError(f"{data.root}: got no models, want at least one")
    chosen = np.unique(np.linspace(0, len(data) - 1, count).astype(int)).tolist()
    rows = []
    for i in chosen:
        rgba, grid = data.image(i, min(view, data.views(i) - 1)), data.grid(i)
        tiles = []
        for name, (alone, photos) in _alone(how, backgrounds).items():
            rng = np.random.default_rng([seed, i])
            tiles += _pair(name, *train_input(rgba, grid, size, rng, alone, photos))
            if name not in ("as tested", "mirrored"):
                tiles.pop()  # the grid is as it was
        rows.append(tiles)
        together = []
        for sample in range(TOGETHER):
            rng = np.random.default_rng([seed, i, sample])
            shown = train_input(rgba, grid, size, rng, how, backgrounds)
            is_mirrored = not np.array_equal(shown[1], grid)
            together += _pair("all, mirrored" if is_mirrored else "all", *shown)
        rows.append(together)
    return sheet(rows, f"augmentation, {len(chosen)} of {len(data)} models, seed {seed}")


def _alone(
    how: Augmentation, backgrounds: Backgrounds | None
) -> dict[str, tuple[Augmentation, Backgrounds | None]]:
    """{caption: settings of one transform, always applied}, for those that are in use."""
    shown: dict[str, tuple[Augmentation, Backgrounds | None]] = {"as tested": (NONE, None)}
    if how.flip:
        shown["mirrored"] = replace(NONE, flip=1), None
    changes: dict[str, dict[str, object]] = {
        "scale, shift": {"scale": how.scale, "shift": how.shift},
        "background": {"background": how.background},
        "jitter": {"jitter": how.jitter},
        "PCA noise": {"pca_noise": how.pca_noise},
        "channels": {"permute": float(how.permute > 0)},
        "occluder": {"hides": how.hides, "occluded": 1.0},
    }
    for name, change in changes.items():
        alone = replace(NONE, **change)  # type: ignore[arg-type]
        if alone != replace(NONE, occluded=alone.occluded):
            shown[name] = alone, None
    if backgrounds is not None:
        shown["photo behind"] = replace(NONE, photos=1), backgrounds
    return shown


def _pair(name: str, image: NetworkInput, grid: Grid) -> list[Tile]:
    """What the network sees, and the grid that it is to learn from it."""
    return [Tile(denormalise(image), name), Tile(grid_picture(grid), "its grid")]
