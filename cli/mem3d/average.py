"""mem3d-cli average."""

from pathlib import Path
from typing import Annotated

import typer

from mem3d_cli.app import printable
from mem3d_cli.mem3d.memorize import whole
from mem3d_cli.options import (
    AsJson,
    Checkpoint,
    NewRun,
    Quiet,
    RunFolder,
    print_json,
)
from mem3d_cli.paths import checkpoints


def average(
    run: RunFolder,
    others: Annotated[
        list[Path],
        typer.Argument(
            help="Checkpoints to average it with: files, or runs' folders, whose best one is "
            "taken.",
            callback=checkpoints,
        ),
    ],
    out: NewRun,
    which: Checkpoint = "best",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Average the weights of several checkpoints of one training.

    They may also be of several runs, if those began with the same weights. The new run has RUN's
    settings and a copy of its memory. Whether it is better, "evaluate --subset val" tells.

    Example: mem3d-cli average runs/first runs/first/last.safetensors -o mean

    In Python: mem3d.runs.averaging.average.
    """
    from mem3d.runs.averaging import average as write
    from memstore.files import check_free

    check_free(out)
    with whole(out):
        record = write(run, others, out, which)
    if not record["same_data"]:
        typer.echo(
            "note: not all of them learned from the same models; evaluate knows only those of "
            f"{printable(run)}",
            err=True,
        )
    report = {"out": str(out), "checkpoints": len(others) + 1, "same_data": record["same_data"]}
    print_json(report) if as_json else typer.echo(f"{printable(out)}: mean of {len(others) + 1}")
