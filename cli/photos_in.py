"""Photos as they come into `mem3d-cli reconstruct`: found, opened, framed; broken ones told."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
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
    """A photo that could not, among those of a folder or a pattern."""

    path: Path
    reason: str


def found_photos(photos: list[str], quiet: bool) -> "Found":
    """What the words of the command stand for; other files are told."""
    from mem3d.data.photo_search import find_photos

    found = find_photos(photos)
    if found.others and not quiet:
        names = ", ".join(printable(other.name) for other in found.others[:5])
        more = ", ..." if len(found.others) > 5 else ""
        typer.echo(f"skipped {counted(len(found.others), 'other file')} ({names}{more})", err=True)
    return found


def check_apart(files: list[Path], out: Path) -> None:
    """Raise ValueError where a picture to write would replace a photo."""
    photos = {path.resolve() for path in files}
    for name in _names(files):
        for made in (out / f"{name}.png", out / f"{name}.input.png"):
            if made.resolve() in photos:
                raise ValueError(f"{made}: got a photo there, want another folder to write to")


def batches(
    found: "Found", size: int, frame: "Callable[[Path, Rgba], Framed]"
) -> Iterator[list[Opened | Broken]]:
    """Photos in their order, so many at once.

    A broken one that was named ends it, after those before it have been given.
    """
    batch: list[Opened | Broken] = []
    for path, name in zip(found.photos, _names(found.photos), strict=True):
        try:
            batch.append(_open(path, name, frame))
        except (ValueError, OSError) as error:
            if path in found.named:
                if batch:
                    yield batch
                raise
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


def _names(photos: Iterable[Path]) -> list[str]:
    """File names without ending, each once: a second chair.png becomes chair-2."""
    seen: Counter[str] = Counter()
    names = []
    for path in photos:
        seen[path.stem] += 1
        names.append(path.stem if seen[path.stem] == 1 else f"{path.stem}-{seen[path.stem]}")
    return names
