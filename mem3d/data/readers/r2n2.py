"""Reader of the 3D-R2N2 data layout: rendered views and solid voxel grids of ShapeNet models.

    <root>/ShapeNetRendering/<synset>/<model>/rendering/{00..23}.png, rendering_metadata.txt
    <root>/ShapeNetVox32/<synset>/<model>/model.binvox
    <root>/split.json (optional; see data/splits.py)

Downloads of this layout are rarely whole, so a shape that is incomplete is skipped and named,
never a crash.

Source: Choy et al., 3D-R2N2, ECCV 2016.
"""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from mem3d.data.dataset import ShapeDataset, Skipped
from mem3d.data.images.io import read_image
from mem3d.data.splits import Entry, SplitName, keep_categories, read_split, shapes_on_disk
from mem3d.data.taxonomy import SYNSETS
from memstore import FormatError, PathError
from memstore.files import write_atomic
from memstore.json_text import read_json
from memstore.voxels.binvox import read_binvox
from memstore.voxels.grids import pack, unpack

__all__ = ["R2N2", "RESOLUTION", "SYNSETS", "ShapeFiles", "Skipped", "SplitName"]

RESOLUTION = 32  # voxels per side
MAX_IMAGE_PIXELS = 4096 * 4096  # the real views have 137 x 137

# The note, in a data folder, of shapes that were read whole.
NAME = ".checked.json"
VERSION = 1
WORTH_IT = 10_000  # pictures; fewer are read in seconds, and the folder is left as it is
_MAX_BYTES = 64 << 20  # the note of all of ShapeNet takes 4 MB

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


class R2N2(ShapeDataset):
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
        shapes = [_find(root, entry) for entry in keep_categories(listed, categories)]
        return cls(
            root,
            tuple(shape for shape in shapes if isinstance(shape, ShapeFiles)),
            tuple(shape for shape in shapes if isinstance(shape, Skipped)),
            None if split is None else Path(split),
        )

    def __len__(self) -> int:
        return len(self.shapes)

    def shape_id(self, i: int) -> str:
        return self.shapes[i].shape_id

    def category(self, i: int) -> str:
        return self.shapes[i].category

    def views(self, i: int) -> int:
        return self.shapes[i].views

    def grid(self, i: int) -> NDArray[np.bool_]:
        """Voxels of shape i, (32, 32, 32) indexed [x, y, z]; ValueError names a broken file."""
        if i not in self._packed:
            path = self.shapes[i].binvox
            grid = _opened(read_binvox, path)
            if grid.shape[0] != RESOLUTION:
                raise ValueError(f"{path}: got {grid.shape[0]} voxels a side, want {RESOLUTION}")
            self._packed[i] = pack(grid)
        return unpack(self._packed[i], RESOLUTION)

    def image(self, i: int, view: int) -> NDArray[np.uint8]:
        """View of shape i, (H, W, 4) RGBA in [0, 255]; ValueError names a broken file."""
        shape = self.shapes[i]
        if not 0 <= view < shape.views:
            raise ValueError(f"view: got {view}, want 0..{shape.views - 1} ({shape.shape_id})")
        path = shape.rendering / view_name(view)
        return _opened(lambda path: read_image(path, MAX_IMAGE_PIXELS), path)

    def cameras(self, i: int) -> NDArray[np.float64]:
        """Cameras of shape i, (views, 5); ValueError if their file is broken."""
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

    def _faults(self, views: int | None) -> Iterator[str | None]:
        """In several threads; shapes of a large set that were read before are not read again."""
        marks = read_checked(self.folder)
        whole, pictures = dict(marks), 0
        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            verdicts = pool.map(lambda i: self._verdict(i, views, marks), range(len(self)))
            for shape, (mark, fault) in zip(self.shapes, verdicts, strict=True):
                if mark is not None:
                    whole[shape.shape_id] = mark
                    pictures += shape.views
                yield fault
        if pictures >= WORTH_IT:
            write_checked(self.folder, whole)

    def _select(self, positions: Sequence[int], skipped: tuple[Skipped, ...]) -> "R2N2":
        return R2N2(self.root, tuple(self.shapes[i] for i in positions), skipped, self.split)

    def _verdict(
        self, i: int, views: int | None, marks: dict[str, str]
    ) -> tuple[str | None, str | None]:
        """Read shape i unless its mark stands: its fingerprint if it is whole, or its fault."""
        shape = self.shapes[i]
        # Taken before the files are read: one that changes meanwhile does not count as read.
        mark = fingerprint(shape.rendering, shape.binvox) if views is None or marks else None
        if mark is not None and marks.get(shape.shape_id) == mark:
            return None, None
        fault = self._fault(i, views)
        return (mark if views is None and fault is None else None), fault


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
    numbered = [name for name in names if name[-4:].lower() == ".png" and name[:-4].isdecimal()]
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


def fingerprint(rendering: Path, binvox: Path) -> str | None:
    """Hash of a shape's file names, sizes and times of change; None if a file went missing."""
    try:
        with os.scandir(rendering) as entries:
            rows = sorted(((entry.name, entry.stat()) for entry in entries), key=lambda row: row[0])
        rows.append((binvox.name, os.stat(binvox)))
    except OSError:
        return None
    text = "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in rows)
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()


def read_checked(root: Path) -> dict[str, str]:
    """Fingerprint of each shape that was read whole, by id; empty without a readable note."""
    try:
        note = read_json(root / NAME, _MAX_BYTES)
    except FormatError:
        return {}
    if not isinstance(note, dict) or note.get("version") != VERSION:
        return {}
    whole = note.get("whole")
    return whole if isinstance(whole, dict) else {}


def write_checked(root: Path, whole: dict[str, str]) -> None:
    """Write the note down, where the folder allows it."""
    with suppress(PathError):
        write_atomic(root / NAME, json.dumps({"version": VERSION, "whole": whole}).encode())
