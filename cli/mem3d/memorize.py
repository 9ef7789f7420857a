"""mem3d-cli memorize."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mem3d.data.splits import SplitName
from mem3d_cli.app import MORE, counted, printable, room_wanted
from mem3d_cli.options import (
    AsJson,
    Checkpoint,
    Device,
    KnownPolicy,
    NewRun,
    Quiet,
    Threads,
    TrainedFolder,
    open_data,
    print_json,
    progress_bar,
    set_threads,
)
from mem3d_cli.paths import check_data, check_file

if TYPE_CHECKING:
    from mem3d.data.dataset import ShapeDataset
    from mem3d.network.config import Preset
    from mem3d.network.model import Mem3D
    from mem3d.runs.folder import Record
    from mem3d.runs.memorization import Memorized
    from memstore import Memory

    Write = Callable[[Memory], tuple[Memorized, Record]]


def memorize(  # long: half of it are the options
    out: NewRun,
    run: TrainedFolder = None,
    data: Annotated[
        Path | None, typer.Option(help="Data set to add: a folder, a pack or an index.")
    ] = None,
    subset: Annotated[
        SplitName | None, typer.Option(help="Only its shapes for this use. Default: all.")
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(help="Pictures of each shape to add, the first ones. Default: 1.", min=1),
    ] = None,
    photo: Annotated[
        Path | None, typer.Option(help="Instead of --data: one photo to add, with --grid.")
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option(help="Shape on that photo: .binvox, y up and the front towards +x."),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Mask: a picture of the photo's size, white where the object is. Default: its "
            "transparency."
        ),
    ] = None,
    capacity: Annotated[
        int | None, typer.Option(help="Slots of the new memory. Default: as many.", min=1)
    ] = None,
    device: Device = "cpu",
    split: Annotated[
        Path | None,
        typer.Option(
            help="Split file of the data. Default: DATA/split.json.", rich_help_panel=MORE
        ),
    ] = None,
    known_shapes: Annotated[
        KnownPolicy | None,
        typer.Option(
            help="Shapes that the memory holds already: refuse to go on, drop them (default), or "
            "keep them.",
            rich_help_panel=MORE,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the photo's shape. Default: that of --grid.", rich_help_panel=MORE
        ),
    ] = None,
    which: Checkpoint = "best",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Add pictures and shapes to a trained network's memory.

    There is no training. Adds a data set (--data), or one photo and its shape (--photo, --grid).
    The new run has the same weights, and a copy of the memory with more in it.

    Example: mem3d-cli memorize --data new-shapes --out runs/more

    In Python: mem3d.runs.memorization.memorize, mem3d.runs.copy.copy_run.
    """
    from memstore.files import check_free

    inputs = {"--data": data, "--photo": photo, "--grid": grid}
    names = [option for option, path in inputs.items() if path is not None]
    if names not in (["--data"], ["--photo", "--grid"]):
        raise ValueError(
            f"--data, --photo: got {' and '.join(names) or 'neither'}, want --data, or --photo and "
            "--grid"
        )
    if data is None:
        _check_none("--data", split=split, subset=subset, views=views, known_shapes=known_shapes)
    else:
        _check_none("--photo", mask=mask, name=name)
    check_data(data)
    for file in (split, photo, grid, mask):
        check_file(file)
    check_free(out)
    from mem3d.bundled import bundled_model
    from mem3d.inference.pretrained import load_trained  # takes seconds
    from mem3d.runs.copy import copy_run
    from mem3d.runs.folder import MEMORIZED

    set_threads(threads)
    with whole(out):
        run = run or bundled_model()
        model, memory, state = load_trained(run, which, device)
        report: dict[str, Any] = {"out": str(out)}
        write: Write
        if data is not None:
            models = open_data(data, subset, split, quiet, views or 1)
            models, report["dropped"] = _news(memory, models, known_shapes or "drop")
            write = _models(model, models, subset, views or 1, device, quiet)
        else:
            assert photo is not None and grid is not None
            write = _pair(model, state.preset, photo, grid, mask, name, device)

        def change(copy: "Memory") -> "Record":
            counts, record = write(copy)
            report.update(asdict(counts))
            return {"kind": MEMORIZED, **asdict(counts), **record}

        copy_run(run, out, model, memory, state, change, capacity=capacity)
    _warn(report)
    print_json(report) if as_json else typer.echo(_memorized(report))


@contextmanager
def whole(out: Path) -> Iterator[None]:
    """Ctrl-C within is one line on stderr and exit status 130; there is no half of a run."""
    try:
        with room_wanted("nothing was written; make room, and run the command again"):
            yield
    except KeyboardInterrupt:
        typer.echo(f"{printable(out)}: interrupted; nothing was written", err=True)
        raise typer.Exit(130) from None


def _check_none(needed: str, **options: object) -> None:
    """Raise ValueError, naming them, if options are set that are for another one."""
    names = (name.replace("_", "-") for name, value in options.items() if value is not None)
    if listed := ", ".join(f"--{name}" for name in names):
        raise ValueError(f"{listed}: got it without {needed}, want it only with that")


def _news(
    memory: "Memory", models: "ShapeDataset", policy: KnownPolicy
) -> tuple["ShapeDataset", int]:
    """The shapes to write, and how many were left out, for the memory holds them."""
    from mem3d.data.dataset import Subset
    from mem3d.evaluation.leakage import describe, known_shapes

    leaks = () if policy == "keep" else known_shapes(memory, models)
    if leaks and (policy == "refuse" or len(leaks) == len(models)):
        raise ValueError(
            f"{models.root}: {describe(leaks, len(models))}; nothing was written. "
            "--known-shapes drop leaves them out if there are others, "
            "--known-shapes keep writes them again"
        )
    dropped = {leak.shape for leak in leaks}
    rest = Subset(models, [i for i in range(len(models)) if i not in dropped])
    return (rest if leaks else models), len(leaks)


def _models(
    model: "Mem3D",
    models: "ShapeDataset",
    subset: str | None,
    views: int,
    device: str,
    quiet: bool,
) -> "Write":
    """What writes the models of a data set."""
    from mem3d.data.meshes.transforms import shape_family
    from mem3d.runs.memorization import memorize as write

    record: Record = {
        "data": str(models.root.resolve()),
        "split": None if models.split is None else str(models.split.resolve()),
        "subset": subset,
        "views": views,
        "sources": list(
            dict.fromkeys(shape_family(models.shape_id(i)) for i in range(len(models)))
        ),
    }

    def write_copy(copy: "Memory") -> "tuple[Memorized, Record]":
        with progress_bar(quiet, "pictures") as show:
            return write(model, copy, models, views=views, device=device, progress=show), record

    return write_copy


def _pair(
    model: "Mem3D",
    preset: "Preset",
    photo: Path,
    grid: Path,
    mask: Path | None,
    name: str | None,
    device: str,
) -> "Write":
    """What writes one photo and its shape; both are read here."""
    from mem3d.data.images.framing import frame_photo
    from mem3d.data.images.io import read_image
    from mem3d.runs.memorization import memorize_photo
    from memstore.voxels.binvox import read_binvox

    light = None if mask is None else read_image(mask)
    framed = frame_photo(read_image(photo), mask=light, background=preset.photo_background)
    shape, source = read_binvox(grid), grid.stem if name is None else name
    files = {"photo": str(photo.resolve()), "grid": str(grid.resolve())}
    record: Record = {**files, "background": framed.background, "sources": [source]}
    if framed.doubts:
        notice = f"doubtful cut-out: {', '.join(framed.doubts)}; a mask would help (--mask)"
        typer.echo(f"{printable(photo)}: {notice}", err=True)

    def write_copy(copy: "Memory") -> "tuple[Memorized, Record]":
        return memorize_photo(model, copy, framed.rgba, shape, source, device=device), record

    return write_copy


def _warn(report: dict[str, Any]) -> None:
    """Say on stderr what may surprise."""
    if report["evicted"]:
        older = counted(report["evicted"], "older pair")
        typer.echo(
            f"the memory of {counted(report['capacity'], 'slot')} is full: {older} had to go; "
            f"--capacity {report['capacity'] + report['evicted']} would keep them",
            err=True,
        )
    if report["silent"]:
        pictures = counted(report["silent"], "picture")
        typer.echo(f"{pictures} gave a feature of zeros: not written", err=True)
    if report.get("dropped"):
        models = counted(report["dropped"], "model")
        typer.echo(f"{models} left out: the memory holds their shapes", err=True)


def _memorized(report: dict[str, Any]) -> str:
    kinds = ", ".join(f"{report[kind]:,} {kind}" for kind in ("inserted", "merged", "evicted"))
    slots = f"{report['slots_before']:,} -> {report['slots_after']:,} of {report['capacity']:,}"
    pairs = counted(report["written"], "pair")
    return f"{printable(report['out'])}: {pairs} written: {kinds}; slots {slots}"
