"""mem3d-cli reconstruct: photos in, shapes and pictures of them out."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mem3d_cli.app import MORE, counted, printable
from mem3d_cli.imports import import_uncollected
from mem3d_cli.options import (
    AsJson,
    Checkpoint,
    Device,
    Ensemble,
    Flip,
    Quiet,
    RayAddress,
    Threads,
    UseRay,
    Workers,
    check_distinct,
    hiring_of,
    print_json,
    progress_bar,
    thread_count,
)
from mem3d_cli.paths import check_there, run_and_photos, split_words
from mem3d_cli.tables import reconstruction_lines

if TYPE_CHECKING:
    from mem3d.actors import Crew, Hiring
    from mem3d.data.images.io import PhotoFiles
    from mem3d.data.images.preprocess import Box
    from mem3d.inference.photos import PhotoJob, PhotoResult, PhotoWorker, UnreadablePhoto

FORMATS = ("glb", "obj", "stl", "ply", "3mf", "binvox", "npz")  # as mem3d.inference.output has them
UNFINISHED = "unfinished.jsonl"  # as mem3d.inference.photos has it


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
            "to print, stl and 3mf.",
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
            "100mm or 4in. Default for 3mf: 100mm; an stl without it is 1 mm long in a slicer.",
        ),
    ] = None,
    print_height: Annotated[
        str | None,
        typer.Option(
            metavar="<size>",
            help="As --print-size, but of the height.",
            rich_help_panel=MORE,
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
    ray: UseRay = False,
    ray_address: RayAddress = None,
    workers: Workers = None,
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
    hiring = hiring_of(ray, ray_address, workers, device)
    edges, files = _box(box), _find(photos)
    if len(files.photos) > 1 and (edges or (mask is not None and not mask.is_dir())):
        raise ValueError(f"photos: got {len(files.photos)}, want one for a box or a mask file")
    if not 0 < threshold < 1:
        raise ValueError(f"threshold: got {threshold}, want between 0 and 1")
    is_file = _is_file(out, files.photos, formats)
    formats = formats or ([out.suffix.lower()[1:]] if is_file else None)
    size, height, formats = _to_print(print_size, print_height, formats)
    _check_apart(files.photos, out, inputs, is_file)
    import_uncollected("mem3d.inference.photos")  # torch too, which takes seconds
    from mem3d.inference.photos import PhotoJob

    job = PhotoJob(
        run=run,
        out=out,
        threads=thread_count(threads),
        is_file=is_file,
        ensemble=tuple(others),
        which=which,
        device=device,
        mask=mask,
        box=edges,
        background=None if background == "auto" else background,
        threshold=threshold,
        flip=flip,
        formats=tuple(formats),
        surface=surface,
        confidence=not no_confidence,
        print_size=size,
        print_height=height,
        inputs=inputs,
    )
    rows: list[dict[str, Any]] = []
    unreadable: list[UnreadablePhoto] = []
    _reconstruct(job, files, batch, hiring, quiet, rows, unreadable)
    _warn_of_backgrounds(rows)
    _warn_of_doubts(rows)
    if (size, height) == (None, None):
        _tell_of_millimeters(rows)
    if as_json:
        skipped = [{"photo": str(item.path), "reason": item.reason} for item in unreadable]
        print_json({"photos": rows, "skipped": skipped})
    elif rows:
        typer.echo(reconstruction_lines(rows))
    if unreadable and unreadable[-1].error is not None:
        raise unreadable[-1].error
    if not rows:
        raise ValueError(f"photos: got {len(unreadable)} that cannot be read, want at least one")


def _reconstruct(
    job: "PhotoJob",
    files: "PhotoFiles",
    batch: int,
    hiring: "Hiring | None",
    quiet: bool,
    rows: list[dict[str, Any]],
    unreadable: list["UnreadablePhoto"],
) -> None:
    """Do all photos, whose rows are added as they are done.

    Several are noted in a journal, and those that are in it are not done again.
    """
    from mem3d.inference import photos

    batches = photos.batches_of(files, batch)
    with _interruptible(job.out, rows), ExitStack() as opened:
        crew = _crew(job, hiring)
        opened.callback(crew.close)
        journal = None
        if len(files.photos) > 1:
            journal = opened.enter_context(photos.unfinished(job, crew.identity))
        rests = photos.rests_of(batches, journal, job)
        outcomes = [outcome for rest in rests for outcome in rest.outcomes]
        _tell_of_resumption(
            job.out, sum(isinstance(outcome, photos.PhotoResult) for outcome in outcomes)
        )
        show = opened.enter_context(progress_bar(quiet, "photos"))
        for outcome in photos.outcomes_of(rests, crew, journal, job):
            if isinstance(outcome, photos.UnreadablePhoto):
                unreadable.append(outcome)
                if outcome.error is None:
                    typer.echo(f"skipped {printable(outcome.reason)}", err=True)
            else:
                rows.append(outcome.row)
                if not outcome.row["voxels"]:
                    _warn_of_empty(outcome, job.threshold)
            show(len(rows) + len(unreadable), len(files.photos))
        if journal is not None and not (unreadable and unreadable[-1].error):
            journal.remove()


def _crew(job: "PhotoJob", hiring: "Hiring | None") -> "PhotoWorker | Crew":
    """Who does the photos."""
    from mem3d.actors import Crew
    from mem3d.inference.photos import PhotoWorker, RemotePhotos

    if hiring is None:
        return PhotoWorker(job)
    return Crew(partial(RemotePhotos, job), hiring, job.threads)


def _tell_of_resumption(out: Path, photos: int) -> None:
    """On stderr, that some photos are not done again."""
    if photos:
        notice = "done before the interruption; the rest follows"
        typer.echo(f"{printable(out)}: {counted(photos, 'photo')} {notice}", err=True)


@contextmanager
def _interruptible(out: Path, rows: list[Any]) -> Iterator[None]:
    """Ctrl-C within is one line on stderr and exit status 130; files there are whole."""
    try:
        yield
    except KeyboardInterrupt:
        notice = f"{printable(out)}: interrupted; {counted(len(rows), 'photo')} done"
        if (out / UNFINISHED).exists():
            notice = f"{notice}; the same command goes on from there"
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


def _to_print(
    size: str | None, height: str | None, formats: list[str] | None
) -> tuple[float | None, float | None, list[str]]:
    """Millimeters of a body to print, longest side or height, if any; and the formats to write."""
    if size is not None and height is not None:
        raise ValueError("print-size: got --print-height too, want one of them")
    if size is None and height is None:
        return None, None, formats or ["glb"]
    from mem3d.inference.output import PRINT_TYPES
    from mem3d.inference.printing import millimeters

    formats = formats or list(PRINT_TYPES)
    if not set(formats) & set(PRINT_TYPES):
        want = " or ".join(PRINT_TYPES)
        name = "print-size" if height is None else "print-height"
        raise ValueError(f"{name}: got {', '.join(formats)} to write, want {want} as well")
    if height is not None:
        return None, millimeters(height, "print height"), formats
    assert size is not None
    return millimeters(size), None, formats


def _check_apart(photos: list[Path], out: Path, inputs: bool, is_file: bool) -> None:
    """Raise ValueError where a picture to write would replace one that is not of this command.

    Args:
        photos: their files.
        out: folder to write to, or a file.
        inputs: whether what the network is shown is written too.
        is_file: which of the two.
    """
    from mem3d.data.images.io import distinct_names
    from mem3d.inference.output import input_of, is_own_picture

    sources = {path.resolve() for path in photos}
    files = [out] if is_file else [out / f"{name}.png" for name in distinct_names(photos)]
    pictures = [input_of(file) for file in files] if inputs else []
    pictures += [file for file in files if file.suffix.lower() == ".png"]
    for picture in pictures:
        if picture.resolve() in sources:
            raise ValueError(f"{picture}: got a photo there, want another folder to write to")
        if picture.exists() and not is_own_picture(picture):
            raise ValueError(
                f"{picture}: got a picture there that this command did not make, want another "
                "folder to write to"
            )


def _warn_of_empty(photo: "PhotoResult", threshold: float) -> None:
    """On stderr, that a photo has no mesh, and why."""
    typer.echo(
        f"{printable(photo.path)}: no voxel is above {threshold:g} (the largest is "
        f"{photo.largest:.3f}), so there is no mesh; try a lower --threshold",
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


def _tell_of_millimeters(rows: list[dict[str, Any]]) -> None:
    """On stderr, that .stl files without a size are tiny, as slicers take their numbers."""
    files = [file for row in rows for file in row["files"] if file.endswith(".stl")]
    if files:
        which = printable(files[0]) if len(files) == 1 else f"{len(files)} .stl files"
        notice = "at most 1 mm long in a slicer; --print-size 100mm makes a body to print"
        typer.echo(f"{which}: {notice}", err=True)


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
