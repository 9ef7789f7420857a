"""Pieces: a snapshot that is read some rows at a time, so that it is never in RAM as a whole."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig
from memstore.errors import FormatError
from memstore.paths import ObjectUrl
from memstore.slots.state import (
    CHECKED,
    COLUMN,
    COUNTS,
    EMPTY,
    SOURCE_BYTES,
    Rows,
    check_rows,
    column_types,
)
from memstore.storage import reader
from memstore.storage.backend import reading
from memstore.storage.chunks import Strip
from memstore.storage.schema import Ledger, column_arrays, log_dtype

if TYPE_CHECKING:
    import zarr

OF_ROWS = ("keys", "values", "touched", "source")  # arrays of the base, columns left out
KINDS = ("touched", "reads", "keys", "values", "sources")  # of faults, as `check_rows` looks


class Pieces:
    """A snapshot, to be gone through once: all of it is looked at as `reader.read` does.

    The log's rows need not be laid over the base's: each row is one or the other's.

    Attributes:
        config: of the memory.
        rows: slots that have a row.
        touched: (capacity,) as in the rows, complete once all were given.
        reads: (capacity,) as saved.
        clock, counts: of the memory.
        ledger: of the snapshot; its message, time and reads once all rows were given.
    """

    def __init__(
        self,
        path: Path | ObjectUrl,
        group: "zarr.Group",
        disk_bytes: Callable[[], int],
        in_turn: bool = False,
    ) -> None:
        """Look at what is small.

        Args:
            path: of the memory, for messages.
            group: at the snapshot, of a `ChunkStore`.
            disk_bytes: gives the folder's size.
            in_turn: read array after array first, and rank the faults of rows: of several things
                that are wrong, that one is raised which `reader.read` raises.

        Raises:
            FormatError: something does not add up; zarr raises much else if a folder is damaged.
        """
        self._path, self._facts, self._in_turn = path, group.attrs, in_turn
        self._outline = outline = reader.outlined(group, disk_bytes)
        self.config, self.rows, self.touched = outline.config, outline.rows, outline.touched
        row_bytes = log_dtype(self.config).itemsize
        self._at_once = max(1, reader.PIECE_BYTES // row_bytes)
        self._names = (*OF_ROWS, *column_arrays(self.config))
        self.ledger, self.clock = Ledger.empty(self.config), 0
        self.reads, self.counts = self.ledger.reads.copy(), dict.fromkeys(COUNTS, 0)

    def __iter__(self) -> Iterator[Rows]:
        """All rows, some at a time, empty slots too; those of the base come first.

        Raises:
            FormatError: something does not add up; that the seal does not fit, at the end.
        """
        pieces = self._pieces()
        while True:
            with reading(self._path):  # not what is done with the rows
                rows = next(pieces, None)
            if rows is None:
                return
            yield rows

    def _pieces(self) -> Iterator[Rows]:
        """As all."""
        outline, ledger, log = self._outline, self.ledger, self._outline.log
        for name in self._names if self._in_turn else ():
            strip = self._strip(name)
            for start, stop in self._parts():
                strip.take(start, stop)
        outline.store.fill(outline.on_disk["checks"], ledger.checks[: self.rows])
        outline.store.fill(outline.on_disk["reads"], self.reads[: self.rows])
        ledger.checks[log.slots], ledger.logged[log.slots] = log.checks, True
        reader.set_counts(self, self._facts)
        faults = []
        for rows in chain(self._base(), self._logged()):
            try:
                check_rows(rows, self.config, self.clock, with_empty=True)
            except FormatError:
                if not self._in_turn:
                    raise
                faults.append(_first_fault(rows, self.config, self.clock))
            else:
                yield _cleared(rows)
        if faults:
            raise min(faults, key=lambda fault: fault[:3])[3]
        self.ledger = reader.sealed(self, ledger, self._facts, outline.log_rows)
        ledger.reads[:] = np.where(self.touched == EMPTY, 0, self.reads)

    def _strip(self, name: str) -> Strip:
        """Rows of an array of the base."""
        return Strip(self._outline.store, self._outline.on_disk[name], self.rows, self._at_once)

    def _parts(self) -> Iterator[tuple[int, int]]:
        """Ranges of rows."""
        for start in range(0, self.rows, self._at_once):
            yield start, min(start + self._at_once, self.rows)

    def _base(self) -> Iterator[Rows]:
        """Rows of the base that the log does not hold."""
        strips = {name: self._strip(name) for name in self._names}
        for start, stop in self._parts():
            parts = {name: strip.take(start, stop) for name, strip in strips.items()}
            own = ~self.ledger.logged[start:stop]
            if not own.all():
                parts = {name: part[own] for name, part in parts.items()}
            yield self._rows(start + np.flatnonzero(own), parts)

    def _logged(self) -> Iterator[Rows]:
        """The last row of each slot in the log."""
        for records in self._outline.log.pieces():
            parts = {name: records[name].copy() for name in self._names}
            slots = records["slots"].astype(np.int64)
            self.touched[slots] = parts["touched"]
            yield self._rows(slots, parts)

    def _rows(self, slots: NDArray[np.int64], parts: dict[str, NDArray[Any]]) -> Rows:
        """Rows of slots (n,) of copies of their parts, by the names of arrays on disk."""
        texts = np.dtype(f"S{SOURCE_BYTES}")
        columns = {
            name: parts[f"{COLUMN}{name}"].view(texts)[:, 0]
            if dtype.kind == "S"
            else parts[f"{COLUMN}{name}"]
            for name, dtype in column_types(self.config).items()
        }
        source = parts["source"].view(texts)[:, 0]
        arrays = parts["keys"], parts["values"], parts["touched"], source, self.reads[slots]
        return Rows(slots, *arrays, columns)


def _cleared(rows: Rows) -> Rows:
    """The rows, copies, once nothing is left of what empty slots held."""
    empty = rows.touched == EMPTY
    if empty.any():
        arrays: tuple[NDArray[Any], ...] = rows.keys, rows.values, rows.sources, rows.reads
        for array in (*arrays, *rows.columns.values()):
            array[empty] = array.dtype.type()
    return rows


def _first_fault(rows: Rows, config: MemoryConfig, clock: int) -> tuple[int, int, int, FormatError]:
    """Of rows that do not pass, the fault that `check_state` tells first, after its place there."""
    names, faults = [*KINDS, *rows.columns], []
    for i, slot in enumerate(rows.slots.tolist()):
        try:
            check_rows(rows.part(slice(i, i + 1)), config, clock, with_empty=True)
        except FormatError as error:
            kind = names.index(str(error).partition(":")[0])
            faults.append((slot // CHECKED, kind, slot, error))
    return min(faults, key=lambda fault: fault[:3])
