"""mem3d-cli data: make and look at data sets."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mem3d.data.splits import SplitName
from mem3d_cli.app import Command, add_command, counted, printable
from mem3d_cli.data.check import check
from mem3d_cli.data.pack import index, pack
from mem3d_cli.data.render import render
from mem3d_cli.data.split import split
from mem3d_cli.options import (
    AsJson,
    DataFolder,
    Quiet,
    SheetOut,
    open_backgrounds,
    print_json,
    print_picture,
    progress_bar,
    resumable,
)
from mem3d_cli.paths import check_file, check_folder

data_app = typer.Typer(help="Make and look at data sets.", no_args_is_help=True)


def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to write, in the R2N2 layout.")],
    models: Annotated[
        int, typer.Option(help="Models per category; from 6 on, some are for validation.", min=3)
    ] = 40,
    views: Annotated[int, typer.Option(help="Pictures per shape.", min=1, max=24)] = 24,
    seed: Annotated[int, typer.Option(help="Another seed, other shapes.", min=0)] = 0,
    processes: Annotated[int | None, typer.Option(help="Default: one per core.", min=1)] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a data set of procedural shapes: nothing to download, ready to train on.

    Goes on where it was interrupted. Library: mem3d.data.procedural.writer.synthesize.

    Example: mem3d-cli data synth shapes --models 40
    """
    from mem3d.data.procedural.writer import synthesize

    with resumable(folder), progress_bar(quiet, "shapes") as show:
        count = synthesize(
            folder,
            models,
            seed,
            views=views,
            processes=processes or os.cpu_count() or 1,
            progress=show,
        )
    if as_json:
        print_json({"path": str(folder), "made": count})
    else:
        typer.echo(f"{printable(folder)}: made {counted(count, 'shape')}")


def show(
    data: DataFolder,
    out: SheetOut = Path("data.png"),
    count: Annotated[int, typer.Option(help="Most shapes to show.", min=1)] = 8,
    view: Annotated[int, typer.Option(help="View of each shape.", min=0)] = 0,
    views: Annotated[
        int, typer.Option(help="So many views of each shape in a row, from --view on.", min=1)
    ] = 1,
    category: Annotated[
        list[str] | None, typer.Option(metavar="<str>", help="Only this one; may be repeated.")
    ] = None,
    subset: Annotated[SplitName | None, typer.Option(help="Default: all of them.")] = None,
    split: Annotated[Path | None, typer.Option(help="Split file; default: the data's own.")] = None,
    models: Annotated[
        str | None, typer.Option(help="Names, with commas; default: spread over the categories.")
    ] = None,
    augmented: Annotated[
        bool, typer.Option("--augmented", help="Instead: what training does to that view.")
    ] = False,
    backgrounds: Annotated[
        Path | None, typer.Option(help="Augmented: a folder of photos behind half of the views.")
    ] = None,
    occluders: Annotated[
        float, typer.Option(help="Augmented: hide up to this share.", min=0, max=0.95)
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Augmented: other samples.", min=0)] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Picture shapes beside their voxels, projected into the same view.

    Where the axes are right, the projection falls on the object. With --augmented: each transform
    of training alone, then all of them, with their grids. Library: mem3d.data.figures.axes_sheet,
    augmentation_sheet.

    Example: mem3d-cli data show shapes --category chair --views 4 --out chairs.png
    """
    check_file(split)
    check_folder(backgrounds)
    from mem3d.data.figures import augmentation_sheet, axes_sheet
    from mem3d.data.images.augment import DEFAULT
    from mem3d.data.open import open_dataset
    from mem3d.data.splits import named, spread
    from memstore.voxels.contact_sheet import save_png

    shapes = open_dataset(data, subset, split, category)
    if models is not None:
        positions = named([shapes.shape_id(i) for i in range(len(shapes))], models.split(","))
    else:
        positions = spread([shapes.category(i) for i in range(len(shapes))], count)
    most = max((shapes.views(i) for i in positions), default=view + 1)
    if view >= most:
        raise ValueError(f"--view: got {view}, want less than {most}: so many views are there")
    if not augmented and (backgrounds is not None or occluders or seed):
        raise ValueError("--backgrounds, --occluders, --seed: got one, want --augmented with it")
    if augmented:
        photos = None if backgrounds is None else open_backgrounds(backgrounds, quiet)
        how = replace(DEFAULT, max_occlusion=occluders)
        picture = augmentation_sheet(shapes, positions, how, photos, view=view, seed=seed)
    else:
        with progress_bar(quiet, "shapes") as tell:
            picture = axes_sheet(shapes, positions, range(view, view + views), progress=tell)
    save_png(out, picture)
    print_picture(out, len(positions), as_json)


command: Command
for command in (synth, render, check, show, split, pack, index):
    add_command(data_app, command)
