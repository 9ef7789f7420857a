"""Arguments of Memory's methods, checked once, before anything changes."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from memstore.config import MemoryConfig, ValueSimilarity
from memstore.errors import (
    ArgumentError,
    DtypeError,
    FeatureError,
    FormatError,
    ShapeError,
    SlotError,
    check_shape,
)
from memstore.scalars import as_float, as_int
from memstore.search.cosine import plain_unit, quick_unit, unit
from memstore.slots.filters import NO_SOURCE, encoded
from memstore.slots.state import (
    EMPTY,
    KINDS,
    SOURCE_BYTES,
    Rows,
    check_rows,
    column_types,
    row_types,
)
from memstore.voxels.grids import pack


def as_count(name: str, count: object, most: float = np.inf) -> int:
    """An int in [1, most]."""
    number = as_int(name, count)
    if not 1 <= number <= most:
        raise ArgumentError(f"{name}: got {number}, want >= 1{f' and <= {most}' * (most < np.inf)}")
    return number


def as_larger(capacity: object, config: MemoryConfig) -> int:
    """Slots of a copy of a memory: no fewer than it has; as many for None."""
    if capacity is None:
        return config.capacity
    slots = as_count("capacity", capacity)
    if slots < config.capacity:
        want = f"the present {config.capacity} or more"
        raise ArgumentError(f"capacity: got {slots}, want {want}")
    return slots


def check_text(name: str, text: str) -> bytes:
    """The text as UTF-8."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(f"{name}: got a lone surrogate, want text that has UTF-8") from error


def as_cosine(name: str, number: object) -> float:
    """A number in [-1, 1]."""
    cosine = as_float(name, number)
    if not -1 <= cosine <= 1:
        raise ArgumentError(f"{name}: got {number}, want a cosine in [-1, 1]")
    return cosine


def as_queries(features: ArrayLike, key_dim: int, name: str = "features") -> NDArray[np.float32]:
    """Unit vectors (B, C) of features (B, C): any float dtype, any norm but zero."""
    array: NDArray[Any] = _as_array(name, features)
    if array.dtype.kind != "f":
        raise DtypeError(f"{name}: got dtype {array.dtype}, want a float dtype")
    if array.shape[1:] != (key_dim,):  # quicker than its loop
        check_shape(name, array.shape, (None, key_dim))
    if array.dtype == np.float32 and (units := quick_unit(array)) is not None:
        return units
    if array.dtype.itemsize <= 4:  # in float64 their squares cannot overflow
        rows = array.astype(np.float64)
        units = plain_unit(rows)
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # reported as not finite below
            rows = array.astype(np.float64)
            units = plain_unit(rows)
    if units is not None:
        return units
    if not (finite := np.isfinite(rows).all(axis=1)).all():
        raise FeatureError(f"{name}[{finite.argmin()}]: got nan or inf, want finite numbers")
    if not (nonzero := rows.any(axis=1)).all():
        raise FeatureError(f"{name}[{nonzero.argmin()}]: got all zeros, want a direction")
    return unit(rows)


def as_packed(
    grids: ArrayLike, batch: int, resolution: int, name: str = "grids"
) -> NDArray[np.uint8]:
    """Packed values of grids (B, R, R, R) bool."""
    return _packed(name, grids, (batch, resolution, resolution, resolution))


def as_packed_grid(grid: ArrayLike, resolution: int) -> NDArray[np.uint8]:
    """Packed value of one grid (R, R, R) bool."""
    return _packed("grid", grid, (resolution, resolution, resolution))


def _packed(name: str, grids: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    array = _as_array(name, grids)
    if array.dtype != np.bool_:
        raise DtypeError(f"{name}: got dtype {array.dtype}, want bool (try `{name} > 0.5`)")
    check_shape(name, array.shape, shape)
    return pack(array)


def as_kind(kind: ValueSimilarity | None, default: ValueSimilarity) -> ValueSimilarity:
    """A way to compare values; the default for None."""
    if kind not in (None, "mse", "iou"):
        raise ArgumentError(f"kind: got {kind!r}, want 'mse' or 'iou'")
    return kind or default


def as_exact(exact: object, config: MemoryConfig) -> bool:
    """Whether answers are to be proven; by default as the config has it."""
    if exact is None:
        return config.search == "exact"
    if not isinstance(exact, bool | np.bool_):
        raise DtypeError(f"exact: got {type(exact).__name__}, want bool or None")
    return bool(exact)


def as_sources(name: str, sources: Sequence[str] | None, batch: int) -> NDArray[np.bytes_]:
    """UTF-8 (B,) of one source per pair; empty if there are none."""
    if sources is None:
        return np.zeros(batch, f"S{SOURCE_BYTES}")
    _check_one_each(name, sources, batch)
    texts = [_utf8(f"{name}[{i}]", source) for i, source in enumerate(sources)]
    return np.array(texts, f"S{SOURCE_BYTES}")


def as_columns(
    columns: Mapping[str, ArrayLike] | None, config: MemoryConfig, batch: int, every: bool = True
) -> dict[str, NDArray[Any]]:
    """Columns (B,) as they are stored; with `every`, all that the memory has."""
    entries = {} if columns is None else columns
    if not isinstance(entries, Mapping):
        raise DtypeError(f"columns: got {type(columns).__name__}, want entries by column")
    if unknown := [name for name in entries if name not in config.columns]:
        listed = ", ".join(config.columns) or "none"
        raise ArgumentError(f"columns: got {unknown[0]!r}, want the memory's columns ({listed})")
    if every and (missing := [name for name in config.columns if name not in entries]):
        raise ArgumentError(
            f"columns: got no {missing[0]!r}, want all of {', '.join(config.columns)}"
        )
    types = column_types(config)
    return {
        name: _as_column(name, entries[name], types[name], batch)
        for name in types
        if name in entries
    }


def _as_column(name: str, entries: Any, dtype: np.dtype[Any], batch: int) -> NDArray[Any]:
    """One column (B,) as it is stored."""
    title = f"columns[{name!r}]"
    if dtype.kind == "S":
        if isinstance(entries, np.ndarray):
            entries = entries.tolist()
        return as_sources(title, entries, batch)
    array = _as_array(title, entries)
    kinds = {"i": "iu", "f": "fiu", "b": "b"}[dtype.kind]
    if array.dtype.kind not in kinds and array.size:
        raise DtypeError(f"{title}: got dtype {array.dtype}, want {dtype}")
    check_shape(title, array.shape, (batch,))
    if array.dtype.kind == "u" and dtype.kind == "i" and (array > np.iinfo(np.int64).max).any():
        raise ArgumentError(f"{title}: got {array.max()}, want ints of 64 bits")
    with np.errstate(over="ignore"):  # of long doubles; told next
        stored = array.astype(dtype)
    if dtype.kind == "f" and not (finite := np.isfinite(stored)).all():
        i = finite.argmin()
        raise ArgumentError(f"{title}[{i}]: got {array[i]}, want a finite number")
    return stored


def as_excluded(exclude: Sequence[str | None], batch: int) -> NDArray[np.bytes_]:
    """UTF-8 (B,) of the source to pass over; for None, bytes that no source has."""
    _check_one_each("exclude", exclude, batch)
    named = as_sources("exclude", ["" if s is None else s for s in exclude], batch)
    excluded = named.astype(f"S{SOURCE_BYTES + 1}")
    excluded[[source is None for source in exclude]] = NO_SOURCE
    return excluded


def as_slots(slots: ArrayLike, touched: NDArray[np.int64]) -> NDArray[np.int64]:
    """Slots (n,) int64, all of them used."""
    array = _as_array("slots", slots)
    if array.size == 0 and array.ndim == 1:
        return np.empty(0, np.int64)  # [] is float64 to numpy
    if array.dtype.kind not in "iu":
        raise DtypeError(f"slots: got dtype {array.dtype}, want an integer dtype")
    check_shape("slots", array.shape, (None,))
    if (outside := (array < 0) | (array >= len(touched))).any():
        slot = array[outside.argmax()]
        raise SlotError(f"slots: got {slot}, want a slot in [0, {len(touched)})")
    if (empty := touched[array] == EMPTY).any():
        raise SlotError(f"slots: got {array[empty.argmax()]}, which is empty")
    return array.astype(np.int64)


def as_distinct_slots(slots: ArrayLike, touched: NDArray[np.int64]) -> NDArray[np.int64]:
    """As `as_slots`, none of them named twice."""
    checked = as_slots(slots, touched)
    if len(np.unique(checked)) < len(checked):
        raise SlotError("slots: got a slot twice, want distinct slots")
    return checked


def as_rows(rows: Rows, config: MemoryConfig, clock: int) -> Rows:
    """Rows of distinct slots of a memory, none of them empty, keys scaled to length one."""
    slots = _as_array("slots", rows.slots)
    types = row_types(config, slots.size)
    arrays: dict[str, NDArray[Any]] = {"keys": as_queries(rows.keys, config.key_dim, "keys")}
    check_shape("keys", arrays["keys"].shape, types.pop("keys")[1])
    for name, (dtype, shape) in types.items():
        array = _as_array(name, getattr(rows, name))
        kinds = "iu" if dtype.kind == "i" else dtype.kind
        if array.dtype.kind not in kinds or array.dtype.itemsize > dtype.itemsize:
            raise DtypeError(f"{name}: got dtype {array.dtype}, want {dtype}")
        check_shape(name, array.shape, shape)
        arrays[name] = np.ascontiguousarray(array, None if dtype.kind == "S" else dtype)
    columns = {}
    for name, dtype in column_types(config).items():
        if name not in rows.columns:
            raise ArgumentError(f"columns: got rows without {name!r}, want all of the memory's")
        array = _as_array(name, rows.columns[name])
        if array.dtype.kind != dtype.kind or array.dtype.itemsize > dtype.itemsize:
            raise DtypeError(f"{name}: got dtype {array.dtype}, want {dtype}")
        check_shape(name, array.shape, (slots.size,))
        columns[name] = array
    checked = Rows(**arrays, columns=columns)
    try:
        check_rows(checked, config, clock)
    except FormatError as error:
        raise ArgumentError(str(error)) from None
    return checked


def as_writes(writes: Mapping[str, int]) -> dict[str, int]:
    """Counts of pairs by kind of write."""
    counts = {}
    for kind, count in writes.items():
        if kind not in KINDS:
            raise ArgumentError(f"writes: got {kind!r}, want {', '.join(KINDS)}")
        counts[kind] = as_int(f"writes[{kind!r}]", count)
        if counts[kind] < 0:
            raise ArgumentError(f"writes: got {count} for {kind}, want an int >= 0")
    return counts


def _as_array(name: str, values: Any) -> NDArray[Any]:
    """np.asarray, also of tensors that are elsewhere; ragged lists are reported as ShapeError."""
    if type(values) is np.ndarray:  # mostly
        return values
    try:
        if hasattr(values, "detach"):  # torch's: may want gradients, or be on another device
            values = _on_host(values)
        elif hasattr(values, "__dlpack__") and not hasattr(values, "__array__"):
            return np.from_dlpack(values, device="cpu")
        # np.ma is loaded where it is first named, which takes as long as to open a memory.
        could_be = "numpy.ma" in sys.modules
        if could_be and np.ma.isMaskedArray(values) and np.ma.getmaskarray(values).any():
            raise DtypeError(f"{name}: got a masked array, want one without masked entries")
        return np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"{name}: got rows of different lengths, want an array") from error
    except (BufferError, TypeError, RuntimeError) as error:
        kind = type(values).__name__
        raise DtypeError(f"{name}: got a {kind} that is no array of the host: {error}") from error


def _on_host(tensor: Any) -> Any:
    """A torch tensor as numpy takes it: bfloat16, which numpy has not, as float32."""
    tensor = tensor.detach().cpu()
    return tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor


def _check_one_each(name: str, texts: Sequence[str | None], batch: int) -> None:
    """Raise unless there is one text per feature."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Sequence | np.ndarray):
        kind = type(texts).__name__
        raise DtypeError(f"{name}: got a {kind}, want a list of str, one per feature, in order")
    if len(texts) != batch:
        raise ShapeError(f"{name}: got {len(texts)}, want one per feature ({batch})")


def _utf8(name: str, source: object) -> bytes:
    """One source as bytes that fit."""
    if not isinstance(source, str):
        raise DtypeError(f"{name}: got {type(source).__name__}, want str")
    return encoded(name, source)
