"""How much zstd data unpack to, told by their headers before anybody unpacks them.

zstd packs 2 GB of zeros into 65 KB, and libraries unpack whatever they are given.

Source: RFC 8878, 3.1.1 (frames and blocks) and 3.1.2 (frames to be skipped).
"""

from typing import NamedTuple

HEADER_BYTES = 18  # of a frame, at most
BLOCK_BYTES = 2**17  # that a packed block unpacks to, at most

_MAGIC, _SKIPPED = 0xFD2FB528, range(0x184D2A50, 0x184D2A60)
_PACKED = 2  # kind of a block


class Frame(NamedTuple):
    """What the header of a frame says."""

    length: int  # of the header
    size: int | None  # bytes that the frame unpacks to, if it says so
    has_checksum: bool


def frame(data: bytes) -> Frame | None:
    """The frame that begins the data; None if there is none, or not the whole header."""
    if len(data) < 5 or int.from_bytes(data[:4], "little") != _MAGIC:
        return None
    flag, is_single, has_checksum = data[4] >> 6, data[4] >> 5 & 1, data[4] >> 2 & 1
    width = 1 << flag if flag or is_single else 0
    length = 5 + (not is_single) + (0, 1, 2, 4)[data[4] & 3] + width
    if len(data) < length:
        return None
    size = int.from_bytes(data[length - width : length], "little") + (256 if flag == 1 else 0)
    return Frame(length, size if width else None, bool(has_checksum))


def most_unpacked(data: bytes) -> int:
    """Bytes that all frames in a row unpack to, at most; what is no frame ends the row."""
    at = most = 0
    while True:
        if int.from_bytes(data[at : at + 4], "little") in _SKIPPED:
            at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            continue
        header = frame(data[at : at + HEADER_BYTES])
        if header is None:
            return most
        at, is_last = at + header.length, False
        while not is_last and at + 3 <= len(data):
            block = int.from_bytes(data[at : at + 3], "little")
            is_last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
            most += BLOCK_BYTES if kind == _PACKED else size
            at += 3 + (1 if kind == 1 else size)  # 1: one byte, so many times
        at += 4 * header.has_checksum
