"""Sizes that zstd data declare, against headers written by hand and what a library packs."""

import numpy as np
import pytest
from numcodecs import Zstd

from memstore.storage.zstd import Frame, frame, most_unpacked

MAGIC = "28b52ffd"


@pytest.mark.parametrize(
    ("header", "want"),
    [
        ("20 07", Frame(6, 7, False)),  # single segment, one byte
        ("24 07", Frame(6, 7, True)),
        ("60 0001", Frame(7, 512, False)),  # two bytes, 256 more
        ("a0 00000080", Frame(9, 2**31, False)),
        ("e0 0000000001000000", Frame(13, 2**32, False)),
        ("80 58 04030201", Frame(10, 0x01020304, False)),  # a window before
        ("a3 aaaaaaaa 04030201", Frame(13, 0x01020304, False)),  # a dictionary before
        ("00 58", Frame(6, None, False)),
        ("a0 0000", None),  # cut short
        ("", None),
    ],
)
def test_frames_by_hand(header, want):
    """RFC 8878, 3.1.1.1: magic, descriptor, window, dictionary, size."""
    assert frame(bytes.fromhex(MAGIC + header)) == want


def test_no_frames():
    assert frame(b"") is None
    assert frame(bytes.fromhex("502a4d18 04000000 00000000")) is None  # one to be skipped


@pytest.mark.parametrize("count", [1, 255, 256, 257, 65791, 65792, 10**6])
def test_what_a_library_packs(count):
    for data in (bytes(count), np.random.default_rng(0).bytes(count)):
        packed = Zstd(level=3, checksum=True).encode(data)
        header = frame(packed)
        assert (header.size, header.has_checksum) == (count, True)
        assert count <= most_unpacked(packed) <= count + 2**17
        assert 2 * count <= most_unpacked(packed + packed) <= 2 * (count + 2**17)


def test_blocks_by_hand():
    """RFC 8878, 3.1.1.2: three bytes are last, kind, size; then the block."""
    raw, repeated, packed = "180000 aabbcc", "fa0700 aa", "1d0000 000000"
    frames = f"{MAGIC} 00 58 {raw} {repeated} {packed}"
    assert most_unpacked(bytes.fromhex(frames)) == 3 + 255 + 2**17
    skipped = "502a4d18 02000000 ffff"
    assert most_unpacked(bytes.fromhex(skipped + frames + skipped + frames)) == 2 * (258 + 2**17)
    assert most_unpacked(bytes.fromhex(frames)[:-6]) == 258
    for other in ("", "00" * 9, MAGIC, skipped, "502a4d18 ffffffff"):
        assert most_unpacked(bytes.fromhex(other)) == 0
