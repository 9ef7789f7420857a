"""mem3d-cli reconstruct."""

import json
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mem3d_cli.console import (
    AsJson,
    Checkpoint,
    Device,
    Quiet,
    RunFolder,
    VariantsOfPhoto,
    Which,
    printable,
    progress_bar,
)
from mem3d_cli.tables import reconstruction_lines

if TYPE_CHECKING:
    from mem3d.config import Preset
    from mem3d.data.framing import Background, Framed
    from mem3d.data.transforms import Box, Rgba
    from mem3d.reconstruction import Reconstruction


class Ground(StrEnum):
    """What becomes of the background of photos without a mask."""

    auto = "auto"
    keep = "keep"
    cut = "cut"


def reconstruct(  # long: half of it are the options
    run: RunFolder,
    photos: Annotated[
        list[Path], typer.Argument(help="Pictures, or folders of them; alpha is the mask.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("reconstructions"),
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
    which: Checkpoint = Which.best,
    device: Device = "cpu",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Turn photos into meshes (GLB) and pictures of what was recalled.

    What becomes of a background is told per photo; --inputs shows it. Library:
    mem3d.data.framing.frame_photo, mem3d.reconstruct.

    Example: mem3d-cli reconstruct runs/first chair.png photos/ --out shapes
    """
    from mem3d.checkpoint import load
    from mem3d.projections import projections_of
    from mem3d.reconstruction import reconstruct as reconstruct_photos
    from mem3d.reconstruction import write
    from memstore.sheets import save_png

    wanted = None if box is None else _box(box)
    files, listed = _found(photos, quiet)
    if len(files) > 1 and (wanted is not None or (mask is not None and not mask.is_dir())):
        raise ValueError(f"photos: got {len(files)}, want one for a box or a mask file")
    _check_apart(files, out)
    model, memory, state = load(run, which.value, device)
    kept = projections_of(model, memory)
    choice = _choice(background, state.preset)
    rows: list[dict[str, Any]] = []
    with progress_bar(quiet, "photos") as show:
        for done, (path, name) in enumerate(zip(files, _names(files), strict=True), start=1):
            opened = _open(path, _mask_of(path, mask), wanted, choice, path in listed)
            if opened is not None:
                rgba, framed = opened
                if framed.background != "masked" and not quiet:
                    typer.echo(f"{printable(path)}: {_TOLD[framed.background]}", err=True)
                [result] = reconstruct_photos(
                    model,
                    memory,
                    [framed.rgba],
                    threshold=threshold,
                    framed=True,
                    tta=tta,
                    projections=kept,
                )
                out.mkdir(parents=True, exist_ok=True)  # not before there is something to write
                made = write(rgba, result, out / name)
                if inputs:
                    made.append(out / f"{name}.input.png")
                    save_png(made[-1], result.seen)
                rows.append(_row(path, made, framed, result))
            show(done, len(files))
    typer.echo(json.dumps(rows) if as_json else reconstruction_lines(rows))


_TOLD = {
    "cut": "no mask; the object was cut out by its colours (see --inputs, --mask, --box)",
    "kept": "no mask; the background is taken for a part of the object",
}


def _found(photos: list[Path], quiet: bool) -> tuple[list[Path], set[Path]]:
    """All files to open, and those of them that were found in folders."""
    from mem3d.data.photos import pictures_in

    files: list[Path] = []
    listed: set[Path] = set()
    for path in photos:
        if not path.is_dir():
            files.append(path)
            continue
        pictures, others = pictures_in(path)
        if not pictures:
            raise ValueError(f"{path}: got no picture in it, want at least one")
        if others and not quiet:
            names = ", ".join(printable(other.name) for other in others[:5])
            more = ", ..." if len(others) > 5 else ""
            typer.echo(f"{path}: skipped {len(others)} other files ({names}{more})", err=True)
        files += pictures
        listed |= set(pictures)
    return files, listed


def _check_apart(files: list[Path], out: Path) -> None:
    """Raise ValueError where a picture to write would replace a photo."""
    photos = {path.resolve() for path in files}
    for name in _names(files):
        for made in (out / f"{name}.png", out / f"{name}.input.png"):
            if made.resolve() in photos:
                raise ValueError(f"{made}: got a photo there, want another folder to write to")


def _open(
    path: Path,
    mask: Path | None,
    box: "Box | None",
    background: "Background | None",
    is_listed: bool,
) -> "tuple[Rgba, Framed] | None":
    """Photo, and the square to show the network; None, with a notice, for a bad one in a folder."""
    from mem3d.data.framing import frame_photo
    from mem3d.data.photos import photo

    try:
        rgba = photo(path)
        light = None if mask is None else photo(mask)
        return rgba, _naming(
            path, mask, lambda: frame_photo(rgba, mask=light, box=box, background=background)
        )
    except ValueError as error:
        if not is_listed:
            raise
        typer.echo(f"skipped {printable(error)}", err=True)
        return None


def _naming(path: Path, mask: Path | None, act: "Callable[[], Framed]") -> "Framed":
    """What `act` gives; its error names the file, and the mask's where that is at fault."""
    try:
        return act()
    except ValueError as error:
        at_fault = f" ({mask})" if mask is not None and str(error).startswith("mask:") else ""
        raise ValueError(f"{path}: {error}{at_fault}") from error


def _choice(background: Ground, preset: "Preset") -> "Background | None":
    """As `frame_photo` wants it; a network that knows backgrounds is shown them."""
    if background is Ground.keep or background is Ground.cut:
        return "keep" if background is Ground.keep else "cut"
    train = preset.train
    return "keep" if train.augment and train.augmentation.backgrounds else None


def _box(text: str) -> "Box":
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"box: got {text!r}, want left,top,right,bottom") from None
    if not (left < right and top < bottom):
        raise ValueError(f"box: got {text!r}, want left < right and top < bottom")
    return left, top, right, bottom


def _mask_of(path: Path, mask: Path | None) -> Path | None:
    """The mask itself, or the picture in its folder that is named as the photo is."""
    from mem3d.data.photos import pictures_in

    if mask is None or not mask.is_dir():
        return mask
    for found in pictures_in(mask)[0]:
        if found.stem == path.stem:
            return found
    raise ValueError(f"{mask}: got no mask for {path.name}, want {path.stem}.png")


def _names(photos: list[Path]) -> list[str]:
    """File names without ending, each once: a second chair.png becomes chair-2."""
    seen: Counter[str] = Counter()
    names = []
    for path in photos:
        seen[path.stem] += 1
        names.append(path.stem if seen[path.stem] == 1 else f"{path.stem}-{seen[path.stem]}")
    return names


def _row(
    path: Path, files: list[Path], framed: "Framed", result: "Reconstruction"
) -> dict[str, Any]:
    return {
        "photo": str(path),
        "background": framed.background,
        "files": [str(file) for file in files],
        "voxels": int(result.grid.sum()),
        "recalled": [
            {"source": prior.source, "cosine": round(prior.cosine, 4), "slot": prior.slot}
            for prior in result.priors
        ],
    }
