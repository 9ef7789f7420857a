"""A procedural data set in memory."""

from pathlib import Path

import numpy as np

from mem3d.data.dataset import ShapeDataset
from mem3d.data.rendering.renderer import Scene, project
from memstore.voxels.grids import pack
from memstore.voxels.mesh import blocky


class MemoryDataset(ShapeDataset):
    """Grids with views rendered from them; whatever a test sets afterwards is a fault."""

    root, split = Path("in memory"), None

    def __init__(self, grids, names=None, size=48, views=2, seed=0):
        rng = np.random.default_rng(seed)
        self.size, self.skipped = size, ()
        self.grids = list(grids)
        self.names = list(names or ["chair"] * len(self.grids))
        self.silhouettes = {}
        self.rows, self.images = [], []
        for grid in self.grids:
            rows = [(a, e, 0, 0.8, 25) for a, e in rng.uniform((0, 25), (360, 30), (views, 2))]
            scene = Scene(blocky(grid))
            self.rows.append(rows)
            self.images.append(
                [scene.render(azimuth=a, elevation=e, ratio=0.8, size=size) for a, e, *_ in rows]
            )

    def __len__(self):
        return len(self.grids)

    def shape_id(self, i):
        return f"{self.names[i]}/{i}"

    def category(self, i):
        return self.names[i]

    def views(self, i):
        return len(self.images[i])

    def grid(self, i):
        return self.grids[i]

    def image(self, i, view):
        return self.images[i][view]

    def cameras(self, i):
        return np.array(self.rows[i])

    def projection(self, i, view, grid):
        key = (i, view, pack(grid.ravel()).tobytes())
        if key not in self.silhouettes:
            self.silhouettes[key] = project(grid, self.rows[i][view], self.size)
        return self.silhouettes[key]

    def check(self, views=None, progress=None):
        if progress is not None:
            progress(len(self), len(self))
        return self


def lopsided(seed, side=12):
    """Three boxes of different sizes in three corners: alike in none of the 48 frames."""
    rng = np.random.default_rng(seed)
    grid = np.zeros((side,) * 3, np.bool_)
    grid[:, :2, : side // 2] = True
    grid[: rng.integers(2, 5), :, :3] = True
    grid[-3:, : rng.integers(4, 7), rng.integers(1, 3) :] = True
    return grid
