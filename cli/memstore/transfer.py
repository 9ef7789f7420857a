"""`memstore export` and `import`: memories to and from other programs' files."""

from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from mem3d_cli.memstore.inspect import At, MemoryPlace, is_url, new_memory_place
from mem3d_cli.options import AsJson, Quiet, print_made, progress_bar
from memstore.files import ExportFormat, ImportFormat
from memstore.voxels.grids import ValueSimilarity

WhenFull = Literal["error", "evict"]


def export(
    path: MemoryPlace,
    out: Annotated[Path, typer.Option("--out", "-o", help="File or folder to make.")],
    format: Annotated[
        ExportFormat | None,
        typer.Option(
            "--format",
            "-f",
            metavar="<format>",
            help=f"One of {', '.join(get_args(ExportFormat))}. Default: as --out ends.",
        ),
    ] = None,
    slot: Annotated[
        list[int] | None, typer.Option(metavar="<int>", help="Only this slot; may be repeated.")
    ] = None,
    at: At = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a memory, or some of its slots, for other programs.

    npz, safetensors, zarr (plain) and binvox lose nothing. binvox, glb, stl and ply are folders
    with a file for each slot. parquet is a table for data frames.

    Example: memstore export runs/first/memory --out chairs.npz

    In Python: memstore.export.
    """
    from memstore import Memory
    from memstore import export as write

    with Memory.open(path, at=at) as memory, progress_bar(quiet, "exporting") as show:
        write(memory, out, format, slot or None, show)
        count = len(slot) if slot else len(memory)
    print_made(out, count, as_json)


def import_(
    source: Annotated[
        Path, typer.Argument(help="An export, a file of arrays, or a folder of binvox files.")
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            path_type=str,
            help="Folder of the memory to make, or URL.",
            callback=new_memory_place,
        ),
    ],
    format: Annotated[
        ImportFormat | None,
        typer.Option(
            "--format",
            "-f",
            metavar="<format>",
            help=f"One of {', '.join(get_args(ImportFormat))}. Default: as SOURCE ends.",
        ),
    ] = None,
    capacity: Annotated[
        int | None, typer.Option(help="Slots of the new memory. Default: one per pair.", min=1)
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(help="A read recalls slots whose cosine is above this. Default: .85."),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help="A write merges values that are at least this similar. Default: none are merged; "
            "with --policy .90."
        ),
    ] = None,
    similarity: Annotated[
        ValueSimilarity | None,
        typer.Option(
            help="Of two values: iou, the overlap of their full voxels, or mse, the share of "
            "voxels that agree. Default: iou; with --policy mse."
        ),
    ] = None,
    when_full: Annotated[
        WhenFull | None,
        typer.Option(
            help="A full memory refuses new values, or evicts its oldest slots. Default: error; "
            "with --policy evict."
        ),
    ] = None,
    policy: Annotated[
        bool,
        typer.Option("--policy", help="Merge similar pairs, as the paper's training does."),
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a memory of an export, or of keys and values.

    These may be arrays, or binvox files with features. An export comes back slot by slot as it was,
    and takes no options but --format. Keys and values from elsewhere become a new memory, whose
    rules the options set.

    Example: memstore import chairs.npz --out chairs.memory

    In Python: memstore.import_memory.
    """
    from memstore import import_memory
    from memstore.files import check_free

    if not is_url(out):
        check_free(Path(out))  # before a long import
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
    memory.copy_to(out)
    print_made(out, len(memory), as_json)
