"""Writing a data set as one Zarr store: few large files, not one per view (read by reader.py)."""

import hashlib
import json
import shutil
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from mem3d.data.catalog import Listed, read_object, subsets
from mem3d.data.dataset import ShapeDataset, Skipped
from mem3d.data.parallel import results
from mem3d.data.splits import SplitName
from mem3d.data.zarr_pack.reader import ZarrPack
from mem3d.data.zarr_pack.schema import (
    CAMERA,
    LEVEL,
    MAX_JSON,
    MAX_RESOLUTION,
    VERSION,
    Contents,
    cameras_metadata,
    group_metadata,
    items_metadata,
    sealed,
)
from mem3d.data.zarr_pack.shards import MAX_ITEM, MAX_PER_SHARD, pack_item, pack_shard
from mem3d.integrity import put_in_place
from memstore.files import Progress, check_free, write_atomic
from memstore.voxels.grids import pack as pack_bits

_SETTINGS, _DONE = "settings.json", "done"  # inside a pack that is being made


class _Task(NamedTuple):
    """One shard to write."""

    part: Literal["images", "grids"]
    number: int


@dataclass(frozen=True)
class _Job:
    """What every process knows."""

    data: ShapeDataset
    folder: Path  # the pack that is being made
    first_views: tuple[int, ...]  # (shapes + 1,); views of broken shapes leave holes
    image_shape: tuple[int, ...]
    resolution: int
    per_shard: int

    @property
    def tasks(self) -> list[_Task]:
        """All shards, in a fixed order."""
        counts: dict[Literal["images", "grids"], int]
        counts = {"images": self.first_views[-1], "grids": len(self.data)}
        return [
            _Task(part, number)
            for part, count in counts.items()
            for number in range(-(-count // self.per_shard))
        ]


def pack(
    data: ShapeDataset,
    out: str | Path,
    *,
    per_shard: int = 2048,
    processes: int = 1,
    progress: Progress | None = None,
) -> ZarrPack:
    """Write a pack; an interrupted run is taken up where it stopped.

    Pictures and grids come out bit for bit. A shape with a broken file, or with a view of another
    size than the first shape's, is left out and named in the pack's `skipped`. The pack does not
    depend on `processes`.

    Args:
        data: what to pack, with the subsets of its split file.
        out: folder to make; until it is whole it stands beside, as ".<name>.partial".
        per_shard: views (and grids) per file, 1..65536; each process holds so many in RAM, packed.
        processes: more than 1 starts others (by "spawn": guard a script's main part).
        progress: called with (files finished, files in all).

    Raises:
        ValueError: a setting is out of range, no shape can be read, two have one name, or the
            unfinished pack beside is of other data.
        memstore.PathError: there is something at `out`, or the disk refuses.
    """
    out = Path(out)
    check_free(out)
    if not 1 <= per_shard <= MAX_PER_SHARD:
        raise ValueError(f"per_shard: got {per_shard}, want 1..{MAX_PER_SHARD}")
    if not 1 <= processes <= 256:
        raise ValueError(f"processes: got {processes}, want 1..256")
    if len({data.shape_id(i) for i in range(len(data))}) < len(data):
        raise ValueError(f"{data.root}: got a shape's name twice (as in Pix3D), want each once")
    image_shape, resolution = _sizes(data)
    views = [data.views(i) for i in range(len(data))]
    first_views = tuple(accumulate(views, initial=0))
    beside = out.with_name(f".{out.name}.partial")
    job = _Job(data, beside, first_views, image_shape, resolution, per_shard)
    subset = subsets(data)
    _claim(job)
    tasks = job.tasks
    waiting = [task for task in tasks if not all(path.exists() for path in _paths(job, task))]
    before = len(tasks) - len(waiting)
    with results(partial(_write, job), waiting, processes) as shards:
        for count, _ in enumerate(shards, before + 1):
            if progress is not None:
                progress(count, len(tasks))
    _finish(job, subset)
    put_in_place(beside, out)
    return ZarrPack.open(out)


def _sizes(data: ShapeDataset) -> tuple[tuple[int, ...], int]:
    """Shape of a view and voxels per side, of the first shape that can be read."""
    reason = "no shape"
    for i in range(len(data)):
        try:
            image, side = data.image(i, 0), len(data.grid(i))
        except ValueError as error:
            reason = str(error)
            continue
        if image.nbytes > MAX_ITEM or side > MAX_RESOLUTION:
            raise ValueError(
                f"{data.shape_id(i)}: got a view {image.shape}, {side} voxels, want less"
            )
        return image.shape, side
    raise ValueError(f"{data.root}: got no shape that can be read, want one ({reason})")


def _claim(job: _Job) -> None:
    """Write the settings into a new folder, or compare them with those of one begun before."""
    shapes = "\n".join(
        f"{job.data.shape_id(i)} {job.data.category(i)} {job.data.views(i)}"
        for i in range(len(job.data))
    )
    settings = {
        "version": VERSION, "level": LEVEL, "per_shard": job.per_shard,
        "image": list(job.image_shape), "resolution": job.resolution,
        "models": hashlib.sha256(shapes.encode()).hexdigest(),
    }  # fmt: skip
    path = job.folder / _SETTINGS
    if path.exists():
        if read_object(path, MAX_JSON) != settings:
            raise ValueError(f"{job.folder}: got an unfinished pack of other data; remove it")
        return
    (job.folder / _DONE).mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(settings).encode())


def _write(job: _Job, task: _Task) -> None:
    """Write one shard, then a note that it is there and which shapes are broken."""
    write = _write_images if task.part == "images" else _write_grids
    broken = write(job, task.number)
    write_atomic(_note_path(job.folder, task), json.dumps({"broken": broken}).encode())


def _write_images(job: _Job, number: int) -> dict[int, str]:
    """A shard of views, and the chunk of their cameras."""
    first = number * job.per_shard
    last = min(first + job.per_shard, job.first_views[-1])
    items: list[bytes | None] = [None] * job.per_shard
    cameras = np.full((job.per_shard, CAMERA), np.nan, "<f8")
    broken: dict[int, str] = {}
    shape = bisect_right(job.first_views, first) - 1
    while job.first_views[shape] < last:
        start = max(first, job.first_views[shape])
        rows = range(start, min(last, job.first_views[shape + 1]))
        try:
            own = job.data.cameras(shape)
            for row in rows:
                view = row - job.first_views[shape]
                image = job.data.image(shape, view)
                if image.shape != job.image_shape:
                    raise ValueError(f"view {view}: got {image.shape}, want {job.image_shape}")
                items[row - first] = pack_item(image, LEVEL)
                if own is not None:
                    cameras[row - first] = own[view]
        except ValueError as error:
            broken[shape] = str(error)
        shape += 1
    _, shard, chunk = _paths(job, _Task("images", number))
    _save(shard, pack_shard(items, job.per_shard))
    _save(chunk, pack_item(cameras.view(np.uint8).ravel(), LEVEL))
    return broken


def _write_grids(job: _Job, number: int) -> dict[int, str]:
    """A shard of grids."""
    first = number * job.per_shard
    items: list[bytes | None] = []
    broken: dict[int, str] = {}
    for shape in range(first, min(first + job.per_shard, len(job.data))):
        try:
            grid = job.data.grid(shape)
            if grid.shape != (job.resolution,) * 3:
                raise ValueError(f"grid: got {grid.shape}, want {job.resolution} voxels a side")
            items.append(pack_item(pack_bits(grid.ravel()), LEVEL))
        except ValueError as error:
            broken[shape] = str(error)
            items.append(None)
    _, shard = _paths(job, _Task("grids", number))
    _save(shard, pack_shard(items, job.per_shard))
    return broken


def _finish(job: _Job, subset: Mapping[str, SplitName]) -> None:
    """Write the metadata, and remove what only the making needed."""
    broken: dict[int, str] = {}
    for task in job.tasks:
        faults: Any = read_object(_note_path(job.folder, task), MAX_JSON)["broken"]
        broken |= {int(shape): str(reason) for shape, reason in faults.items()}
    data = job.data
    good = [i for i in range(len(data)) if i not in broken]
    skipped = [*data.skipped, *(Skipped(data.shape_id(i), broken[i]) for i in sorted(broken))]
    contents = Contents(
        resolution=job.resolution,
        listed=tuple(
            Listed(data.shape_id(i), data.category(i), subset.get(data.shape_id(i))) for i in good
        ),
        rows=tuple(good),
        first_views=tuple(job.first_views[i] for i in good),
        views=tuple(job.first_views[i + 1] - job.first_views[i] for i in good),
        skipped=tuple((skip, subset.get(skip.shape_id)) for skip in skipped),
    )
    views, grid_bytes = job.first_views[-1], -(-(job.resolution**3) // 8)
    metadata = {
        "images": sealed(items_metadata(views, job.image_shape, job.per_shard)),
        "grids": sealed(items_metadata(len(data), (grid_bytes,), job.per_shard)),
        "cameras": sealed(cameras_metadata(views, job.per_shard)),
        ".": group_metadata(contents),
    }
    for part, fields in metadata.items():
        _save(job.folder / part / "zarr.json", json.dumps(fields).encode())
    (job.folder / _SETTINGS).unlink()
    shutil.rmtree(job.folder / _DONE)


def _save(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)


def _paths(job: _Job, task: _Task) -> list[Path]:
    """Files of a shard that is finished: its note first, which is written last."""
    number, at = task.number, job.folder
    files = [at / "images" / "c" / f"{number}/0/0/0", at / "cameras" / "c" / f"{number}/0"]
    if task.part == "grids":
        files = [at / "grids" / "c" / f"{number}/0"]
    return [_note_path(at, task), *files]


def _note_path(folder: Path, task: _Task) -> Path:
    return folder / _DONE / f"{task.part}-{task.number}.json"
