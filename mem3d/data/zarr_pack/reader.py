"""A pack: a data set in one Zarr store, read at random (written by writer.py)."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray

from mem3d.data.catalog import choose, read_object, subset_of
from mem3d.data.dataset import ShapeDataset, Skipped
from mem3d.data.splits import SplitName
from mem3d.data.zarr_pack.schema import (
    CAMERA,
    FILL,
    MAX_JSON,
    Contents,
    read_array_metadata,
    read_contents,
    read_items_metadata,
)
from mem3d.data.zarr_pack.shards import MAX_ITEM, Bytes, ShardFiles
from memstore.voxels.grids import unpack

# What zarr, its stores and its codecs raise on damaged or missing chunks.
_DAMAGE = (OSError, ValueError, LookupError, TypeError, RuntimeError, MemoryError, OverflowError)


class Items(Protocol):
    """Pictures or grids by number."""

    def read(self, i: int) -> Bytes:
        """Item i; ValueError if it is missing or damaged."""


class ZarrItems:
    """Items of an array through zarr: any store, any codecs, milliseconds each."""

    def __init__(self, array: "zarr.Array[Any]", name: str):
        if array.dtype != np.uint8 or array.ndim < 2 or 0 in array.shape:
            raise ValueError(f"{name}: got {array.dtype} {array.shape}, want uint8 (items, ...)")
        if np.prod([float(n) for n in array.chunks]) > MAX_ITEM:
            raise ValueError(f"{name}: got chunks {array.chunks}, want at most {MAX_ITEM} bytes")
        self._array = array
        self._name = name

    def read(self, i: int) -> Bytes:
        """Item i, of the array's shape less the first axis."""
        try:
            item = np.ascontiguousarray(self._array[i])
        except _DAMAGE as error:
            raise ValueError(
                f"{self._name}, item {i}: got {error}, want what was packed"
            ) from error
        if (item == FILL).all():  # zarr does not tell of chunks that are not there
            raise ValueError(f"{self._name}: got no item {i} in it, want one")
        return item


class ZarrPack(ShapeDataset):
    """Shapes of a pack, in the order in which they were packed or that of a split file."""

    def __init__(
        self,
        root: Path,
        group: "zarr.Group",
        contents: Contents,
        items: tuple[Items, Items],
        split: Path | None = None,
    ) -> None:
        """Use `open`."""
        self.root = root
        self.split = split
        self._group = group
        self._contents = contents
        self.skipped = tuple(skip for skip, _ in contents.skipped)
        self._images, self._grids = items
        self._bits: dict[int, Bytes] = {}  # of grids read before: 4 KiB each

    @classmethod
    def open(
        cls,
        root: str | Path | Any,
        subset: SplitName | None = None,
        split: str | Path | None = None,
        categories: Collection[str] | None = None,
        *,
        fast: bool = True,
    ) -> "ZarrPack":
        """Open a pack.

        Args:
            root: its folder; or a URL or a store that zarr can open.
            subset: which list to take; None takes all.
            split: a split file to use instead of the one that was packed.
            categories: names or synsets to keep; None keeps all.
            fast: read a folder's files directly where they are as writer.py writes them; else
                through zarr, which gives the same.

        Raises:
            ValueError: no pack, a damaged one, or a wish that it cannot meet.
        """
        is_folder = isinstance(root, (str, Path)) and not _is_url(root)
        name, path = str(root), Path(str(root))
        if is_folder:  # before zarr sees it: sizes are looked at here
            attributes = read_object(path / "zarr.json", MAX_JSON).get("attributes")
            layouts = [read_items_metadata(path / n / "zarr.json") for n in ("images", "grids")]
            if (path / "cameras").exists():
                read_array_metadata(path / "cameras" / "zarr.json")
        try:
            group = zarr.open_group(root, mode="r")
            if not is_folder:
                attributes, layouts = dict(group.attrs), [None, None]
            arrays = [group[n] for n in ("images", "grids")]
            if not all(isinstance(array, zarr.Array) for array in arrays):
                raise ValueError("a group where an array should be")
            shapes = [array.shape for array in arrays if isinstance(array, zarr.Array)]
        except _DAMAGE as error:
            raise ValueError(f"{name}: got {error}, want a pack") from error
        contents = read_contents(attributes, name)
        _check_shapes(contents, shapes, name)
        items: list[Items] = []
        for part, array, layout in zip(("images", "grids"), arrays, layouts, strict=True):
            if fast and layout is not None:
                count, item_shape, per_shard = layout
                items.append(ShardFiles(path / part, item_shape, count, per_shard))
            else:
                assert isinstance(array, zarr.Array)
                items.append(ZarrItems(array, f"{name}/{part}"))
        positions, missing = choose(contents.listed, path, subset, split, categories)
        contents = _some(contents, positions, missing, subset if split is None else None)
        images, grids = items
        return cls(path, group, contents, (images, grids), None if split is None else Path(split))

    def __getstate__(self) -> dict[str, Any]:
        """What a process that is sent this needs; it reads grids itself."""
        return {**self.__dict__, "_bits": {}}

    @property
    def subset_of(self) -> dict[str, SplitName]:
        """Subset of each shape by id, as it was packed."""
        return subset_of(self._contents.listed)

    def __len__(self) -> int:
        return len(self._contents.listed)

    def shape_id(self, i: int) -> str:
        """Name of shape i, as in the data that were packed."""
        return self._contents.listed[i].shape_id

    def category(self, i: int) -> str:
        """Category of shape i, by name."""
        return self._contents.listed[i].category

    def views(self, i: int) -> int:
        """Number of views of shape i, at least 1."""
        return self._contents.views[i]

    def grid(self, i: int) -> NDArray[np.bool_]:
        """Voxels of shape i, (R, R, R) indexed [x, y, z]; ValueError names a damaged file."""
        side = self._contents.resolution
        row = self._contents.rows[i]
        if row not in self._bits:
            self._bits[row] = self._grids.read(row)
        return unpack(self._bits[row], side**3).reshape((side,) * 3)

    def image(self, i: int, view: int) -> NDArray[np.uint8]:
        """View of shape i, (H, W, 4) RGBA in [0, 255]; ValueError names a damaged file."""
        return self._images.read(self._row(i, view))

    def cameras(self, i: int) -> NDArray[np.float64]:
        """Cameras of shape i: (views, 5) as R2N2.cameras, NaN where they are not known."""
        first = self._contents.first_views[i]
        try:
            array = self._group["cameras"]
            assert isinstance(array, zarr.Array)
            rows = np.asarray(array[first : first + self.views(i)], np.float64)
            if rows.shape != (self.views(i), CAMERA):
                raise ValueError(f"{rows.shape}")
        except (*_DAMAGE, AssertionError) as error:
            raise ValueError(f"{self.root}/cameras: got {error}, want (views, 5)") from error
        return rows

    def _select(self, positions: Sequence[int], skipped: tuple[Skipped, ...]) -> "ZarrPack":
        broken = skipped[len(self.skipped) :]
        contents = _some(self._contents, positions, broken, None)
        return ZarrPack(self.root, self._group, contents, (self._images, self._grids), self.split)

    def _row(self, i: int, view: int) -> int:
        if not 0 <= view < self.views(i):
            raise ValueError(f"view: got {view}, want 0..{self.views(i) - 1} ({self.shape_id(i)})")
        return self._contents.first_views[i] + view


def is_pack(root: str | Path) -> bool:
    """Whether a path is a folder with Zarr metadata, or a URL, which nothing else can be."""
    return _is_url(root) or (Path(root) / "zarr.json").is_file()


def _is_url(root: str | Path) -> bool:
    return isinstance(root, str) and "://" in root


def _check_shapes(contents: Contents, shapes: list[tuple[int, ...]], name: str) -> None:
    """ValueError unless every shape's grid and views are inside the arrays."""
    images, grids = shapes
    want = ceil(contents.resolution**3 / 8)
    if len(images) != 4 or images[3] != 4 or grids[1:] != (want,):
        raise ValueError(f"{name}: got images {images}, grids {grids}, want RGBA, {want} bytes")
    for row, first, views in zip(contents.rows, contents.first_views, contents.views, strict=True):
        if row >= grids[0] or views < 1 or first + views > images[0]:
            raise ValueError(f"{name}: got a shape outside the arrays, want row, views inside")


def _some(
    contents: Contents, positions: Sequence[int], broken: Sequence[Skipped], subset: str | None
) -> Contents:
    """Some of the shapes; `broken` ones and, of those skipped before, the subset's are named."""
    skipped = [(skip, part) for skip, part in contents.skipped if subset in (None, part)]
    return replace(
        contents,
        listed=tuple(contents.listed[i] for i in positions),
        rows=tuple(contents.rows[i] for i in positions),
        first_views=tuple(contents.first_views[i] for i in positions),
        views=tuple(contents.views[i] for i in positions),
        skipped=(*skipped, *((skip, None) for skip in broken)),
    )
