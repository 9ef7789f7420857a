"""export and import_memory: memories to and from files that other programs know.

docs/exchange.md describes the files. Whatever is read is untrusted: nothing is unpickled, sizes
are bounded before anything is allocated, and all contents are checked.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from memstore.config import ValueSimilarity
from memstore.errors import ArgumentError, PathMissingError, SlotError
from memstore.exchange.npz import open_npz, write_npz
from memstore.exchange.pairs import Pairs, Progress, checked_pairs, read_pairs, remember
from memstore.exchange.parquet import write_parquet
from memstore.exchange.safetensors import open_tensors, write_tensors
from memstore.exchange.shape_folder import read_shapes, write_shapes
from memstore.exchange.table import (
    Archive,
    Table,
    check_heads,
    read_table,
    reading,
    restored,
    table_of,
)
from memstore.exchange.zarr import METADATA, open_zarr, write_zarr
from memstore.files import check_free, disk_bytes, made_beside
from memstore.memory import Memory
from memstore.slots import arguments

Kind = Literal["npz", "safetensors", "zarr", "parquet", "binvox", "glb", "stl", "ply"]
EXPORT_FORMATS: tuple[Kind, ...] = get_args(Kind)
IMPORT_FORMATS: tuple[Kind, ...] = ("npz", "safetensors", "zarr", "binvox")

_WRITERS: dict[str, Callable[[Path, Table], None]] = {
    "npz": write_npz,
    "safetensors": write_tensors,
}
_BLOCK_WRITERS: dict[str, Callable[[Path, Table, Progress], None]] = {
    "zarr": write_zarr,
    "parquet": write_parquet,
}
_READERS: dict[str, Callable[[Path], AbstractContextManager[Archive]]] = {
    "npz": open_npz,
    "safetensors": open_tensors,
    "zarr": open_zarr,
}
_ALWAYS_FINE = 2**29  # bytes in RAM that any file may ask for
_EXPANSION = 32  # and for each byte on disk


def export(
    memory: Memory,
    path: str | Path,
    kind: Kind | None = None,
    slots: ArrayLike | None = None,
    progress: Progress | None = None,
) -> None:
    """Write slots of a memory as a new file or folder, whole or not at all.

    Args:
        path: where nothing is yet; missing parent folders are made.
        kind: "npz", "safetensors" (a file), "zarr" (a folder): these lose nothing; "parquet" (a
            file, with pyarrow); "binvox", "glb", "stl", "ply": a folder with a file per slot, of
            which that of binvox loses nothing. By default the path's suffix.
        slots: (n,) distinct used slots; by default all.
        progress: called with slots written and slots in all; for npz and safetensors at the end.

    Raises:
        PathExistsError: there is something at the path.
        ExtraMissingError: "parquet" without pyarrow; "glb", "stl", "ply" without trimesh and
            scikit-image.
    """
    path = Path(path)
    kind = _kind(path, kind, EXPORT_FORMATS)
    state, show = memory._state, progress or _silent
    check_free(path)  # before rows are copied
    with memory._guard.reading():
        chosen = state.used if slots is None else arguments.as_slots(slots, state.touched)
        if len(np.unique(chosen)) < len(chosen):
            raise SlotError("slots: got a slot twice, want distinct slots")
        table = table_of(state, chosen)
    with made_beside(path) as beside:
        if kind in _WRITERS:
            _WRITERS[kind](beside, table)
            show(len(chosen), len(chosen))
        elif kind in _BLOCK_WRITERS:
            _BLOCK_WRITERS[kind](beside, table, show)
        else:
            write_shapes(beside, table, kind, show)


def import_memory(
    path: str | Path,
    kind: Kind | None = None,
    *,
    capacity: int | None = None,
    beta: float | None = None,
    delta: float | None = None,
    value_similarity: ValueSimilarity | None = None,
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
        kind: by default the path's suffix; a folder without one is "zarr" or "binvox".
        capacity: for pairs; by default as many as there are.
        beta: for pairs, as the next two: of the new memory, by default as MemoryConfig has it.
        policy: write the pairs by the write policy, so that similar ones merge.
        max_bytes: most RAM that the arrays may take; by default 512 MiB, or 32 times the bytes on
            disk if that is more.
        progress: called with slots read or pairs written, and how many in all.

    Raises:
        PathMissingError: there is nothing at the path.
        FormatError: damaged, hostile, too large, or not of the documented types and shapes.
        ArgumentError: an export is given a capacity, rules or the policy: it brings its own.
    """
    path, show = Path(path), progress or _silent
    if not path.exists():
        raise PathMissingError(f"{path}: nothing there, want a file or folder to import")
    kind = _kind(path, kind, IMPORT_FORMATS)
    if max_bytes is None:
        max_bytes = max(_ALWAYS_FINE, _EXPANSION * _disk_bytes(path))
    rules: dict[str, Any] = {"beta": beta, "delta": delta, "value_similarity": value_similarity}
    rules = {name: rule for name, rule in rules.items() if rule is not None}
    found: Table | Pairs
    if kind == "binvox":
        found = read_shapes(path, max_bytes, show)
    else:
        with _READERS[kind](path) as archive:
            check_heads(archive.heads, max_bytes)
            found = read_pairs(archive) if archive.facts is None else read_table(archive)
    if isinstance(found, Pairs):
        with reading(path):
            checked_pairs(found)
        return remember(found, policy, capacity, rules, show)
    if rules or policy or capacity is not None:
        raise ArgumentError(f"{path}: got rules for an export of a memory, which brings its own")
    with reading(path):
        state = restored(found, max_bytes)
    memory = Memory(found.config)
    memory._state = state
    show(len(memory), len(memory))
    return memory


def _kind(path: Path, kind: str | None, known: tuple[Kind, ...]) -> Kind:
    """The kind, if it is known; from the suffix, else from what a folder holds."""
    found = kind or path.suffix.lower().removeprefix(".")
    if not found and path.is_dir():
        found = "zarr" if (path / METADATA).exists() else "binvox"
    if found not in known:
        raise ArgumentError(f"{path}: got kind {found!r}, want one of {', '.join(known)}")
    return found


def _disk_bytes(path: Path) -> int:
    """Of a file, or of all in a folder."""
    return sum(disk_bytes(path).values()) if path.is_dir() else path.stat().st_size


def _silent(done: int, total: int) -> None:
    """Tell nobody."""
