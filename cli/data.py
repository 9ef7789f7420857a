"""mem3d-cli data: make and look at data sets."""

import os
from pathlib import Path
from typing import Annotated

import typer

from mem3d_cli.commands import Command, add_command
from mem3d_cli.console import (
    AsJson,
    DataFolder,
    Quiet,
    SheetOut,
    Subset,
    counted,
    print_json,
    print_picture,
    printable,
    progress_bar,
    resumable,
)
from mem3d_cli.data_augment import augment
from mem3d_cli.data_check import check
from mem3d_cli.data_pack import index, pack
from mem3d_cli.data_render import render
from mem3d_cli.data_split import split

data_app = typer.Typer(help="Make and look at data sets.", no_args_is_help=True)


def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to write, in the R2N2 layout.")],
    models: Annotated[
        int, typer.Option(help="Models per category; from 6 on, some are for validation.", min=3)
    ] = 40,
    views: Annotated[int, typer.Option(help="Pictures per model.", min=1, max=24)] = 24,
    seed: Annotated[int, typer.Option(help="Another seed, other shapes.", min=0)] = 0,
    processes: Annotated[int | None, typer.Option(help="Default: one per core.", min=1)] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a data set of procedural shapes: nothing to download, ready to train on.

    Goes on where it was interrupted. Library: mem3d.data.synthesis.synthesise.

    Example: mem3d-cli data synth shapes --models 40
    """
    from mem3d.data.synthesis import synthesise

    with resumable(folder), progress_bar(quiet, "models") as show:
        made = synthesise(
            folder,
            models,
            seed,
            views=views,
            processes=processes or os.cpu_count() or 1,
            progress=show,
        )
    if as_json:
        print_json({"path": str(folder), "made": made})
    else:
        typer.echo(f"{printable(folder)}: made {counted(made, 'model')}")


def show(
    data: DataFolder,
    out: SheetOut = Path("data.png"),
    count: Annotated[int, typer.Option(help="Most models to show.", min=1)] = 8,
    view: Annotated[int, typer.Option(help="View of each model.", min=0)] = 0,
    views: Annotated[
        int, typer.Option(help="So many views of each model in a row, from --view on.", min=1)
    ] = 1,
    category: Annotated[
        list[str] | None, typer.Option(metavar="<str>", help="Only this one; may be repeated.")
    ] = None,
    subset: Annotated[Subset | None, typer.Option(help="train, val or test.")] = None,
    split: Annotated[Path | None, typer.Option(help="Split file; default: the data's own.")] = None,
    models: Annotated[
        str | None, typer.Option(help="Names, with commas; default: spread over the categories.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Picture models beside their voxels, projected into the same view.

    Where the axes are right, the projection falls on the object. Library: mem3d.picture.axes_sheet.

    Example: mem3d-cli data show shapes --category chair --views 4 --out chairs.png
    """
    from mem3d.data.opening import open_shapes
    from mem3d.data.sampling import named, spread
    from mem3d.picture import axes_sheet
    from memstore.sheets import save_png

    shapes = open_shapes(data, None if subset is None else subset.value, split, category)
    if models is not None:
        chosen = named([shapes.source(i) for i in range(len(shapes))], models.split(","))
    else:
        chosen = spread([shapes.category(i) for i in range(len(shapes))], count)
    most = max((shapes.views(i) for i in chosen), default=view + 1)
    if view >= most:
        raise ValueError(f"--view: got {view}, want less than {most}: so many views are there")
    with progress_bar(quiet, "models") as tell:
        picture = axes_sheet(shapes, chosen, range(view, view + views), progress=tell)
    save_png(out, picture)
    print_picture(out, len(chosen), as_json)


command: Command
for command in (synth, render, check, show, split, pack, index, augment):
    add_command(data_app, command)
