"""Named arrays in .safetensors files, written whole and read with suspicion.

The safetensors library checks that the tensors fill the file without gaps or overlaps.

Source: https://github.com/huggingface/safetensors#format
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memstore.errors import FormatError, translated
from memstore.exchange.table import (
    BLOCK_BYTES,
    ByteProgress,
    Head,
    Table,
    arrays,
    facts,
    heads_as_bytes,
    is_ours,
    pieces,
)
from memstore.files import Progress, open_regular
from memstore.json_text import parse_json

FACTS = "attributes"  # metadata entry that holds JSON
_MAX_HEADER = 2**20  # bytes of JSON: ours has about a thousand
_DTYPES = {
    **{"F16": "float16", "F32": "float32", "F64": "float64"},
    **{"BOOL": "bool", "U8": "uint8", "I32": "int32", "I64": "int64"},
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}


def write_tensors(path: Path, table: Table, progress: Progress) -> None:
    """Write a table as a new file, in pieces: the library's own would copy all of it first."""
    heads, named, bar = heads_as_bytes(table), arrays(table), ByteProgress(table, progress)
    order = sorted(heads, key=lambda name: (-heads[name].dtype.itemsize, name))  # keeps all aligned
    header: dict[str, Any] = {"__metadata__": {FACTS: json.dumps(facts(table))}}
    offset = 0
    for name in order:
        head = heads[name]
        span = [offset, offset := offset + head.nbytes]
        header[name] = {"dtype": _NAMES[head.dtype], "shape": head.shape, "data_offsets": span}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            for piece in pieces(named[name], texts_as_bytes=True):
                file.write(piece.data)
                bar.add(piece.nbytes)
    bar.end()


@contextmanager
def open_tensors(path: Path) -> Iterator["Tensors"]:
    """Open a file to be read; whatever is wrong with it is a FormatError."""
    from safetensors import SafetensorError, safe_open

    with translated(path, SafetensorError):
        with open_regular(path) as file:
            header = int.from_bytes(file.read(8), "little")
        if header > _MAX_HEADER:
            raise FormatError(f"header: got {header} bytes, want <= {_MAX_HEADER}")
        with safe_open(path, framework="numpy") as opened:
            yield Tensors(opened)


class Tensors:
    """The arrays of a file that mean something to us, as `table.Archive`."""

    def __init__(self, opened: Any) -> None:
        self._file = opened
        self.names: list[str] = list(opened.keys())
        self.heads: dict[str, Head] = {}
        for name in filter(is_ours, self.names):
            tensor = opened.get_slice(name)
            if tensor.get_dtype() not in _DTYPES:
                raise FormatError(f"{name}: got {tensor.get_dtype()}, want one of {[*_DTYPES]}")
            dtype = np.dtype(_DTYPES[tensor.get_dtype()])
            self.heads[name] = Head(dtype, tuple(tensor.get_shape()))
        text = (opened.metadata() or {}).get(FACTS)
        self.facts: Any = None if text is None else parse_json(text)

    def blocks(self, name: str) -> Iterator[NDArray[Any]]:
        """An array's rows in order, whole rows, some at a time."""
        tensor, head = self._file.get_slice(name), self.heads[name]
        step = max(1, BLOCK_BYTES // head.row_bytes)
        for start in range(0, head.shape[0], step):
            yield tensor[start : min(start + step, head.shape[0])]
