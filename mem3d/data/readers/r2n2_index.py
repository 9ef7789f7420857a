"""The list of a data folder's shapes and files as one JSON file.

Opening by an index looks at no folder: 43,784 shapes take about a second (docs/pack.md). Paths are
relative to the data folder, and that to the index file.

    {"mem3d_index": 1, "root": ".", "models": [{"source": "03001627/abc", "category": "chair",
      "subset": "train", "rendering": "ShapeNetRendering/.../rendering", "views": 24,
      "binvox": "...", "cameras": "...", "height": 137, "width": 137, "occupancy": null}],
      "skipped": [{"source": ..., "reason": ...}]}
"""

import json
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mem3d.data.catalog import check_listed, choose, read_object, subset_of, subsets
from mem3d.data.dataset import Skipped
from mem3d.data.readers.r2n2 import R2N2, ShapeFiles
from mem3d.data.splits import SplitName
from memstore.files import Progress, write_atomic

VERSION = 1
_KEY = "mem3d_index"
_MAX_BYTES = 64 << 20  # the whole of R2N2 takes 19 MB as JSON
_MAX_VIEWS = 100  # two digits name a view
_SOURCE = re.compile(r"[\w-][\w.-]{0,199}/[\w-][\w.-]{0,199}", re.ASCII)  # it becomes a path


class Indexed(R2N2):
    """R2N2 shapes as an index lists them; `root` is the index, `split` a file used instead."""

    def __init__(
        self,
        root: Path,
        folder: Path,
        shapes: tuple[ShapeFiles, ...],
        skipped: tuple[Skipped, ...],
        split: Path | None,
        subset_of: dict[str, SplitName],
    ) -> None:
        """Use `open_index`."""
        super().__init__(root, shapes, skipped, split)
        self.folder = folder
        self.subset_of = subset_of

    def _select(self, positions: Sequence[int], skipped: tuple[Skipped, ...]) -> "Indexed":
        shapes = tuple(self.shapes[i] for i in positions)
        return Indexed(self.root, self.folder, shapes, skipped, self.split, self.subset_of)


def write_index(
    data: R2N2,
    out: str | Path,
    *,
    occupancy: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write an index; a shape whose first view or grid is broken is left out and named.

    Args:
        data: what to list.
        out: file to make or replace, .json.
        occupancy: also read every grid, and note the share of full voxels.
        progress: called with (shapes read, shapes in all).

    Raises:
        ValueError: another kind of file.
        memstore.PathError: the disk refuses.
    """
    out = Path(out)
    if out.suffix != ".json":
        raise ValueError(f"{out}: got {out.suffix!r}, want .json")
    subset = subsets(data)
    rows, skipped = [], list(data.skipped)
    for i, shape in enumerate(data.shapes):
        try:
            rows.append(_row(data, i, subset.get(shape.shape_id), occupancy))
        except ValueError as error:
            skipped.append(Skipped(shape.shape_id, str(error)))
        if progress is not None:
            progress(i + 1, len(data))
    index = {
        _KEY: VERSION,
        "root": os.path.relpath(data.folder, out.parent),
        "skipped": [{"source": skip.shape_id, "reason": skip.reason} for skip in skipped],
        "models": rows,
    }
    write_atomic(out, json.dumps(index).encode())


def is_index(path: str | Path) -> bool:
    """Whether a path is a file of a kind that an index can be."""
    return Path(path).suffix == ".json" and Path(path).is_file()


def open_index(
    path: str | Path,
    subset: SplitName | None = None,
    split: str | Path | None = None,
    categories: Collection[str] | None = None,
) -> Indexed:
    """Open the data that an index lists, without looking at any of their files.

    Args:
        path: the index.
        subset: which list to take; None takes all.
        split: a split file to use instead of the subsets in the index.
        categories: names or synsets to keep; None keeps all.

    Raises:
        ValueError: no index, a damaged one, one whose data folder is not there, or a wish that it
            cannot meet.
    """
    path = Path(path)
    about = read_object(path, _MAX_BYTES)
    rows, skipped, root = about.get("models"), about.get("skipped"), about.get("root")
    if about.get(_KEY) != VERSION or not isinstance(root, str) or "\0" in root:
        raise ValueError(f"{path}: got no {_KEY!r}: {VERSION}, want an index")
    if not isinstance(rows, list) or not isinstance(skipped, list):
        raise ValueError(f"{path}: got no lists of shapes and skipped, want an index")
    folder = path.parent / root
    try:
        fields = [(row["source"], row["category"], row["subset"]) for row in rows]
        shapes = [_model(folder, row) for row in rows]
        skips = [Skipped(str(skip["source"]), str(skip["reason"])) for skip in skipped]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: got a row without {error}, want an index") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    listed = check_listed(fields, str(path))
    positions, missing = choose(listed, path, subset, split, categories)
    if shapes and not (folder / "ShapeNetRendering").is_dir():  # once, not for each shape
        raise ValueError(
            f"{path}: got root {root!r}, want the data there, but {folder} holds no "
            "ShapeNetRendering; put index and data back as they lay, or make the index anew"
        )
    return Indexed(
        path,
        folder,
        tuple(shapes[i] for i in positions),
        (*skips, *missing),
        None if split is None else Path(split),
        subset_of(listed),
    )


def _row(data: R2N2, i: int, subset: SplitName | None, occupancy: bool) -> dict[str, Any]:
    """What the index says of one shape."""
    shape = data.shapes[i]
    image = data.image(i, 0)
    rendering = f"ShapeNetRendering/{shape.shape_id}/rendering"
    return {
        "source": shape.shape_id,
        "category": shape.category,
        "subset": subset,
        "rendering": rendering,
        "views": shape.views,
        "binvox": f"ShapeNetVox32/{shape.shape_id}/model.binvox",
        "cameras": f"{rendering}/rendering_metadata.txt",
        "height": image.shape[0],
        "width": image.shape[1],
        "occupancy": float(np.mean(data.grid(i))) if occupancy else None,
    }


def _model(folder: Path, row: Any) -> ShapeFiles:
    """A row as the reader wants it; its paths follow from its source, and so cannot lead away."""
    source, views = row["source"], row["views"]
    if not isinstance(source, str) or not _SOURCE.fullmatch(source):
        raise ValueError(f"got source {str(source)[:80]!r}, want synset/model")
    if type(views) is not int or not 1 <= views <= _MAX_VIEWS:
        raise ValueError(f"got {str(views)[:20]} views of {source}, want 1..{_MAX_VIEWS}")
    rendering, binvox = (
        f"ShapeNetRendering/{source}/rendering",
        f"ShapeNetVox32/{source}/model.binvox",
    )
    if (row["rendering"], row["binvox"]) != (rendering, binvox):
        raise ValueError(f"got other paths for {source}, want {rendering}, {binvox}")
    synset, _, name = source.partition("/")
    return ShapeFiles(synset, row["category"], name, folder / rendering, folder / binvox, views)
