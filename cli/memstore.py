"""The `memstore` command: look at memories, keep them, move them in and out."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from mem3d_cli import memories_in, memories_kept, memories_moved
from memstore import MemstoreError

app = typer.Typer(no_args_is_help=True, add_completion=False)
for command in (memories_in.inspect, memories_in.query, memories_in.diff):
    app.command(rich_help_panel="Look")(command)
for command in (
    *(memories_kept.history, memories_kept.tag, memories_kept.verify),
    *(memories_kept.expire, memories_kept.copy),
):
    app.command(rich_help_panel="Keep")(command)
app.command(rich_help_panel="Move")(memories_moved.export)
app.command("import", rich_help_panel="Move")(memories_moved.import_)


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


def main() -> None:
    """Console entry point: an error of ours is one line on stderr and exit status 1."""
    try:
        app()
    except MemstoreError as error:
        typer.echo(f"memstore: {error}", err=True)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        typer.echo("memstore: stopped", err=True)
        sys.exit(130)
