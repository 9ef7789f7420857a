"""Reading a memory from its Zarr arrays and attributes (docs/format.md), believing nothing."""

import ctypes
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig, config_from_saved
from memstore.errors import FormatError, NotAMemoryError
from memstore.slots.state import State, check_state, column_types
from memstore.storage.checksums import joined, misfits, seal
from memstore.storage.chunks import check_proportion
from memstore.storage.schema import (
    FORMATS,
    NO_ROW,
    Ledger,
    arrays,
    get_array,
    log_dtype,
    parts,
)
from memstore.voxels.grids import packed_shape

if TYPE_CHECKING:
    import zarr

READ_ROWS = 4096  # rows read at once; bounds the chunks on their way


def check_format(group: "zarr.Group") -> None:
    """Raise unless the group says that it is a memory of a format we know."""
    version = group.attrs.get("memstore_format")
    if version is None:
        raise NotAMemoryError("memstore_format: got no such attribute")
    if type(version) is not int or version not in FORMATS:
        want = " or ".join(map(str, FORMATS))
        raise FormatError(f"got format {version!r}, want {want}; a newer memstore may read it")


def read(
    group: "zarr.Group", disk_bytes: Callable[[], int], check_rows: bool = True
) -> tuple[State, Ledger]:
    """Read a memory, believing nothing.

    Args:
        group: at the snapshot to read, of a `ChunkStore`.
        disk_bytes: gives the folder's size; a memory may ask for RAM in proportion only.
        check_rows: compare each row with its check: a chunk that the store no longer finds reads
            as zeros, without a word.

    Raises:
        FormatError: something does not add up; zarr raises much else if a folder is damaged.
    """
    facts: Any = group.attrs
    config = config_from_saved(facts["memstore_format"], facts["config"])
    store: Any = group.store
    on_disk = _checked_arrays(group, config, disk_bytes)
    log_rows = _count("log_rows", facts["log_rows"], on_disk["log"].shape[0])
    state, ledger = State.empty(config), Ledger.empty(config)
    store.fill(on_disk["touched"], state.touched)
    rows = 1 + int(state.used.max(initial=-1))
    _check_size(config, rows + log_rows, disk_bytes)
    log = np.empty(log_rows, log_dtype(config))
    store.fill(on_disk["log"], log.view(np.uint8).reshape(log_rows, log.itemsize))
    logged = log["slots"][log["slots"] != NO_ROW]
    if (logged < 0).any() or (logged >= config.capacity).any():
        raise FormatError(f"log: got a slot outside [0, {config.capacity})")
    rows = max(rows, 1 + int(logged.max(initial=-1)))
    _check_size(config, rows, disk_bytes)
    state.index.grow(rows)
    stored = parts(state) | {"checks": ledger.checks, "reads": state.reads}
    stored["keys"] = state.index.fill()
    for name, part in stored.items():  # in place: nothing lies in RAM twice
        store.fill(on_disk[name], part[:rows])
    _replay(log, stored)
    state.clock = _count("clock", facts["clock"])
    state.counts = {name: _count(name, facts["counts"][name]) for name in state.counts}
    check_state(state)
    message, time = facts["message"], _count("time", facts["time"], 2**62)
    joint = joined(ledger.checks)
    if facts["seal"] != seal(state, joint, log_rows, message, time):
        raise FormatError("seal: got parts that do not belong together; the folder is damaged")
    if check_rows and (wrong := misfits(state, ledger.checks)):
        raise FormatError(f"slots {wrong[:8]}: got rows other than those written; see verify")
    state.clear(np.flatnonzero(~state.used_rows))
    state.count_voxels()
    _return_free_memory()
    ledger.logged[logged] = True
    ledger.reads[:] = state.reads
    return state, replace(ledger, joint=joint, log_rows=log_rows, message=message, time=time)


def _checked_arrays(
    group: "zarr.Group", config: MemoryConfig, disk_bytes: Callable[[], int]
) -> dict[str, Any]:
    """The arrays by name; FormatError unless all have the right shapes, types and codecs."""
    store: Any = group.store
    on_disk = {}
    for name, options in arrays(config).items():
        array, free = get_array(group, name), int(name == "log")  # of any length
        if array.shape[free:] != options["shape"][free:] or str(array.dtype) != options["dtype"]:
            want = f"{options['dtype']} {options['shape']}"
            raise FormatError(f"{name}: got {array.dtype} {array.shape}, want {want}")
        store.accept(name, array, disk_bytes)
        on_disk[name] = array
    return on_disk


def _return_free_memory() -> None:
    """Hand back to the system what reading has used and freed; glibc would keep a third more."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def _replay(log: NDArray[np.void], stored: dict[str, NDArray[Any]]) -> None:
    """Lay the rows of the log over the arrays; of several rows of a slot the last counts."""
    slots, from_end = np.unique(log["slots"][::-1], return_index=True)
    last = (len(log) - 1 - from_end)[slots != NO_ROW]
    for start in range(0, len(last), READ_ROWS):
        rows = last[start : start + READ_ROWS]
        for name, array in stored.items():
            if name != "reads":  # always in the base
                array[log["slots"][rows]] = log[name][rows]


def _count(name: str, number: object, most: float = np.inf) -> int:
    """An int in [0, most]."""
    if type(number) is not int or not 0 <= number <= most:
        raise FormatError(f"{name}: got {number!r}, want an int in [0, {most}]")
    return number


def _check_size(config: MemoryConfig, rows: int, disk_bytes: Callable[[], int]) -> None:
    """Refuse a small folder that asks for a huge memory."""
    row_bytes = 4 * config.key_dim + int(np.prod(packed_shape(config.resolution)))
    row_bytes += sum(dtype.itemsize for dtype in column_types(config).values())
    check_proportion(rows * row_bytes, disk_bytes)
