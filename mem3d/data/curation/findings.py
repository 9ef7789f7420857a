"""What a data report means: problems, warnings, and numbers for a table."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mem3d.data.curation.axes import FITS, UNFIT, AxisTest
from mem3d.data.curation.report import DataReport, ShapeFacts

HOLLOW = 0.2  # shapes that enclose a larger share of empty voxels count as shells


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something to know about a data set.

    Attributes:
        text: one line, with what to do.
        bad: whether the set is unusable as it is; else it may be as it should.
        sources: the shapes it is about, all of them.
    """

    text: str
    bad: bool = False
    sources: tuple[str, ...] = ()


def findings(report: DataReport) -> list[Finding]:
    """Problems first, then warnings."""
    shapes, items = report.shapes, _axes(report)
    if not shapes:
        items.append(Finding(text="no shape can be used", bad=True))
    if report.skipped:
        names = tuple(skip.shape_id for skip in report.skipped)
        items.append(_about(names, "missing or broken: they are left out in training too"))
    empty, full = ([f for f in shapes if f.occupancy == share] for share in (0, 1))
    shells = [f for f in shapes if f.enclosed > HOLLOW]
    short = [f for f in shapes if not f.spans and f.occupancy]
    opaque = [f for f in shapes if f.opaque]
    blank = [f for f in shapes if f.blank]
    unlike = "the longest side does not span the grid: shapes of another scale are not recalled"
    for group, text in (
        (empty, "the grid is empty"),
        (full, "the grid is full"),
        (shells, "the grid is a shell, not solid: fill it, else IoU is not comparable"),
        (short, unlike),
        (blank, "a picture shows nothing: alpha is 0 everywhere"),
        (opaque, "a picture has no mask: the network sees its background"),
    ):
        if group:
            bad = group is not short and len(group) == len(shapes) and group is not opaque
            items.append(_about([f.shape_id for f in group], text, bad and group is not shells))
    if report.copies:
        subsets = Counter(frozenset(f.subset for f in group) for group in report.copies)
        where = ", ".join(f"{n} in {' and '.join(sorted(s))}" for s, n in subsets.items())
        names = tuple(f.shape_id for group in report.copies for f in group)
        text = f"equal grids in different subsets ({where}): what is tested was learned; data split"
        items.append(_about(names, text))
    if any(width != height for width, height in _sizes(report)):
        items.append(Finding(text="pictures that are not square: their edges are cut off"))
    return sorted(items, key=lambda finding: not finding.bad)


def table(report: DataReport) -> list[dict[str, Any]]:
    """One row per category: shapes of each subset, occupancy, hollow share, silhouette IoU."""
    by_name: dict[str, list[ShapeFacts]] = defaultdict(list)
    for facts in report.shapes:
        by_name[facts.category].append(facts)
    rows = []
    for name, among in sorted(by_name.items()):
        full = [facts.occupancy for facts in among]
        test = report.categories[name]
        rows.append({
            "category": name,
            "models": dict(Counter(facts.subset for facts in among)),
            "occupancy": [float(x) for x in np.quantile(full, (0, 0.5, 1))],
            "hollow": sum(facts.enclosed > HOLLOW for facts in among) / len(among),
            "iou": test.iou if test.shapes else None,
        })  # fmt: skip
    return rows


def as_dict(report: DataReport) -> dict[str, Any]:
    """Everything, ready for JSON."""
    items = findings(report)
    return {
        "root": str(report.root),
        "usable": not any(finding.bad for finding in items),
        "models": len(report.shapes),
        "categories": table(report),
        "views": _spread_of(facts.views for facts in report.shapes),
        "pictures": {
            f"{width}x{height}": count
            for (width, height), count in _sizes(report).most_common()
        },
        "opaque": sum(facts.opaque for facts in report.shapes),
        "axes": _test(report.axes),
        "axes_by_category": {name: _test(test) for name, test in report.categories.items()},
        "findings": [
            {"text": f.text, "bad": f.bad, "sources": list(f.sources)} for f in items
        ],
        "skipped": [{"source": skip.shape_id, "reason": skip.reason} for skip in report.skipped],
        "copies": [[[f.subset, f.shape_id] for f in group] for group in report.copies],
    }  # fmt: skip


def _axes(report: DataReport) -> list[Finding]:
    """What the axis test says, of all and of single categories."""
    test = report.axes
    if not test.shapes:
        text = "axes: not tested, for no picture has both a mask and a camera"
        return [Finding(text=text)] if report.sampled else []
    if test.wrong:
        return [Finding(text=f"axes: {_wrong(test)}", bad=True)]
    items = []
    if test.iou < FITS:
        text = (
            f"axes: voxels and pictures match poorly (silhouette IoU {test.iou:.2f}, want {FITS}) "
            "in every frame: thin shapes, or cameras or shapes mixed up? mem3d-cli data show"
        )
        items.append(Finding(text=text, bad=test.iou < UNFIT))
    return items + [
        Finding(text=f"axes of {name}: {_wrong(category)}", bad=True)
        for name, category in report.categories.items()
        if category.wrong
    ]


def _wrong(test: AxisTest) -> str:
    """Which frame fits, and what to do."""
    assert test.other is not None  # there is one where `wrong` is set
    alike = "; or " + "; or ".join(map(str, test.ties)) if test.ties else ""
    return (
        f"the voxels look {test.other}{alike} (silhouette IoU {test.other_iou:.2f} then, "
        f"{test.iou:.2f} as they are); store {test.other.repair}"
    )


def _about(sources: Sequence[str], text: str, bad: bool = False) -> Finding:
    count = f"{len(sources):,} shape{'s' * (len(sources) != 1)}"
    return Finding(text=f"{count}: {text}", bad=bad, sources=tuple(sources))


def _sizes(report: DataReport) -> "Counter[tuple[int, int]]":
    """How many pictures have a width and height."""
    counts: Counter[tuple[int, int]] = Counter()
    for facts in report.shapes:
        counts.update(facts.sizes)
    return counts


def _spread_of(numbers: Any) -> list[int]:
    """Least and most; empty for none."""
    values = list(numbers)
    return [min(values), max(values)] if values else []


def _test(test: AxisTest) -> dict[str, Any]:
    """An axis test for JSON, which has no nan."""
    return {
        "shapes": test.shapes,
        "iou": test.iou if test.shapes else None,
        "wrong": test.wrong,
        "best_other": None if test.other is None else str(test.other),
        "best_other_iou": test.other_iou if test.shapes else None,
        "repair": test.other.repair if test.other is not None and test.wrong else None,
        "ties": [str(frame) for frame in test.ties],
    }
