"""The axis test: do voxels, seen by a view's camera, fall on the object in the picture?

A data set in another frame (axes swapped, z up, mirrored) trains without complaint and learns
nonsense. So a sample of grids is projected as it is, and turned in each of the 47 other ways in
which a cube can be laid; if one of those fits clearly better, the data are in that frame.
"""

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from mem3d.data.dataset import ShapeDataset
from memstore.voxels.grids import pack

TELLING = 0.02  # a shape whose IoU changes less looks alike in both frames: it does not count
CLEAR_GAIN = 0.05  # mean gain in IoU, over the shapes that tell, from which a frame is better
CLEAR_SHARE = 0.8  # share of those shapes that must agree
FEWEST = 3  # shapes that must tell
FITS = 0.6  # mean IoU below which the match is poor: thin shapes, or cameras mixed up
UNFIT = 0.5  # and below which voxels and pictures have nothing to do with each other
TIE = 0.005  # frames whose mean IoU differs less are the same for these shapes

_XYZ = "xyz"


@dataclass(frozen=True)
class Frame:
    """One of the 48 ways to lay a cube: first transpose, then mirror.

    Attributes:
        axes: as for numpy's transpose.
        mirrored: which axes are mirrored afterwards.
    """

    axes: tuple[int, int, int]
    mirrored: tuple[bool, bool, bool]

    def apply(self, grid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The grid (R, R, R) laid this way."""
        x, y, z = (slice(None, None, -1 if mirrored else 1) for mirrored in self.mirrored)
        return grid.transpose(self.axes)[x, y, z]

    @property
    def steps(self) -> int:
        """How far from leaving the grid as it is: swaps and mirrors."""
        moved = sum(axis != i for i, axis in enumerate(self.axes))
        return max(moved - 1, 0) + sum(self.mirrored)

    @property
    def repair(self) -> str:
        """What to do to the grids, in numpy."""
        order = "" if self.axes == (0, 1, 2) else f".transpose{self.axes}"
        cuts = ", ".join("::-1" if mirrored else ":" for mirrored in self.mirrored)
        return f"grid{order}" + (f"[{cuts}]" if any(self.mirrored) else "")

    def __str__(self) -> str:
        """What is wrong with grids that fit after `apply`."""
        flips = [_XYZ[i] for i in range(3) if self.mirrored[i]]
        moved = [_XYZ[i] for i, axis in enumerate(self.axes) if axis != i]
        mirrored = f"mirrored in {' and '.join(flips)}"
        if not moved:
            if flips == ["x", "z"]:
                return "turned by half around y (front at -x)"
            return mirrored if flips else "right"
        if moved == ["x", "z"] and len(flips) == 1 and "y" not in flips:
            return f"turned by a quarter around y (front at {'-' if flips == ['x'] else '+'}z)"
        if len(moved) == 2:
            text = f"{moved[0]} and {moved[1]} swapped"
            if moved == ["y", "z"]:
                text += " (z up, or binvox's order of axes)"
        else:
            text = f"axes in the order {', '.join(_XYZ[self.axes.index(i)] for i in range(3))}"
        return f"{text}, {mirrored}" if flips else text


# All 48, the simplest first; the first leaves the grid as it is.
FRAMES = tuple(
    sorted(
        (
            Frame((a, b, c), (x, y, z))
            for a, b, c in permutations(range(3))
            for x, y, z in product((False, True), repeat=3)
        ),
        key=lambda frame: frame.steps,
    )
)


@dataclass(frozen=True, kw_only=True)
class AxisTest:
    """What the axis test found.

    Attributes:
        shapes: how many could be compared: their camera is known and their picture has a mask.
        iou: mean IoU of silhouettes with the voxels as they are; nan without shapes.
        other: the other frame that fits best; None without shapes.
        other_iou: its mean IoU.
        wrong: whether the other frame fits clearly better.
        ties: further frames that fit these shapes as well as `other` does.
    """

    shapes: int
    iou: float
    other: Frame | None
    other_iou: float
    wrong: bool
    ties: tuple[Frame, ...]


def frame_ious(data: ShapeDataset, i: int, seed: int = 0) -> NDArray[np.float64]:
    """Compare shape i with its picture, in every frame, in one view drawn at random.

    Args:
        data: any data set.
        i: which shape.
        seed: of the view.

    Returns:
        (48,) IoU of the picture's mask with the projection in each of FRAMES; nan where the
        camera is not known, the picture has no mask (it is opaque) or a file is broken.
    """
    ious = np.full(len(FRAMES), np.nan)
    view = int(np.random.default_rng(seed).integers(data.views(i)))
    same: dict[bytes, float] = {}  # a symmetric shape is the same grid in many frames
    try:
        mask = data.image(i, view)[:, :, 3] > 127
        grid = data.grid(i)
        if mask.all() or not mask.any():
            return ious
        for number, frame in enumerate(FRAMES):
            turned = frame.apply(grid)
            key = pack(turned).tobytes()
            if key not in same:
                shadow = data.projection(i, view, turned)
                if shadow is None:
                    return ious
                same[key] = float((shadow & mask).sum() / (shadow | mask).sum())
            ious[number] = same[key]
    except ValueError:  # `check` names broken files
        ious[:] = np.nan
    return ious


def judge(ious: NDArray[np.float64]) -> AxisTest:
    """Decide from the IoUs (n, 48) of n shapes, nan where one could not be compared.

    Shapes that look alike in two frames (a table turned by half) do not tell them apart, so only
    those count whose IoU changes; of these nearly all must agree.
    """
    tested = ious[~np.isnan(ious[:, 0])]
    if not len(tested):
        return AxisTest(shapes=0, iou=np.nan, other=None, other_iou=np.nan, wrong=False, ties=())
    mean = tested.mean(0)
    clear = [f for f in range(1, len(FRAMES)) if _clear(tested[:, f] - tested[:, 0])]
    among = np.array(clear or range(1, len(FRAMES)))
    # FRAMES begins with the simplest: of frames that fit alike, that one is named.
    best, *ties = among[mean[among] >= mean[among].max() - TIE].tolist()
    return AxisTest(
        shapes=len(tested),
        iou=float(mean[0]),
        other=FRAMES[best],
        other_iou=float(mean[best]),
        wrong=bool(clear),
        ties=tuple(FRAMES[f] for f in ties),
    )


def _clear(gains: NDArray[np.float64]) -> bool:
    """Whether gains in IoU (n,) show that another frame is the right one."""
    telling = gains[np.abs(gains) > TELLING]
    if len(telling) < FEWEST:
        return False
    return bool(telling.mean() > CLEAR_GAIN and (telling > 0).mean() >= CLEAR_SHARE)
