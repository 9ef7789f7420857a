"""mem3d-cli export."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mem3d_cli.app import printable
from mem3d_cli.mem3d.memorize import whole
from mem3d_cli.options import AsJson, Checkpoint, RunFolder, Which, print_json


def export(
    run: RunFolder,
    out: Annotated[Path, typer.Argument(help="Folder to make; nothing may be there yet.")],
    which: Checkpoint = Which.best,
    as_json: AsJson = False,
) -> None:
    """Write the network as torch.export programs, to be served without this package.

    encoder.pt2, shape_encoder.pt2 and decoder.pt2, each compared with the network on random input,
    and programs.json, which says what goes in and out. The memory between them is exported by
    "memstore export".

    Library: mem3d.inference.export.export_programs.

    Example: mem3d-cli export runs/first served
    """
    from mem3d.inference.export import export_programs
    from mem3d.inference.reconstructor import load

    with whole(out), load(run, which.value) as reconstructor:
        done = export_programs(reconstructor.model, reconstructor.preset, out)
    if as_json:
        print_json({"path": str(out), "programs": [asdict(one) for one in done]})
        return
    for one in done:
        inputs, outputs = ", ".join(one.inputs), ", ".join(one.outputs)
        file = printable(out / one.file)
        typer.echo(f"{file}: {inputs} -> {outputs} (differs by {one.difference:.0e})")
