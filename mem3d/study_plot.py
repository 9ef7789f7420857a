"""A study's results as a picture: a row per variant, a dot per share hidden."""

import io
from pathlib import Path
from typing import Any

from memstore.files import write_atomic

_COLORS = ("#1f5fa8", "#d9772b", "#4a9c5d", "#8c5aa8", "#777777")
_MARKERS = "osD^v"


def draw(table: dict[str, Any], labels: list[str], path: Path) -> None:
    """Draw the network's IoU of each variant, in the table's order, bars of one standard deviation.

    Args:
        table: from `study_table.collect`, with at least one row.
        labels: of the rows.
        path: PNG file to make or replace.
    """
    from matplotlib.figure import Figure  # imported late: it is slow

    rows, subsets = table["rows"], list(table["samples"])
    size = (2.2 + 4.6 * len(subsets), 1.5 + 0.32 * len(rows))
    figure = Figure(figsize=size, layout="constrained")  # no pyplot: it keeps global state
    panels = figure.subplots(1, len(subsets), sharey=True, squeeze=False)[0]
    for axes, subset in zip(panels, subsets, strict=True):
        for number, share in enumerate(table["shares"]):
            _dots(axes, rows, subset, share, number)
        axes.set_title(f"{table['samples'][subset]} {subset} models", fontsize="medium")
        axes.set_xlabel("macro IoU at .3 (mean ± standard deviation)")
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    panels[0].set_yticks(range(len(rows)), labels)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)  # the first on top
    dots = panels[0].get_legend_handles_labels()
    figure.legend(*dots, loc="outside upper center", ncols=len(dots[0]), frameon=False)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    write_atomic(path, data.getvalue())


def _dots(axes: Any, rows: list[dict[str, Any]], subset: str, share: str, number: int) -> None:
    """One share of one panel; a line marks the first row, from which the others are changed."""
    found = [(y, row[subset][share]["network"]) for y, row in enumerate(rows)]
    known = [(y, one) for y, one in found if one["mean"] is not None]
    color = _COLORS[number % len(_COLORS)]
    axes.errorbar(
        [one["mean"] for _, one in known],
        [y for y, _ in known],
        xerr=[one["std"] or 0.0 for _, one in known],
        fmt=_MARKERS[number % len(_MARKERS)],
        color=color,
        capsize=3,
        markersize=5,
        label="nothing hidden" if share == "0" else f"{float(share):.0%} hidden",
    )
    if known and rows[0]["variant"] == "base" and known[0][0] == 0:
        axes.axvline(known[0][1]["mean"], color=color, linewidth=0.8, linestyle=":")
