"""The `memstore` command: look at memories, keep them, move them in and out."""

import io
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mem3d_cli import memories_in, memories_kept, memories_moved
from mem3d_cli.console import printable
from memstore import MemstoreError


class _Commands(TyperGroup):
    """All commands; Ctrl-C ends each with a line and exit status 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Typer itself would swallow the interrupt without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("memstore: stopped", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False)
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
    """Console entry point: an error is one line on stderr and exit status 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # its encoding may lack a character
    try:
        app()
    except (MemstoreError, OSError, MemoryError, ValueError, ArithmeticError) as error:
        typer.echo(f"memstore: {printable(error) or type(error).__name__}", err=True)
        raise SystemExit(1) from error
