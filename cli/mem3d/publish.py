"""mem3d-cli publish."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mem3d_cli.app import printable
from mem3d_cli.mem3d.memorize import whole
from mem3d_cli.options import AsJson, Checkpoint, Quiet, RunFolder, print_json


def publish(
    run: RunFolder,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to make; nothing may be there yet.")
    ],
    repo: Annotated[
        str | None,
        typer.Option(help="Also send it to this repository of the Hugging Face Hub: owner/name."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="If that repository is new, do not show it to all.")
    ] = False,
    half: Annotated[
        bool,
        typer.Option("--half", help="Fewer bytes: weights as float16, the memory compressed."),
    ] = False,
    which: Checkpoint = "best",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make one folder of a run, to hand it on.

    It holds weights, memory, settings and a model card; mem3d.load(OUT) and "mem3d-cli reconstruct
    OUT PHOTO" open it. Nothing leaves this machine without --repo. The memory holds the training
    shapes themselves: mind their license.

    Example: mem3d-cli publish runs/first --out published

    In Python: mem3d.inference.pretrained.publish, mem3d.inference.pretrained.upload.
    """
    from mem3d.inference import pretrained
    from memstore.files import check_free

    check_free(out)
    if repo is not None:
        pretrained.check_repo(repo)  # before the work
    with whole(out):
        pretrained.publish(run, out, which, half=half)
    address = None if repo is None else _sent(out, repo, private)
    sizes = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    notice = "the memory holds training shapes and their names; mind their license"
    typer.echo(f"{printable(out)}: {notice}", err=True)
    if as_json:
        print_json({"path": str(out), "files": sizes, "address": address})
        return
    for name, size in sizes.items():
        typer.echo(f"{printable(out / name)}  {size:,} bytes")
    if address is not None:
        typer.echo(f"sent: {printable(address)}")


def _sent(folder: Path, repo: str, private: bool) -> str:
    """Address of what was sent; an error says that the folder is there, and how to go on."""
    from mem3d.inference import pretrained

    try:
        return pretrained.upload(folder, repo, private=private)
    except ValueError as error:
        again = shlex.join(["hf", "upload", repo, str(folder), *["--private"] * private])
        raise ValueError(f"{error}; {folder} is complete, to send it: {again}") from error
