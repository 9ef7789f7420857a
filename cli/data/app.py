"""mem3d-cli data: make and look at data sets."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mem3d.data.splits import SplitName
from mem3d_cli.app import MORE, Command, add_command, app_of, counted, printable
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

data_app: typer.Typer = app_of(
    "data",
    help="Make data sets of shapes and pictures; check and divide them.",
)


def synth(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the data set: new, or one to go on with.")
    ],
    models: Annotated[
        int,
        typer.Option(help="Shapes of each category; from 6 on, some are for validation.", min=3),
    ] = 40,
    views: Annotated[int, typer.Option(help="Pictures of each shape.", min=1, max=24)] = 24,
    seed: Annotated[int, typer.Option(help="Another seed gives other shapes.", min=0)] = 0,
    processes: Annotated[
        int | None, typer.Option(help="Processes to draw with. Default: one per core.", min=1)
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a data set of procedural shapes, ready to train on.

    Nothing is downloaded. It has 13 categories, as the paper's data have, in the same layout
    (R2N2's). The same command goes on where it was interrupted.

    Example: mem3d-cli data synth shapes --models 40

    In Python: mem3d.data.procedural.writer.synthesize.
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
    count: Annotated[int, typer.Option(help="Shapes to show at most.", min=1)] = 8,
    category: Annotated[
        list[str] | None,
        typer.Option(metavar="<str>", help="Only this category; may be repeated."),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(help="Names of the shapes, with commas. Default: some of each category."),
    ] = None,
    subset: Annotated[
        SplitName | None, typer.Option(help="Only shapes for this use. Default: all.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split file, which tells their use. Default: DATA's own.")
    ] = None,
    view: Annotated[int, typer.Option(help="Number of the picture of each shape.", min=0)] = 0,
    views: Annotated[
        int, typer.Option(help="Pictures of each shape in a row, from --view on.", min=1)
    ] = 1,
    augmented: Annotated[
        bool,
        typer.Option(
            "--augmented",
            help="Show what training does to that picture instead.",
            rich_help_panel=MORE,
        ),
    ] = False,
    backgrounds: Annotated[
        Path | None,
        typer.Option(
            help="With --augmented: folder of photos to put behind half of the pictures.",
            rich_help_panel=MORE,
        ),
    ] = None,
    occluders: Annotated[
        float,
        typer.Option(
            help="With --augmented: largest share of the object to hide.",
            min=0,
            max=0.95,
            rich_help_panel=MORE,
        ),
    ] = 0.0,
    seed: Annotated[
        int,
        typer.Option(
            help="With --augmented: another seed, other changes.", min=0, rich_help_panel=MORE
        ),
    ] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw shapes of a data set beside their voxels.

    The voxels are drawn from the picture's own camera: where the data are right, they cover the
    object in the picture.

    Example: mem3d-cli data show shapes --category chair -o chairs.png

    In Python: mem3d.data.figures.axes_sheet, mem3d.data.figures.augmentation_sheet.
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
