"""Meshes in .npz files, sound and hostile."""

import io
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mem3d.data.meshes.formats.npz import read_arrays

ARRAY_V = np.arange(12, dtype=np.float32).reshape(4, 3)
ARRAY_F = np.array([[0, 1, 2], [1, 2, 3]], np.int32)
ARRAY_C = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)


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
    piece = read_arrays(npz(save, v=ARRAY_V, f=ARRAY_F, c=ARRAY_C, vox=np.zeros(4096, np.uint8)))
    assert_array_equal(piece.vertices, ARRAY_V)
    assert_array_equal(piece.faces, ARRAY_F)
    assert_array_equal(piece.colors, ARRAY_C)
    assert read_arrays(npz(v=ARRAY_V.astype(float), f=ARRAY_F.astype(np.uint64))).colors is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"v": ARRAY_V},
        {"v": ARRAY_V, "f": ARRAY_F.astype(float)},
        {"v": ARRAY_V.astype(object), "f": ARRAY_F},
        {"v": ARRAY_V[:, :2], "f": ARRAY_F},
        {"v": ARRAY_V, "f": ARRAY_F, "c": ARRAY_C[:1]},
        {"v": ARRAY_V, "f": ARRAY_F, "c": ARRAY_C.astype(np.uint16)},
        {"v": ARRAY_V.ravel(), "f": ARRAY_F},
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
    whole = npz(v=ARRAY_V, f=ARRAY_F)
    for cut in (0, 10, len(whole) // 2, len(whole) - 5):
        with pytest.raises(ValueError, match="got"):
            read_arrays(whole[:cut])
    with pytest.raises(ValueError, match="header"):
        read_arrays(npz_of("{'descr': " + "(" * 90))
