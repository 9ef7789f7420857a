"""Colors that change within the faces of a mesh: by corner, and from pictures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Paint:
    """One row per face of a mesh; a place has its corners' color times its picture's."""

    corners: NDArray[np.uint8]  # (F, 3, 3) sRGB of each face's corners
    uv: Floats  # (F, 3, 2) place in the picture: u to the right, v up; it repeats beyond [0, 1]
    picture: NDArray[np.int32]  # (F,) number of the picture, -1 for none
    pictures: tuple[NDArray[np.uint8], ...]  # (H, W, 3) sRGB, top row first

    def __post_init__(self) -> None:
        faces = len(self.corners)
        want = {"corners": (faces, 3, 3), "uv": (faces, 3, 2), "picture": (faces,)}
        for name, shape in want.items():
            actual = getattr(self, name).shape
            if actual != shape:
                raise ValueError(f"{name}: got shape {actual}, want {shape}")
        if faces and not -1 <= self.picture.min() <= self.picture.max() < len(self.pictures):
            actual = (int(self.picture.min()), int(self.picture.max()))
            raise ValueError(f"picture: got numbers {actual}, want -1..{len(self.pictures) - 1}")

    def at(self, face: NDArray[np.int32], second: Floats, third: Floats) -> Floats:
        """Linear color of places on the mesh.

        Args:
            face: (N,) numbers of faces.
            second: (N,) weight of the face's second corner; the first has the rest.
            third: (N,) weight of the third.

        Returns:
            (N, 3) in [0, 1].
        """
        weights = np.stack([1 - second - third, second, third], axis=1).clip(0, 1)
        colors: Floats = np.einsum("nk,nkc->nc", weights, LINEAR[self.corners[face]])
        place = np.einsum("nk,nkc->nc", weights, self.uv[face])
        number = self.picture[face]
        for i in np.unique(number[number >= 0]):
            here = np.flatnonzero(number == i)
            colors[here] *= _bilinear(self.pictures[i], place[here])
        return colors


def to_linear(srgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB in [0, 1] to light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light in [0, 1] to sRGB: without this, pictures look too dark."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


LINEAR: Floats = to_linear(np.arange(256) / 255).astype(np.float32)  # light of each sRGB byte


def _bilinear(picture: NDArray[np.uint8], place: Floats) -> Floats:
    """Linear color (N, 3) at places (N, 2), between the middles of four pixels."""
    height, width = picture.shape[:2]
    x = (place[:, 0] % 1) * width - 0.5
    y = ((1 - place[:, 1]) % 1) * height - 0.5
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    across, down = (x - column)[:, None], (y - row)[:, None]
    rows, columns = (row % height, (row + 1) % height), (column % width, (column + 1) % width)
    (a, b), (c, d) = ([LINEAR[picture[i, j]] for j in columns] for i in rows)
    mixed: Floats = (a * (1 - across) + b * across) * (1 - down)
    mixed += (c * (1 - across) + d * across) * down
    return mixed
