"""mem3d-cli: make data, train, evaluate, reconstruct.

Each command is one library call plus printing. Libraries are imported inside the commands, so that
--help answers at once.
"""

import io
import sys
from typing import Annotated

import typer

from mem3d_cli.app import Command, Commands, add_command, in_words, version_option
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

app = typer.Typer(
    name="mem3d-cli",
    cls=Commands,
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Mem3D: one photo in, a 32^3 shape out, with a memory of the shapes seen in training. "
    "Begin with: mem3d-cli reconstruct photo.jpg -o chair.glb, with the model that comes along; or "
    "with a network of your own: data synth shapes, then train, evaluate, reconstruct RUN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data", rich_help_panel="Begin")
command: Command
for command in (reconstruct, demo, train, evaluate):
    add_command(app, command, panel="Use")
for command in (memorize, average):
    add_command(app, command, panel="Change a run, without training")
for command in (study, robustness):
    add_command(app, command, panel="Measure")
add_command(app, publish, panel="Hand on")


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
