"""Files that a mesh refers to, read from its own folders alone, and what it had to do without.

What a mesh cannot be without (a glTF file's buffer) is an error; a picture or a material file that
is missing, damaged or out of bounds costs itself, and is told.
"""

import os
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mem3d.data.images.io import DECODE_ERRORS, FORMATS, MAX_PIXELS, known_formats, most_pixels
from memstore.files import open_regular

MAX_SIDE = 512  # pixels; larger pictures are shrunk, as a view has 137
_MAX_DECODED = 5 * MAX_PIXELS  # of all pictures of a mesh
_MAX_QUOTED = 80  # characters of a foreign name in a message
_MAX_WARNINGS = 50
_MAX_FILES = 1_000  # looked for

Picture = NDArray[np.uint8]


class References:
    """What one mesh refers to.

    Attributes:
        warnings: what was lost, in the order in which it was missed; none twice.
    """

    def __init__(self, folder: Path, root: Path, max_bytes: int) -> None:
        """Bounds of a mesh.

        Args:
            folder: the mesh's own; names begin there.
            root: folder that no name may lead out of, unless it stays in the mesh's own.
            max_bytes: of all files together.
        """
        self.warnings: list[str] = []
        self._folder = folder.resolve()
        self._roots = (root.resolve(), self._folder)
        self._remaining, self._files = max_bytes, 0
        self._pictures: dict[str, Picture | None] = {}

    def warn(self, text: str) -> None:
        """Tell something, once."""
        if text and text not in self.warnings and len(self.warnings) < _MAX_WARNINGS:
            self.warnings.append(text)

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            ValueError: it is out of bounds, not there, no file, or too much.
        """
        self._files += 1
        try:
            if self._files > _MAX_FILES:
                raise ValueError(f"one of more than {_MAX_FILES:,}")
            with open_regular(self._located(name)) as stream:
                data = stream.read(self._remaining + 1)
            if len(data) > self._remaining:
                raise ValueError("more bytes than a mesh may refer to")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"got a reference to {name[:_MAX_QUOTED]!r}: {reason}") from error
        self._remaining -= len(data)
        return data

    def picture(self, name: str) -> Picture | None:
        """A picture (H, W, 3) sRGB, at most MAX_SIDE a side; None and a warning without it."""
        if name not in self._pictures:
            self._pictures[name] = None
            try:
                self.keep_picture(name, self.read(name))
            except ValueError as error:
                self.warn(f"{str(error).removeprefix('got ')}; drawn without it")
        return self._pictures[name]

    def keep_picture(self, name: str, data: bytes) -> Picture | None:
        """As `picture`, from the bytes of a file; under the name it can be had again."""
        if self._pictures.get(name) is None:
            self._pictures[name] = None
            try:
                self._pictures[name] = self._decoded(data)
            except DECODE_ERRORS as error:
                is_other = isinstance(error, UnidentifiedImageError)
                reason = f"no picture of {', '.join(FORMATS)}" if is_other else f"{error!s:.100}"
                self.warn(f"picture {name[:_MAX_QUOTED]!r}: {reason}; drawn without it")
        return self._pictures[name]

    def _located(self, name: str) -> Path:
        """The path of a file as its folders spell it; names are those of any system."""
        literal = name.strip().replace("\\", "/")
        for text in dict.fromkeys((literal, unquote(literal))):
            path = (self._folder / text).resolve()
            for root in self._roots:
                if path.is_relative_to(root) and "://" not in text:
                    break
            else:
                raise ValueError("out of bounds, want a file of the mesh's own folders")
            spelled = _spelled(root, path)
            if spelled is not None and spelled.is_relative_to(root) and spelled.is_file():
                return spelled
        raise ValueError("not there")

    def _decoded(self, data: bytes) -> Picture:
        """(H, W, 3); ValueError for one too large."""
        image: Image.Image = Image.open(BytesIO(data), formats=known_formats(data))
        image.draft("RGB", (2 * MAX_SIDE, 2 * MAX_SIDE))  # a large JPEG is decoded at half its size
        decoded = sum(picture is not None for picture in self._pictures.values())
        most = min(MAX_PIXELS, most_pixels(image), _MAX_DECODED // (decoded + 1))
        if image.width * image.height > most:
            raise ValueError(f"{image.width} x {image.height} pixels, want fewer")
        small = image.convert("RGB")
        small.thumbnail((MAX_SIDE, MAX_SIDE))
        return np.array(small, np.uint8)


def _spelled(root: Path, path: Path) -> Path | None:
    """A path below a folder that is there, in letters of the same or another case; else None."""
    if path.exists():
        return path
    place = root
    for part in path.relative_to(root).parts:
        alike = [name for name in os.listdir(place) if name.casefold() == part.casefold()]
        if part not in alike and len(alike) != 1:
            return None
        place = place / (part if part in alike else alike[0])
    return place.resolve()
