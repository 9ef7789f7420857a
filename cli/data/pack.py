"""mem3d-cli data pack, index: a data set as one store, or as one list."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mem3d_cli.app import counted, printable
from mem3d_cli.options import (
    AsJson,
    DataFolder,
    Quiet,
    print_json,
    print_skipped,
    progress_bar,
    resumable,
)
from mem3d_cli.paths import check_file

if TYPE_CHECKING:
    from mem3d.data.dataset import ShapeDataset

Split = Annotated[
    Path | None, typer.Option(help="Split file to keep with it. Default: DATA's own, if any.")
]
Category = Annotated[
    list[str] | None,
    typer.Option(
        metavar="<str>", help="Only this category, by name or WordNet number; may be repeated."
    ),
]


def pack(
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the pack.")],
    split: Split = None,
    category: Category = None,
    per_shard: Annotated[int, typer.Option(help="Pictures in each file.", min=1, max=65536)] = 2048,
    processes: Annotated[
        int | None, typer.Option(help="Processes to work with. Default: one per core.", min=1)
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Pack a data set into few files, which are read faster.

    The pack is a Zarr store. Every command that takes a data set takes the pack as well. The same
    command goes on where it was interrupted.

    Example: mem3d-cli data pack shapes --out shapes.zarr

    In Python: mem3d.data.zarr_pack.writer.pack.
    """
    check_file(split)
    from mem3d.data.open import open_dataset
    from mem3d.data.zarr_pack.writer import pack as write

    shapes = open_dataset(data, None, split, category)
    with resumable(out), progress_bar(quiet, "files") as show:
        packed = write(
            shapes,
            out,
            per_shard=per_shard,
            processes=processes or os.cpu_count() or 1,
            progress=show,
        )
    _tell(out, packed, as_json)


def index(
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, .json.")],
    split: Split = None,
    category: Category = None,
    occupancy: Annotated[
        bool,
        typer.Option("--occupancy", help="Also read all voxels and list how many are full."),
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List a data set's files in one file, so that it opens faster.

    Every command that takes a data set takes this file as well, and need not look into each
    folder.

    Example: mem3d-cli data index shapes --out shapes/index.json

    In Python: mem3d.data.readers.r2n2_index.write_index.
    """
    check_file(split)
    from mem3d.data.open import open_dataset
    from mem3d.data.readers.pix3d import Pix3D
    from mem3d.data.readers.r2n2 import R2N2
    from mem3d.data.readers.r2n2_index import open_index, write_index

    shapes = open_dataset(data, None, split, category)
    if not isinstance(shapes, R2N2):
        kind = "Pix3D" if isinstance(shapes, Pix3D) else "a pack"
        raise ValueError(f"{data}: got {kind}, which lists its own shapes, want the R2N2 layout")
    with progress_bar(quiet, "shapes") as show:
        write_index(shapes, out, occupancy=occupancy, progress=show)
    _tell(out, open_index(out), as_json)


def _tell(out: Path, data: "ShapeDataset", as_json: bool) -> None:
    """What was made, and on stderr what was left out."""
    views = sum(data.views(i) for i in range(len(data)))
    print_skipped((skip.shape_id, skip.reason) for skip in data.skipped)
    if as_json:
        skipped = len(data.skipped)
        print_json({"path": str(out), "models": len(data), "views": views, "skipped": skipped})
    else:
        typer.echo(f"{printable(out)}: {counted(len(data), 'shape')}, {counted(views, 'view')}")
