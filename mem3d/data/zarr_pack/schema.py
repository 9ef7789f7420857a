"""What a pack says about itself: the zarr.json files of its group and its three arrays.

    zarr.json           group; attribute "mem3d_pack": version, resolution, table of shapes, skipped
    images/c/J/0/0/0    uint8 (views, H, W, 4), RGBA, sharded, one view per inner chunk
    grids/c/J/0         uint8 (shapes, ceil(R**3 / 8)), packed bits of a grid [x, y, z], sharded
    cameras/c/J/0       float64 (views, 5), rows as in rendering_metadata.txt, NaN where unknown

What is missing reads as FILL, which neither a picture nor a grid is made of.

Every chunk has its checksum, and so have these files: "check" in the table and in the attributes of
each array is the BLAKE2b of all the rest. Packs from before, and arrays that others have rewritten,
have no attributes and so no check.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from mem3d.data.catalog import Listed, check_listed, read_object
from mem3d.data.dataset import Skipped
from mem3d.data.zarr_pack.shards import MAX_ITEM, MAX_PER_SHARD
from mem3d.integrity import check_of_facts

KEY = "mem3d_pack"
VERSION = 1
FILL = 1
CAMERA = 5  # numbers per view
LEVEL = 9  # of zstd: R2N2's views take 8 % less than at 3, and as long to read
MAX_RESOLUTION = 512  # as for binvox files
MAX_JSON = 64 << 20  # the whole of R2N2 takes 4 MB
_MAX_COUNT = 1 << 40
_CHECK = "check"
_ENTRIES = {"version", "resolution", "models", "skipped"}
_COLUMNS = ("source", "category", "subset", "row", "first_view", "views")


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Which shapes a pack holds; entry i of each tuple is about shape i.

    Attributes:
        resolution: R.
        listed: id, category and subset.
        rows: of the array of grids.
        first_views: of the array of images; a shape's views stand one after the other.
        views: how many.
        skipped: what was to be packed and could not be, with its subset.
    """

    resolution: int
    listed: tuple[Listed, ...]
    rows: tuple[int, ...]
    first_views: tuple[int, ...]
    views: tuple[int, ...]
    skipped: tuple[tuple[Skipped, str | None], ...]

    def attributes(self) -> dict[str, Any]:
        """As the group's attributes."""
        columns = ("source", "category", "subset")
        shapes = {name: [shape[n] for shape in self.listed] for n, name in enumerate(columns)}
        numbers = {"row": self.rows, "first_view": self.first_views, "views": self.views}
        skipped = [[skip.shape_id, skip.reason, subset] for skip, subset in self.skipped]
        about = {"version": VERSION, "resolution": self.resolution}
        table = {**about, "models": {**shapes, **numbers}, "skipped": skipped}
        return {KEY: {**table, _CHECK: check_of_facts(table)}}


def read_contents(attributes: Any, name: str) -> Contents:
    """Undo Contents.attributes; ValueError names `name` where they are not such."""
    table = attributes.get(KEY) if isinstance(attributes, dict) else None
    if not isinstance(table, dict) or table.get("version") != VERSION:
        version = table.get("version") if isinstance(table, dict) else None
        raise ValueError(f"{name}: got no {KEY!r} of version {VERSION} ({version=}), want a pack")
    if table.keys() != _ENTRIES:  # else one from before
        _check_sealed({**table}, f"{name}: {KEY}")
    shapes, skipped, side = table.get("models"), table.get("skipped"), table.get("resolution")
    if type(side) is not int or not 1 <= side <= MAX_RESOLUTION:
        raise ValueError(f"{name}: got resolution {side!r}, want 1..{MAX_RESOLUTION}")
    columns = [shapes.get(column) if isinstance(shapes, dict) else None for column in _COLUMNS]
    if len({len(c) if isinstance(c, list) else None for c in columns} - {None}) != 1:
        raise ValueError(
            f"{name}: got a table of shapes without {_COLUMNS}, want lists of a length"
        )
    if not isinstance(skipped, list) or not all(
        isinstance(row, list) and len(row) == 3 for row in skipped
    ):
        raise ValueError(f"{name}: got no list of skipped shapes, want [source, reason, subset]")
    for column in columns[3:]:
        if not all(type(value) is int and 0 <= value < _MAX_COUNT for value in column or []):
            raise ValueError(f"{name}: got a number out of range in the table of shapes")
    return Contents(
        resolution=side,
        listed=tuple(check_listed(zip(*(c or [] for c in columns[:3]), strict=True), name)),
        rows=tuple(columns[3] or []),
        first_views=tuple(columns[4] or []),
        views=tuple(columns[5] or []),
        skipped=tuple((Skipped(str(row[0]), str(row[1])), row[2]) for row in skipped),
    )


def _check_sealed(facts: dict[str, Any], name: str) -> None:
    """Raise ValueError unless the entry "check" is that of the others; it is taken out."""
    if facts.pop(_CHECK, None) != check_of_facts(facts):
        raise ValueError(
            f"{name}: got damaged or changed entries, want those that were packed (their check "
            "differs); copy the file anew, or pack again"
        )


def sealed(metadata: dict[str, Any]) -> dict[str, Any]:
    """An array's zarr.json with its check among the attributes."""
    return {**metadata, "attributes": {_CHECK: check_of_facts(metadata)}}


def read_array_metadata(path: Path) -> dict[str, Any]:
    """An array's zarr.json without its check.

    Raises:
        ValueError: the file is missing or no JSON, or not as it was written.
    """
    metadata = read_object(path, MAX_JSON)
    attributes = metadata.get("attributes")
    if attributes:
        check = attributes.get(_CHECK) if isinstance(attributes, dict) else None
        metadata["attributes"] = {}
        _check_sealed({**metadata, _CHECK: check}, str(path))
    return metadata


def group_metadata(contents: Contents) -> dict[str, Any]:
    """The pack's own zarr.json."""
    return {"zarr_format": 3, "node_type": "group", "attributes": contents.attributes()}


def items_metadata(
    count: int, item_shape: tuple[int, ...], per_shard: int, level: int = LEVEL
) -> dict[str, Any]:
    """zarr.json of images or grids: uint8 (count, *item_shape), an item per inner chunk."""
    sharding = {
        "chunk_shape": [1, *item_shape],
        "codecs": [{"name": "bytes"}, *_compressed(level)],
        "index_codecs": [_little(), {"name": "crc32c"}],
        "index_location": "end",
    }
    codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    return _array([count, *item_shape], "uint8", [per_shard, *item_shape], FILL, codecs)


def cameras_metadata(count: int, per_chunk: int) -> dict[str, Any]:
    """zarr.json of the cameras: plain chunks, as many rows in each as an images shard has views."""
    codecs = [_little(), *_compressed(LEVEL)]
    return _array([count, CAMERA], "float64", [per_chunk, CAMERA], "NaN", codecs)


def read_items_metadata(path: Path) -> tuple[int, tuple[int, ...], int] | None:
    """Count, item shape and items per shard of an array on disk.

    Returns:
        None if the array is laid out in another way than `items_metadata` does.

    Raises:
        ValueError: the file is missing, no JSON or damaged, or its sizes are out of range.
    """
    metadata = read_array_metadata(path)
    try:
        count, *item_shape = metadata["shape"]
        per_shard = metadata["chunk_grid"]["configuration"]["chunk_shape"][0]
        level = metadata["codecs"][0]["configuration"]["codecs"][1]["configuration"]["level"]
    except (LookupError, TypeError, ValueError):
        return None
    if metadata != items_metadata(count, tuple(item_shape), per_shard, level):
        return None
    if not all(type(n) is int and 1 <= n < _MAX_COUNT for n in (count, per_shard, *item_shape)):
        raise ValueError(f"{path}: got sizes {metadata['shape']}, {per_shard}, want whole numbers")
    if prod(item_shape) > MAX_ITEM or per_shard > MAX_PER_SHARD:
        raise ValueError(f"{path}: got items {item_shape}, shards of {per_shard}, want less")
    return count, tuple(item_shape), per_shard


def _array(
    shape: list[int], dtype: str, chunk: list[int], fill: Any, codecs: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": codecs,
        "attributes": {},
    }


def _little() -> dict[str, Any]:
    return {"name": "bytes", "configuration": {"endian": "little"}}


def _compressed(level: int) -> list[dict[str, Any]]:
    zstd = {"name": "zstd", "configuration": {"level": level, "checksum": False}}
    return [zstd, {"name": "crc32c"}]
