"""Reader of the 3D-R2N2 data layout: rendered views and solid voxel grids of ShapeNet models.

    <root>/ShapeNetRendering/<synset>/<model>/rendering/{00..23}.png, rendering_metadata.txt
    <root>/ShapeNetVox32/<synset>/<model>/model.binvox
    <root>/split.json (optional; see data/splits.py)

Downloads of this layout are rarely whole, so a shape that is incomplete is skipped and named,
never a crash.

Over 250 lines: how a shape is found, checked and read stays together.

Source: Choy et al., 3D-R2N2, ECCV 2016.
"""

import hashlib
import json
import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from mem3d.data.dataset import Skipped
from mem3d.data.images.io import photo
from mem3d.data.rendering.renderer import project
from mem3d.data.splits import Entry, SplitName, keep_categories, read_split, shapes_on_disk
from mem3d.data.taxonomy import SYNSETS
from memstore import PathError
from memstore.files import open_regular, write_atomic
from memstore.voxels.binvox import read_binvox

__all__ = ["R2N2", "RESOLUTION", "SYNSETS", "ShapeFiles", "Skipped", "SplitName"]

RESOLUTION = 32  # voxels per side
MAX_IMAGE_PIXELS = 4096 * 4096  # the real views have 137 x 137

T = TypeVar("T")


@dataclass(frozen=True)
class ShapeFiles:
    """One object: its views and its grid on disk."""

    synset: str
    category: str  # SYNSETS' name, else the split file's
    name: str
    rendering: Path  # folder of the views
    binvox: Path
    views: int  # files 00.png, 01.png, ... without a gap

    @property
    def shape_id(self) -> str:
        """What a memory writes down about where a grid came from: "synset/name"."""
        return f"{self.synset}/{self.name}"


class R2N2:
    """Shapes of one data folder, in a fixed order; grids are kept in memory once read."""

    def __init__(
        self,
        root: Path,
        shapes: tuple[ShapeFiles, ...],
        skipped: tuple[Skipped, ...],
        split: Path | None = None,
    ) -> None:
        """Use `open`; this takes shapes that are known to be there."""
        self.root = self.folder = root  # files are in `folder`; an index may lie elsewhere
        self.shapes = shapes
        self.skipped = skipped
        self.split = split
        self._packed: dict[int, NDArray[np.uint8]] = {}  # 4 KiB a grid, where bool takes 32

    @classmethod
    def open(
        cls,
        root: str | Path,
        subset: SplitName | None = None,
        split: str | Path | None = None,
        categories: Collection[str] | None = None,
    ) -> "R2N2":
        """List the shapes of a data folder, looking at names only.

        Args:
            root: folder that holds ShapeNetRendering and ShapeNetVox32.
            subset: which list of the split file; None takes all three.
            split: split file; None takes <root>/split.json, or, where there is none, every shape
                found on disk.
            categories: names or synsets to keep; None keeps all.

        Raises:
            ValueError: no such folder, a split file that is damaged or missing though a subset is
                asked for, or an unknown category.
        """
        root = Path(root)
        if not (root / "ShapeNetRendering").is_dir():
            raise ValueError(f"{root}: got no folder ShapeNetRendering, want the R2N2 layout")
        if subset is not None and subset not in get_args(SplitName):
            raise ValueError(f"subset: got {subset!r}, want one of {get_args(SplitName)}")
        if split is None and (root / "split.json").exists():
            split = root / "split.json"
        if split is None and subset is not None:
            raise ValueError(
                f"{root}: got no split.json, want one to choose subset {subset!r}; make one: "
                f"mem3d-cli data split {root} --out {root / 'split.json'}"
            )
        listed = shapes_on_disk(root) if split is None else read_split(split, subset)
        found = [_find(root, entry) for entry in keep_categories(listed, categories)]
        return cls(
            root,
            tuple(one for one in found if isinstance(one, ShapeFiles)),
            tuple(one for one in found if isinstance(one, Skipped)),
            None if split is None else Path(split),
        )

    def __len__(self) -> int:
        return len(self.shapes)

    def shape_id(self, i: int) -> str:
        """ "synset/name" of shape i."""
        return self.shapes[i].shape_id

    def category(self, i: int) -> str:
        """Category of shape i, by name."""
        return self.shapes[i].category

    def views(self, i: int) -> int:
        """Number of views of shape i, at least 1."""
        return self.shapes[i].views

    def grid(self, i: int) -> NDArray[np.bool_]:
        """Voxels of shape i, (32, 32, 32) indexed [x, y, z]; ValueError names a broken file."""
        if i not in self._packed:
            path = self.shapes[i].binvox
            grid = _opened(read_binvox, path)
            if grid.shape[0] != RESOLUTION:
                raise ValueError(f"{path}: got {grid.shape[0]} voxels a side, want {RESOLUTION}")
            self._packed[i] = np.packbits(grid)
        return np.unpackbits(self._packed[i]).view(np.bool_).reshape((RESOLUTION,) * 3)

    def image(self, i: int, view: int) -> NDArray[np.uint8]:
        """View of shape i, (H, W, 4) RGBA in [0, 255]; ValueError names a broken file."""
        shape = self.shapes[i]
        if not 0 <= view < shape.views:
            raise ValueError(f"view: got {view}, want 0..{shape.views - 1} ({shape.shape_id})")
        path = shape.rendering / view_name(view)
        return _opened(lambda path: photo(path, MAX_IMAGE_PIXELS), path)

    def cameras(self, i: int) -> NDArray[np.float64]:
        """Cameras of shape i.

        Returns:
            (views, 5): azimuth and elevation in degrees, in-plane rotation (0), distance as a
            fraction of the largest, field of view in degrees (25).

        Raises:
            ValueError: the file is missing, or is not one line of five numbers per view.
        """
        shape = self.shapes[i]
        path = shape.rendering / "rendering_metadata.txt"
        lines = _opened(_read_text, path).splitlines()
        try:
            rows = np.array([[float(word) for word in line.split()] for line in lines if line])
        except ValueError as error:
            raise ValueError(f"{path}: got a line that is not five numbers ({error})") from error
        if rows.shape[:1] < (shape.views,) or rows.shape[1:] != (5,) or not np.isfinite(rows).all():
            raise ValueError(f"{path}: got numbers {rows.shape}, want finite ({shape.views}, 5)")
        return rows[: shape.views]

    def camera(self, i: int, view: int) -> NDArray[np.float64] | None:
        """Camera of a view, (5,); None where its file cannot be read."""
        try:
            row: NDArray[np.float64] = self.cameras(i)[view]
            return row
        except ValueError:
            return None

    def projection(self, i: int, view: int, grid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Silhouette of any grid from the camera of a view, as large as that view's picture."""
        return project(grid, self.cameras(i)[view], len(self.image(i, view)))

    def check(
        self, views: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> "R2N2":
        """As Shapes.check, in several threads; a large set is not read again (r2n2.py)."""
        known = read_checked(self.folder)
        good: list[ShapeFiles] = []
        skipped, whole, read = list(self.skipped), dict(known), 0
        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            found = pool.map(lambda i: self._verdict(i, views, known), range(len(self)))
            for i, (shape, (mark, fault)) in enumerate(zip(self.shapes, found, strict=True)):
                if fault is None:
                    good.append(shape)
                else:
                    skipped.append(Skipped(shape.shape_id, fault))
                if mark is not None:
                    whole[shape.shape_id] = mark
                    read += shape.views
                if progress is not None:
                    progress(i + 1, len(self))
        if read >= WORTH_IT:
            write_checked(self.folder, whole)
        return self._with(tuple(good), tuple(skipped))

    def _with(self, shapes: tuple[ShapeFiles, ...], skipped: tuple[Skipped, ...]) -> "R2N2":
        return R2N2(self.root, shapes, skipped, self.split)

    def _verdict(
        self, i: int, views: int | None, known: dict[str, str]
    ) -> tuple[str | None, str | None]:
        """Read shape i unless it is known: its fingerprint if it was read whole, or its fault."""
        shape = self.shapes[i]
        # Taken before the files are read: one that changes meanwhile does not count as read.
        mark = fingerprint(shape.rendering, shape.binvox) if views is None or known else None
        if mark is not None and known.get(shape.shape_id) == mark:
            return None, None
        try:
            self.grid(i)
            self.cameras(i)
            for view in range(shape.views if views is None else min(views, shape.views)):
                self.image(i, view)
        except ValueError as error:
            return None, str(error)
        return mark if views is None else None, None


def view_name(view: int) -> str:
    """File name of a view: 00.png, 01.png, ..."""
    return f"{view:02d}.png"


def _find(root: Path, entry: Entry) -> ShapeFiles | Skipped:
    """Look which files of a shape are there."""
    shape_id = f"{entry.synset}/{entry.name}"
    rendering = root / "ShapeNetRendering" / shape_id / "rendering"
    binvox = root / "ShapeNetVox32" / shape_id / "model.binvox"
    if not os.path.isfile(binvox):
        return Skipped(shape_id, f"no {binvox.relative_to(root)}")
    try:
        names = os.listdir(rendering)
    except OSError:
        return Skipped(shape_id, f"no {rendering.relative_to(root)}")
    numbered = {name for name in names if name.endswith(".png") and name[:-4].isdecimal()}
    views = 0
    while view_name(views) in numbered:
        views += 1
    if views == 0 or views < len(numbered):
        return Skipped(shape_id, f"no {(rendering / view_name(views)).relative_to(root)}")
    return ShapeFiles(entry.synset, entry.category, entry.name, rendering, binvox, views)


def _read_text(path: Path) -> str:
    """At most 64 KiB: a camera takes about 60 bytes."""
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read(1 << 16)


def _opened(read: Callable[[Path], T], path: Path) -> T:
    """read(path), where a file that went missing since `open` counts as broken."""
    try:
        return read(path)
    except OSError as error:
        raise ValueError(f"{path}: got {error.strerror or error}, want a readable file") from error


NAME = ".checked.json"
VERSION = 1
WORTH_IT = 10_000  # pictures; fewer are read in seconds, and the folder is left as it is

_MAX_BYTES = 64 << 20  # the whole of ShapeNet takes 4 MB


def fingerprint(rendering: Path, binvox: Path) -> str | None:
    """Hash of a shape's file names, sizes and times of change; None if a file went missing."""
    try:
        with os.scandir(rendering) as entries:
            rows = sorted(((entry.name, entry.stat()) for entry in entries), key=lambda row: row[0])
        rows.append((binvox.name, os.stat(binvox)))
    except OSError:
        return None
    text = "\n".join(f"{name} {found.st_size} {found.st_mtime_ns}" for name, found in rows)
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()


def read_checked(root: Path) -> dict[str, str]:
    """Fingerprint of each shape that was read whole, by id; empty without a readable note."""
    try:
        with open_regular(root / NAME) as file:
            found = json.loads(file.read(_MAX_BYTES))
    except (OSError, PathError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or found.get("version") != VERSION:
        return {}
    whole = found.get("whole")
    return whole if isinstance(whole, dict) else {}


def write_checked(root: Path, whole: dict[str, str]) -> None:
    """Write the note down, where the folder allows it."""
    with suppress(PathError):
        write_atomic(root / NAME, json.dumps({"version": VERSION, "whole": whole}).encode())
