"""mem3d-cli data split."""

from dataclasses import asdict
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


def split(
    data: DataFolder,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Split file to write, .json.", callback=placed)
    ],
    share: Annotated[
        str, typer.Option(help="Shares for training, validation and test.")
    ] = ".7,.1,.2",
    iou: Annotated[
        float,
        typer.Option(
            help="Shapes are near-duplicates if their voxels overlap more (IoU).", min=0, max=0.999
        ),
    ] = 0.85,
    mirrored: Annotated[
        bool,
        typer.Option("--mirrored", help="Also compare with mirror images, left and right."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed, another split.", min=0)] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file if it is there.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Divide a data set for training, validation and test.

    Near-duplicates stay on one side, so that a test is a test. The same data, shares and seed give
    the same split. A split.json in the data folder is found by all other commands.

    Example: mem3d-cli data split shapes --out shapes/split.json

    In Python: mem3d.data.curation.near_duplicates.split_dataset.
    """
    from mem3d.data.curation.near_duplicates import split_dataset

    with progress_bar(quiet, "shapes") as show:
        division = asdict(
            split_dataset(
                data,
                out,
                _shares(share),
                iou=iou,
                mirrored=mirrored,
                seed=seed,
                replace=force,
                progress=show,
            )
        )
    division["models"] = division.pop("shapes")
    print_json(division) if as_json else _print(division)


def _shares(text: str) -> tuple[float, float, float]:
    """Three numbers of ".7,.1,.2", which have to sum to 1."""
    try:
        train, val, test = (float(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"--share: got {text!r}, want three numbers: .7,.1,.2") from None
    if min(train, val, test) < 0 or not abs(train + val + test - 1) <= 0.001:
        sums = f"{text!r} with sum {train + val + test:g}"
        raise ValueError(f"--share: got {sums}, want three numbers >= 0 with sum 1: .7,.1,.2")
    return train, val, test


def _print(division: dict[str, Any]) -> None:
    """A table per category, then the groups."""
    from rich.table import Table

    table = Table("category", *("train", "val", "test"))
    rows = division["counts"]
    for name, row in rows.items():
        table.add_row(printable(name), *(str(count) for count in row.values()))
    total = [sum(row[part] for row in rows.values()) for part in ("train", "val", "test")]
    table.add_section()
    table.add_row("all", *map(str, total))
    print_table(table)
    typer.echo(
        f"{counted(division['models'], 'shape')} in {counted(division['groups'], 'group')}; "
        f"near-duplicates: {division['near_duplicates']:,}"
    )
    if len(division["largest"]) > 1:
        names = ", ".join(printable(name) for name in division["largest"][:3])
        typer.echo(f"largest group: {len(division['largest'])} ({names}, ...)")
    if division["skipped"]:
        typer.echo(f"left out: {division['skipped']:,} missing or broken (mem3d-cli data check)")
    typer.echo(printable(division["path"]))
