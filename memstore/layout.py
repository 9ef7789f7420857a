"""The Zarr arrays and attributes of a memory on disk (docs/format.md): layout, reading, writing."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig
from memstore.errors import FormatError, NotAMemoryError
from memstore.grids import packed_shape
from memstore.state import EMPTY, SOURCE_BYTES, State

if TYPE_CHECKING:
    import zarr

FORMAT = 1
READ_ROWS = 512  # rows read at once


def arrays(config: MemoryConfig) -> dict[str, dict[str, Any]]:
    """Options for zarr's create_array, by name; "auto" compresses with zstd."""

    def rows(shape: tuple[int, ...], dtype: str, chunk: int, **options: Any) -> dict[str, Any]:
        return {
            "shape": (config.capacity, *shape),
            "dtype": dtype,
            "chunks": (min(chunk, config.capacity), *shape),
            **options,
        }

    return {
        "keys": rows((config.key_dim,), "float32", 32, fill_value=0, compressors=None),
        "values": rows(packed_shape(config.resolution), "uint8", 32, fill_value=0),
        "touched": rows((), "int64", 4096, fill_value=EMPTY),
        "source": rows((SOURCE_BYTES,), "uint8", 512, fill_value=0),
        "reads": rows((), "int64", 4096, fill_value=0),
    }


def attributes(state: State) -> dict[str, Any]:
    """Attributes of the root group."""
    return {
        "memstore_format": FORMAT,
        "config": asdict(state.config),
        "clock": state.clock,
        "counts": dict(state.counts),
    }


def write(group: "zarr.Group", state: State) -> None:
    """Write the chunks that hold dirty slots."""
    dirty = np.array(sorted(state.dirty))
    for name, rows in _rows(state).items():
        array: Any = group[name]
        for start, stop in _runs(dirty, array.chunks[0]):
            array[start : min(stop, len(rows))] = rows[start:stop]


def check_format(group: "zarr.Group") -> None:
    """Raise unless the group says that it is a memory of a format we know."""
    version = group.attrs.get("memstore_format")
    if version is None:
        raise NotAMemoryError("memstore_format: got no such attribute")
    if version != FORMAT:
        raise FormatError(f"got format {version!r}, want {FORMAT}; a newer memstore may read it")


def read(group: "zarr.Group") -> State:
    """Read a state, believing nothing.

    Raises:
        FormatError: something does not add up; zarr raises much else if a folder is damaged.
    """
    facts: Any = group.attrs
    config = MemoryConfig(**facts["config"])
    for name, options in arrays(config).items():
        array: Any = group[name]
        if (array.shape, str(array.dtype)) != (options["shape"], options["dtype"]):
            want = f"{options['dtype']} {options['shape']}"
            raise FormatError(f"{name}: got {array.dtype} {array.shape}, want {want}")
    state = State.empty(config)
    touched: Any = group["touched"]
    state.touched[:] = touched[:]
    state.index.grow(int(state.used.max(initial=-1)) + 1)
    for name, rows in {**_rows(state), "keys": state.index.fill()}.items():
        stored: Any = group[name]
        for start in range(0, state.index.rows, READ_ROWS):
            part = slice(start, min(start + READ_ROWS, state.index.rows))
            rows[part] = stored[part]
    state.clock = facts["clock"]
    state.counts = {name: facts["counts"][name] for name in state.counts}
    state.clear(np.flatnonzero(~state.used_rows))
    _check(state)
    return state


def _rows(state: State) -> dict[str, NDArray[Any]]:
    """The state's arrays under their names on disk."""
    source = state.sources.view(np.uint8).reshape(-1, SOURCE_BYTES)
    return {
        "keys": state.index.keys,
        "values": state.values,
        "touched": state.touched,
        "source": source,
        "reads": state.reads,
    }


def _runs(slots: NDArray[np.int64], chunk: int) -> Iterator[tuple[int, int]]:
    """Row ranges of whole chunks that cover the slots (ascending), neighbours joined."""
    chunks = np.unique(slots // chunk)
    for run in np.split(chunks, np.flatnonzero(np.diff(chunks) > 1) + 1):
        yield int(run[0]) * chunk, (int(run[-1]) + 1) * chunk


def _check(state: State) -> None:
    """Raise FormatError unless the state is one that a memory can be in."""
    numbers = {"clock": state.clock, **state.counts}
    for name, number in numbers.items():
        if type(number) is not int or number < 0:
            raise FormatError(f"{name}: got {number!r}, want an int >= 0")
    if (state.touched < EMPTY).any() or (state.touched > state.clock).any():
        raise FormatError(f"touched: got a clock value outside [{EMPTY}, clock]")
    for slots in np.array_split(state.used, len(state.used) // READ_ROWS + 1):
        norms = np.linalg.norm(state.index.keys[slots].astype(np.float64), axis=1)
        if not (np.abs(norms - 1) < 1e-5).all():  # also refuses nan
            raise FormatError("keys: got a key that is no unit vector")
    padding = 2 ** (-state.config.resolution % 8) - 1  # mask of the bits past the last voxel
    if (state.values[: state.index.rows, ..., -1] & padding).any():
        raise FormatError("values: got padding bits that are set")
    for source in state.sources[state.used].tolist():
        if b"\0" in source:
            raise FormatError(f"source: got {source!r}, want UTF-8 without NUL")
        source.decode()
