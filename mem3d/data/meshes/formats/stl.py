"""Reader of STL files, binary and text.

Source: 3D Systems, StereoLithography Interface Specification (1989).
"""

from array import array

import numpy as np
from numpy.typing import NDArray

from mem3d.data.meshes.formats.numbers import lines_of, numbers_of, quoted
from mem3d.data.meshes.pieces import MAX_FACES, Piece, check_count
from mem3d.data.meshes.references import References

_HEADER = 84  # bytes: 80 of anything, and the number of faces
_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_WORDS = dict(
    zip(
        (0, 1, 5, 6, 7, 11, 15, 19, 20),
        b"facet normal outer loop vertex vertex vertex endloop endfacet".split(),
        strict=True,
    )
)
_TOKENS = 21  # of a facet in text; _WORDS has the places of those that are no numbers


def read_stl(data: bytes, references: References) -> list[Piece]:
    """The faces of an STL file, which have no colors.

    Raises:
        ValueError: fewer or more faces than a binary file claims, or other text than facets.
    """
    # A face count below 2**24 ends in a zero, which no text has.
    is_text = (
        data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")[:5].lower() == b"solid"
        and b"\0" not in data[:512]
    )
    corners = _read_text(data) if is_text else _read_binary(data, references)
    faces = np.arange(len(corners) * 3).reshape(-1, 3)
    return [Piece(corners.reshape(-1, 3).astype(np.float64), faces)]


def _read_binary(data: bytes, references: References) -> NDArray[np.float32]:
    """(F, 3, 3); bytes after the last face are told if they can be no further faces."""
    if len(data) < _HEADER:
        raise ValueError(f"got {len(data)} bytes, want an STL file")
    count = int.from_bytes(data[80:_HEADER], "little")
    rest = len(data) - _HEADER - _FACET.itemsize * count
    if rest < 0 or (rest >= _FACET.itemsize and data[-rest:].strip(b"\0 \r\n")):
        claim = f"{_HEADER} + {_FACET.itemsize} * {count}"
        raise ValueError(f"got {len(data)} bytes of binary STL, want {claim} as its header says")
    check_count("faces", count, MAX_FACES)
    if rest:
        references.warn(f"{rest} bytes after the last face are not read")
    return np.frombuffer(data, _FACET, count, _HEADER)["corners"]


def _read_text(data: bytes) -> NDArray[np.float64]:
    """(F, 3, 3) of solids, each from "solid" to "endsolid"."""
    values, is_open = array("d"), False
    tokens: list[bytes] = []
    for line in lines_of(data):
        words = line.lower().split()
        if not tokens and words[:1] in ([b"solid"], [b"endsolid"]):
            if is_open == (words[0] == b"solid"):
                raise ValueError(f"got {quoted(line)}, want solids one after another")
            if b"outer loop" in b" ".join(words):  # would be taken for a name
                raise ValueError(f"got {quoted(line)}, want facets on lines of their own")
            is_open = not is_open
            continue
        tokens += words
        while len(tokens) >= _TOKENS:
            _add_facet(values, tokens[:_TOKENS])
            del tokens[:_TOKENS]
        check_count("faces", len(values) // 9, MAX_FACES)
    if tokens or is_open:
        end = b" ".join(tokens[:6])
        raise ValueError(f"got an end after {quoted(end)}, want 'endsolid' after the last facet")
    return np.array(values).reshape(-1, 3, 3)


def _add_facet(values: "array[float]", tokens: list[bytes]) -> None:
    """The corners of a facet, whose normal says nothing more."""
    if any(tokens[place] != word for place, word in _WORDS.items()):
        raise ValueError(f"got {quoted(b' '.join(tokens))}, want a facet of three vertices")
    for start in (8, 12, 16):
        values.extend(numbers_of(b" ".join(tokens[start : start + 3])))
