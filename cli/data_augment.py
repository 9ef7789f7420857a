"""mem3d-cli data augment."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mem3d_cli.console import AsJson, DataFolder, Quiet, SheetOut, open_backgrounds, print_picture


def augment(
    folder: DataFolder,
    out: SheetOut = Path("augment.png"),
    backgrounds: Annotated[
        Path | None, typer.Option(help="Folder of photos to lay half of the views over.")
    ] = None,
    occluders: Annotated[
        float, typer.Option(help="Hide up to this share of the object.", min=0, max=0.95)
    ] = 0.0,
    pca_noise: Annotated[
        float, typer.Option(help="Colour noise; Pix2Vox has 0.1, the presets none.", min=0, max=10)
    ] = 0.0,
    size: Annotated[int, typer.Option(help="Pixels per side.", min=32, max=1024)] = 128,
    count: Annotated[int, typer.Option(help="Most models to show.", min=1)] = 3,
    view: Annotated[int, typer.Option(help="View of each model.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Another seed, other samples.", min=0)] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Picture what training does to views: each transform alone, then all of them.

    Library: mem3d.data.augmentation_sheet.augmentation_sheet.

    Example: mem3d-cli data augment shapes --out augment.png --occluders 0.5
    """
    from mem3d.data.augmentation import DEFAULT
    from mem3d.data.augmentation_sheet import augmentation_sheet
    from mem3d.data.opening import open_shapes
    from memstore.sheets import save_png

    photos = None if backgrounds is None else open_backgrounds(backgrounds, quiet)
    how = replace(DEFAULT, hides=occluders, pca_noise=pca_noise)
    data = open_shapes(folder)
    save_png(
        out, augmentation_sheet(data, how, photos, size=size, count=count, view=view, seed=seed)
    )
    print_picture(out, min(count, len(data)), as_json)
