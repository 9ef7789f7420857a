"""mem3d-cli memorize."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mem3d_cli.app import counted, printable
from mem3d_cli.options import (
    AsJson,
    Checkpoint,
    Device,
    Known,
    Quiet,
    RunFolder,
    SplitName,
    Threads,
    Which,
    open_data,
    print_json,
    progress_bar,
    set_threads,
)

if TYPE_CHECKING:
    from mem3d.data.dataset import ShapeDataset
    from mem3d.network.config import Preset
    from mem3d.network.model import Mem3D
    from mem3d.runs.folder import Record
    from mem3d.runs.memorization import Memorized
    from memstore import Memory

    Write = Callable[[Memory], tuple[Memorized, Record]]

SplitFile = Annotated[Path | None, typer.Option(help="Split file; default: DATA/split.json.")]


def memorize(  # long: half of it are the options
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="Folder of the new run; RUN stays as it is.")],
    data: Annotated[
        Path | None, typer.Option(help="Models to remember: folder, pack or index.")
    ] = None,
    split: SplitFile = None,
    subset: Annotated[
        SplitName | None, typer.Option(help="train, val or test; default: all models.")
    ] = None,
    views: Annotated[
        int | None, typer.Option(help="Pictures of each model, from 00 on; default: 1.", min=1)
    ] = None,
    known: Annotated[
        Known | None,
        typer.Option(
            help="Models whose shapes the memory holds already: refuse to go on, drop them "
            "(default), or keep them and let the memory merge them."
        ),
    ] = None,
    photo: Annotated[
        Path | None, typer.Option(help="Instead of --data: one picture; alpha is the mask.")
    ] = None,
    grid: Annotated[
        Path | None, typer.Option(help="Its shape: binvox, y up, front +x, as R2N2's are.")
    ] = None,
    mask: Annotated[Path | None, typer.Option(help="Picture with its object in white.")] = None,
    name: Annotated[str | None, typer.Option(help="Of its shape; default: GRID's.")] = None,
    capacity: Annotated[
        int | None, typer.Option(help="Slots of the new memory; default: as many.", min=1)
    ] = None,
    which: Checkpoint = Which.best,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Add pictures and their shapes to the memory of a trained run, without training.

    Writes a new run: the same weights, a memory that knows more. Library:
    mem3d.runs.memorize, mem3d.runs.copy_run.

    Example: mem3d-cli memorize runs/first --data new-shapes --out runs/more
    """
    from memstore.files import check_free

    named = {"--data": data, "--photo": photo, "--grid": grid}
    given = [name for name, path in named.items() if path is not None]
    if given not in (["--data"], ["--photo", "--grid"]):
        got = " and ".join(given) or "neither"
        raise ValueError(f"--data, --photo: got {got}, want --data, or --photo and --grid")
    if data is None:
        _check_none("--data", split=split, subset=subset, views=views, known=known)
    else:
        _check_none("--photo", mask=mask, name=name)
    check_free(out)
    from mem3d.network.checkpoint import load  # takes seconds
    from mem3d.runs.copy import copy_run
    from mem3d.runs.folder import MEMORIZED

    set_threads(threads)
    with whole(out):
        model, memory, state = load(run, which.value, device)
        told: dict[str, Any] = {"out": str(out)}
        write: Write
        if data is not None:
            part: Literal["train", "val", "test"] | None = subset.value if subset else None
            models = open_data(data, part, split, quiet, views or 1)
            models, told["dropped"] = _news(memory, models, known or Known.drop)
            write = _models(model, models, part, views or 1, device, quiet)
        else:
            assert photo is not None and grid is not None
            write = _pair(model, state.preset, photo, grid, mask, name, device)

        def change(copy: "Memory") -> "Record":
            done, record = write(copy)
            told.update(asdict(done))
            return {"kind": MEMORIZED, **asdict(done), **record}

        copy_run(run, out, model, memory, state, change, capacity=capacity)
    _warn(told)
    print_json(told) if as_json else typer.echo(_memorized(told))


@contextmanager
def whole(out: Path) -> Iterator[None]:
    """Ctrl-C within is one line on stderr and exit status 130; there is no half of a run."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"{printable(out)}: interrupted; nothing was written", err=True)
        raise typer.Exit(130) from None


def _check_none(wanted: str, **options: object) -> None:
    """Raise ValueError, naming them, if options were given that are for another one."""
    given = ", ".join(f"--{name}" for name, value in options.items() if value is not None)
    if given:
        raise ValueError(f"{given}: got it without {wanted}, want it only with that")


def _news(memory: "Memory", models: "ShapeDataset", known: Known) -> tuple["ShapeDataset", int]:
    """The models to write, and how many were left out, for the memory holds their shapes."""
    from mem3d.data.dataset import Subset
    from mem3d.evaluation.leakage import describe, known_shapes

    if known is Known.keep:
        return models, 0
    found = known_shapes(memory, models)
    if not found:
        return models, 0
    if known is Known.refuse or len(found) == len(models):
        raise ValueError(
            f"{models.root}: {describe(found, len(models))}; nothing was written. "
            "--known drop leaves them out if there are others, --known keep writes them again"
        )
    left_out = {one.shape for one in found}
    return Subset(models, [i for i in range(len(models)) if i not in left_out]), len(found)


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

    def written(copy: "Memory") -> "tuple[Memorized, Record]":
        with progress_bar(quiet, "pictures") as show:
            return write(model, copy, models, views=views, device=device, progress=show), record

    return written


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

    def written(copy: "Memory") -> "tuple[Memorized, Record]":
        return memorize_photo(model, copy, framed.rgba, shape, source, device=device), record

    return written


def _warn(told: dict[str, Any]) -> None:
    """Say on stderr what may surprise."""
    if told["evicted"]:
        older = counted(told["evicted"], "older pair")
        typer.echo(
            f"the memory of {counted(told['capacity'], 'slot')} is full: {older} had to go; "
            f"--capacity {told['capacity'] + told['evicted']} would keep them",
            err=True,
        )
    if told["silent"]:
        pictures = counted(told["silent"], "picture")
        typer.echo(f"{pictures} gave a feature of zeros: not written", err=True)
    if told.get("dropped"):
        models = counted(told["dropped"], "model")
        typer.echo(f"{models} left out: the memory holds their shapes", err=True)


def _memorized(told: dict[str, Any]) -> str:
    kinds = ", ".join(f"{told[kind]:,} {kind}" for kind in ("inserted", "merged", "evicted"))
    slots = f"slots {told['slots_before']:,} -> {told['slots_after']:,} of {told['capacity']:,}"
    return f"{printable(told['out'])}: {counted(told['written'], 'pair')} written: {kinds}; {slots}"
