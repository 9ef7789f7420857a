"""mem3d-cli reconstruct."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mem3d_cli.console import (
    AsJson,
    Checkpoint,
    Device,
    Others,
    Quiet,
    RunFolder,
    Threads,
    VariantsOfPhoto,
    Which,
    check_distinct,
    counted,
    printable,
    progress_bar,
    set_threads,
)
from mem3d_cli.photos_in import (
    Broken,
    Ground,
    Opened,
    batches,
    check_apart,
    found_photos,
    parsed_box,
    read_mask,
)
from mem3d_cli.photos_out import row_of, save_input, tell_done, tell_empty

if TYPE_CHECKING:
    from mem3d.data.framing import Framed
    from mem3d.data.transforms import Box, Rgba
    from mem3d.reconstructor import Reconstructor


class Format(StrEnum):
    """Of the files with the shape."""

    glb = "glb"
    obj = "obj"
    stl = "stl"
    ply = "ply"
    binvox = "binvox"
    npz = "npz"


class Surface(StrEnum):
    """Of a mesh."""

    smooth = "smooth"
    blocky = "blocky"


def reconstruct(  # long: half of it are the options
    run: RunFolder,
    photos: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, folders of them, or patterns such as 'photos/*.jpg'; alpha is the mask."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder to write to; only pictures that this command made are replaced."),
    ] = Path("reconstructions"),
    formats: Annotated[
        list[Format],
        typer.Option(
            "--format",
            "-f",
            metavar=f"<{'|'.join(Format)}>",
            help="Of the shapes; may be given several times.",
        ),
    ] = [Format.glb],  # noqa: B006  (never changed)
    surface: Annotated[
        Surface, typer.Option(help="Of meshes: marching cubes, or the voxels as cubes.")
    ] = Surface.smooth,
    confidence: Annotated[
        bool, typer.Option(help="Colour meshes by how sure the network is of each place.")
    ] = True,
    mask: Annotated[
        Path | None,
        typer.Option(help="Picture with the object in white; or a folder of them, named alike."),
    ] = None,
    box: Annotated[
        str | None, typer.Option(help="Of the object: left,top,right,bottom in pixels.")
    ] = None,
    background: Annotated[
        Ground,
        typer.Option(
            help="Without a mask: cut the object out, keep what is behind it, or auto: keep if "
            "the network was trained over photos, else cut where an object stands out."
        ),
    ] = Ground.auto,
    inputs: Annotated[
        bool, typer.Option("--inputs", help="Also write what the network was shown.")
    ] = False,
    threshold: Annotated[float, typer.Option(help="A voxel is full above this occupancy.")] = 0.3,
    tta: VariantsOfPhoto = 0,
    others: Others = None,
    batch: Annotated[
        int, typer.Option(min=1, help="Photos that go through the network at once.")
    ] = 16,
    which: Checkpoint = Which.best,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Turn photos into shapes, and into pictures of them and of what was recalled.

    RUN, and what --with names, are folders of runs or published ones. What becomes of a background
    is told per photo; --inputs shows it. Library: mem3d.load(RUN, others=[...]).reconstruct(photo).

    Example: mem3d-cli reconstruct runs/first chair.png photos/ --out shapes
    """
    from mem3d.folders import check_trained
    from mem3d.reconstructor import load
    from mem3d.shape_files import write

    check_distinct(run, others or [])
    for one in (run, *(others or [])):
        check_trained(one)
    wanted, found = parsed_box(box), found_photos(photos, quiet)
    if len(found.photos) > 1 and (wanted or (mask is not None and not mask.is_dir())):
        raise ValueError(f"photos: got {len(found.photos)}, want one for a box or a mask file")
    if not 0 < threshold < 1:
        raise ValueError(f"threshold: got {threshold}, want between 0 and 1")
    check_apart(found.photos, out, inputs)
    set_threads(threads)
    rows: list[dict[str, Any]] = []
    skipped: list[Broken] = []
    with _interruptible(out, rows), load(run, which.value, device, others or []) as reconstructor:
        frame = _framing(reconstructor, mask, wanted, background)
        with progress_bar(quiet, "photos") as show:
            for part in batches(found, batch, frame):
                opened = [one for one in part if isinstance(one, Opened)]
                skipped += [one for one in part if isinstance(one, Broken)]
                results = reconstructor.reconstruct_framed(
                    [one.framed for one in opened], threshold=threshold, tta=tta
                )
                for one, result in zip(opened, results, strict=True):
                    if not result.grid.any():
                        tell_empty(one, result)
                    out.mkdir(parents=True, exist_ok=True)  # not before there is something to write
                    made = write(
                        one.rgba,
                        result,
                        out / one.name,
                        formats=[kind.value for kind in formats],
                        surface=surface.value,
                        confidence=confidence,
                    )
                    made += save_input(one, result, out, inputs)
                    rows.append(row_of(one, made, result))
                    show(len(rows) + len(skipped), len(found.photos))
    tell_done(rows, skipped, as_json=as_json, quiet=quiet)


@contextmanager
def _interruptible(out: Path, rows: list[Any]) -> Iterator[None]:
    """Ctrl-C within is one line on stderr and exit status 130; files there are whole."""
    try:
        yield
    except KeyboardInterrupt:
        told = f"{printable(out)}: interrupted; {counted(len(rows), 'photo')} done"
        typer.echo(told, err=True)
        raise typer.Exit(130) from None


def _framing(
    reconstructor: "Reconstructor", mask: Path | None, box: "Box | None", background: Ground
) -> "Callable[[Path, Rgba], Framed]":
    """How photos are framed; an error names the file, and the mask's where that is at fault."""

    def frame(path: Path, rgba: "Rgba") -> "Framed":
        light = read_mask(path, mask)
        try:
            return reconstructor.framed(rgba, mask=light, box=box, background=background.choice)
        except ValueError as error:
            at_fault = f" ({mask})" if mask is not None and str(error).startswith("mask:") else ""
            raise ValueError(f"{path}: {error}{at_fault}") from error

    return frame
