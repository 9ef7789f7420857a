"""MATLAB files, against scipy's writer and reader."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from mem3d.data.readers.matlab import read_mat
from tests.helpers.peak_ram import at_most

KINDS = [np.uint8, np.bool_, np.int16, np.uint32, np.int64, np.float32, np.float64]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_scipy_wrote_is_read_as_scipy_reads_it(kind, compressed, tmp_path):
    array = (np.random.default_rng(0).random((3, 4, 5)) < 0.5).astype(kind)
    path = tmp_path / "a.mat"
    savemat(path, {"other": "text", "v": array}, do_compression=compressed)
    found = read_mat(path, "v")
    np.testing.assert_array_equal(found, loadmat(path)["v"])
    np.testing.assert_array_equal(found, array)


def test_a_double_stored_as_bytes_and_a_big_endian_file(tmp_path):
    """Both as the format's description lays them out; MATLAB stores small whole doubles so."""
    flags = struct.pack(">IIII", 6, 8, 6, 0)  # class double
    dims = struct.pack(">IIii", 5, 8, 2, 1)
    name = struct.pack(">HHcxxx", 1, 1, b"v")  # short element: size, type, text
    values = struct.pack(">HHBBxx", 2, 2, 0, 1)  # two uint8
    body = flags + dims + name + values
    head = b"MATLAB 5.0".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    (tmp_path / "a.mat").write_bytes(head + struct.pack(">II", 14, len(body)) + body)
    assert read_mat(tmp_path / "a.mat", "v").tolist() == [[0], [1]]
    assert loadmat(tmp_path / "a.mat")["v"].tolist() == [[0], [1]]


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"w": np.zeros(2)}, "want one named 'v'"),
        ({"v": "text"}, "no array of real numbers"),
        ({"v": np.array([1j])}, "no array of real numbers"),
        ({"v": {"field": 1}}, "no array of real numbers"),
        ({"v": np.zeros((129, 128, 128), np.uint8)}, "129 x 128 x 128"),
        ({"v": np.zeros((0, 3))}, "want 1 to"),
    ],
)
def test_what_is_not_wanted_is_named(variables, says, tmp_path):
    savemat(tmp_path / "a.mat", variables, do_compression=True)
    with pytest.raises(ValueError, match=f"a.mat: .*{says}"):
        read_mat(tmp_path / "a.mat", "v")


def test_other_versions_are_named(tmp_path):
    savemat(tmp_path / "old.mat", {"v": np.zeros(2)}, format="4")
    (tmp_path / "new.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"old\.mat: got no MATLAB file of version 5 to 7"):
        read_mat(tmp_path / "old.mat", "v")
    with pytest.raises(ValueError, match=r"new\.mat: got a MATLAB 7\.3 file"):
        read_mat(tmp_path / "new.mat", "v")
    with pytest.raises(ValueError, match=r"none\.mat: got No such file"):
        read_mat(tmp_path / "none.mat", "v")


def test_a_bomb_is_not_unpacked(tmp_path):
    """200 MB of zeros in 200 KB, under a header that promises a small array."""
    start = struct.pack("<IIIIII", 14, 200_000_000, 6, 8, 6, 0)
    start += struct.pack("<IIii", 5, 8, 2, 1) + struct.pack("<HHcxxx", 1, 1, b"v")
    start += struct.pack("<II", 9, 200_000_000)
    packer = zlib.compressobj(9)
    packed = packer.compress(start) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(200))
    packed += packer.flush()
    head = b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    (tmp_path / "a.mat").write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)
    with at_most(20 << 20), pytest.raises(ValueError, match="cut short"):
        read_mat(tmp_path / "a.mat", "v")


@given(st.data())
def test_a_damaged_file_gives_an_array_or_a_valueerror(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.mat"
    grid = (np.arange(64).reshape(4, 4, 4) % 3 == 0).astype(np.uint8)
    savemat(path, {"voxel": grid}, do_compression=data.draw(st.booleans()))
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(100, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    try:
        assert read_mat(path, "voxel").size <= 128**3
    except ValueError as error:
        assert "damaged.mat" in str(error)
