"""Photos by name, by folder and by pattern, each once."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mem3d.data.photos import ENDINGS, pictures_in


@dataclass
class Found:
    """What was found, in order.

    Attributes:
        photos: files to open.
        named: those of them that were asked for one by one, so that a broken one is an error.
        others: files that were passed over because their endings are no pictures'.
    """

    photos: list[Path] = field(default_factory=list)
    named: set[Path] = field(default_factory=set)
    others: list[Path] = field(default_factory=list)


def find_photos(wanted: Sequence[str | Path]) -> Found:
    """Photos that names, folders and patterns stand for.

    Args:
        wanted: each a file; a folder, whose pictures are meant, but not those of folders in it; or
            a pattern with *, ? or [...], where ** stands for any folders. What exists under its
            very name is no pattern.

    Raises:
        ValueError: a folder without pictures, or a pattern that fits none.
    """
    found = Found()
    for one in wanted:
        path = Path(one)
        if path.is_dir():
            _add_folder(found, path)
        elif not path.exists() and glob.has_magic(str(one)):
            _add_pattern(found, str(one))
        else:
            found.photos.append(path)
            found.named.add(path)
    found.photos = list(dict.fromkeys(found.photos))
    return found


def _add_folder(found: Found, folder: Path) -> None:
    pictures, others = pictures_in(folder)
    if not pictures:
        raise ValueError(f"{folder}: got no picture in it, want at least one")
    found.photos += pictures
    found.others += others


def _add_pattern(found: Found, pattern: str) -> None:
    paths = sorted(Path(name) for name in glob.glob(pattern, recursive=True))
    files = [path for path in paths if path.is_file()]
    pictures = [path for path in files if path.suffix.lower() in ENDINGS]
    if not pictures:
        raise ValueError(f"{pattern}: got no picture that fits, want at least one")
    found.photos += pictures
    found.others += [path for path in files if path.suffix.lower() not in ENDINGS]
