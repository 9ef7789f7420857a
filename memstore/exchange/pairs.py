"""Pairs: features and grids from elsewhere, to be made a memory of."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.config import PAPER, ColumnType, MemoryConfig
from memstore.errors import ArgumentError, FormatError
from memstore.exchange.table import Archive, read_array
from memstore.files import Progress
from memstore.memory import Memory
from memstore.slots import arguments
from memstore.slots.state import COLUMN, NO_COLUMNS, SOURCE_BYTES, Rows, State
from memstore.voxels.grids import pack, packed_shape, unpack

_TYPES: dict[str, ColumnType] = {
    "O": "str",
    "i": "int",
    "u": "int",
    "f": "float",
    "b": "bool",
}  # by kind of dtype
_BATCH = 256  # pairs written at once
_MOST_NAMES, _LONGEST_NAME = 8, 40  # of a foreign file's arrays, in an error


class Pairs(NamedTuple):
    """n features of any norm, each with its grid and where that came from."""

    features: NDArray[np.floating]  # (n, C)
    values: NDArray[np.uint8]  # (n, R, R, ceil(R / 8)) packed
    sources: list[str]
    resolution: int
    columns: Mapping[str, NDArray[Any]] = NO_COLUMNS  # (n,): numbers, bools, objects that are str


def read_pairs(archive: Archive) -> Pairs:
    """Read `keys` (n, C) of floats, `values` (n, R, R, R) of bool or 0 and 1.

    Maybe also `sources`, and columns in arrays whose names begin with `column_`.

    Raises:
        FormatError: they are of other types or shapes.
    """
    heads = archive.heads
    if missing := {"keys", "values"} - set(heads):
        names = [name[:_LONGEST_NAME] for name in sorted(archive.names)[:_MOST_NAMES]]
        raise FormatError(f"got arrays {names}, want also {sorted(missing)}")
    keys, grids = heads["keys"], heads["values"]
    if keys.dtype.kind != "f" or len(keys.shape) != 2:
        raise FormatError(f"keys: got {keys.dtype} {keys.shape}, want floats (n, C)")
    n, side = keys.shape[0], grids.shape[-1]
    if grids.dtype not in (np.bool_, np.uint8) or grids.shape != (n, side, side, side):
        want = f"bool or uint8 ({n}, R, R, R)"
        raise FormatError(f"values: got {grids.dtype} {grids.shape}, want {want}")
    MemoryConfig(capacity=max(n, 1), key_dim=keys.shape[1], resolution=side)
    values = np.empty((n, *packed_shape(side)), np.uint8)
    start = 0
    for block in archive.blocks("values"):
        bits = block.view(np.uint8)
        if (bits > 1).any():
            raise FormatError(f"values: got {bits.max()}, want 0 or 1")
        values[start : start + len(block)] = pack(bits.view(np.bool_))
        start += len(block)
    if start != n:
        raise FormatError(f"values: got {start} rows, want {n}")
    sources, columns = _texts(archive, "sources", n), _columns(archive, n)
    return Pairs(read_array(archive, "keys"), values, sources or [""] * n, side, columns)


def check_pairs(pairs: Pairs) -> None:
    """Raise unless every feature has a direction, and every source and column fits."""
    key_dim = pairs.features.shape[1]
    for start in range(0, len(pairs.features), _BATCH):
        arguments.as_queries(pairs.features[start : start + _BATCH], key_dim)
    arguments.as_sources("sources", pairs.sources, len(pairs.features))
    config = MemoryConfig(capacity=1, key_dim=key_dim, columns=_types(pairs))
    arguments.as_columns(pairs.columns, config, len(pairs.features))


def memory_of(
    pairs: Pairs, policy: bool, capacity: int | None, rules: dict[str, Any], progress: Progress
) -> Memory:
    """Make a memory of pairs, in their order.

    Args:
        pairs: that were checked.
        policy: write them by the write policy; else pair i is inserted into slot i.
        capacity: by default as many as there are pairs.
        rules: further fields of the config; what is not among them is as MemoryConfig has it or,
            with `policy`, as PAPER has it, which merges and evicts.
        progress: called with pairs written, and how many in all.

    Raises:
        ConfigError: the capacity or a rule is out of range.
        ArgumentError: more pairs than slots, and no policy to choose among them.
    """
    n, key_dim = pairs.features.shape
    capacity = max(n, 1) if capacity is None else capacity
    sizes: dict[str, Any] = {"capacity": capacity, "key_dim": key_dim, "columns": _types(pairs)}
    sizes["resolution"] = pairs.resolution
    config = replace(PAPER, **sizes, **rules) if policy else MemoryConfig(**sizes, **rules)
    if policy:
        memory = Memory(config)
        for start in range(0, n, _BATCH):
            part = slice(start, start + _BATCH)
            grids = unpack(pairs.values[part], pairs.resolution)
            some = {name: column[part] for name, column in pairs.columns.items()}
            memory.write(pairs.features[part], grids, pairs.sources[part], some, warn=False)
            progress(min(start + _BATCH, n), n)
        return memory
    if n > config.capacity:
        raise ArgumentError(f"capacity: got {capacity} for {n} pairs, want {n}, or policy=True")
    progress(n, n)
    return Memory.from_state(_inserted(config, pairs))


def _inserted(config: MemoryConfig, pairs: Pairs) -> State:
    """As if each pair had been written and found no similar value."""
    n = len(pairs.features)
    keys = np.empty(pairs.features.shape, np.float32)
    for start in range(0, n, _BATCH):
        part = slice(start, start + _BATCH)
        keys[part] = arguments.as_queries(pairs.features[part], config.key_dim)
    state = State.empty(config)
    rows = Rows(
        slots=np.arange(n),
        keys=keys,
        values=pairs.values,
        touched=np.arange(1, n + 1),
        sources=arguments.as_sources("sources", pairs.sources, n),
        reads=np.zeros(n, np.int64),
        columns=arguments.as_columns(pairs.columns, config, n),
    )
    state.put(rows)
    state.clock = state.counts["insert"] = n
    return state


def _types(pairs: Pairs) -> dict[str, ColumnType]:
    """What kind each column is of."""
    return {name: _TYPES[column.dtype.kind] for name, column in pairs.columns.items()}


def _columns(archive: Archive, n: int) -> dict[str, NDArray[Any]]:
    """What else each pair has, by name: arrays whose names begin with `column_`."""
    columns: dict[str, NDArray[Any]] = {}
    for title in sorted(name for name in archive.heads if name.startswith(COLUMN)):
        dtype, shape = archive.heads[title]
        name = title.removeprefix(COLUMN)
        if dtype.kind in "SU" or len(shape) == 2:
            columns[name] = np.array(_texts(archive, title, n), object)
        elif dtype.kind in _TYPES and shape == (n,):
            columns[name] = read_array(archive, title)
        else:
            raise FormatError(f"{title}: got {dtype} {shape}, want {n} numbers, bools or texts")
    return columns


def _texts(archive: Archive, name: str, n: int) -> list[str]:
    """Text of each pair, from bytes, str or rows of UTF-8 padded with zeros; none without."""
    if name not in archive.heads:
        return []
    dtype, shape = archive.heads[name]
    if dtype == np.uint8 and len(shape) == 2 and shape[0] == n and 1 <= shape[1] <= SOURCE_BYTES:
        rows = np.ascontiguousarray(read_array(archive, name))
        return [row.decode() for row in rows.view(f"S{shape[1]}").reshape(-1).tolist()]
    if dtype.kind not in "SU" or shape != (n,):
        raise FormatError(f"{name}: got {dtype} {shape}, want {n} texts")
    texts = read_array(archive, name).tolist()
    return [text if dtype.kind == "U" else text.decode() for text in texts]
