"""Named tensors in .safetensors files: written whole, and each compared with a check when loaded.

The metadata has two entries of ours: "checks", the check of each tensor's name, type, shape and
bytes (b"weight F32 [2, 3] ..."), one after the other in the order of the names, and "check", that
of all other entries as JSON. So no damage goes unnoticed, and a reader of some tensors looks at
these alone. Files without the two, from elsewhere or from before, are read as they are; every
safetensors library reads ours.

Source: https://github.com/huggingface/safetensors#format
"""

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mem3d.integrity import CHECK_LENGTH, check_of_facts, new_hash, put_in_place
from memstore import PathError
from memstore.files import open_regular

MAX_HEADER = 16 * 2**20  # bytes; the JSON header of the paper preset takes about 0.1 MB
_ALIGNMENT = 8  # bytes; of the header, and so of the first and widest tensors
_CHECK, _CHECKS = "check", "checks"
_DTYPES = {
    **{torch.float64: "F64", torch.int64: "I64", torch.float32: "F32", torch.int32: "I32"},
    **{torch.float16: "F16", torch.bfloat16: "BF16", torch.uint8: "U8", torch.bool: "BOOL"},
}


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a file beside `path`, then put it there; the old one stays until then.

    Not safetensors' own `save_file`: what that writes only its owner can read, and a process that
    is killed meanwhile leaves hidden files which nobody removes.

    Args:
        path: its folder must exist.
        tensors: on any device; they are brought to the CPU, which copies none that is there.
        metadata: other entries; "check" and "checks" are added.

    Raises:
        memstore.PathError: the disk refuses.
    """
    widest_first = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))
    arrays = {name: tensor.detach().cpu().contiguous() for name, tensor in widest_first}
    checks = [_check(name, arrays[name]) for name in sorted(arrays)]
    entries = {**metadata, _CHECKS: "".join(checks)}
    entries[_CHECK] = check_of_facts(entries)
    beside = path.with_name(f".{path.name}.partial")
    try:
        with beside.open("wb") as file:
            file.write(_header(arrays, entries))
            for array in arrays.values():
                file.write(_bytes(array))
        put_in_place(beside, path)
    except OSError as error:
        raise PathError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # the first error tells more
            beside.unlink(missing_ok=True)


def _header(arrays: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The file's beginning: a length, and what JSON tells of the tensors that follow."""
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _DTYPES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def _bytes(array: Tensor) -> memoryview:
    """A tensor's own bytes, in C order."""
    return array.reshape(-1).view(torch.uint8).numpy().data


def _check(name: str, array: Tensor) -> str:
    """Check of a tensor on the CPU."""
    digest = new_hash()
    digest.update(f"{name} {_DTYPES.get(array.dtype)} {list(array.shape)} ".encode())
    digest.update(_bytes(array.contiguous()))
    return digest.hexdigest()


class TensorFile:
    """A file that is open to be read; see `opened`.

    Attributes:
        metadata: all entries, those of the checks too.
        names: of the tensors.
    """

    def __init__(self, path: Path, file: Any) -> None:
        self.metadata: dict[str, str] = file.metadata() or {}
        self.names: list[str] = list(file.keys())
        self._path, self._file = path, file
        self._checks = self._read_checks()

    def _read_checks(self) -> dict[str, str] | None:
        """The check of each tensor, if the file has them."""
        if not self.metadata.keys() & {_CHECK, _CHECKS}:
            return None
        others = {name: text for name, text in self.metadata.items() if name != _CHECK}
        if self.metadata.get(_CHECK) != check_of_facts(others):
            raise self._damaged("header")
        text, names = others.get(_CHECKS, ""), sorted(self.names)
        if len(text) != CHECK_LENGTH * len(names):
            raise self._damaged("header")
        starts = range(0, len(text), CHECK_LENGTH)
        checks = (text[start : start + CHECK_LENGTH] for start in starts)
        return dict(zip(names, checks, strict=True))

    def _damaged(self, part: str) -> ValueError:
        return ValueError(
            f"{self._path}: got a damaged {part}, want the bytes that were written (their check "
            "differs); copy the file anew, or make it again"
        )

    def shape(self, name: str) -> list[int]:
        """Shape of a tensor, from the header."""
        return list(self._file.get_slice(name).get_shape())

    def tensor(self, name: str) -> Tensor:
        """A tensor, which holds the file open and on the disk as long as it lives.

        Raises:
            ValueError: it is not as it was written.
        """
        tensor: Tensor = self._file.get_tensor(name)
        if self._checks is not None and self._checks[name] != _check(name, tensor):
            raise self._damaged(f"tensor {name}")
        return tensor

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Tensors whose names begin so, by the rest of their names; see `tensor`."""
        names = [name for name in self.names if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.tensor(name) for name in names}


@contextmanager
def opened(path: Path, want: str) -> Iterator[TensorFile]:
    """The file, whose header is harmless; what goes wrong inside names the path.

    Args:
        path: a safetensors file.
        want: what it should be, for errors.

    Raises:
        ValueError: there is no such file, it is no safetensors file, or it is damaged.
    """
    try:
        _check_header(path)
        with safe_open(path, framework="pt") as file:
            yield TensorFile(path, file)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: got no file, want {want}") from error
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: got {error}, want {want}") from error


def _check_header(path: Path) -> None:
    """Refuse a file whose claimed header would be read into memory whatever its size."""
    with open_regular(path) as file:
        start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 0 < length <= min(MAX_HEADER, path.stat().st_size):
        raise ValueError(f"{path}: got a header of {length} bytes, want a safetensors file")
