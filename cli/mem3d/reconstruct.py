"""mem3d-cli reconstruct."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mem3d_cli.app import counted, in_words, printable
from mem3d_cli.options import (
    AsJson,
    Checkpoint,
    Device,
    Flip,
    Others,
    Quiet,
    RunFolder,
    Threads,
    Which,
    check_distinct,
    print_json,
    progress_bar,
    set_threads,
)
from mem3d_cli.tables import reconstruction_lines

if TYPE_CHECKING:
    from mem3d.data.images.framing import Background, Framed
    from mem3d.data.images.io import PhotoFiles
    from mem3d.data.images.preprocess import Box, Rgba
    from mem3d.inference.reconstruct import Prior, Reconstruction
    from mem3d.inference.reconstructor import Reconstructor


class Ground(StrEnum):
    """What becomes of the background of photos without a mask."""

    auto = "auto"
    keep = "keep"
    cut = "cut"

    @property
    def choice(self) -> "Background | None":
        """As the library wants it."""
        return None if self is Ground.auto else "keep" if self is Ground.keep else "cut"


@dataclass(frozen=True)
class Opened:
    """A photo that could be read.

    Attributes:
        path: of its file.
        name: of what is to be written, without ending.
        rgba: (H, W, 4), for pictures: no side is over 1,024 pixels.
        framed: what the network is to see.
    """

    path: Path
    name: str
    rgba: "Rgba"
    framed: "Framed"


@dataclass(frozen=True)
class Broken:
    """A photo that could not.

    Attributes:
        path: of its file.
        reason: in words.
        error: of one that was named itself, to end the command with; None of one that was found in
            a folder or by a pattern.
    """

    path: Path
    reason: str
    error: ValueError | OSError | None = None


def photo_files(photos: list[str], quiet: bool) -> "PhotoFiles":
    """What the words of the command stand for; other files are told."""
    from mem3d.data.images.io import find_photos

    files = find_photos(photos)
    if (other_files := files.other_files) and not quiet:
        names = ", ".join(printable(path.name) for path in other_files[:5])
        more = ", ..." if len(other_files) > 5 else ""
        typer.echo(f"skipped {counted(len(other_files), 'other file')} ({names}{more})", err=True)
    return files


def check_apart(files: list[Path], out: Path, inputs: bool) -> None:
    """Raise ValueError where a picture to write would replace one that is not of this command.

    Args:
        files: the photos.
        out: folder to write to.
        inputs: whether what the network is shown is written too.
    """
    from mem3d.data.images.io import distinct_names
    from mem3d.inference.output import is_own_picture

    photos = {path.resolve() for path in files}
    endings = (".png", ".input.png") if inputs else (".png",)
    for name in distinct_names(files):
        for made in (out / f"{name}{ending}" for ending in endings):
            if made.resolve() in photos:
                raise ValueError(f"{made}: got a photo there, want another folder to write to")
            if made.exists() and not is_own_picture(made):
                raise ValueError(
                    f"{made}: got a picture there that this command did not make, want another "
                    "folder to write to"
                )


def batches(
    files: "PhotoFiles", size: int, frame: "Callable[[Path, Rgba], Framed]"
) -> Iterator[list[Opened | Broken]]:
    """Photos in their order, so many at once.

    A broken one that was named is the last, after those before it.
    """
    from mem3d.data.images.io import distinct_names

    batch: list[Opened | Broken] = []
    for path, name in zip(files.photos, distinct_names(files.photos), strict=True):
        try:
            batch.append(_open(path, name, frame))
        except (ValueError, OSError) as error:
            if path in files.named:
                batch.append(Broken(path, in_words(error), error))
                break
            typer.echo(f"skipped {in_words(error)}", err=True)
            batch.append(Broken(path, in_words(error)))
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def read_mask(path: Path, mask: Path | None) -> "Rgba | None":
    """Of a photo: the picture given, or the one in the folder given that is named as it is."""
    from mem3d.data.images.io import list_images, read_image

    if mask is None:
        return None
    if not mask.is_dir():
        return read_image(mask)
    for picture in list_images(mask)[0]:
        if picture.stem == path.stem:
            return read_image(picture)
    raise ValueError(f"{mask}: got no mask for {path.name}, want {path.stem}.png")


def parsed_box(text: str | None) -> "Box | None":
    """left,top,right,bottom."""
    if text is None:
        return None
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"box: got {text!r}, want left,top,right,bottom") from None
    if not (left < right and top < bottom):
        raise ValueError(f"box: got {text!r}, want left < right and top < bottom")
    return left, top, right, bottom


def _open(path: Path, name: str, frame: "Callable[[Path, Rgba], Framed]") -> Opened:
    from mem3d.data.images.framing import shrunk
    from mem3d.data.images.io import read_image

    rgba = read_image(path)
    return Opened(path, name, shrunk(rgba)[0], frame(path, rgba))


def tell_empty(one: Opened, result: "Reconstruction") -> None:
    """On stderr, that a photo has no mesh, and why."""
    told = (
        f"{printable(one.path)}: no voxel is above {result.threshold:g} (the largest is "
        f"{result.occupancy.max():.3f}), so there is no mesh; try a lower --threshold"
    )
    typer.echo(told, err=True)


def save_input(one: Opened, result: "Reconstruction", out: Path, wanted: bool) -> list[Path]:
    """Write what the network was shown, if wanted; the file, or none."""
    from mem3d.inference.output import MAKER
    from memstore.voxels.contact_sheet import save_png

    if not wanted:
        return []
    path = out / f"{one.name}.input.png"
    save_png(path, result.network_input, MAKER)
    return [path]


def row_of(one: Opened, files: list[Path], result: "Reconstruction") -> dict[str, Any]:
    """What is told of a photo that is done."""
    return {
        "photo": str(one.path),
        "background": one.framed.background,
        "files": [str(file) for file in files],
        "voxels": int(result.grid.sum()),
        "recalled": [_recalled(prior) for prior in result.priors],
    }


def tell_done(
    rows: list[dict[str, Any]], skipped: list[Broken], *, as_json: bool, quiet: bool
) -> None:
    """Print what was done; raise what ended the command early, or ValueError if that is nothing."""
    if not quiet:
        _tell_unmasked(rows)
    if as_json:
        unread = [{"photo": str(one.path), "reason": one.reason} for one in skipped]
        print_json({"photos": rows, "skipped": unread})
    elif rows:
        typer.echo(reconstruction_lines(rows))
    if skipped and skipped[-1].error is not None:
        raise skipped[-1].error
    if not rows:
        raise ValueError(f"photos: got {len(skipped)} that cannot be read, want at least one")


def _tell_unmasked(rows: list[dict[str, Any]]) -> None:
    """On stderr, what a user should know before believing the shapes."""
    for background, told in (
        ("cut", "the object was cut out by its colors (see --inputs, --mask, --box)"),
        ("kept", "the background is taken for a part of the object"),
    ):
        photos = [row["photo"] for row in rows if row["background"] == background]
        if photos:
            which = printable(photos[0]) if len(photos) == 1 else f"{len(photos)} photos"
            typer.echo(f"{which}: no mask; {told}", err=True)


def _recalled(prior: "Prior") -> dict[str, Any]:
    """A recalled shape; the category is null where its source names none."""
    from mem3d.data.taxonomy import category_of

    cosine, category = round(prior.cosine, 4), category_of(prior.source)
    return {"source": prior.source, "category": category, "cosine": cosine, "slot": prior.slot}


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
        bool, typer.Option(help="Color meshes by how sure the network is of each place.")
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
    flip: Flip = False,
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
    is told per photo; --inputs shows it.

    Library: mem3d.load(RUN, ensemble=[...]).reconstruct(photo).

    Example: mem3d-cli reconstruct runs/first chair.png photos/ --out shapes
    """
    from mem3d.inference.reconstructor import load
    from mem3d.network.checkpoint import check_trained

    check_distinct(run, others or [])
    for one in (run, *(others or [])):
        check_trained(one)
    wanted, files = parsed_box(box), photo_files(photos, quiet)
    if len(files.photos) > 1 and (wanted or (mask is not None and not mask.is_dir())):
        raise ValueError(f"photos: got {len(files.photos)}, want one for a box or a mask file")
    if not 0 < threshold < 1:
        raise ValueError(f"threshold: got {threshold}, want between 0 and 1")
    check_apart(files.photos, out, inputs)
    set_threads(threads)
    rows: list[dict[str, Any]] = []
    skipped: list[Broken] = []
    with _interruptible(out, rows), load(run, which.value, device, others or []) as reconstructor:
        frame = _framing(reconstructor, mask, wanted, background)
        with progress_bar(quiet, "photos") as show:
            for part in batches(files, batch, frame):
                opened = [one for one in part if isinstance(one, Opened)]
                skipped += [one for one in part if isinstance(one, Broken)]
                results = reconstructor.reconstruct_framed(
                    [one.framed for one in opened], threshold=threshold, flip=flip
                )
                for one, result in zip(opened, results, strict=True):
                    if not result.grid.any():
                        tell_empty(one, result)
                    out.mkdir(parents=True, exist_ok=True)  # not before there is something to write
                    made = result.save_all(
                        out / one.name,
                        one.rgba,
                        formats=[kind.value for kind in formats],
                        surface=surface.value,
                        confidence=confidence,
                    )
                    made += save_input(one, result, out, inputs)
                    rows.append(row_of(one, made, result))
                    show(len(rows) + len(skipped), len(files.photos))
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
            return reconstructor.frame(rgba, mask=light, box=box, background=background.choice)
        except ValueError as error:
            at_fault = f" ({mask})" if mask is not None and str(error).startswith("mask:") else ""
            raise ValueError(f"{path}: {error}{at_fault}") from error

    return frame
