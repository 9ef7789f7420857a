"""mem3d-cli: make data, train, evaluate, reconstruct.

Each command is one library call plus printing. Libraries are imported inside the commands, so that
--help answers at once.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mem3d_cli.tables import evaluation_table, training_summary

if TYPE_CHECKING:
    from mem3d.config import Preset
    from mem3d.data.r2n2 import R2N2

app = typer.Typer(
    help="Mem3D: one photo in, a 32^3 shape out, with a memory of the shapes seen in training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Make and look at data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")


class Which(StrEnum):
    """The best epoch on validation, or the last."""

    best = "best"
    last = "last"


class Subset(StrEnum):
    """Lists of a split file."""

    train = "train"
    val = "val"
    test = "test"


DataFolder = Annotated[
    Path, typer.Argument(help="Folder with ShapeNetRendering and ShapeNetVox32.")
]
RunFolder = Annotated[Path, typer.Argument(help="Folder of the run.")]
Checkpoint = Annotated[Which, typer.Option(help="Best epoch on validation, or the last.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Threads = Annotated[
    int | None, typer.Option(help="CPU threads to compute with; default: all.", min=1)
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("mem3d"))
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@contextmanager
def _progress(quiet: bool, what: str) -> Iterator[Any]:
    """Progress bar on stderr, where that is a terminal; gives a callable (done, total, note="")."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        task = bar.add_task(what, total=None, note="")

        def show(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield show


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _say_skipped(data: "R2N2", quiet: bool) -> None:
    """Name the models that cannot be used."""
    if data.skipped and not quiet:
        typer.echo(f"{data.root}: skipped {len(data.skipped)} incomplete models:", err=True)
        for skip in data.skipped[:10]:
            typer.echo(f"  {skip.source}: {skip.reason}", err=True)
        if len(data.skipped) > 10:
            typer.echo(f"  ... and {len(data.skipped) - 10} more", err=True)


@data_app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to write, in the R2N2 layout.")],
    models: Annotated[int, typer.Option(help="Models per category.", min=3)] = 40,
    views: Annotated[int, typer.Option(help="Pictures per model.", min=1, max=24)] = 24,
    seed: Annotated[int, typer.Option(help="Another seed, other shapes.", min=0)] = 0,
    processes: Annotated[int | None, typer.Option(help="Default: one per core.", min=1)] = None,
    quiet: Quiet = False,
) -> None:
    """Make a data set of procedural shapes (library: mem3d.data.synthesis.synthesise).

    Goes on where it was interrupted. Example: mem3d-cli data synth shapes --models 40
    """
    from mem3d.data.synthesis import synthesise

    with _progress(quiet, "models") as show:
        made = synthesise(
            folder,
            models,
            seed,
            views=views,
            processes=processes or os.cpu_count() or 1,
            progress=show,
        )
    typer.echo(f"{folder}: made {made} models")


@data_app.command()
def show(
    folder: DataFolder,
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("data.png"),
    count: Annotated[int, typer.Option(help="Most models to show.", min=1)] = 8,
    view: Annotated[int, typer.Option(help="View of each model.", min=0)] = 0,
) -> None:
    """Picture models beside their voxels, projected into the same view.

    Where the axes are right, the projection falls on the object.
    Example: mem3d-cli data show shapes --out shapes.png
    """
    from mem3d.data.r2n2 import R2N2
    from mem3d.picture import axes_sheet, save_png

    data = R2N2.open(folder)
    _say_skipped(data, quiet=False)
    save_png(out, axes_sheet(data, view, count))
    typer.echo(str(out))


def _preset(
    name: str, stem: str, epochs: int | None, batch: int | None, rate: float | None, seed: int
) -> "Preset":
    from mem3d.config import PRESETS

    if name not in PRESETS:
        raise ValueError(f"preset: got {name!r}, want one of {', '.join(PRESETS)}")
    preset = PRESETS[name]
    train = preset.train
    train = replace(
        train,
        seed=seed,
        epochs=epochs or train.epochs,
        batch=batch or train.batch,
        learning_rate=train.learning_rate if rate is None else rate,
    )
    if stem == "none":
        train = replace(train, freeze_stem=False)  # random weights have to learn
    return replace(preset, train=train)


@app.command()
def train(
    run: RunFolder,
    data: Annotated[
        Path | None,
        typer.Option(help="Data in the R2N2 layout; default: procedural shapes, made in RUN/data."),
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split file; default: DATA/split.json.")
    ] = None,
    preset: Annotated[str, typer.Option(help="paper, small, demo or tiny.")] = "small",
    stem: Annotated[
        str, typer.Option(help="ResNet-50 weights: imagenet, none, or a safetensors file.")
    ] = "none",
    epochs: Annotated[int | None, typer.Option(help="Default: the preset's.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Default: the preset's.", min=2)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Default: the preset's.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a network and its memory; a run that was interrupted goes on where it was.

    Example: mem3d-cli train runs/first --data shapes --stem resnet50.safetensors
    """
    from mem3d.data.r2n2 import R2N2
    from mem3d.training import train as train_network

    _set_threads(threads)
    chosen = _preset(preset, stem, epochs, batch, learning_rate, seed)
    if data is None:
        from mem3d.data.synthesis import synthesise

        data = run / "data"
        with _progress(quiet, "shapes") as show:
            synthesise(data, seed=seed, processes=os.cpu_count() or 1, progress=show)
    learning = R2N2.open(data, "train", split)
    validation = R2N2.open(data, "val", split)
    _say_skipped(learning, quiet)
    try:
        with _progress(quiet, "steps") as show:
            row = train_network(
                learning,
                validation if len(validation) else None,
                run,
                chosen,
                stem=stem,
                device=device,
                on_step=lambda done, total, figures: show(
                    done, total, f"bce {figures['bce']:.4f}  hits {figures['hit_rate']:.2f}"
                ),
            )
    except KeyboardInterrupt:
        typer.echo(f"{run}: interrupted; the same command goes on from its checkpoint", err=True)
        raise typer.Exit(130) from None
    typer.echo(json.dumps(row) if as_json else training_summary(run, row))


@app.command()
def evaluate(
    run: RunFolder,
    data: Annotated[Path | None, typer.Option(help="Default: the data of the run.")] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split file; default: DATA/split.json.")
    ] = None,
    subset: Annotated[Subset, typer.Option(help="train, val or test.")] = Subset.test,
    which: Checkpoint = Which.best,
    f_score: Annotated[bool, typer.Option("--f-score", help="Also F-score@1%.")] = False,
    picture: Annotated[Path | None, typer.Option(help="PNG of some reconstructions.")] = None,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print IoU per category, for the network and its baselines.

    The best thresholds come from the validation set of the same data, the category means from its
    training set. Example: mem3d-cli evaluate runs/first --picture test.png
    """
    from mem3d.baselines import category_means
    from mem3d.checkpoint import load, run_data
    from mem3d.data.r2n2 import R2N2
    from mem3d.evaluation import score, summarise
    from mem3d.picture import save_png
    from mem3d.reconstruction import comparison

    _set_threads(threads)
    root = data or run_data(run)
    model, memory, state = load(run, which.value)
    test, validation = R2N2.open(root, subset.value, split), R2N2.open(root, "val", split)
    _say_skipped(test, quiet)
    means = category_means(R2N2.open(root, "train", split))
    with _progress(quiet, "validation") as show:
        chosen = score(model, memory, validation, means=means, progress=show)
    with _progress(quiet, subset.value) as show:
        scores = score(model, memory, test, means=means, with_f_score=f_score, progress=show)
    summary = {"subset": subset.value, "step": state.step, **summarise(scores, chosen)}
    if picture is not None:
        save_png(picture, comparison(model, memory, test))
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        Console().print(evaluation_table(summary))


@app.command()
def reconstruct(
    run: RunFolder,
    photos: Annotated[list[Path], typer.Argument(help="Pictures; alpha is the object's mask.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("reconstructions"),
    threshold: Annotated[float, typer.Option(help="A voxel is full above this occupancy.")] = 0.3,
    which: Checkpoint = Which.best,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Turn photos into meshes (GLB) and pictures of what was recalled.

    Example: mem3d-cli reconstruct runs/first chair.png car.png --out shapes
    """
    from mem3d.checkpoint import load
    from mem3d.data.photos import photo as open_photo
    from mem3d.reconstruction import reconstruct as reconstruct_photos
    from mem3d.reconstruction import write

    model, memory, _ = load(run, which.value)
    opened = [open_photo(path) for path in photos]
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with _progress(quiet, "photos") as show:
        for done, (path, rgba) in enumerate(zip(photos, opened, strict=True), start=1):
            if (rgba[..., 3] == 255).all() and not quiet:
                typer.echo(f"{path}: no mask; the background is taken for the object", err=True)
            result = reconstruct_photos(model, memory, [rgba], threshold=threshold)[0]
            files = write(rgba, result, out / path.stem)
            rows.append(
                {
                    "photo": str(path),
                    "files": [str(file) for file in files],
                    "voxels": int(result.grid.sum()),
                    "recalled": [
                        {"source": p.source, "cosine": round(p.cosine, 4), "slot": p.slot}
                        for p in result.priors
                    ],
                }
            )
            show(done, len(photos))
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        for row in rows:
            recalled = ", ".join(f"{p['source']} ({p['cosine']:.3f})" for p in row["recalled"])
            typer.echo(f"{row['photo']}: {row['voxels']} voxels; recalled {recalled or 'nothing'}")
            typer.echo("  " + "  ".join(row["files"]))


def _foreseen() -> tuple[type[Exception], ...]:
    """Errors that the libraries raise on purpose; asked only once one was raised."""
    from memstore import MemstoreError

    return (ValueError, OSError, MemstoreError)


def main() -> None:
    """Console entry point: a foreseen error is one line on stderr and exit status 1."""
    try:
        app()
    except _foreseen() as error:
        typer.echo(f"mem3d-cli: {error}", err=True)
        raise SystemExit(1) from error
