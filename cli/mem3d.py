"""mem3d-cli: make data, train, evaluate, reconstruct.

Each command is one library call plus printing. Libraries are imported inside the commands, so that
--help answers at once.
"""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mem3d_cli.console import (
    AsJson,
    Checkpoint,
    Device,
    Quiet,
    RunFolder,
    Which,
    progress_bar,
)
from mem3d_cli.data import data_app
from mem3d_cli.evaluate import evaluate
from mem3d_cli.tables import reconstruction_lines
from mem3d_cli.train import train

if TYPE_CHECKING:
    from mem3d.reconstruction import Reconstruction

app = typer.Typer(
    help="Mem3D: one photo in, a 32^3 shape out, with a memory of the shapes seen in training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.command()(train)
app.command()(evaluate)


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


@app.command()
def reconstruct(
    run: RunFolder,
    photos: Annotated[list[Path], typer.Argument(help="Pictures; alpha is the object's mask.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("reconstructions"),
    threshold: Annotated[float, typer.Option(help="A voxel is full above this occupancy.")] = 0.3,
    which: Checkpoint = Which.best,
    device: Device = "cpu",
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

    model, memory, _ = load(run, which.value, device)
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with progress_bar(quiet, "photos") as show:
        for path, name in zip(photos, _names(photos), strict=True):
            rgba = open_photo(path)
            if (rgba[..., 3] == 255).all() and not quiet:
                typer.echo(f"{path}: no mask; the background is taken for the object", err=True)
            result = reconstruct_photos(model, memory, [rgba], threshold=threshold)[0]
            rows.append(_row(path, write(rgba, result, out / name), result))
            show(len(rows), len(photos))
    typer.echo(json.dumps(rows) if as_json else reconstruction_lines(rows))


def _names(photos: list[Path]) -> list[str]:
    """File names without ending, each once: a second chair.png becomes chair-2."""
    seen: Counter[str] = Counter()
    names = []
    for path in photos:
        seen[path.stem] += 1
        names.append(path.stem if seen[path.stem] == 1 else f"{path.stem}-{seen[path.stem]}")
    return names


def _row(path: Path, files: list[Path], result: "Reconstruction") -> dict[str, Any]:
    return {
        "photo": str(path),
        "files": [str(file) for file in files],
        "voxels": int(result.grid.sum()),
        "recalled": [
            {"source": prior.source, "cosine": round(prior.cosine, 4), "slot": prior.slot}
            for prior in result.priors
        ],
    }


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
