"""Reader of Pix3D: photographs with masks, poses and voxels of 395 pieces of furniture.

    <root>/pix3d.json, img/<category>/*.{jpg,png}, mask/<category>/*.png, model/.../voxel.mat

An entry of the data set is a photo; several show the same shape and share its name. Pixels are
taken as stored, whatever EXIF says: masks and poses are given in them.

Axes: `read_voxels`; camera, and what the list says: pix3d_annotations.py.

Source: README of Pix3D (Sun et al., CVPR 2018).
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_fill_holes

from mem3d.data.dataset import ShapeDataset, Skipped
from mem3d.data.images.framing import LONGEST, OBJECT_SHARE
from mem3d.data.images.io import read_image
from mem3d.data.images.preprocess import CROP
from mem3d.data.readers.matlab import read_mat
from mem3d.data.readers.pix3d_annotations import Box, Photo, choose_photos, read_photos, silhouette
from mem3d.data.splits import SplitName
from memstore.voxels.grids import pack, unpack

SIDE = 240  # pixels of a framed photo: the network's crop of it has 224
MAX_IMAGE_PIXELS = 40_000_000
TEST_CATEGORY = "chair"
RESOLUTION = 32  # voxels a side of the grids here
FINE = 128  # voxels a side of Pix3D's own grids
_POOL = FINE // RESOLUTION


class Pix3D(ShapeDataset):
    """Photos of one Pix3D folder, in a fixed order; grids are kept in memory once read."""

    def __init__(
        self,
        root: Path,
        photos: tuple[Photo, ...],
        skipped: tuple[Skipped, ...],
        split: Path | None = None,
        masked: bool = True,
    ) -> None:
        """Use `open`; this takes photos that are known to be there."""
        self.root = root
        self.photos = photos
        self.skipped = skipped
        self.split = split
        self.masked = masked
        self._packed: dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}

    @classmethod
    def open(
        cls,
        root: str | Path,
        subset: SplitName | None = None,
        split: str | Path | None = None,
        categories: Collection[str] | None = None,
    ) -> "Pix3D":
        """List the photos of a Pix3D folder, looking at names only.

        Args:
            root: folder that holds pix3d.json.
            subset: without a split file, "test" takes the chairs that are neither truncated nor
                occluded, not even slightly (2,894 photos), and None takes every photo.
            split: split file in one of the forms of pix3d_annotations.py.
            categories: names to keep; None keeps all, but for that test set of chairs.

        Raises:
            ValueError: no pix3d.json, a damaged file, an unknown category, or a subset that no
                split file lists.
        """
        root = Path(root)
        if subset is not None and subset not in get_args(SplitName):
            raise ValueError(f"subset: got {subset!r}, want one of {get_args(SplitName)}")
        photos, skipped = read_photos(root / "pix3d.json")
        names = {photo.category for photo in photos}
        if unknown := sorted(set(categories or ()) - names):
            raise ValueError(f"categories: got {unknown}, want some of {sorted(names)}")
        if categories is None and subset == "test" and split is None:
            categories = (TEST_CATEGORY,)
        listed, missing = choose_photos(photos, subset, None if split is None else Path(split))
        if categories is not None:
            listed = [photo for photo in listed if photo.category in categories]
        lost = [(photo, _missing(root, photo)) for photo in listed]
        skipped += [*missing, *(Skipped(photo.image, f"no {name}") for photo, name in lost if name)]
        return cls(
            root,
            tuple(photo for photo, name in lost if not name),
            tuple(skipped),
            None if split is None else Path(split),
        )

    def unmasked(self) -> "Pix3D":
        """The same photos with their background, framed alike; their alpha is no mask."""
        return self._with(range(len(self)), self.skipped, masked=False)

    def __len__(self) -> int:
        return len(self.photos)

    def shape_id(self, i: int) -> str:
        """Name of the shape on photo i: "pix3d/chair/IKEA_BERNHARD/voxel"."""
        return self.photos[i].shape_id

    def category(self, i: int) -> str:
        """Category of photo i, by name."""
        return self.photos[i].category

    def views(self, i: int) -> int:
        """1: each photo is an entry of its own."""
        return 1

    def grid(self, i: int) -> NDArray[np.bool_]:
        """Voxels of photo i's shape in R2N2's frame, (32, 32, 32); see `fitted`."""
        return unpack(self._grids(i)[0], RESOLUTION)

    def pooled(self, i: int) -> NDArray[np.bool_]:
        """The same where Pix3D has it, max-pooled from 128^3: what `pix3d_metric` compares with."""
        return unpack(self._grids(i)[1], RESOLUTION)

    def image(self, i: int, view: int) -> NDArray[np.uint8]:
        """Photo i, (240, 240, 4) RGBA, cut around its mask as R2N2's renders are framed."""
        if view != 0:
            raise ValueError(f"view: got {view}, want 0 ({self.photos[i].image})")
        rgba, (x, y, side) = self._read(i)
        square = Image.fromarray(rgba).crop((x, y, x + side, y + side))
        return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BILINEAR))

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Silhouette of any grid in photo i, (240, 240); None if its pose is not given."""
        pose = self.photos[i].pose
        if pose is None:
            return None
        rgba, box = self._read(i)
        return silhouette(grid, pose, (rgba.shape[1], rgba.shape[0]), box, SIDE)

    def _name(self, i: int) -> str:
        return self.photos[i].image

    def _select(self, positions: Sequence[int], skipped: tuple[Skipped, ...]) -> "Pix3D":
        return self._with(positions, skipped, self.masked)

    def _with(
        self, positions: Sequence[int], skipped: tuple[Skipped, ...], masked: bool
    ) -> "Pix3D":
        """Some photos of the same folder; the grids in memory are shared."""
        photos = tuple(self.photos[i] for i in positions)
        other = Pix3D(self.root, photos, skipped, self.split, masked)
        other._packed = self._packed
        return other

    def _grids(self, i: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Packed grids of photo i: fitted, pooled."""
        name = self.photos[i].voxel
        if name not in self._packed:
            full = read_voxels(self.root / name)
            self._packed[name] = pack(fitted(full)), pack(max_pooled(full))
        return self._packed[name]

    def _read(self, i: int) -> tuple[NDArray[np.uint8], Box]:
        """Photo i (H, W, 4), no side over LONGEST, with its alpha; and the square around it."""
        photo = self.photos[i]
        picture, mask = (_pixels(self.root / name) for name in (photo.image, photo.mask))
        if abs(picture.width * mask.height / (picture.height * mask.width) - 1) > 0.02:
            raise ValueError(
                f"{self.root / photo.mask}: got {mask.width}x{mask.height} pixels, want the "
                f"proportions of its photo, {picture.width}x{picture.height}"
            )
        scale = min(1.0, LONGEST / max(picture.size))
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        gray = np.asarray(mask.convert("L").resize(size, Image.Resampling.BOX))
        if not gray.any():
            raise ValueError(f"{self.root / photo.mask}: got an empty mask, want an object in it")
        inside = gray > gray.max() / 2  # some write 0 and 1, some 0 and 255
        rgba = np.array(picture.convert("RGB").resize(size, Image.Resampling.BOX).convert("RGBA"))
        if self.masked:
            rgba[..., 3] = inside * np.uint8(255)
        return rgba, _square(inside)


def _missing(root: Path, photo: Photo) -> str:
    """The first of a photo's files that is not there, "" if all are."""
    names = (photo.image, photo.mask, photo.voxel)
    return next((name for name in names if not (root / name).is_file()), "")


def _pixels(path: Path) -> Image.Image:
    """A picture of any kind, pixels as stored."""
    try:
        return Image.fromarray(read_image(path, MAX_IMAGE_PIXELS, upright=False))
    except OSError as error:
        raise ValueError(f"{path}: got {error.strerror or error}, want a readable file") from error


def _square(inside: NDArray[np.bool_]) -> Box:
    """Square around a mask in which it is as large as objects are in R2N2's renders."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    extent = int(max(rows[-1] - rows[0], columns[-1] - columns[0])) + 1
    side = max(1, round(extent / (OBJECT_SHARE * CROP)))
    middle = (columns[0] + columns[-1] + 1) / 2, (rows[0] + rows[-1] + 1) / 2
    return round(middle[0] - side / 2), round(middle[1] - side / 2), side


def read_voxels(path: Path) -> NDArray[np.bool_]:
    """Voxels of a Pix3D shape in our axes.

    Args:
        path: a voxel.mat with a variable "voxel", 128^3, 0 or 1.

    Returns:
        (128, 128, 128) indexed [x, y, z]: y up, front +x; where Pix3D has the object.

    Raises:
        ValueError: not such a file, or no voxel in it is full.
    """
    voxel = read_mat(path, "voxel")
    if voxel.shape != (FINE,) * 3:
        raise ValueError(f"{path}: got voxels {voxel.shape}, want {(FINE,) * 3}")
    full = voxel == 1
    if not (full | (voxel == 0)).all():
        raise ValueError(f"{path}: got voxels other than 0 and 1, want only those")
    if not full.any():
        raise ValueError(f"{path}: got an empty grid, want a full voxel")
    return np.ascontiguousarray(full.transpose(1, 2, 0))


def fitted(full: NDArray[np.bool_], side: int = RESOLUTION) -> NDArray[np.bool_]:
    """A grid in R2N2's frame: longest side over the whole grid, the others centered, solid.

    Args:
        full: (R, R, R), not empty; its longest side has at least `side` voxels, or holes appear.
        side: of the result.

    Returns:
        (side, side, side), full where the center of a full voxel falls; cavities are filled, as
        binvox does.
    """
    used = [np.flatnonzero(full.any(axis=(b, c))) for b, c in ((1, 2), (0, 2), (0, 1))]
    longest = max(int(np.ptp(places)) + 1 for places in used)
    grid = full
    for axis, places in enumerate(used):
        middle = (places[0] + places[-1] + 1) / 2
        centers = (np.arange(len(full)) + 0.5 - middle) * side / longest + side / 2
        # A center on the border of two cells fills both, so that what is symmetric stays so.
        cells = np.floor(centers[:, None] + (-1e-6, 1e-6))
        falls = (np.arange(side)[:, None, None] == cells).any(axis=2)  # (side, R)
        counts = np.tensordot(falls.astype(np.float32), grid.astype(np.float32), (1, axis))
        grid = np.moveaxis(counts > 0, 0, axis)
    return np.asarray(binary_fill_holes(grid))


def max_pooled(grid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(R, R, R) to (R/4, R/4, R/4), full where any of 4 x 4 x 4 voxels is; R a multiple of 4."""
    cells = len(grid) // _POOL
    return np.asarray(grid.reshape((cells, _POOL) * 3).any(axis=(1, 3, 5)))
