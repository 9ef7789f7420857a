"""mem3d-cli data render: a data set from a folder of meshes."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mem3d_cli.app import counted, printable
from mem3d_cli.options import AsJson, Quiet, print_json, print_skipped, progress_bar, resumable


def render(
    folder: Annotated[Path, typer.Argument(help="Meshes, in one folder per category.")],
    out: Annotated[Path, typer.Argument(help="Folder to write, in the R2N2 layout.")],
    views: Annotated[int, typer.Option(help="Pictures per shape.", min=1, max=100)] = 24,
    size: Annotated[int, typer.Option(help="Pixels per side.", min=8, max=1024)] = 137,
    up: Annotated[str, typer.Option(help="Up in the files: x, y, z, -x, -y or -z.")] = "y",
    front: Annotated[str, typer.Option(help="Where fronts look in the files.")] = "x",
    category: Annotated[str | None, typer.Option(help="Of all meshes; no folders needed.")] = None,
    variants: Annotated[
        int, typer.Option(help="Deformed shapes to make beside each mesh.", min=0, max=100)
    ] = 0,
    per_category: Annotated[
        int,
        typer.Option(
            help="Instead: as many beside each as bring its category to so many shapes.", min=0
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(help="Another seed, other cameras.", min=0)] = 0,
    processes: Annotated[int | None, typer.Option(help="Default: one per core.", min=1)] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a data set of your own meshes: voxelize them and draw them from all sides.

    OBJ, GLB, glTF, STL, PLY, OFF and npz; FOLDER/chair/x.obj is a chair. Materials and pictures
    are read from FOLDER alone; what is missing is told. Goes on where it was interrupted. Look at
    the result with "data show", divide it with "data split". Library:
    mem3d.data.meshes.dataset.render_meshes.

    Example: mem3d-cli data render meshes shapes --up z --front=-y
    """
    from mem3d.data.meshes.dataset import REPORT, WARNINGS, RenderConfig, render_meshes

    config = RenderConfig(
        views=views,
        size=size,
        up=up,
        front=front,
        category=category,
        variants=variants,
        per_category=per_category,
        seed=seed,
    )
    with resumable(out), progress_bar(quiet, "meshes") as show:
        rendered = render_meshes(folder, out, config, processes or os.cpu_count() or 1, show)
    print_skipped((broken.file, broken.reason) for broken in rendered.skipped)
    if rendered.skipped:
        typer.echo(f"all of them: {printable(out / REPORT)}", err=True)
    print_skipped(((row.file, row.reason) for row in rendered.warnings), "warning:")
    if rendered.warnings:
        typer.echo(f"all of them: {printable(out / WARNINGS)}", err=True)
    if as_json:
        print_json({"path": str(out), "models": rendered.shapes, "made": rendered.new,
                    "skipped": [asdict(row) for row in rendered.skipped],
                    "warnings": [asdict(row) for row in rendered.warnings]})  # fmt: skip
    else:
        shapes, files = counted(rendered.shapes, "shape"), counted(len(rendered.skipped), "file")
        text = f"{shapes} ({rendered.new:,} made now), {files} skipped"
        typer.echo(f"{printable(out)}: {text}")
    if not rendered.shapes:
        raise ValueError(f"{folder}: got no mesh that can be used, want one or more")
