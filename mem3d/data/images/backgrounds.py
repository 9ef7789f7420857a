"""A folder of photos to lay training views over."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mem3d.data.images.io import list_images, read_image
from memstore.files import Progress

SIDE = 256  # pixels per side, as photos are kept
MOST = 1000  # photos kept: 197 MB
LEAST_CROP = 0.5  # share of a photo's side that is shown at least


@dataclass(frozen=True)
class Backgrounds:
    """Photos of anything, as small squares in RAM.

    Attributes:
        pictures: (N, SIDE, SIDE, 3) uint8.
        fingerprint: of the folder's file names, wherever it lies; 16 hexadecimal digits.
        skipped: (file, reason) of those that cannot be read.
    """

    pictures: NDArray[np.uint8]
    fingerprint: str
    skipped: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def open(folder: str | Path, progress: Progress | None = None) -> "Backgrounds":
        """Read a folder's photos; of more than MOST, so many, evenly over their names.

        Args:
            folder: of pictures; folders in it are not looked into.
            progress: called with (photos read, photos in all).

        Raises:
            ValueError: no photo there can be read.
        """
        files, _ = list_images(Path(folder))
        listed = "\n".join(file.name for file in files)
        positions = np.unique(np.linspace(0, len(files) - 1, min(len(files), MOST)).astype(int))
        squares: list[NDArray[np.uint8]] = []
        skipped: list[tuple[str, str]] = []
        for count, i in enumerate(positions.tolist(), start=1):
            try:
                squares.append(_square(read_image(files[i])))
            except (ValueError, OSError) as error:
                skipped.append((files[i].name, str(error)))
            if progress:
                progress(count, len(positions))
        if not squares:
            raise ValueError(f"{folder}: got no readable picture, want photos for backgrounds")
        fingerprint = hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return Backgrounds(np.stack(squares), fingerprint, tuple(skipped))

    def draw(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A square piece of one of the photos, (s, s, 3), mirrored half of the time."""
        side = int(rng.integers(round(LEAST_CROP * SIDE), SIDE + 1))
        row, column = rng.integers(0, SIDE - side + 1, 2)
        piece = self.pictures[
            rng.integers(len(self.pictures)), row : row + side, column : column + side
        ]
        return piece[:, ::-1] if rng.random() < 0.5 else piece


def _square(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of a photo."""
    picture = Image.fromarray(rgba).convert("RGB")
    return np.asarray(ImageOps.fit(picture, (SIDE, SIDE), Image.Resampling.BILINEAR))
