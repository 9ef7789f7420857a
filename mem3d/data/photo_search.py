"""Photos by name, by folder and by pattern, each once."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mem3d.data.photos import ENDINGS, pictures_in

MAX_NAME = 120  # bytes of a name that folders were put before


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


def distinct_names(photos: Sequence[Path]) -> list[str]:
    """A file name without ending for each photo, no two alike.

    A stem that is there once stays. Of others, all are told apart by the folders they lie in, as
    few as will do: 0000005_rendering_00. Where that cannot be, the second is numbered: chair-2.

    Args:
        photos: files, each once.
    """
    alike: dict[str, list[Path]] = {}
    for path in photos:
        alike.setdefault(path.stem, []).append(path)
    wanted = {path: name for group in alike.values() for path, name in _told_apart(group).items()}
    taken: set[str] = set()
    return [_numbered(wanted[path], taken) for path in photos]


def _told_apart(photos: list[Path]) -> dict[Path, str]:
    """Names of photos of one stem; alike where they lie in one folder, or folders are too many."""
    places = {path: Path(os.path.abspath(path)).with_name(path.stem).parts[1:] for path in photos}
    apart = len(set(places.values()))
    for depth in range(1, max(map(len, places.values())) + 1):
        names = {path: _joined(parts[-depth:]) for path, parts in places.items()}
        if len(set(names.values())) == apart:
            break
    return names


def _joined(parts: Sequence[str]) -> str:
    """Folders and a stem as one name, cut at its beginning; not that of a hidden file."""
    name = "_".join(parts)
    most = max(MAX_NAME, len(os.fsencode(parts[-1])))
    while len(os.fsencode(name)) > most or (len(parts) > 1 and name.startswith(".")):
        name = name[1:]
    return name


def _numbered(name: str, taken: set[str]) -> str:
    """The name, or where it is taken the first of name-2, name-3, ... that is not."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free)
    return free


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
