"""Reader of meshes in .npz files.

Such a file has `v` (V, 3) floats, `f` (F, 3) integers and, if it has colors, `c` (F, 3) uint8.
"""

import tokenize
import zipfile
import zlib
from io import BytesIO
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mem3d.data.meshes.pieces import MAX_CORNERS, MAX_FACES, Piece, check_count

_MAX_MEMBERS = 64  # of an .npz file
_MAX_HEADER = 4096  # bytes, of one of its arrays

# numpy parses headers with Python's own parser.
_HEADER_ERRORS = (
    ValueError,
    KeyError,
    TypeError,
    SyntaxError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)


def read_arrays(data: bytes) -> Piece:
    """The mesh in the bytes of an .npz file: `v` (V, 3), `f` (F, 3) and perhaps `c` (F, 3).

    Raises:
        ValueError: damaged, too large, or of other types and shapes.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as opened:
            if len(opened.infolist()) > _MAX_MEMBERS:
                raise ValueError(f"got {len(opened.infolist())} arrays, want at most a few")
            vertices = _array(opened, "v", "f", MAX_CORNERS)
            faces = _array(opened, "f", "iu", MAX_FACES)
            colors = _array(opened, "c", "u", MAX_FACES) if "c.npy" in opened.namelist() else None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise ValueError(f"got a damaged .npz file ({error!s:.100})") from error
    except (KeyError, RuntimeError) as error:  # a missing member, an encrypted one
        raise ValueError(f"got no mesh ({error!s:.100}), want arrays v and f") from error
    if colors is not None and (colors.dtype != np.uint8 or len(colors) != len(faces)):
        raise ValueError(f"got colors {colors.dtype} {colors.shape}, want uint8 as faces")
    return Piece(vertices.astype(np.float64), faces.astype(np.int64), colors)


def _array(opened: zipfile.ZipFile, name: str, kinds: str, most: int) -> NDArray[Any]:
    """Array (N, 3) of a dtype among `kinds`, once its header agrees with the directory."""
    member = opened.getinfo(f"{name}.npy")
    # LZMA and others may ask for gigabytes to unpack.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name}: got compression {member.compress_type}, want none or deflate")
    with opened.open(member) as file:
        shape, columns_first, dtype = _header(file, name)
        if len(shape) != 2 or shape[1] != 3 or columns_first or dtype.kind not in kinds:
            raise ValueError(f"{name}: got {dtype} {shape}, want (N, 3) of kind {kinds!r}")
        check_count(f"rows in {name}", shape[0], most)
        size = shape[0] * 3 * dtype.itemsize
        content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{name}: got other than {size} bytes, want those of {dtype} {shape}")
    return np.frombuffer(content, dtype).reshape(shape)


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype that an .npy header declares."""
    try:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        return read(file, max_header_size=_MAX_HEADER)
    except _HEADER_ERRORS as error:
        raise ValueError(f"{name}: got no .npy header ({error!s:.100})") from error
