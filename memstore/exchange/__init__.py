"""export and import_memory: memories to and from files that other programs know.

docs/exchange.md describes the files. Whatever is read is untrusted: nothing is unpickled, sizes
are bounded before anything is allocated, and all contents are checked.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

from numpy.typing import ArrayLike

from memstore.config import ValueSimilarity, WhenFull
from memstore.errors import ArgumentError, PathError, PathMissingError, translated
from memstore.exchange.npz import open_npz, write_npz
from memstore.exchange.pairs import Pairs, check_pairs, memory_of, read_pairs
from memstore.exchange.parquet import write_parquet
from memstore.exchange.safetensors import open_tensors, write_tensors
from memstore.exchange.shape_folder import read_shapes, write_shapes
from memstore.exchange.table import Archive, Table, check_heads, read_state, restored, selected_rows
from memstore.exchange.zarr import METADATA, open_zarr, write_zarr
from memstore.files import (
    ExportFormat,
    ImportFormat,
    Progress,
    check_free,
    disk_bytes,
    is_there,
    made_beside,
)
from memstore.memory import Memory
from memstore.paths import lies_within, local_path
from memstore.slots import arguments
from memstore.slots.state import State

EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
IMPORT_FORMATS: tuple[ImportFormat, ...] = get_args(ImportFormat)

_WRITERS: dict[str, Callable[[Path, Table, Progress], None]] = {
    "npz": write_npz,
    "safetensors": write_tensors,
    "zarr": write_zarr,
    "parquet": write_parquet,
    **{format: partial(write_shapes, format=format) for format in ("binvox", "glb", "stl", "ply")},
}
_READERS: dict[str, Callable[[Path], AbstractContextManager[Archive]]] = {
    "npz": open_npz,
    "safetensors": open_tensors,
    "zarr": open_zarr,
}
_FOLDERS = {
    "zarr": "the folder of a Zarr group",
    "binvox": "a folder of binvox files and their keys: features.npy (n, C), a row for each in the "
    "order of their names, or NAME.npy beside each NAME.binvox",
}
_Format = TypeVar("_Format", ExportFormat, ImportFormat)
_ALWAYS_FINE = 2**29  # bytes in RAM that any file may ask for
_EXPANSION = 32  # and for each byte on disk


def export(
    memory: Memory,
    path: str | Path,
    format: ExportFormat | None = None,
    slots: ArrayLike | None = None,
    progress: Progress | None = None,
) -> None:
    """Write slots of a memory as a new file or folder, whole or not at all.

    Args:
        path: where nothing is yet; missing parent folders are made.
        format: "npz", "safetensors" (a file), "zarr" (a folder): these lose nothing; "parquet" (a
            file, with pyarrow); "binvox", "glb", "stl", "ply": a folder with a file per slot, of
            which that of binvox loses nothing. By default the path's suffix.
        slots: (n,) distinct used slots; by default all.
        progress: called with slots written and slots in all; for npz and safetensors, which are
            written array by array, as many of the slots as of the bytes.

    What looks at the memory goes on meanwhile, what changes it waits.

    Raises:
        PathExistsError: there is something at the path.
        ExtraMissingError: "parquet" without pyarrow; "glb", "stl", "ply" without scikit-image;
            "stl", "ply" without trimesh.
    """
    path = local_path(path)
    write = _WRITERS[_format(path, format, EXPORT_FORMATS)]
    check_free(path)  # before rows are copied
    if lies_within(path, memory.path):
        raise ArgumentError(f"path: got {path}, want a place outside of {memory.path}")
    with memory.frozen() as state:
        rows = state.used
        if slots is not None:
            rows = arguments.as_distinct_slots(slots, state.touched)
        state.check_stored(rows)
        with made_beside(path) as beside:
            write(beside, selected_rows(state, rows), progress or _silent)


def import_memory(
    path: str | Path,
    format: ImportFormat | None = None,
    *,
    capacity: int | None = None,
    beta: float | None = None,
    delta: float | None = None,
    value_similarity: ValueSimilarity | None = None,
    when_full: WhenFull | None = None,
    policy: bool = False,
    max_bytes: int | None = None,
    progress: Progress | None = None,
) -> Memory:
    """Read a file or folder into a memory that lives in RAM.

    From an export of ours, slots, keys, values, ages, reads, counts and config come back bit for
    bit; of a part of a memory, just those slots, at their own numbers. From elsewhere, features of
    any norm and grids come in as pairs, each into a slot of its own, in the order of the file or
    of the files' names.

    Args:
        path: "npz", "safetensors", "zarr": an export, or `keys` (n, C) of floats and `values`
            (n, R, R, R) of bool or 0 and 1, maybe `sources`. "binvox": a folder of binvox files
            and features.npy (n, C), or an .npy file beside each.
        format: by default the path's suffix; a folder without one is "zarr" or "binvox".
        capacity: for pairs; by default as many as there are.
        beta: for pairs, as the next three: of the new memory, by default as MemoryConfig has it
            or, with `policy`, as PAPER has it.
        policy: write the pairs by the write policy, so that similar ones merge.
        max_bytes: most RAM that the arrays may take; by default 512 MiB, or 32 times the bytes on
            disk if that is more.
        progress: called with slots read or pairs written, and how many in all.

    Raises:
        PathMissingError: there is nothing at the path.
        PathError: there is a file where the format is a folder, or the other way round.
        FormatError: damaged, hostile, too large, or not of the documented types and shapes.
        ArgumentError: an export is given a capacity, rules or the policy: it brings its own.
    """
    path, show = local_path(path), progress or _silent
    if not is_there(path):
        raise PathMissingError(f"{path}: nothing there, want a file or folder to import")
    format = _format(path, format, IMPORT_FORMATS)
    _check_kind(path, format)
    if max_bytes is None:
        max_bytes = max(_ALWAYS_FINE, _EXPANSION * _disk_bytes(path))
    max_bytes = arguments.as_count("max_bytes", max_bytes)
    rules: dict[str, Any] = {"beta": beta, "delta": delta, "when_full": when_full}
    rules["value_similarity"] = value_similarity
    rules = {name: rule for name, rule in rules.items() if rule is not None}
    content: Table | Pairs | State
    if format == "binvox":
        content = read_shapes(path, max_bytes, show)
    else:
        with _READERS[format](path) as archive:
            check_heads(archive.heads, max_bytes)
            is_foreign = archive.facts is None
            content = read_pairs(archive) if is_foreign else read_state(archive, max_bytes)
    if isinstance(content, Pairs):
        with translated(path):
            check_pairs(content)
        return memory_of(content, policy, capacity, rules, show)
    if rules or policy or capacity is not None:
        raise ArgumentError(f"{path}: got rules for an export of a memory, which brings its own")
    with translated(path):
        state = content if isinstance(content, State) else restored(content, max_bytes)
        memory = Memory.from_state(state)
    show(len(memory), len(memory))
    return memory


def _format(path: Path, format: str | None, formats: tuple[_Format, ...]) -> _Format:
    """The format, if it is one of these; from the suffix, else from what a folder holds."""
    name = format or path.suffix.lower().removeprefix(".")
    if not name and path.is_dir():
        name = "zarr" if (path / METADATA).exists() else "binvox"
    if name not in formats:
        raise ArgumentError(f"{path}: got format {name!r}, want one of {', '.join(formats)}")
    return name


def _check_kind(path: Path, format: ImportFormat) -> None:
    """Raise PathError for a file where the format is a folder, or the other way round."""
    if path.is_dir() and format not in _FOLDERS:
        raise PathError(f"{path}: got a folder, want a file of format {format}")
    if not path.is_dir() and format in _FOLDERS:
        raise PathError(f"{path}: got one file, want {_FOLDERS[format]}")


def _disk_bytes(path: Path) -> int:
    """Of a file, or of all in a folder."""
    return sum(disk_bytes(path).values()) if path.is_dir() else path.stat().st_size


def _silent(count: int, total: int) -> None:
    """Show no progress."""
