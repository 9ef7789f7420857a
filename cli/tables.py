"""Tables for the terminal."""

from typing import Any

from rich.table import Table


def evaluation_table(summary: dict[str, Any]) -> Table:
    """IoU per category and both averages; one column per method and threshold.

    Args:
        summary: from `mem3d.evaluation.summarise`, with "subset" and "step".
    """
    title = (
        f"IoU on {summary['samples']} {summary['subset']} models, view 00, step {summary['step']}; "
        f"{summary['hit_rate']:.0%} recalled something, {summary['mean_priors']:.1f} shapes each"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("category")
    table.add_column("n", justify="right")
    columns = []
    for method, results in summary["methods"].items():
        for column, result in results.items():
            threshold = f"t={result['threshold']}" if "threshold" in result else "F@1%"
            best = " (best on val)" if column.startswith("best") else ""
            table.add_column(f"{method}\n{threshold}{best}", justify="right")
            columns.append(result)
    for name, count in summary["categories"].items():
        table.add_row(name, str(count), *(f"{c['categories'][name]:.3f}" for c in columns))
    table.add_section()
    total = str(summary["samples"])
    table.add_row("mean over samples", total, *(f"{c['weighted']:.3f}" for c in columns))
    table.add_row("mean over categories", total, *(f"{c['macro']:.3f}" for c in columns))
    return table
