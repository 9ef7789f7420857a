"""What hiding a part of the object costs, and what a background costs: curves of IoU.

Each picture of a test set is hidden to a growing share, on its plain ground and, where there are
photos to lay it over, before a piece of one. Every run is shown the same pictures.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.backgrounds import Backgrounds
from mem3d.data.images.corruptions import before_photos, behind_occluders
from mem3d.evaluation.evaluate import NEAREST, NETWORK, macro, score
from mem3d.memory.projection_cache import projections_of
from mem3d.metrics import FIXED_THRESHOLD
from mem3d.network.model import Mem3D
from memstore import Memory
from memstore.files import Progress, write_atomic

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
PLAIN, PHOTOS = "plain ground", "before photos"
METHODS = (NETWORK, NEAREST)
MISSED = 0.01  # of the object: a picture of which so much less than asked is hidden fell short

TestSets = Mapping[str, Sequence[ShapeDataset]]  # ground -> one data set per share


@dataclass(frozen=True)
class Hiding:
    """How much was hidden where so much was to be.

    Attributes:
        share: to hide, of each object's pixels.
        mean: reached, on average over the pictures.
        short: pictures of which less is hidden, by more than MISSED.
    """

    share: float
    mean: float
    short: int


@dataclass(frozen=True)
class Curve:
    """Macro IoU at FIXED_THRESHOLD against the share hidden.

    Attributes:
        label: of a run, or of runs that differ in their seed.
        ground: PLAIN or PHOTOS.
        method: NETWORK or NEAREST.
        iou: one row per run, one number per share.
    """

    label: str
    ground: str
    method: str
    iou: list[list[float]]

    @property
    def mean(self) -> NDArray[np.float64]:
        """(shares,) over the runs."""
        return np.asarray(np.mean(self.iou, axis=0))

    @property
    def deviation(self) -> NDArray[np.float64] | None:
        """(shares,) standard deviation of the runs (n - 1); None for one run alone."""
        return np.asarray(np.std(self.iou, axis=0, ddof=1)) if len(self.iou) > 1 else None


def occluded_sets(
    data: ShapeDataset,
    shares: Sequence[float] = SHARES,
    backgrounds: Backgrounds | None = None,
    seed: int = 0,
) -> dict[str, list[ShapeDataset]]:
    """The images that every run is scored on: per ground, a data set per share.

    Args:
        data: models to test on.
        shares: of the object's pixels to hide, ascending, in [0, 1].
        backgrounds: photos for the second ground; None leaves it out.
        seed: of occluders and pieces of photos, >= 0.

    Raises:
        ValueError: shares are out of range or order, or the seed is negative.
    """
    if not shares or list(shares) != sorted(set(shares)):
        raise ValueError(f"shares: got {list(shares)}, want one or more, ascending")
    plain: list[ShapeDataset] = [behind_occluders(data, share, seed) for share in shares]
    if backgrounds is None:
        return {PLAIN: plain}
    return {PLAIN: plain, PHOTOS: [before_photos(hidden, backgrounds, seed) for hidden in plain]}


def hiding(
    data: ShapeDataset, hidden: Sequence[ShapeDataset], shares: Sequence[float]
) -> list[Hiding]:
    """How much of each object is hidden.

    Args:
        data: the models as they are.
        hidden: the same, behind occluders.
        shares: to hide in each.
    """
    reached = []
    for occluded, share in zip(hidden, shares, strict=True):
        each = np.array(
            [hidden_share(data.image(i, 0), occluded.image(i, 0)) for i in range(len(data))]
        )
        short = int((each < share - MISSED).sum())
        reached.append(Hiding(share, float(each.mean()), short))
    return reached


def hidden_share(rgba: NDArray[np.uint8], occluded: NDArray[np.uint8]) -> float:
    """Share of an object's pixels (alpha > 127) that changed; 0 if there are none."""
    mask = rgba[..., 3] > 127
    changed = (rgba != occluded).any(axis=2) & mask
    return float(changed.sum() / max(1, mask.sum()))


def measure(
    model: Mem3D,
    memory: Memory,
    sets: TestSets,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[tuple[str, str], list[float]]:
    """Macro IoU of one run, by ground and method, per share.

    Args:
        model: in evaluation mode.
        memory: where it recalls.
        sets: from `occluded_sets`.
        device: where the network is.
        progress: called with pictures done and in all.

    Raises:
        ValueError: there is no model to test on.
    """
    projections = projections_of(model, memory)
    ious: dict[tuple[str, str], list[float]] = {}
    number, total = 0, sum(len(data) for by_share in sets.values() for data in by_share)
    for ground, by_share in sets.items():
        for data in by_share:
            scores = score(model, memory, data, device=device, projections=projections)
            for method in METHODS:
                value = macro(scores, method, FIXED_THRESHOLD)
                ious.setdefault((ground, method), []).append(value)
            number += len(data)
            if progress:
                progress(number, total)
    return ious


def as_curves(label: str, runs: Sequence[dict[tuple[str, str], list[float]]]) -> list[Curve]:
    """Curves of one label from what `measure` gives for each of its runs, at least one."""
    return [Curve(label, *key, [ious[key] for ious in runs]) for key in runs[0]]


def report(
    data: ShapeDataset, reached: Sequence[Hiding], curves: Sequence[Curve]
) -> dict[str, Any]:
    """All of it, JSON-able.

    Returns:
        "protocol"; "models"; "hidden": what was to be and is hidden, per share; "curves": label,
        ground, method, "iou" per run and share, "mean", and "deviation" (None for one run alone).
    """
    rows = []
    for curve in curves:
        deviation = curve.deviation
        spread = None if deviation is None else deviation.tolist()
        rows.append({**asdict(curve), "mean": curve.mean.tolist(), "deviation": spread})
    return {
        "protocol": f"macro IoU at t={FIXED_THRESHOLD}, view 00, share of the object hidden",
        "models": len(data),
        "hidden": [asdict(hiding) for hiding in reached],
        "curves": rows,
    }


def draw(curves: Sequence[Curve], shares: Sequence[float], path: str | Path) -> None:
    """Draw the curves, a panel per ground; a band is one standard deviation to each side.

    Args:
        curves: the network in solid lines, the nearest recalled shape in dashed ones.
        shares: of each curve's numbers.
        path: PNG file to make or replace.
    """
    from matplotlib.figure import Figure  # imported late: it is slow

    grounds = list(dict.fromkeys(curve.ground for curve in curves))
    labels = list(dict.fromkeys(curve.label for curve in curves))
    figure = Figure(figsize=(5.6 * len(grounds) + 0.4, 4.4), layout="constrained")
    panels = figure.subplots(1, len(grounds), sharey=True, squeeze=False)[0]
    percent = 100 * np.asarray(shares)
    for axes, ground in zip(panels, grounds, strict=True):
        for curve in (curve for curve in curves if curve.ground == ground):
            color, style = f"C{labels.index(curve.label)}", "-" if curve.method == NETWORK else "--"
            name = f"{curve.label}, {curve.method}".replace("$", r"\$")
            axes.plot(percent, curve.mean, style, marker=".", color=color, label=name)
            if (apart := curve.deviation) is not None:
                low, high = curve.mean - apart, curve.mean + apart
                axes.fill_between(percent, low, high, color=color, alpha=0.18, linewidth=0)
        axes.set_title(ground)
        axes.set_xlabel("% of the object hidden")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(f"IoU over categories, t={FIXED_THRESHOLD}")
    panels[0].set_ylim(bottom=0)
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, fontsize="small", loc="outside lower center", ncols=2 * len(grounds))
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    write_atomic(path, data.getvalue())
