"""`memstore export` and `import`: memories to and from other programs' files."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from mem3d_cli.memstore.inspect import At, MemoryFolder
from mem3d_cli.options import AsJson, Quiet, print_made, progress_bar
from memstore.files import ExportFormat, ImportFormat
from memstore.voxels.grids import ValueSimilarity

WhenFull = Literal["error", "evict"]


def export(
    path: MemoryFolder,
    to: Annotated[Path, typer.Argument(help="File or folder to make.")],
    format: Annotated[
        ExportFormat | None,
        typer.Option("--format", "-f", help="Default: the suffix of the file to make."),
    ] = None,
    slot: Annotated[
        list[int] | None, typer.Option(metavar="<int>", help="Only this slot; may be repeated.")
    ] = None,
    at: At = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a memory, or some slots of it, for other programs.

    npz, safetensors, zarr (plain), and binvox lose nothing; parquet needs the extra of that name;
    binvox, glb, stl and ply are folders with a file per slot. Library: memstore.export.

    Example: memstore export runs/chairs/memory chairs.npz
    """
    from memstore import Memory
    from memstore import export as write

    with Memory.open(path, at=at) as memory, progress_bar(quiet, "exporting") as show:
        write(memory, to, format, slot or None, show)
        count = len(slot) if slot else len(memory)
    print_made(to, count, as_json)


def import_(
    source: Annotated[Path, typer.Argument(help="An export, arrays, or a folder of binvox files.")],
    to: Annotated[Path, typer.Argument(help="Folder of the memory to make.")],
    format: Annotated[
        ImportFormat | None,
        typer.Option("--format", "-f", help="Default: from the suffix."),
    ] = None,
    capacity: Annotated[
        int | None, typer.Option(help="Of pairs from elsewhere: slots; default: one each.", min=1)
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(
            help="Of pairs from elsewhere: reads want a higher cosine than this; default: .85."
        ),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help="Of pairs from elsewhere: writes merge values as similar as this; default: none, "
            "with --policy .90."
        ),
    ] = None,
    similarity: Annotated[
        ValueSimilarity | None,
        typer.Option(
            help="Of values, for pairs from elsewhere: mse, the share of voxels that agree, or "
            "iou, the overlap of the full ones; default: iou, with --policy mse."
        ),
    ] = None,
    when_full: Annotated[
        WhenFull | None,
        typer.Option(
            help="Of pairs from elsewhere: a full memory refuses new values (error) or gives up "
            "its oldest slots (evict); default: error, with --policy evict."
        ),
    ] = None,
    policy: Annotated[
        bool,
        typer.Option("--policy", help="Merge similar pairs, as the paper's training does."),
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make a memory of an export, of keys and values, or of binvox files with features.

    An export comes back slot by slot as it was; pairs from elsewhere become a new memory, whose
    rules the options set. Library: memstore.import_memory.

    Example: memstore import chairs.npz chairs.memory
    """
    from memstore import import_memory
    from memstore.files import check_free

    check_free(to)  # before a long import
    with progress_bar(quiet, "importing") as show:
        memory = import_memory(
            source,
            format,
            capacity=capacity,
            beta=beta,
            delta=delta,
            value_similarity=similarity,
            when_full=when_full,
            policy=policy,
            progress=show,
        )
    memory.copy_to(to)
    print_made(to, len(memory), as_json)
