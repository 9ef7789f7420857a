"""mem3d-cli data render: a data set from a folder of meshes."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mem3d_cli.app import MORE, counted, printable
from mem3d_cli.options import AsJson, Quiet, print_json, print_skipped, progress_bar, resumable


def render(
    folder: Annotated[
        Path, typer.Argument(help="Folder of meshes, within it a folder for each category.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the data set, in the layout of R2N2.")
    ],
    up: Annotated[
        str, typer.Option(help="Axis that is up in the files: x, y, z, -x, -y or -z.")
    ] = "y",
    front: Annotated[str, typer.Option(help="Axis that fronts face in the files.")] = "x",
    views: Annotated[int, typer.Option(help="Pictures of each shape.", min=1, max=100)] = 24,
    category: Annotated[
        str | None, typer.Option(help="Category of all the meshes, which need no folders then.")
    ] = None,
    variants: Annotated[
        int, typer.Option(help="Deformed shapes to make of each mesh.", min=0, max=100)
    ] = 0,
    per_category: Annotated[
        int,
        typer.Option(
            help="Instead of --variants: deformed shapes until each category has this many.",
            min=0,
            rich_help_panel=MORE,
        ),
    ] = 0,
    size: Annotated[
        int,
        typer.Option(help="Pixels per side of a picture.", min=8, max=1024, rich_help_panel=MORE),
    ] = 137,
    seed: Annotated[
        int, typer.Option(help="Another seed, other cameras.", min=0, rich_help_panel=MORE)
    ] = 0,
    processes: Annotated[
        int | None,
        typer.Option(
            help="Processes to draw with. Default: one per core.", min=1, rich_help_panel=MORE
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a data set of your own meshes.

    It holds the voxels of each mesh, and pictures from all sides. Takes OBJ, GLB, glTF, STL, PLY,
    OFF and npz files; FOLDER/chair/x.obj is a chair. The same command goes on where it was
    interrupted. Then look at the result with "data show" and divide it with "data split".

    Example: mem3d-cli data render meshes --out shapes --up z --front=-y

    In Python: mem3d.data.meshes.dataset.render_meshes.
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
