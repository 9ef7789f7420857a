"""Tables for the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def training_summary(run: Path, row: dict[str, Any]) -> str:
    """Where a run ended, in two lines.

    Args:
        run: its folder.
        row: its last log row.
    """
    validated = f"validation IoU {row['val_iou']:.3f}, " if "val_iou" in row else ""
    return (
        f"{run}: epoch {row['epoch']}, loss {row['loss']:.4f}, {validated}"
        f"{row['memory_slots']} slots in use\n"
        f"curves: {run / 'curves.png'}; next: mem3d-cli evaluate {run}"
    )


def evaluation_table(summary: dict[str, Any]) -> "Table":
    """IoU per category and both averages; one column per method and threshold.

    Args:
        summary: from `mem3d.evaluation.summarise`, with "subset" and "step".
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    title = (
        f"IoU on {summary['samples']} {summary['subset']} models, view 00, after {summary['step']} "
        f"steps; {summary['hit_rate']:.0%} recalled something, {summary['mean_priors']:.1f} shapes "
        "on average"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.caption = "* best threshold on the validation set"
    table.caption_justify = "left"
    table.add_column("category", no_wrap=True)
    table.add_column("n", justify="right")
    columns = []
    for method, results in summary["methods"].items():
        for column, result in results.items():
            best = "*" if column.startswith("best") else ""
            what = f"t={result['threshold']}{best}" if "threshold" in result else "F@1%"
            table.add_column("\n".join([*method.split(), what]), justify="right", vertical="bottom")
            columns.append(result)
    for name, count in summary["categories"].items():
        table.add_row(escape(name), str(count), *(f"{c['categories'][name]:.3f}" for c in columns))
    table.add_section()
    for label, key in (("over samples", "weighted"), ("over categories", "macro")):
        table.add_row(label, str(summary["samples"]), *(f"{c[key]:.3f}" for c in columns))
    return table


def reconstruction_lines(rows: list[dict[str, Any]]) -> str:
    """Per photo: how much, what was recalled, which files."""
    lines = []
    for row in rows:
        recalled = ", ".join(f"{p['source']} ({p['cosine']:.3f})" for p in row["recalled"])
        what = f"background {row['background']}" if row["background"] != "masked" else "masked"
        lines.append(
            f"{row['photo']}: {what}; {row['voxels']} voxels; recalled {recalled or 'nothing'}"
        )
        lines.append("  " + "  ".join(row["files"]))
    return "\n".join(lines)
