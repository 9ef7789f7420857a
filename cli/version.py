"""The option --version of both programs."""

from typing import Any

import typer


def version_option(program: str) -> Any:
    """The option --version of a program, which prints it and stops."""

    def tell(wanted: bool) -> None:
        if wanted:
            from importlib.metadata import version

            typer.echo(f"{program} {version('mem3d')}")
            raise typer.Exit

    return typer.Option("--version", callback=tell, is_eager=True, help="Print the version.")
