"""Meshes in .npz files, sound and hostile."""

import io
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mem3d.data.meshes.reader import read_arrays

V = np.arange(12, dtype=np.float32).reshape(4, 3)
F = np.array([[0, 1, 2], [1, 2, 3]], np.int32)
C = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)


def npz(save=np.savez, **arrays):
    data = io.BytesIO()
    save(data, **arrays)
    return data.getvalue()


def npz_of(header, content=b"", compression=zipfile.ZIP_DEFLATED):
    """A file whose array v is an .npy header and whatever follows."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as made:
        text = header.encode().ljust(117) + b"\n"
        made.writestr("v.npy", b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + content)
    return data.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_vertices_faces_and_colors(save):
    piece = read_arrays(npz(save, v=V, f=F, c=C, vox=np.zeros(4096, np.uint8)))
    assert_array_equal(piece.vertices, V)
    assert_array_equal(piece.faces, F)
    assert_array_equal(piece.colors, C)
    assert read_arrays(npz(v=V.astype(float), f=F.astype(np.uint64))).colors is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"v": V},
        {"v": V, "f": F.astype(float)},
        {"v": V.astype(object), "f": F},
        {"v": V[:, :2], "f": F},
        {"v": V, "f": F, "c": C[:1]},
        {"v": V, "f": F, "c": C.astype(np.uint16)},
        {"v": V.ravel(), "f": F},
    ],
    ids=str,
)
def test_other_arrays_are_refused(arrays):
    with pytest.raises(ValueError, match="got"):
        read_arrays(npz(**arrays))


def test_a_header_of_billions_allocates_nothing():
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 3), }"
    with pytest.raises(ValueError, match="rows in v"):
        read_arrays(npz_of(header))


def test_a_bomb_is_read_no_further_than_its_header_says():
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    bomb = npz_of(header, bytes(50 << 20))
    assert len(bomb) < 100_000
    with pytest.raises(ValueError, match="other than 24 bytes"):
        read_arrays(bomb)


def test_other_compressions_and_damage_are_refused():
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    with pytest.raises(ValueError, match="compression"):
        read_arrays(npz_of(header, bytes(24), zipfile.ZIP_LZMA))
    whole = npz(v=V, f=F)
    for cut in (0, 10, len(whole) // 2, len(whole) - 5):
        with pytest.raises(ValueError, match="got"):
            read_arrays(whole[:cut])
    with pytest.raises(ValueError, match="header"):
        read_arrays(npz_of("{'descr': " + "(" * 90))
