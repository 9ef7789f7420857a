"""Learning without training: new pairs of picture and shape go into a trained model's memory.

No weight changes. A picture is encoded as in a test, and written by the memory's own rule: merged
where its shape is known, else inserted, or put in the place of the oldest pair.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.preprocess import Rgba, test_pixels
from mem3d.data.meshes.transforms import shape_family
from mem3d.memory.host import HostMemory
from mem3d.memory.interface import Features, Grids
from mem3d.network.features import View, encode, first_views, view_features
from mem3d.network.model import Mem3D
from mem3d.runs.encoding import Encode
from memstore import Memory
from memstore.files import Progress

BATCH = 32  # pictures at a time


@dataclass(frozen=True, kw_only=True)
class Memorized:
    """What became of the pairs.

    Attributes:
        pictures: pairs in all.
        written: pairs that were written: merged + inserted + evicted.
        merged: into a slot that held a similar shape; the slot keeps its shape and its name.
        inserted: into an empty slot.
        evicted: into the place of the oldest pair, the memory being full.
        silent: not written, for the encoder answers their picture with zeros.
        slots_before: used slots.
        slots_after: used slots.
        capacity: of the memory.
    """

    pictures: int
    written: int
    merged: int
    inserted: int
    evicted: int
    silent: int
    slots_before: int
    slots_after: int
    capacity: int


def memorize(
    model: Mem3D,
    memory: Memory,
    data: ShapeDataset,
    *,
    views: int = 1,
    batch: int = BATCH,
    device: str = "cpu",
    progress: Progress | None = None,
    encode_views: Encode | None = None,
) -> Memorized:
    """Write the models of a data set to a memory, one after the other.

    Each under its family's name, as in training: variants of a mesh share its name.

    Args:
        model: encodes, in evaluation mode.
        memory: is written, not committed.
        data: what to memorize.
        views: pictures of each model, from view 00 on, each a pair of its own; fewer where a model
            has fewer.
        batch: pictures at a time.
        device: where the network is.
        progress: called with pictures done and pictures in all.
        encode_views: encodes instead of the model here, see `encoding.encoded`.

    Raises:
        ValueError: there is no model, or a file cannot be read.
        memstore.MemstoreError: the memory is read-only, or a grid is not of its resolution.
    """
    if views < 1:
        raise ValueError(f"views: got {views}, want >= 1")
    if not len(data):
        raise ValueError(f"{data.root}: got no usable model, want at least 1 to memorize")
    pictures = [view for i in range(len(data)) for view in first_views(data, i, views)]
    before, kinds, number = len(memory), Counter[str](), 0
    if encode_views is None:
        several = view_features(model, data, pictures, batch=batch, device=device)
    else:
        several = encode_views(pictures, batch)
    for features in several:
        grids, names = _shapes(data, pictures[number : number + len(features)])
        kinds.update(_write(memory, features, grids, names))
        number += len(features)
        if progress:
            progress(number, len(pictures))
    return _report(memory, before, len(pictures), kinds)


def memorize_photo(
    model: Mem3D,
    memory: Memory,
    rgba: Rgba,
    grid: Grids,
    source: str,
    *,
    device: str = "cpu",
) -> Memorized:
    """Write one pair to a memory.

    Args:
        model: encodes, in evaluation mode.
        memory: is written, not committed.
        rgba: (S, S, 4) the object framed as in the renders: see `data.framing.frame_photo`.
        grid: (R, R, R) its shape, indexed [x, y, z]: y up, front +x.
        source: name of the shape, at most 128 bytes.
        device: where the network is.

    Raises:
        ValueError: the grid is empty or of another resolution, or the encoder answers the picture
            with zeros.
        memstore.MemstoreError: the memory is read-only, or the name too long.
    """
    side = memory.config.resolution
    if grid.shape != (side,) * 3 or not grid.any():
        fault = "no full voxel" if grid.shape == (side,) * 3 else f"shape {grid.shape}"
        raise ValueError(f"grid: got {fault}, want a shape of {side}^3 voxels")
    before = len(memory)
    features = encode(model, [test_pixels(rgba, model.config.image_size)], device)
    if not features.any():
        raise ValueError("photo: got a feature of zeros, want a picture that the encoder answers")
    kinds = Counter(_write(memory, features, grid[None], [source]))
    return _report(memory, before, 1, kinds)


def _shapes(data: ShapeDataset, views: Sequence[View]) -> tuple[Grids, list[str]]:
    """(B, R, R, R) and the family names of the views' shapes; each grid is read once."""
    grids = {view.shape: data.grid(view.shape) for view in views}
    names = [shape_family(data.shape_id(view.shape)) for view in views]
    return np.stack([grids[view.shape] for view in views]), names


def _write(memory: Memory, features: Features, grids: Grids, names: Sequence[str]) -> list[str]:
    """Kinds of the writes; shorter than the features where some are all zeros."""
    own = np.require(features, requirements="W")  # what workers send is read-only
    pairs = torch.from_numpy(own), torch.from_numpy(grids)
    kinds: list[str] = HostMemory(memory).write(*pairs, names).kinds.tolist()
    return kinds


def _report(memory: Memory, before: int, pictures: int, kinds: Counter[str]) -> Memorized:
    return Memorized(
        pictures=pictures,
        written=kinds.total(),
        merged=kinds["merge"],
        inserted=kinds["insert"],
        evicted=kinds["evict"],
        silent=pictures - kinds.total(),
        slots_before=before,
        slots_after=len(memory),
        capacity=memory.config.capacity,
    )
