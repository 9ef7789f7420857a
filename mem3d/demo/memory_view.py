"""Looking through a memory: its shapes page by page in some order, and histograms.

Only looks: `Memory.reads` counts what a network recalled, and nothing here adds to it.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mem3d.data.taxonomy import titled
from mem3d.demo.reconstruct_view import Tiles, draw_grid
from mem3d.memory.interface import Features
from memstore import Memory
from memstore.voxels.contact_sheet import Rgb
from memstore.voxels.mesh import blocky, write_glb

PER_PAGE = 24  # shapes
BLOCK = 256  # values compared at once: 8 MB at 32^3
_BLUE, _RED, _INK = "#7aa2d6", "#c0392b", "#444444"

Order = Literal["most read", "newest", "oldest", "slot", "like this shape", "like this photo"]
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True, eq=False)
class Reference:
    """What a visitor is looking at, to compare stored shapes with.

    Attributes:
        grid: (R, R, R) bool.
        feature: (C,) of the photo; all zeros if it has none.
    """

    grid: NDArray[np.bool_]
    feature: Features


@dataclass(frozen=True, eq=False)
class Page:
    """Some of a memory's shapes.

    Attributes:
        number: of the page, from 1 on.
        pages: in all, at least 1.
        slots: (n,) shown here, in order.
        tiles: a picture and a caption each.
    """

    number: int
    pages: int
    slots: NDArray[np.int64]
    tiles: Tiles


def page(memory: Memory, order: Order, number: int = 1, reference: Reference | None = None) -> Page:
    """Draw one page of a memory.

    Args:
        memory: to look through.
        order: of the slots; ties go to the lowest.
        number: of the page; the nearest there is, if out of range.
        reference: what "like this shape" (IoU of the voxels) and "like this photo" (cosine of the
            keys) compare with.

    Raises:
        ValueError: an unknown order, or one that needs a present shape, or a photo with a feature.
    """
    ranks, unit = _ranks(memory, order, reference)
    ranking = np.argsort(-ranks, kind="stable")
    pages = max(1, -(-len(ranking) // PER_PAGE))
    number = min(max(1, number), pages)
    rows = ranking[(number - 1) * PER_PAGE : number * PER_PAGE]
    slots, ages, reads = memory.slots, memory.ages, memory.reads
    grids, sources = memory.values(slots[rows]), memory.sources_of(slots[rows])
    tiles = []
    for row, grid, source in zip(rows.tolist(), grids, sources, strict=True):
        use = f"{unit} {ranks[row]:.3f}" if unit else _use(ages[row], reads[row], order)
        caption = f"{slots[row]} · {use}\n{titled(source)}"
        tiles.append((draw_grid(grid), caption))
    return Page(number, pages, slots[rows], tiles)


def _use(age: np.int64, reads: np.int64, order: Order) -> str:
    """What a caption has room for: the number that the order is about."""
    return f"age {age:,}" if order in ("newest", "oldest") else f"read {reads:,}x"


def _ranks(
    memory: Memory, order: Order, reference: Reference | None
) -> tuple[NDArray[np.float64], str]:
    """(n,) what each used slot is ranked by, highest first, and its unit, "" if not to be told."""
    plain = {
        "most read": memory.reads,
        "newest": -memory.ages,
        "oldest": memory.ages,
        "slot": -memory.slots,
    }
    if order in plain:
        return plain[order].astype(np.float64), ""
    if order not in ORDERS:
        raise ValueError(f"order: got {order!r}, want one of {ORDERS}")
    if reference is None:
        raise ValueError(f"order: got {order!r} before any photo, want one to compare with")
    if order == "like this shape":
        return memory.value_similarities(reference.grid, kind="iou"), "IoU"
    return key_cosines(memory, reference.feature), "cosine"


def key_cosines(memory: Memory, feature: Features) -> NDArray[np.float64]:
    """(n,) cosine of a feature (C,) with each used slot's key.

    Raises:
        ValueError: the feature is all zeros and so points nowhere.
    """
    length = float(np.linalg.norm(feature))
    if not length:
        raise ValueError("photo: got a feature of zeros, want a picture that the encoder answers")
    slots = memory.slots
    cosines = np.empty(len(slots))
    for start in range(0, len(slots), BLOCK):
        cosines[start : start + BLOCK] = memory.keys(slots[start : start + BLOCK]) @ feature
    return cosines / length


def write_slot(memory: Memory, slot: int, folder: Path) -> Path:
    """Write a stored shape's voxels as a GLB file in a folder that exists; returns the file."""
    [grid] = memory.values([slot])
    path = folder / f"slot-{slot}.glb"
    write_glb(path, blocky(grid), is_rounded=False)
    return path


def slot_text(memory: Memory, slot: int) -> str:
    """A used slot's source in full, its age and its reads; "" if it has been emptied."""
    rows = np.flatnonzero(memory.slots == slot)
    if not len(rows):
        return ""
    row = int(rows[0])
    age, reads = int(memory.ages[row]), int(memory.reads[row])
    [source] = memory.sources_of([slot])
    return f"slot {slot}: {source or 'no source'}, age {age:,}, read {reads:,} times"


def facts(memory: Memory) -> str:
    """Size, use and rules of a memory in a line or two."""
    stats = memory.stats()
    merging = "merges into no shape"
    if stats.delta is not None:
        merging = f"merges into a shape that is {stats.delta:g} similar ({stats.value_similarity})"
    return (
        f"**{stats.used:,} of {stats.capacity:,} slots** hold a shape; {stats.clock:,} pairs were "
        f"written: {stats.inserts:,} inserted, {stats.merges:,} merged, {stats.evictions:,} "
        f"evicted. A photo recalls a shape from a cosine of {stats.beta:g} on; a new pair "
        f"{merging}."
    )


def histograms(memory: Memory, reference: Reference | None = None) -> Rgb:
    """Draw how old and how often read the slots are, and how like the present photo and shape.

    Args:
        memory: at least one slot, or the panels stay empty.
        reference: without it there are two panels, else four.
    """
    from matplotlib.figure import Figure  # imported late: it is slow

    panels: list[tuple[str, NDArray[Any], float | None]] = [
        ("age, in pairs written since", memory.ages, None),
        ("times recalled", memory.reads, None),
    ]
    if reference is not None:
        panels.append(
            ("IoU with this shape", memory.value_similarities(reference.grid, kind="iou"), None)
        )
        if reference.feature.any():
            cosines = key_cosines(memory, reference.feature)
            panels.append(("cosine with this photo", cosines, memory.config.beta))
    rows = -(-len(panels) // 2)
    figure = Figure(figsize=(6.4, 2.3 * rows), layout="constrained")
    places = figure.subplots(rows, 2).flat
    for axes, (title, numbers, line) in zip(places, panels, strict=False):
        axes.hist(numbers, bins=24, color=_BLUE)
        axes.set_xlabel(title, color=_INK)
        axes.spines[["top", "right"]].set_visible(False)
        if line is not None:
            axes.axvline(line, color=_RED, linestyle="--", linewidth=1)
            axes.set_title(f"recalled from {line:g} on", color=_RED, fontsize="small")
        axes.set_ylabel("slots", color=_INK)
    for axes in places:  # none is left, or one
        axes.set_axis_off()
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=130)
    return np.array(Image.open(data).convert("RGB"))
