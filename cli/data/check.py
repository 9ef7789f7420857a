"""mem3d-cli data check."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mem3d_cli.app import counted, printable
from mem3d_cli.options import (
    AsJson,
    DataFolder,
    Quiet,
    placed,
    print_json,
    print_table,
    progress_bar,
)
from mem3d_cli.paths import check_file

_SHOWN = 10  # shapes named on the screen; all of them in --json and --out


def check(
    data: DataFolder,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Also write all that was found as JSON.", callback=placed),
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split file to check with it. Default: DATA's own.")
    ] = None,
    views: Annotated[
        int | None, typer.Option(help="Pictures of each shape to look at. Default: all.", min=1)
    ] = None,
    sample: Annotated[
        int, typer.Option(help="Shapes to test the axes with; 0 leaves that out.", min=0)
    ] = 32,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Tell what is in a data set, and what is wrong with it.

    Also tests whether pictures and voxels agree on where up and front are (the axes). The exit
    status is 1 if the data are unusable as they are, and 0 if there are only warnings.

    Example: mem3d-cli data check shapes

    In Python: mem3d.data.curation.report.examine.
    """
    check_file(split)
    import json

    from mem3d.data.curation.findings import as_dict
    from mem3d.data.curation.report import examine, open_subsets
    from memstore.files import write_atomic

    with progress_bar(quiet, str(data)) as show:
        facts = as_dict(
            examine(open_subsets(data, split), views=views, sample=sample, progress=show)
        )
    if out is not None:
        write_atomic(out, json.dumps(facts, indent=1).encode())
    if as_json:
        print_json(facts)
    else:
        _print(facts)
    if not facts["usable"]:
        raise typer.Exit(1)


def _print(facts: dict[str, Any]) -> None:
    """A table per category, the findings, a verdict."""
    from rich.table import Table

    rows = facts["categories"]
    subsets = list(dict.fromkeys(name for row in rows for name in row["models"]))
    table = Table("category", *subsets, "occupancy % min/median/max", "shells %", "silhouette IoU")
    for row in rows:
        counts = [f"{row['models'].get(name, 0):,}" for name in subsets]
        full = "/".join(f"{100 * share:.1f}" for share in row["occupancy"])
        iou = "" if row["iou"] is None else f"{row['iou']:.2f}"
        table.add_row(printable(row["category"]), *counts, full, f"{100 * row['hollow']:.0f}", iou)
    print_table(table)
    low, high = facts["views"] or (0, 0)
    pictures = ", ".join(f"{count:,} of {size}" for size, count in facts["pictures"].items())
    views = counted(low, "view") if low == high else f"{low} to {high} views"
    shapes = counted(facts["models"], "shape")
    typer.echo(f"{shapes}, {views} each; pictures: {pictures or 'none'}")
    axes = facts["axes"]
    if axes["shapes"]:
        typer.echo(
            f"axes: silhouette IoU {axes['iou']:.3f} over {counted(axes['shapes'], 'shape')}; the "
            f"best other frame ({axes['best_other']}) reaches {axes['best_other_iou']:.3f}"
        )
    reasons = {skip["source"]: skip["reason"] for skip in facts["skipped"]}
    for finding in facts["findings"]:
        typer.echo(f"{'PROBLEM' if finding['bad'] else 'warning'}: {printable(finding['text'])}")
        for source in finding["sources"][:_SHOWN]:
            reason = f": {reasons[source]}" if source in reasons else ""
            typer.echo(f"  {printable(source + reason)}")
        if len(finding["sources"]) > _SHOWN:
            typer.echo(f"  ... and {len(finding['sources']) - _SHOWN:,} more (--out)")
    count = len(facts["findings"])
    fine = "usable" + (f", {counted(count, 'warning')}" if count else "")
    typer.echo(f"{printable(facts['root'])}: {fine if facts['usable'] else 'not usable as it is'}")
