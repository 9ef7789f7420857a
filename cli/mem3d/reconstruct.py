"""mem3d-cli reconstruct: photos in, shapes and pictures of them out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import typer

from mem3d_cli.app import MORE, counted, in_words, printable
from mem3d_cli.options import (
    AsJson,
    Checkpoint,
    Device,
    Ensemble,
    Flip,
    Quiet,
    Threads,
    check_distinct,
    print_json,
    progress_bar,
    set_threads,
)
from mem3d_cli.paths import check_there, run_and_photos, split_words
from mem3d_cli.tables import reconstruction_lines

if TYPE_CHECKING:
    from mem3d.data.images.framing import Background, Framed
    from mem3d.data.images.io import PhotoFiles
    from mem3d.data.images.preprocess import Box, Rgba
    from mem3d.inference.reconstruct import Prior, Reconstruction
    from mem3d.inference.reconstructor import Reconstructor

    Frame = Callable[[Path, Rgba], Framed]

FORMATS = ("glb", "obj", "stl", "ply", "3mf", "binvox", "npz")  # as mem3d.inference.output has them


@dataclass(frozen=True)
class Photo:
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
class UnreadablePhoto:
    """A photo that could not.

    Attributes:
        path: of its file.
        reason: in words.
        error: of one that was named itself, to end the command with; None of one from a folder or
            a pattern.
    """

    path: Path
    reason: str
    error: ValueError | OSError | None = None


class _Drawn(TypedDict):
    """How meshes and pictures of shapes are made; see `Reconstruction.save`."""

    surface: Literal["smooth", "blocky"]
    confidence: bool
    print_size: float | None


def _check_formats(formats: list[str] | None) -> list[str] | None:
    """Typer takes no list of Literals."""
    for name in formats or ():
        if name not in FORMATS:
            raise typer.BadParameter(f"got {name!r}, want one of {', '.join(FORMATS)}")
    return formats


def reconstruct(  # long: half of it are the options
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN] PHOTOS",
            callback=run_and_photos,
            help="Photos: files, folders, or patterns such as 'photos/*.jpg'. Before them, "
            "instead of the bundled network, the folder of a run (made by train) or of a "
            "published one.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder to write to; for one photo also a file that ends in a format or png. "
            "Pictures that this command did not make are not replaced.",
        ),
    ] = Path("reconstructions"),
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="<format>",
            callback=_check_formats,
            help=f"One of {', '.join(FORMATS)}; may be repeated. Default: as --out ends, else glb; "
            "with --print-size stl and 3mf.",
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Picture that is white where the object is, or a folder of them, named as the "
            "photos. Default: the photo's transparency."
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            metavar="<pixels>", help="Where the object is: left,top,right,bottom in pixels."
        ),
    ] = None,
    background: Annotated[
        Literal["auto", "keep", "cut"],
        typer.Option(
            help="Without a mask: cut the object out, keep its background, or auto: keep it if the "
            "network learned with backgrounds, else cut."
        ),
    ] = "auto",
    print_size: Annotated[
        str | None,
        typer.Option(
            metavar="<size>",
            help="For a 3-D printer: longest side of one closed body with a flat base, such as "
            "100mm or 4in. Default for 3mf: 100mm.",
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Voxels are full above this; a lower one fills more.")
    ] = 0.3,
    device: Device = "cpu",
    surface: Annotated[
        Literal["smooth", "blocky"],
        typer.Option(help="Smooth meshes, or voxels as cubes.", rich_help_panel=MORE),
    ] = "smooth",
    no_confidence: Annotated[
        bool,
        typer.Option(
            "--no-confidence",
            help="Gray meshes, not colored by how sure the network is of each place.",
            rich_help_panel=MORE,
        ),
    ] = False,
    inputs: Annotated[
        bool,
        typer.Option(
            "--inputs",
            help="Also write what the network was shown: how the object was cut out.",
            rich_help_panel=MORE,
        ),
    ] = False,
    flip: Flip = False,
    ensemble: Ensemble = None,
    batch: Annotated[
        int,
        typer.Option(
            min=1, help="Photos that go through the network at once.", rich_help_panel=MORE
        ),
    ] = 16,
    which: Checkpoint = "best",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Turn photos into 3-D shapes, and show what was recalled.

    Writes a mesh for each photo, and a picture of it and of the shapes recalled. What becomes of a
    photo's background is said for each; --inputs shows it.

    Example: mem3d-cli reconstruct chair.png -o chair.glb

    In Python: mem3d.load, mem3d.Reconstructor.reconstruct.
    """
    from mem3d.bundled import bundled_model

    first, photos = split_words(words)
    run, others = first or bundled_model(), ensemble or []
    check_distinct(run, others)
    check_there(mask)
    edges, files = _box(box), _find(photos)
    if len(files.photos) > 1 and (edges or (mask is not None and not mask.is_dir())):
        raise ValueError(f"photos: got {len(files.photos)}, want one for a box or a mask file")
    if not 0 < threshold < 1:
        raise ValueError(f"threshold: got {threshold}, want between 0 and 1")
    is_file = _is_file(out, files.photos, formats)
    formats = formats or ([out.suffix.lower()[1:]] if is_file else None)
    size, formats = _to_print(print_size, formats)
    _check_apart(files.photos, out, inputs, is_file)
    from mem3d.inference.reconstructor import load  # takes seconds

    set_threads(threads)
    how = _Drawn(surface=surface, confidence=not no_confidence, print_size=size)
    rows: list[dict[str, Any]] = []
    unreadable: list[UnreadablePhoto] = []
    with _interruptible(out, rows), load(run, which, device, others) as reconstructor:
        frame = _framing(reconstructor, mask, edges, None if background == "auto" else background)
        with progress_bar(quiet, "photos") as show:
            for items in _batches(files, batch, frame):
                readable = [item for item in items if isinstance(item, Photo)]
                unreadable += [item for item in items if isinstance(item, UnreadablePhoto)]
                results = reconstructor.reconstruct_framed(
                    [photo.framed for photo in readable], threshold=threshold, flip=flip
                )
                for photo, result in zip(readable, results, strict=True):
                    if not result.grid.any():
                        _warn_of_empty(photo, result)
                    # Folders are not made before there is something to write.
                    if is_file:
                        out.parent.mkdir(parents=True, exist_ok=True)
                        paths = [_save_file(out, photo, result, how)]
                    else:
                        out.mkdir(parents=True, exist_ok=True)
                        stem = out / photo.name
                        paths = result.save_all(stem, photo.rgba, formats=formats, **how)
                    if inputs:
                        paths.append(_save_input(paths[-1], result))
                    rows.append(_row(photo, paths, result, how))
                    show(len(rows) + len(unreadable), len(files.photos))
    _warn_of_backgrounds(rows)
    _warn_of_doubts(rows)
    if as_json:
        skipped = [{"photo": str(item.path), "reason": item.reason} for item in unreadable]
        print_json({"photos": rows, "skipped": skipped})
    elif rows:
        typer.echo(reconstruction_lines(rows))
    if unreadable and unreadable[-1].error is not None:
        raise unreadable[-1].error
    if not rows:
        raise ValueError(f"photos: got {len(unreadable)} that cannot be read, want at least one")


@contextmanager
def _interruptible(out: Path, rows: list[Any]) -> Iterator[None]:
    """Ctrl-C within is one line on stderr and exit status 130; files there are whole."""
    try:
        yield
    except KeyboardInterrupt:
        notice = f"{printable(out)}: interrupted; {counted(len(rows), 'photo')} done"
        typer.echo(notice, err=True)
        raise typer.Exit(130) from None


def _box(text: str | None) -> "Box | None":
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


def _find(photos: list[str]) -> "PhotoFiles":
    """What the words of the command stand for; files that are no pictures are named on stderr."""
    from mem3d.data.images.io import find_photos

    files = find_photos(photos)
    if files.other_files:
        names = ", ".join(printable(path.name) for path in files.other_files[:5])
        more = ", ..." if len(files.other_files) > 5 else ""
        typer.echo(
            f"skipped {counted(len(files.other_files), 'other file')} ({names}{more})", err=True
        )
    return files


# Endings of files that are not written here, and of hardly any folder.
_FOREIGN = ("gltf", "step", "stp", "fbx", "dae", "3ds", "usd", "usdz", "off", "npy", "jpg")


def _is_file(out: Path, photos: list[Path], formats: list[str] | None) -> bool:
    """Whether --out is one file, by its ending; ValueError if there are more to be written."""
    ending = out.suffix.lower()[1:]
    if out.is_dir():
        return False
    if ending in _FOREIGN:
        raise ValueError(f"{out}: got a file of kind {ending}, want one of {(*FORMATS, 'png')}")
    if ending not in (*FORMATS, "png"):
        return False
    if len(photos) > 1:
        raise ValueError(f"{out}: got one file for {len(photos)} photos, want a folder")
    if formats and formats != [ending]:
        raise ValueError(f"{out}: got one file and --format {formats[0]}, want a folder")
    return True


def _to_print(text: str | None, formats: list[str] | None) -> tuple[float | None, list[str]]:
    """Millimeters of a body to print, None if there is none; and the formats to write."""
    if text is None:
        return None, formats or ["glb"]
    from mem3d.inference.output import PRINT_TYPES
    from mem3d.inference.printing import millimeters

    formats = formats or list(PRINT_TYPES)
    if not set(formats) & set(PRINT_TYPES):
        want = " or ".join(PRINT_TYPES)
        raise ValueError(f"print-size: got {', '.join(formats)} to write, want {want} as well")
    return millimeters(text), formats


def _check_apart(photos: list[Path], out: Path, inputs: bool, is_file: bool) -> None:
    """Raise ValueError where a picture to write would replace one that is not of this command.

    Args:
        photos: their files.
        out: folder to write to, or a file.
        inputs: whether what the network is shown is written too.
        is_file: which of the two.
    """
    from mem3d.data.images.io import distinct_names
    from mem3d.inference.output import is_own_picture

    sources = {path.resolve() for path in photos}
    files = [out] if is_file else [out / f"{name}.png" for name in distinct_names(photos)]
    pictures = [_input_of(file) for file in files] if inputs else []
    pictures += [file for file in files if file.suffix.lower() == ".png"]
    for picture in pictures:
        if picture.resolve() in sources:
            raise ValueError(f"{picture}: got a photo there, want another folder to write to")
        if picture.exists() and not is_own_picture(picture):
            raise ValueError(
                f"{picture}: got a picture there that this command did not make, want another "
                "folder to write to"
            )


def _framing(
    reconstructor: "Reconstructor",
    mask: Path | None,
    box: "Box | None",
    background: "Background | None",
) -> "Frame":
    """How photos are framed; an error names the file, and the mask's where that is at fault."""

    def frame(path: Path, rgba: "Rgba") -> "Framed":
        light = _mask_of(path, mask)
        try:
            return reconstructor.frame(rgba, mask=light, box=box, background=background)
        except ValueError as error:
            at_fault = f" ({mask})" if mask is not None and str(error).startswith("mask:") else ""
            raise ValueError(f"{path}: {error}{at_fault}") from error

    return frame


def _mask_of(path: Path, mask: Path | None) -> "Rgba | None":
    """Of a photo: the mask's picture, or the one in that folder that is named as the photo is."""
    from mem3d.data.images.io import list_images, read_image

    if mask is None:
        return None
    if not mask.is_dir():
        return read_image(mask)
    for picture in list_images(mask)[0]:
        if picture.stem == path.stem:
            return read_image(picture)
    raise ValueError(f"{mask}: got no mask for {path.name}, want {path.stem}.png")


def _batches(
    files: "PhotoFiles", size: int, frame: "Frame"
) -> Iterator[list[Photo | UnreadablePhoto]]:
    """Photos in their order, so many at once.

    An unreadable one that was named is the last, after those before it.
    """
    from mem3d.data.images.framing import shrunk
    from mem3d.data.images.io import distinct_names, read_image

    batch: list[Photo | UnreadablePhoto] = []
    for path, name in zip(files.photos, distinct_names(files.photos), strict=True):
        try:
            rgba = read_image(path)
            batch.append(Photo(path, name, shrunk(rgba)[0], frame(path, rgba)))
        except (ValueError, OSError) as error:
            if path in files.named:
                batch.append(UnreadablePhoto(path, in_words(error), error))
                break
            typer.echo(f"skipped {in_words(error)}", err=True)
            batch.append(UnreadablePhoto(path, in_words(error)))
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _save_file(out: Path, photo: Photo, result: "Reconstruction", how: _Drawn) -> Path:
    """Write the one file that --out names; ValueError if that is a mesh and there is none."""
    from mem3d.inference.output import MAKER
    from memstore.voxels.contact_sheet import save_png

    if out.suffix.lower() == ".png":
        picture = result.picture(
            photo.rgba, name=photo.name, surface=how["surface"], confidence=how["confidence"]
        )
        save_png(out, picture, MAKER)
    else:
        result.save(out, **how)
    return out


def _input_of(file: Path) -> Path:
    """Where what the network was shown is written, beside a result's file."""
    return file.with_name(f"{file.stem}.input.png")


def _save_input(file: Path, result: "Reconstruction") -> Path:
    """Write what the network was shown beside a result's file."""
    from mem3d.inference.output import MAKER
    from memstore.voxels.contact_sheet import save_png

    path = _input_of(file)
    save_png(path, result.network_input, MAKER)
    return path


def _row(photo: Photo, files: list[Path], result: "Reconstruction", how: _Drawn) -> dict[str, Any]:
    """What is printed of a photo; a body to print is made once more, for what was done to it."""
    is_printed = how["print_size"] is not None or any(file.suffix == ".3mf" for file in files)
    body = None
    if is_printed and result.grid.any():
        body = result.printable(how["print_size"], surface=how["surface"])
    return {
        "photo": str(photo.path),
        "background": photo.framed.background,
        "doubts": list(photo.framed.doubts),
        "files": [str(file) for file in files],
        "voxels": int(result.grid.sum()),
        "to_print": None if body is None else {**body.facts(), "in_words": str(body)},
        "remarks": list(result.remarks),
        "recalled": [_recalled(prior) for prior in result.priors],
    }


def _recalled(prior: "Prior") -> dict[str, Any]:
    """A recalled shape; the category is null where its source names none."""
    from mem3d.data.taxonomy import category_of

    cosine, category = round(prior.cosine, 4), category_of(prior.source)
    return {"source": prior.source, "category": category, "cosine": cosine, "slot": prior.slot}


def _warn_of_empty(photo: Photo, result: "Reconstruction") -> None:
    """On stderr, that a photo has no mesh, and why."""
    typer.echo(
        f"{printable(photo.path)}: no voxel is above {result.threshold:g} (the largest is "
        f"{result.occupancy.max():.3f}), so there is no mesh; try a lower --threshold",
        err=True,
    )


def _warn_of_backgrounds(rows: list[dict[str, Any]]) -> None:
    """On stderr, what a user should know before believing the shapes."""
    for background, notice in (
        ("cut", "the object's outline is a guess (see --inputs, --mask, --box)"),
        ("kept", "the background is taken for a part of the object"),
    ):
        photos = [row["photo"] for row in rows if row["background"] == background]
        if photos:
            which = printable(photos[0]) if len(photos) == 1 else f"{len(photos)} photos"
            typer.echo(f"{which}: no mask; {notice}", err=True)


def _warn_of_doubts(rows: list[dict[str, Any]]) -> None:
    """On stderr, of which photos not the whole object may have been cut out, or not it alone."""
    doubtful = [row for row in rows if row["doubts"]]
    what_to_do = "look at it with --inputs, or give --mask or --box"
    for row in doubtful[:5]:
        reasons = ", ".join(row["doubts"])
        typer.echo(
            f"{printable(row['photo'])}: doubtful cut-out: {reasons}; {what_to_do}", err=True
        )
    if len(doubtful) > 5:
        typer.echo(f"{len(doubtful) - 5} more doubtful cut-outs", err=True)
