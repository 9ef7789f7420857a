"""mem3d-cli: make data, train, evaluate, reconstruct.

Each command is one library call plus printing. Libraries are imported inside the commands, so that
--help answers at once.
"""

import io
import sys
from typing import Annotated

import typer

from mem3d_cli.app import Command, add_command, app_of, in_words, version_option
from mem3d_cli.data.app import data_app
from mem3d_cli.mem3d.average import average
from mem3d_cli.mem3d.demo import demo
from mem3d_cli.mem3d.evaluate import evaluate
from mem3d_cli.mem3d.memorize import memorize
from mem3d_cli.mem3d.publish import publish
from mem3d_cli.mem3d.reconstruct import reconstruct
from mem3d_cli.mem3d.robustness import robustness
from mem3d_cli.mem3d.study import study
from mem3d_cli.mem3d.train import train

app: typer.Typer = app_of(
    "mem3d-cli",
    help="Mem3D makes a 3-D shape of one photo, with a memory of shapes that it has seen.\n\n"
    "Begin with: mem3d-cli reconstruct photo.jpg -o chair.glb, which uses the bundled model. For "
    "a network of your own: mem3d-cli data synth shapes, then train, evaluate and reconstruct.\n\n"
    "A command's argument is what it works on; what it makes of it goes to --out (-o).",
)
command: Command
for command in (reconstruct, demo):
    add_command(app, command, panel="Use")
app.add_typer(data_app, name="data", rich_help_panel="Train")
for command in (train, study):
    add_command(app, command, panel="Train")
for command in (evaluate, robustness):
    add_command(app, command, panel="Measure")
for command in (memorize, average, publish):
    add_command(app, command, panel="Change or share, without training")


@app.callback()
def _main(
    version: Annotated[bool, version_option("mem3d-cli")] = False,
) -> None:
    pass


def _foreseen() -> tuple[type[Exception], ...]:
    """Errors of the data or the machine; asked only once one was raised."""
    from memstore import MemstoreError

    return (ValueError, OSError, MemoryError, MemstoreError)


def main() -> None:
    """Console entry point: a foreseen error is one line on stderr and exit status 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # its encoding may lack a character
    try:
        app()
    except _foreseen() as error:
        typer.echo(f"mem3d-cli: {in_words(error)}", err=True)
        raise SystemExit(1) from error
