"""The `memstore` command: look at memories, keep them, move them in and out."""

import io
import sys
from typing import Annotated

import typer

from mem3d_cli.app import Command, add_command, app_of, in_words, version_option
from mem3d_cli.memstore import inspect, maintain, slots, transfer
from memstore import MemstoreError

app: typer.Typer = app_of("memstore")
command: Command
for command in (inspect.inspect, inspect.query, inspect.diff):
    add_command(app, command, panel="Look")
add_command(app, slots.list_, "list", panel="Look")
add_command(app, slots.get, panel="Look")
for command in (slots.create, slots.add, slots.remove):
    add_command(app, command, panel="Change")
for command in (
    *(maintain.history, maintain.tag, maintain.verify),
    *(maintain.expire, maintain.copy),
):
    add_command(app, command, panel="Keep")
add_command(app, transfer.export, panel="Move")
add_command(app, transfer.import_, "import", panel="Move")


@app.callback()
def memstore(
    version: Annotated[bool, version_option("memstore")] = False,
) -> None:
    """Look into memories of voxel grids, change them, keep them, and move them to other programs.

    Begin with: memstore inspect PATH. A run of mem3d-cli has its memory in RUN/memory; memstore
    create and import make others.

    A command's argument is what it works on; what it makes of it goes to --out (-o).
    """


def main() -> None:
    """Console entry point: an error is one line on stderr and exit status 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # its encoding may lack a character
    try:
        app()
    except (MemstoreError, OSError, MemoryError, ValueError, ArithmeticError) as error:
        typer.echo(f"memstore: {in_words(error)}", err=True)
        raise SystemExit(1) from error
