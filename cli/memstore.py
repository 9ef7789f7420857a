"""The `memstore` command: look at memories from the shell."""

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from memstore import Memory, MemstoreError

app = typer.Typer(no_args_is_help=True, add_completion=False)


def _print_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"memstore {version('mem3d')}")
        raise typer.Exit


@app.callback()
def memstore(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """A memory of voxel grids, looked up by cosine similarity."""


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="Folder of a memory.")],
    at: Annotated[
        str | None, typer.Option(help="Snapshot id or tag; by default the last commit.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print how full a memory is and how old its slots are (library: Memory.stats).

    Example: memstore inspect runs/chairs/memory --json
    """
    with Memory.open(path, at=at) as memory:
        facts = asdict(memory.stats())
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, fact in facts.items():
        typer.echo(f"{name.replace('_', ' '):<18}{_shown(fact):>22}")


def _shown(fact: object) -> str:
    """One fact for people."""
    if isinstance(fact, int):
        return f"{fact:,}"
    if isinstance(fact, float):
        return f"{fact:.3f}"
    return "-" if fact is None else str(fact)


def main() -> None:
    """Console entry point: an error of ours is one line on stderr and exit status 1."""
    try:
        app()
    except MemstoreError as error:
        typer.echo(f"memstore: {error}", err=True)
        raise SystemExit(1) from error
