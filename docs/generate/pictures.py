"""Pictures of how a memory is written and read: `python -m docs.generate.pictures`.

A memory with keys of two channels, so that its keys are points on a circle and angles are what
cosines stand for. What the pictures say is what memstore answered.
"""

from dataclasses import replace
from io import BytesIO
from math import acos, degrees
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from memstore import PAPER, Memory
from memstore.files import write_atomic

matplotlib.use("Agg")
from matplotlib import pyplot as plt

FOLDER = Path(__file__).parents[1]
R = 16
CONFIG = replace(PAPER, capacity=3, key_dim=2, resolution=R, beta=0.85, delta=0.90)
COLORS = ("#0b6e99", "#c2571a", "#5b7f2b")  # of slots
Grid = NDArray[np.bool_]


def boxes(*corners: tuple[int, int, int, int, int, int]) -> Grid:
    """Full within boxes (x0, y0, z0, x1, y1, z1)."""
    grid = np.zeros((R, R, R), bool)
    for x0, y0, z0, x1, y1, z1 in corners:
        grid[x0:x1, y0:y1, z0:z1] = True
    return grid


def _legs(height: int, low: int = 3, high: int = 13) -> list[tuple[int, int, int, int, int, int]]:
    ends = ((low, low + 2), (high - 2, high))
    return [(x0, 0, z0, x1, height, z1) for x0, x1 in ends for z0, z1 in ends]


SHAPES = {
    "chair": boxes(*_legs(7), (3, 7, 3, 13, 9, 13), (3, 9, 3, 5, 16, 13)),
    "chair again": boxes(*_legs(7), (3, 7, 3, 13, 9, 13), (3, 9, 3, 5, 14, 13)),
    "cupboard": boxes((1, 0, 1, 15, 16, 15)),
    "table": boxes(*_legs(12, 0, 16), (0, 11, 0, 16, 14, 16)),
    "sofa": boxes(
        (0, 0, 0, 16, 8, 16), (0, 8, 0, 5, 13, 16), (0, 8, 0, 16, 11, 3), (0, 8, 13, 16, 11, 16)
    ),
}
STEPS = (("chair", 20), ("cupboard", 90), ("chair again", 48), ("table", 165), ("sofa", 130))
ANGLE = 46  # of the query that is read, in degrees


def feature(angle: float) -> NDArray[np.float64]:
    """(1, 2) at an angle in degrees."""
    return np.array([[np.cos(np.radians(angle)), np.sin(np.radians(angle))]])


def draw_writes() -> Any:
    """One panel per write: where the keys lie afterwards, and what happened."""
    figure, grid_of = plt.subplots(2, 3, gridspec_kw={"wspace": 0, "hspace": 0.2}, figsize=(9.5, 8))
    *panels, spare = grid_of.flat
    figure.delaxes(spare)
    memory = Memory(CONFIG)
    for panel, (name, angle) in zip(panels, STEPS, strict=True):
        grid = SHAPES[name]
        before = {
            int(slot): key
            for slot, key in zip(memory.slots, memory.keys(memory.slots), strict=True)
        }
        report = memory.write(feature(angle), grid[None], [name])
        slot, kind = int(report.slots[0]), str(report.kinds[0])
        _circle(panel, memory)
        _arrow(panel, feature(angle)[0], "#222222")
        if kind == "merge":
            _ghost(panel, before[slot], COLORS[slot])
        panel.set_title(f"{kind}: slot {slot}", color=COLORS[slot], fontsize=14, weight="bold")
        similarity = float(report.value_similarities[0])
        why = "the memory is empty" if np.isnan(similarity) else _compared(similarity)
        panel.text(0, -1.32, f"{name}\n{why}", ha="center", va="top", fontsize=11)
        _inset(panel, grid)
    return figure


def _compared(similarity: float) -> str:
    sign = "≥" if similarity >= CONFIG.delta else "<"
    return f"value similarity\n{similarity:.2f} {sign} delta {CONFIG.delta:.2f}"


def draw_read() -> Any:
    """A query, the arc within beta, and what is recalled."""
    memory = Memory(replace(PAPER, **{**CONFIG.__dict__, "capacity": 4}))
    for name, angle in (("chair", 34), ("cupboard", 100), ("table", 150), ("sofa", 70)):
        memory.write(feature(angle), SHAPES[name][None], [name])
    query = feature(ANGLE)
    priors = memory.read(query, k=3)
    count = int(priors.counts[0])
    figure, panels = plt.subplots(1, 1 + count, figsize=(9, 3.4), width_ratios=[2.2, *[1] * count])
    arc = np.radians(ANGLE + np.linspace(-1, 1, 60) * degrees(acos(CONFIG.beta)))
    panels[0].fill([0, *np.cos(arc)], [0, *np.sin(arc)], color="#f3d98b", alpha=0.6, lw=0)
    _circle(panels[0], memory, colors=(*COLORS, "#7a4fa3"))
    _arrow(panels[0], query[0], "#222222")
    panels[0].set_title(f"cosine > beta = {CONFIG.beta}", fontsize=13)
    names = dict(zip(memory.slots.tolist(), memory.sources, strict=True))
    for place, panel in enumerate(panels[1:]):
        slot, cosine = int(priors.slots[0, place]), float(priors.cosines[0, place])
        panel.imshow(_side(priors.values[0, place]), cmap="bone_r", vmin=0, vmax=1.3)
        panel.set_title(f"prior {place + 1}: {names[slot]}\nslot {slot}, cosine {cosine:.2f}")
        panel.set_axis_off()
    return figure


def _circle(panel: Any, memory: Memory, colors: tuple[str, ...] = COLORS) -> None:
    """The upper half of the unit circle with the keys on it, each with slot and age."""
    turn = np.radians(np.linspace(0, 180, 90))
    panel.plot(np.cos(turn), np.sin(turn), color="#999999", lw=1)
    facts = zip(memory.slots, memory.keys(memory.slots), memory.ages, strict=True)
    for slot, (x, y), age in facts:
        panel.plot([0, x], [0, y], color=colors[slot], lw=1, alpha=0.5)
        panel.plot(x, y, "o", color=colors[slot], ms=11)
        told = f"slot {slot}\nage {age}"
        panel.text(1.52 * x, 1.34 * y, told, ha="center", va="center", fontsize=10)
    panel.set(xlim=(-1.7, 1.7), ylim=(-1.25, 1.6), aspect="equal")
    panel.set_axis_off()


def _arrow(panel: Any, tip: NDArray[np.float64], color: str) -> None:
    style = {"arrowstyle": "->", "color": color, "lw": 1.6}
    panel.annotate("", tip * 0.9, (0, 0), arrowprops=style)


def _ghost(panel: Any, key: NDArray[np.float32], color: str) -> None:
    """Where a key was before it moved."""
    panel.plot(*key, "o", mfc="none", mec=color, ms=11)


def _inset(panel: Any, grid: Grid) -> None:
    inside = panel.inset_axes((0.36, 0.02, 0.28, 0.36))
    inside.imshow(_side(grid), cmap="bone_r", vmin=0, vmax=1.3)
    inside.set_axis_off()


def _side(grid: Grid) -> NDArray[np.float64]:
    """Seen along z, top up; darker where the object is thicker."""
    return np.asarray(grid.mean(2).T[::-1])


def save(figure: Any, path: Path) -> None:
    """As a PNG of few colors."""
    from PIL import Image

    buffer = BytesIO()
    figure.savefig(buffer, dpi=90, bbox_inches="tight", metadata={"Software": None})
    small = BytesIO()
    Image.open(buffer).convert("RGB").quantize(128).save(small, "png", optimize=True)
    write_atomic(path, small.getvalue())


if __name__ == "__main__":
    save(draw_writes(), FOLDER / "memory_writes.png")
    save(draw_read(), FOLDER / "memory_read.png")
