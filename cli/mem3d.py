"""mem3d-cli: make data, train, evaluate, reconstruct.

Each command is one library call plus printing. Libraries are imported inside the commands, so that
--help answers at once.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from mem3d_cli.console import (
    AsJson,
    Checkpoint,
    Quiet,
    RunFolder,
    Subset,
    Threads,
    Which,
    progress_bar,
    say_skipped,
    set_threads,
)
from mem3d_cli.data import data_app
from mem3d_cli.tables import evaluation_table, training_summary

if TYPE_CHECKING:
    from mem3d.config import Preset

app = typer.Typer(
    help="Mem3D: one photo in, a 32^3 shape out, with a memory of the shapes seen in training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")


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
        train = replace(train, freeze_stem=False, variants=0)  # random weights have to learn
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

    set_threads(threads)
    chosen = _preset(preset, stem, epochs, batch, learning_rate, seed)
    if data is None:
        from mem3d.data.synthesis import synthesise

        data = run / "data"
        with progress_bar(quiet, "shapes") as show:
            synthesise(data, seed=seed, processes=os.cpu_count() or 1, progress=show)
    learning = R2N2.open(data, "train", split)
    validation = R2N2.open(data, "val", split)
    say_skipped(learning, quiet)
    try:
        with progress_bar(quiet, "training") as show:
            row = train_network(
                learning,
                validation if len(validation) else None,
                run,
                chosen,
                stem=stem,
                device=device,
                on_prepare=lambda done, total: show(done, total, "pictures through the stem"),
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

    set_threads(threads)
    root = data or run_data(run)
    model, memory, state = load(run, which.value)
    test, validation = R2N2.open(root, subset.value, split), R2N2.open(root, "val", split)
    say_skipped(test, quiet)
    means = category_means(R2N2.open(root, "train", split))
    with progress_bar(quiet, "validation") as show:
        chosen = score(model, memory, validation, means=means, progress=show)
    with progress_bar(quiet, subset.value) as show:
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
    with progress_bar(quiet, "photos") as show:
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
