"""Stem maps kept in a file, and in a second one, written last, what belongs to them."""

# M = models, N = variants per model, S = side of the pictures

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mem3d.data.views import TrainingViews


class Beside(NamedTuple):
    """What is kept of each picture beside its maps."""

    grids: NDArray[np.uint8]  # (M, N, R**3 / 8), packed; mirrored as the pictures are
    viewpoints: NDArray[np.float32]  # (M, N, 5)
    pixels: NDArray[np.uint8]  # (M, N, 3, S, S); S = 0 where they are not needed

    def serves(self, views: TrainingViews) -> bool:
        """Whether pixels are there, if they are needed."""
        return bool(self.pixels.size) or not views.with_viewpoints


def reserve_file(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """A new .npy file mapped to be written; its room on the disk is taken at once."""
    try:
        maps: NDArray[np.float16] = np.lib.format.open_memmap(
            path, mode="w+", dtype=np.float16, shape=shape
        )
        if hasattr(os, "posix_fallocate"):  # else a full disk would kill the process
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ValueError(f"{path}: got {error}, want room for the stem's maps") from error
    return maps


def map_file(file: Path) -> Tensor:
    """Maps of a file, read as they are needed; what is written to them does not reach it."""
    return torch.from_numpy(np.load(file, mmap_mode="c", allow_pickle=False))


def beside_path(file: Path) -> Path:
    """The second file, of what is kept beside the maps."""
    return file.with_suffix(".safetensors")


def read_beside(file: Path, name: str) -> Beside | None:
    """What stands beside a file of maps; None unless both are there, of that fingerprint."""
    try:
        with safe_open(beside_path(file), framework="np") as found:
            if (found.metadata() or {}).get("fingerprint") != name or not file.exists():
                return None
            return Beside(*(found.get_tensor(key) for key in Beside._fields))
    except (OSError, SafetensorError):
        return None
