"""Photos as they come into `mem3d-cli reconstruct`: found, opened, framed; broken ones told."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mem3d_cli.console import counted, in_words, printable

if TYPE_CHECKING:
    from mem3d.data.framing import Background, Framed
    from mem3d.data.photo_search import Found
    from mem3d.data.transforms import Box, Rgba


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


def found_photos(photos: list[str], quiet: bool) -> "Found":
    """What the words of the command stand for; other files are told."""
    from mem3d.data.photo_search import find_photos

    found = find_photos(photos)
    if found.others and not quiet:
        names = ", ".join(printable(other.name) for other in found.others[:5])
        more = ", ..." if len(found.others) > 5 else ""
        typer.echo(f"skipped {counted(len(found.others), 'other file')} ({names}{more})", err=True)
    return found


def check_apart(files: list[Path], out: Path, inputs: bool) -> None:
    """Raise ValueError where a picture to write would replace one that is not of this command.

    Args:
        files: the photos.
        out: folder to write to.
        inputs: whether what the network is shown is written too.
    """
    from mem3d.data.photo_search import distinct_names
    from mem3d.shape_files import is_own_picture

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
    found: "Found", size: int, frame: "Callable[[Path, Rgba], Framed]"
) -> Iterator[list[Opened | Broken]]:
    """Photos in their order, so many at once.

    A broken one that was named is the last, after those before it.
    """
    from mem3d.data.photo_search import distinct_names

    batch: list[Opened | Broken] = []
    for path, name in zip(found.photos, distinct_names(found.photos), strict=True):
        try:
            batch.append(_open(path, name, frame))
        except (ValueError, OSError) as error:
            if path in found.named:
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
    from mem3d.data.photos import photo, pictures_in

    if mask is None:
        return None
    if not mask.is_dir():
        return photo(mask)
    for found in pictures_in(mask)[0]:
        if found.stem == path.stem:
            return photo(found)
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
    from mem3d.data.framing import shrunk
    from mem3d.data.photos import photo

    rgba = photo(path)
    return Opened(path, name, shrunk(rgba)[0], frame(path, rgba))
