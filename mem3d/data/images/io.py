"""Pictures of any kind, by name, folder or pattern, in one form: RGBA, 8 bits, upright."""

import glob
import io
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from memstore.files import open_regular

MAX_BYTES = 512 << 20  # of a file
MAX_PIXELS = 80_000_000  # below the size from which PIL itself starts to warn
# Raster formats that PIL decodes itself. EPS would start Ghostscript on an untrusted file.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "AVIF")
ENDINGS = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".tif"}
ENDINGS |= {".tiff", ".ppm", ".pgm", ".tga", ".avif"}
MAX_NAME = 120  # bytes of a name that folders were put before

# What PIL raises on files that are cut short, damaged or hostile.
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def read_image(
    path: str | Path, max_pixels: int = MAX_PIXELS, *, upright: bool = True
) -> NDArray[np.uint8]:
    """Read a picture as RGBA.

    Args:
        path: a picture file in one of FORMATS; of an animation, the first frame.
        max_pixels: larger pictures are refused before they are decoded.
        upright: turn it as EXIF says; False leaves the pixels as they are stored.

    Returns:
        (H, W, 4) in [0, 255]; alpha is 255 everywhere if the file has none.

    Raises:
        ValueError: damaged, too large, or not a picture.
        OSError: the file cannot be opened, or is a pipe or a device.
    """
    with open_regular(path) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path}: got more than {MAX_BYTES} bytes, want a smaller picture")
    try:
        # Not the file itself: PIL asks it for as many bytes as a chunk claims to have.
        image: Image.Image = Image.open(io.BytesIO(data), formats=known_formats())
        width, height = image.size
        if width * height <= max_pixels:
            image.load()
            return _rgba(ImageOps.exif_transpose(image) if upright else image)
    except UnidentifiedImageError as error:  # its own words name a buffer, not the file
        raise ValueError(
            f"{path}: got no picture of a known kind, want PNG, JPEG or the like"
        ) from error
    except DECODE_ERRORS as error:
        raise ValueError(f"{path}: got an unreadable picture ({error})") from error
    raise ValueError(f"{path}: got {width}x{height} pixels, want at most {max_pixels}")


def to_rgba(image: str | Path | Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture in any form as `read_image` gives it.

    Args:
        image: a file; a PIL image, turned as its EXIF says; or (H, W, 3 or 4) uint8.

    Returns:
        (H, W, 4) in [0, 255]; alpha is 255 everywhere if the picture has none.

    Raises:
        ValueError: no picture, a damaged one, or an array of another kind.
        OSError: the file cannot be opened.
    """
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, Image.Image):
        try:
            return _rgba(ImageOps.exif_transpose(image))
        except DECODE_ERRORS as error:  # PIL decodes late
            raise ValueError(f"image: got an unreadable picture ({error})") from error
    if not isinstance(image, np.ndarray):
        kind = type(image).__name__
        raise ValueError(f"image: got {kind}, want a path, a PIL image or an array")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or not image.size:
        kind = f"{image.dtype} {image.shape}"
        raise ValueError(f"image: got {kind}, want uint8 (H, W, 3) or (H, W, 4)")
    if image.shape[2] == 4:
        return image
    return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])


def list_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """What a folder holds: pictures, by their names' endings, and other files; each sorted.

    Raises:
        ValueError: there is no such folder.
    """
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file())
    except OSError as error:
        raise ValueError(f"{folder}: got no folder to read ({error}), want pictures") from error
    return _by_ending([file for file in files if not file.name.startswith(".")])


def _by_ending(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Pictures, by their names' endings, and other files."""
    pictures = [file for file in files if file.suffix.lower() in ENDINGS]
    return pictures, [file for file in files if file.suffix.lower() not in ENDINGS]


def known_formats() -> list[str]:
    """FORMATS, less those that this build of PIL lacks."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _rgba(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W, 4); deep grays are scaled to 8 bits, where PIL would clip them to white."""
    if image.mode.startswith("I"):  # "I;16" and its kin hold 16 bits, and so do most "I"
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    elif image.mode == "F":
        gray = np.nan_to_num(np.asarray(image))
        unit = gray / 255 if gray.max() > 1 else gray
        image = Image.fromarray((unit.clip(0, 1) * 255).astype(np.uint8))
    return np.array(image.convert("RGBA"), np.uint8)


@dataclass
class PhotoFiles:
    """Photos to open, in order.

    Attributes:
        photos: files to open.
        named: those of them that were asked for one by one, so that a broken one is an error.
        other_files: what was passed over because their endings are no pictures'.
    """

    photos: list[Path] = field(default_factory=list)
    named: set[Path] = field(default_factory=set)
    other_files: list[Path] = field(default_factory=list)


def find_photos(names: Sequence[str | Path]) -> PhotoFiles:
    """Photos that names, folders and patterns stand for.

    Args:
        names: each a file; a folder, whose pictures are meant, but not those of folders in it; or
            a pattern with *, ? or [...], where ** stands for any folders. What exists under its
            very name is no pattern.

    Raises:
        ValueError: a folder without pictures, or a pattern that fits none.
    """
    files = PhotoFiles()
    for name in names:
        path = Path(name)
        if path.is_dir():
            pictures, other_files = list_images(path)
            if not pictures:
                raise ValueError(f"{path}: got no picture in it, want at least one")
        elif not path.exists() and glob.has_magic(str(name)):
            paths = sorted(Path(match) for match in glob.glob(str(name), recursive=True))
            pictures, other_files = _by_ending([file for file in paths if file.is_file()])
            if not pictures:
                raise ValueError(f"{name}: got no picture that fits, want at least one")
        else:
            pictures, other_files = [path], []
            files.named.add(path)
        files.photos += pictures
        files.other_files += other_files
    files.photos = list(dict.fromkeys(files.photos))
    return files


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
    names = {path: name for group in alike.values() for path, name in _names_of(group).items()}
    used: set[str] = set()
    return [_numbered(names[path], used) for path in photos]


def _names_of(photos: list[Path]) -> dict[Path, str]:
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


def _numbered(name: str, used: set[str]) -> str:
    """The name, or where it is taken the first of name-2, name-3, ... that is not."""
    number, free = 1, name
    while free in used:
        number += 1
        free = f"{name}-{number}"
    used.add(free)
    return free
