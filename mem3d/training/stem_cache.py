"""A frozen stem's outputs, computed once: most of a training step's time on a CPU.

A frozen stem gives the same maps for the same picture in every epoch. So each shape gets a fixed
number of augmented pictures, whose maps stay in RAM as float16; epoch e shows picture e modulo that
number. The head, the memory and everything behind them train as always.

With a file, the maps lie there instead, mapped into memory: a resumed run, or another process,
need not make them. The grids, a fingerprint and a check of the maps (a second or so per GB, once)
stand in a second file beside it, written last; what is damaged is made anew.
Pixels and viewpoints, which a network needs to look voxels up in the picture, go with the grids.
"""

# M = shapes, N = pictures per shape, B = batch, S = side of the stem's maps, or of the pictures

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mem3d.data.loader import Batch, BatchSampler, TrainingViews, loader, unpacked
from mem3d.data.readers.r2n2 import RESOLUTION
from mem3d.integrity import check_of_file, put_in_place
from mem3d.network.config import Precision
from mem3d.network.encoder import STEM_CHANNELS, Encoder, normalize
from mem3d.system import ram, uses_bfloat16
from mem3d.tensor_files import opened, save_tensors
from memstore.files import Progress
from memstore.voxels.grids import pack

MAX_BYTES = 12 * 2**30  # of maps, or a third of all RAM; 24 pictures of 402 shapes take 2.5 GB


class SideArrays(NamedTuple):
    """What goes with the maps of each picture."""

    grids: NDArray[np.uint8]  # (M, N, R**3 / 8), packed; mirrored as the pictures are
    viewpoints: NDArray[np.float32]  # (M, N, 5)
    pixels: NDArray[np.uint8]  # (M, N, 3, S, S); S = 0 where they are not needed

    def serves(self, views: TrainingViews) -> bool:
        """Whether pixels are there, if they are needed."""
        return bool(self.pixels.size) or not views.with_viewpoints


def reserve_file(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """A new .npy file mapped to be written; its room on the disk is taken at once."""
    try:
        maps: NDArray[np.float16] = np.lib.format.open_memmap(
            path, mode="w+", dtype=np.float16, shape=shape
        )
        if hasattr(os, "posix_fallocate"):  # else a full disk would kill the process
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ValueError(f"{path}: got {error}, want room for the stem's maps") from error
    return maps


def map_file(file: Path) -> Tensor:
    """Maps of a file, read as they are needed; what is written to them does not reach it."""
    return torch.from_numpy(np.load(file, mmap_mode="c", allow_pickle=False))


def side_path(file: Path) -> Path:
    """The second file, of what goes with the maps."""
    return file.with_suffix(".safetensors")


def read_side_arrays(file: Path, name: str) -> SideArrays | None:
    """What stands beside a file of maps; None unless both are there, whole, of that fingerprint."""
    try:
        with opened(side_path(file), "what goes with a stem's maps") as side:
            if side.metadata.get("fingerprint") != name or not file.exists():
                return None
            if side.metadata.get("maps", "") not in ("", check_of_file(file)):
                return None
            return SideArrays(*(side.tensor(key).numpy() for key in SideArrays._fields))
    except (OSError, ValueError, KeyError):
        return None


_FIRST_NAMES = {"max_occlusion": "hides", "occlusion_probability": "occluded"}  # as fingerprinted


class StemCache:
    """Stem maps and grids of every cached picture of every shape.

    Attributes:
        maps: (M, N, 512, S, S) float16.
        fingerprint: of what they were made from, see `fingerprint`.
    """

    def __init__(self, maps: Tensor, side: SideArrays, fingerprint: str) -> None:
        self.maps = maps
        self.fingerprint = fingerprint
        self._side = side
        self._resolution = round((side.grids.shape[-1] * 8) ** (1 / 3))
        self._grids, self._viewpoints, self._pixels = map(torch.from_numpy, side)

    def on(self, device: str) -> "StemCache":
        """The same on a GPU, if half of its free memory holds all; else this one."""
        if torch.device(device).type != "cuda":
            return self
        needed = sum(array.nbytes for array in (self.maps, *self._side))
        if needed > torch.cuda.mem_get_info(torch.device(device))[0] // 2:
            return self
        copy = StemCache(self.maps.to(device), self._side, self.fingerprint)
        for name in ("_grids", "_viewpoints", "_pixels"):
            setattr(copy, name, getattr(self, name).to(device))
        return copy

    @staticmethod
    def build(
        encoder: Encoder,
        views: TrainingViews,
        cached_views: int,
        *,
        batch: int,
        workers: int,
        precision: Precision = "float32",
        file: Path | None = None,
        progress: Progress | None = None,
    ) -> "StemCache":
        """Compute all maps, or find them made; the same settings give the same, bit for bit.

        Args:
            encoder: its stem is used, in evaluation mode.
            views: of the shapes.
            cached_views: N, pictures per shape.
            batch: pictures at a time.
            workers: loader processes.
            precision: of the stem, where the device has it: that of the steps.
            file: .npy that keeps the maps; one of another fingerprint is made anew.
            progress: called with pictures done and pictures in all.

        Raises:
            ValueError: the maps would not fit into MAX_BYTES of RAM, or onto the disk.
        """
        name = fingerprint(encoder, views, cached_views, precision)
        side = None if file is None else read_side_arrays(file, name)
        if file is not None and side is not None and side.serves(views):
            return StemCache(map_file(file), side, name)
        map_side = -(-encoder.image_size // 8)
        shape = (len(views.data), cached_views, STEM_CHANNELS, map_side, map_side)
        if file is None:
            _check_size(shape)
            maps = torch.empty(shape, dtype=torch.float16)
            side = _fill(maps, encoder, views, batch, workers, precision, progress)
            return StemCache(maps, side, name)
        partial = file.with_name(f".{file.name}.partial")
        try:
            maps = torch.from_numpy(reserve_file(partial, shape))
            side = _fill(maps, encoder, views, batch, workers, precision, progress)
            check = check_of_file(partial)
            side_path(file).unlink(missing_ok=True)  # tells of the maps that go now
            put_in_place(partial, file)
        finally:
            partial.unlink(missing_ok=True)
        arrays = {key: torch.from_numpy(array) for key, array in side._asdict().items()}
        save_tensors(side_path(file), arrays, {"fingerprint": name, "maps": check})
        return StemCache(map_file(file), side, name)

    def check(
        self,
        encoder: Encoder,
        views: TrainingViews,
        cached_views: int,
        precision: Precision = "float32",
    ) -> None:
        """Raise ValueError unless the maps are those that `build` would give."""
        want = fingerprint(encoder, views, cached_views, precision)
        if not self._side.serves(views):
            raise ValueError("cache: got no pixels, want them too; build one with viewpoints")
        if self.fingerprint != want:
            raise ValueError(
                f"cache: got maps of fingerprint {self.fingerprint}, want {want}: the same shapes, "
                "cached_views, image size, augmentation, seed and stem, and the precision that the "
                "device computes in; build one for this run, on its device"
            )

    def batches(self, order: Iterable[list[tuple[int, int]]]) -> Iterator[Batch]:
        """What a loader would give for lists of (epoch, shape), with maps beside the images."""
        cached_views = self.maps.shape[1]
        for samples in order:
            shapes = [shape for _, shape in samples]
            numbers = [epoch % cached_views for epoch, _ in samples]
            rows, columns = torch.tensor([shapes, numbers]).to(self.maps.device)
            yield Batch(
                self._pixels[rows, columns],
                unpacked(self._grids[rows, columns], self._resolution),
                shapes,
                self._viewpoints[rows, columns],
                stem_maps=self.maps[rows, columns].float(),
            )


def fingerprint(
    encoder: Encoder, views: TrainingViews, cached_views: int, precision: Precision = "float32"
) -> str:
    """Of all that decides what the maps are; 16 hexadecimal digits.

    Shapes count by name and number of views: a file that changed under its name goes unseen.
    """
    data, digest = views.data, hashlib.sha256()
    shapes = [(data.shape_id(i), data.views(i)) for i in range(len(data))]
    augmentation = {_FIRST_NAMES.get(k, k): v for k, v in asdict(views.augmentation).items()}
    settings = [views.image_size, views.seed, views.augment, augmentation, cached_views]
    if uses_bfloat16(precision, str(next(encoder.parameters()).device)):
        settings.append(precision)
    digest.update(json.dumps([shapes, settings]).encode())
    for name, weight in encoder.stem.state_dict().items():
        digest.update(name.encode() + weight.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _check_size(shape: tuple[int, ...]) -> None:
    """Raise ValueError if maps of that shape would take too much RAM."""
    needed = 2 * np.prod(shape, dtype=np.int64)
    most = max(MAX_BYTES, ram() // 3)
    if needed > most:
        raise ValueError(
            f"cached_views: got {shape[1]} for {shape[0]} shapes, {needed / 2**30:.0f} GiB of "
            f"maps, want at most {most / 2**30:.0f}; use fewer, or keep them in a file, or 0 to "
            "compute the stem in every step"
        )


@torch.inference_mode()
def _fill(
    maps: Tensor,
    encoder: Encoder,
    views: TrainingViews,
    batch: int,
    workers: int,
    precision: Precision,
    progress: Progress | None,
) -> SideArrays:
    """Compute the maps; returns what goes with them."""
    shapes, cached_views = maps.shape[:2]
    encoder.stem.eval()
    device = next(encoder.parameters()).device
    size = encoder.image_size if views.with_viewpoints else 0
    side = SideArrays(
        np.empty((shapes, cached_views, RESOLUTION**3 // 8), np.uint8),
        np.empty((shapes, cached_views, 5), np.float32),
        np.empty((shapes, cached_views, 3, size, size), np.uint8),
    )
    order = BatchSampler(shapes, batch, cached_views, seed=0, shuffle=False)
    count = 0
    for samples, pairs in zip(loader(views, order, workers, str(device)), order, strict=True):
        at = samples.shapes, [number for number, _ in pairs]
        with torch.autocast(device.type, torch.bfloat16, uses_bfloat16(precision, str(device))):
            stem_maps = encoder.stem(normalize(samples.images))
        maps[at] = stem_maps.half().cpu()
        side.grids[at] = pack(samples.grids.cpu().numpy()).reshape(len(pairs), -1)
        side.viewpoints[at] = samples.viewpoints.cpu().numpy()
        if size:
            side.pixels[at] = samples.images.cpu().numpy()
        count += len(pairs)
        if progress:
            progress(count, shapes * cached_views)
    return side
