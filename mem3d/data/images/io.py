"""Pictures of any kind, by name, folder or pattern, in one form: RGBA, 8 bits, upright."""

import glob
import io
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from memstore.files import open_regular

MAX_BYTES = 320 << 20  # of a file
MAX_PIXELS = 80_000_000  # below the size from which PIL itself starts to warn
MAX_RAM = 640 << 20  # bytes that reading a picture may take, those of its file among them
# Bytes for each pixel meanwhile: the decoder's, PIL's and the result's; measured, with room.
_PIXEL_BYTES = {"WEBP": 22, "AVIF": 20, "HEIF": 16}
_PLAIN, _IN_SCANS = 9, 14  # of other formats; of a JPEG in several scans (progressive)
_NO_HEIC = (
    "got a HEIC picture, which the package pillow-heif reads: want the extra 'heic' (in a "
    "checkout: pip install -c constraints.txt -e '.[heic]'), or the picture as JPEG"
)
_BAND = 1 << 20  # pixels that are converted at once
_LEVELS = {"L;2": 85, "L;4": 17}  # how PIL scales grays of few bits, but not their tRNS
# Raster formats that PIL decodes itself. EPS would start Ghostscript on an untrusted file.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "AVIF")
ENDINGS = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".tif"}
ENDINGS |= {".tiff", ".ppm", ".pgm", ".tga", ".avif", ".heic", ".heif"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}  # after "ftyp"
MAX_NAME = 120  # bytes of a name that folders were put before
MAX_STEM = 220  # of any: with its ending, and as it is written, a file's name may have 255
Rgba = NDArray[np.uint8]

# What PIL raises on files that are cut short, damaged or hostile.
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    RuntimeError,  # libheif's
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS, *, upright: bool = True) -> Rgba:
    """Read a picture as RGBA.

    Args:
        path: a picture file in one of FORMATS, or HEIC where pillow-heif is installed; of an
            animation, the first frame.
        max_pixels: larger pictures are refused before they are decoded, as are those whose
            decoding would take more than MAX_RAM bytes.
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
        image: Image.Image = Image.open(io.BytesIO(data), formats=known_formats(data))
        most = min(max_pixels, most_pixels(image, len(data)))
        width, height = _decoded_size(image)
        if width * height <= most:
            _mend_transparency(image)
            image.load()
            if upright:
                ImageOps.exif_transpose(image, in_place=True)
            return _rgba(image)
    except UnidentifiedImageError as error:  # its own words name a buffer, not the file
        reason = "got no picture of a known kind, want PNG, JPEG or the like"
        if _is_heic(data):
            reason = "got a damaged HEIC picture" if "HEIF" in Image.OPEN else _NO_HEIC
        raise ValueError(f"{path}: {reason}") from error
    except DECODE_ERRORS as error:
        raise ValueError(f"{path}: got an unreadable picture ({error})") from error
    raise ValueError(f"{path}: got {width}x{height} pixels, want at most {most}")


def _decoded_size(image: Image.Image) -> tuple[int, int]:
    """Of the picture, or of its first tile where a TIFF says that this is larger."""
    sides = (image.tag_v2.get(tag, 0) for tag in (322, 323)) if hasattr(image, "tag_v2") else (0, 0)
    width, height = (max(1, int(side)) for side in sides)
    return max(image.size, (width, height), key=lambda size: size[0] * size[1])


def most_pixels(image: Image.Image, file_bytes: int = 0) -> int:
    """Pixels from which reading such a picture would take more than MAX_RAM bytes."""
    usual = _IN_SCANS if "progressive" in image.info else _PLAIN
    return (MAX_RAM - file_bytes) // _PIXEL_BYTES.get(image.format or "", usual)


def _mend_transparency(image: Image.Image) -> None:
    """Give a PNG's transparent color the scale of its pixels, which PIL forgets."""
    color = image.info.get("transparency")
    if color is None or not isinstance(image, PngImageFile):
        return
    raw_mode = image.tile[0].args if image.tile else ""
    if raw_mode in _LEVELS:
        image.info["transparency"] = color * _LEVELS[raw_mode]
    elif raw_mode == "RGB;16B":
        image.info["transparency"] = tuple(level >> 8 for level in color)


def to_rgba(image: str | Path | Image.Image | NDArray[Any], name: str = "image") -> Rgba:
    """A picture in any form as `read_image` gives it.

    Args:
        image: a file; a PIL image, turned as its EXIF says; or uint8 (H, W), (H, W, 1), (H, W, 3)
            or (H, W, 4). Of bool, True is light; other integers do where all are 0..255.
        name: that errors give to what is no file.

    Returns:
        (H, W, 4) in [0, 255]; alpha is 255 everywhere if the picture has none.

    Raises:
        ValueError: no picture, a damaged one, too large a one, or an array of another kind.
        OSError: the file cannot be opened.
    """
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, Image.Image):
        if image.width * image.height > min(MAX_PIXELS, most_pixels(image)):
            size = f"{image.width}x{image.height}"
            raise ValueError(f"{name}: got {size} pixels, want a smaller picture")
        try:
            return _rgba(ImageOps.exif_transpose(image))
        except DECODE_ERRORS as error:  # PIL decodes late
            raise ValueError(f"{name}: got an unreadable picture ({error})") from error
    if not isinstance(image, np.ndarray):
        kind = type(image).__name__
        raise ValueError(f"{name}: got {kind}, want a path, a PIL image or an array")
    return _of_array(image, name)


def _of_array(image: NDArray[Any], name: str) -> Rgba:
    """(H, W, 4) of an array of levels."""
    channels = image.shape[2:] or (1,)
    if image.ndim not in (2, 3) or channels[0] not in (1, 3, 4) or not image.size:
        raise ValueError(f"{name}: got shape {image.shape}, want (H, W), (H, W, 3) or (H, W, 4)")
    if image.dtype == np.bool_:
        image = image * np.uint8(255)
    elif image.dtype.kind not in "iu" or image.min() < 0 or image.max() > 255:
        raise ValueError(f"{name}: got {image.dtype} {image.shape}, want bool, or uint8 in 0..255")
    levels: Rgba = image.astype(np.uint8, copy=False).reshape(*image.shape[:2], *channels)
    if channels == (4,):
        return levels
    gray = (levels,) * (3 if channels == (1,) else 1)
    return np.dstack([*gray, np.full(image.shape[:2], 255, np.uint8)])


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


def known_formats(data: bytes) -> list[str]:
    """FORMATS, less those that this build of PIL lacks; for HEIC, what its package reads too."""
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    if _is_heic(data):
        with suppress(ImportError):
            import pillow_heif

            pillow_heif.register_heif_opener()
            formats.append("HEIF")
    return formats


def _is_heic(data: bytes) -> bool:
    """Whether a file's first bytes are a HEIC picture's."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC


def _rgba(image: Image.Image) -> Rgba:
    """(H, W, 4), filled band by band: PIL copies what it hands over more than once."""
    most = 1.0
    if image.mode == "F":
        most = max(float(np.nan_to_num(np.asarray(band)).max()) for _, band in _bands(image))
    result = np.empty((image.height, image.width, 4), np.uint8)
    for rows, band in _bands(image):
        result[rows] = np.asarray(_in_bytes(band, most).convert("RGBA"))
    return result


def _bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Rows of a picture, some at a time."""
    step = max(1, _BAND // image.width)
    for top in range(0, image.height, step):
        bottom = min(top + step, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _in_bytes(band: Image.Image, most: float) -> Image.Image:
    """Deep grays scaled to 8 bits, where PIL would clip them to white; others as they are.

    Args:
        band: rows of a picture.
        most: the largest level of a picture of floats.
    """
    if band.mode.startswith("I"):  # "I;16" and its kin hold 16 bits, and so do most "I"
        deep = np.asarray(band)
        gray = (deep.clip(0, 65535) >> 8).astype(np.uint8)
        if "transparency" not in band.info:
            return Image.fromarray(gray)
        opaque = np.where(deep == band.info["transparency"], 0, 255).astype(np.uint8)
        return Image.fromarray(np.dstack([gray, opaque]))
    if band.mode == "F":
        unit = np.nan_to_num(np.asarray(band)) / (255 if most > 1 else 1)
        return Image.fromarray((unit.clip(0, 1) * 255).astype(np.uint8))
    return band


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
    few as will do: 0000005_rendering_00. Where that cannot be, the second is numbered: chair-2. A
    name too long for a file beside others of its kind is cut at its end.

    Args:
        photos: files, each once.
    """
    alike: dict[str, list[Path]] = {}
    for path in photos:
        alike.setdefault(path.stem, []).append(path)
    names = {path: name for group in alike.values() for path, name in _names_of(group).items()}
    used: set[str] = set()
    return [_numbered(_shortened(names[path]), used) for path in photos]


def _shortened(name: str) -> str:
    """The name, or as much of its beginning as MAX_STEM bytes hold."""
    while len(os.fsencode(name)) > MAX_STEM:
        name = name[:-1]
    return name


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
