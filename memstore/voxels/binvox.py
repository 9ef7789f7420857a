"""The binvox file format: a short text header, then run-length coded voxels.

Files store voxels in the order x, z, y (y fastest); grids here are indexed [x, y, z].
A file is untrusted input: nothing is allocated before its size is known to be sane.

Source: https://www.patrickmin.com/binvox/binvox.html
"""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from memstore.errors import DtypeError, FormatError, ShapeError
from memstore.files import open_regular, write_atomic

MAX_RESOLUTION = 512  # 128 MiB as bool; the data sets we know stop at 256
_MAX_HEADER = 2**16  # bytes; binvox 1.38 writes its command line, with all paths, into a comment
_LONGEST_RUN = 255  # a run's length is one byte


def read_binvox(path: str | Path) -> NDArray[np.bool_]:
    """Read a cubic voxel grid.

    Args:
        path: a .binvox file; its translate and scale are not needed here and are dropped.

    Returns:
        (R, R, R) indexed [x, y, z].

    Raises:
        FormatError: not a whole, cubic binvox file with 1 <= R <= MAX_RESOLUTION.
        OSError: the file cannot be opened, or is a pipe or a device.
    """
    with open_regular(path) as file:
        side = _read_header(file, path)
        # A run holds at least one voxel, so an honest file has at most 2 bytes per voxel.
        data = file.read(2 * side**3 + 1)
    if len(data) % 2 or len(data) > 2 * side**3:
        raise FormatError(f"{path}: got {len(data)} bytes of voxels, want whole (value, run) pairs")
    pairs = np.frombuffer(data, np.uint8).reshape(-1, 2)
    values, runs = pairs[:, 0], pairs[:, 1]
    total = int(runs.sum(dtype=np.int64))
    if total != side**3:
        raise FormatError(f"{path}: got {total} voxels, want {side}^3 = {side**3}")
    if (values > 1).any():
        raise FormatError(f"{path}: got voxel value {values.max()}, want 0 or 1")
    grid_xzy = np.repeat(values.view(np.bool_), runs).reshape(side, side, side)
    return np.ascontiguousarray(grid_xzy.transpose(0, 2, 1))


def write_binvox(
    path: str | Path,
    grid: NDArray[np.bool_],
    translate: Sequence[float] = (0.0, 0.0, 0.0),
    scale: float = 1.0,
) -> None:
    """Write a cubic voxel grid; `path` never holds half a file.

    Args:
        path: file to make or replace.
        grid: (R, R, R) bool indexed [x, y, z].
        translate: (3,) position of the grid's corner in the source model's units.
        scale: side of the grid's cube in the source model's units.

    Raises:
        DtypeError: the grid is not bool.
        ShapeError: the grid is not cubic, or larger than MAX_RESOLUTION.
    """
    if grid.dtype != np.bool_:
        raise DtypeError(f"grid: got {grid.dtype}, want bool")
    side = grid.shape[0] if grid.ndim else 0
    if grid.shape != (side,) * 3 or not 1 <= side <= MAX_RESOLUTION:
        raise ShapeError(f"grid: got {grid.shape}, want (R, R, R), R <= {MAX_RESOLUTION}")
    flat = grid.transpose(0, 2, 1).ravel().view(np.uint8)
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [flat.size]]))
    pieces = -(-lengths // _LONGEST_RUN)  # a long run takes several pairs: all full but the last
    pairs = np.full((int(pieces.sum()), 2), _LONGEST_RUN, np.uint8)
    pairs[:, 0] = np.repeat(flat[starts], pieces)
    pairs[np.cumsum(pieces) - 1, 1] = lengths - (pieces - 1) * _LONGEST_RUN
    x, y, z = (float(value) for value in translate)
    header = (
        f"#binvox 1\ndim {side} {side} {side}\n"
        f"translate {x!r} {y!r} {z!r}\nscale {float(scale)!r}\ndata\n"
    )
    write_atomic(path, header.encode("ascii") + pairs.tobytes())


def _read_header(file: BinaryIO, path: str | Path) -> int:
    """Read up to and including the line "data"; return R."""
    first = file.readline(_MAX_HEADER)
    if not first.startswith(b"#binvox 1") or not first.endswith(b"\n"):
        raise FormatError(f"{path}: got a file that starts with {first[:12]!r}, want '#binvox 1'")
    side, rest = 0, _MAX_HEADER - len(first)
    while True:
        line = file.readline(rest)
        rest -= len(line)
        if not rest:
            what = f"got a header of {_MAX_HEADER:,} bytes or more"
            raise FormatError(f"{path}: {what}, want a line 'data' before")
        if not line.endswith(b"\n"):
            raise FormatError(f"{path}: got a header without an end, want a line 'data'")
        words = line.split()
        if words == [b"data"]:
            break
        if words[:1] == [b"dim"]:
            side = _parse_dim(words[1:], path)
    if not side:
        raise FormatError(f"{path}: got a header without a line 'dim', want 'dim R R R'")
    return side


def _parse_dim(words: list[bytes], path: str | Path) -> int:
    """R of "dim R R R"."""
    # isdigit on bytes is ASCII only; four digits are enough for MAX_RESOLUTION.
    if len(words) == 3 and len(set(words)) == 1 and words[0].isdigit() and len(words[0]) <= 4:
        side = int(words[0])
        if 1 <= side <= MAX_RESOLUTION:
            return side
    sides = b" ".join(words)[:40]
    raise FormatError(f"{path}: got dim {sides!r}, want three equal numbers in 1..{MAX_RESOLUTION}")
