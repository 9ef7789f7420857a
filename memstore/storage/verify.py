"""verify: is a memory whole, in RAM and on disk?"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.errors import ForkError, FormatError, MemstoreError, StoreError
from memstore.files import Progress
from memstore.paths import place_of
from memstore.search import cosine
from memstore.slots.state import EMPTY, Rows, State, check_state
from memstore.storage import rowfile
from memstore.storage.checksums import misfits, unfit
from memstore.voxels.grids import full_voxels

if TYPE_CHECKING:
    from memstore.storage.history import Commit
    from memstore.storage.local.repository import Repository
    from memstore.storage.reader import Pieces
    from memstore.storage.schema import Ledger

ROWS = 1024  # slots checked at once, and whose differences are told together
HUNDRED = 100  # parts of a snapshot in which progress is told
SLACK = 600  # seconds that the store's and our own time of a commit may lie apart
ROW_NAMES = ("keys", "values", "touched", "sources")  # of what is in a row, reads left out
SEARCHES = 8  # slots whose own keys are searched for


class Verification(NamedTuple):
    """What was looked at, and what is wrong.

    Attributes:
        snapshots: read from disk, every chunk of them.
        slots: used slots checked, over all these snapshots and RAM.
        problems: one line each; empty if all is well.
    """

    snapshots: int
    slots: int
    problems: tuple[str, ...]


def verify_folder(
    path: str | Path,
    every: bool = True,
    progress: Progress | None = None,
    at: str | None = None,
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> Verification:
    """Check the folder of a memory that need not open: damage is reported, not raised.

    Args:
        path: of the folder, or a URL.
        every: all snapshots of the history and all tagged ones; else one alone.
        progress: called with hundredths of snapshots read, and how many in all.
        at: which one, a snapshot id or tag; by default the last commit.
        storage_options: of a URL, as `Memory.open` takes them.

    Raises:
        PathMissingError: there is nothing at the path.
        NotAMemoryError: there is something else.
        StoreError: the object store does not tell.
    """
    from memstore.storage.repository import opened

    repository = opened(place_of(path), at=at, lenient=True, storage_options=storage_options)
    return verify(None, repository, every, progress)


def verify(
    state: State | None,
    repository: "Repository | None",
    every: bool,
    progress: Progress | None = None,
) -> Verification:
    """Check a state in RAM, the snapshot that it is based on, and with `every` all others.

    Raises:
        PathMissingError: the folder of an open memory was moved or deleted.
    """
    if repository:
        repository.past.check_there()
    problems, slots, read = [], 0, 0
    if state:
        problems += [f"in RAM: {problem}" for problem in _state_problems(state)]
        slots += len(state.used)
    snapshots = _snapshots(repository, every, problems) if repository else {}
    for number, (snapshot, commit) in enumerate(snapshots.items()):

        def tell(part: float, number: int = number) -> None:
            if progress:
                progress(HUNDRED * number + int(HUNDRED * part), HUNDRED * len(snapshots))

        assert repository
        ours = state if snapshot == repository.snapshot else None
        try:
            look = _looked_at(repository, snapshot, ours, tell)
        except (ForkError, StoreError):
            raise
        except MemstoreError as error:
            if not repository.past.has_lost(snapshot):
                problems.append(f"snapshot {snapshot}: {error}")
            continue
        read, slots = read + 1, slots + int(np.count_nonzero(look.pieces.touched != EMPTY))
        unlike = "its key, value, source, columns or clock value is not what was written"
        faults = [f"slot {slot}: {unlike}" for slot in sorted(look.unfit)]
        if commit and not _same_commit(commit, look.pieces.ledger):
            faults.append("the history's message or time is not what was written")
        if (file := repository.row_file(snapshot)) and file.exists():
            faults += _row_file_faults(file, snapshot, look)
        if ours:
            faults += _differences(ours, look)
        problems += [f"snapshot {snapshot}: {fault}" for fault in faults]
    if progress:
        progress(HUNDRED * len(snapshots), HUNDRED * len(snapshots))
    return Verification(read, slots, tuple(problems))


class _Look:
    """What is found in a snapshot that is read in pieces."""

    def __init__(self, pieces: "Pieces", state: State | None) -> None:
        """Nothing yet.

        Args:
            pieces: of the snapshot.
            state: to be compared with it.
        """
        self.pieces, self._state = pieces, state
        self.unfit: list[int] = []  # slots whose rows do not fit their checks
        self.unequal: list[tuple[int, int, int, str]] = []  # see `_unequal`
        self.full = np.zeros(pieces.config.capacity, np.int32)  # voxels
        self._dirty = np.zeros(pieces.config.capacity, np.bool_)
        self._dirty[list(state.dirty) if state else []] = True

    def take(self, rows: Rows) -> None:
        """Look at some of its rows."""
        wrong = unfit(rows, self.pieces.ledger.checks[rows.slots])
        self.unfit += rows.slots[wrong].tolist()
        self.full[rows.slots] = full_voxels(rows.values)
        if self._state:
            self.unequal += _unequal(self._state, rows, self._dirty)


def _looked_at(
    repository: "Repository", snapshot: str, state: State | None, tell: Callable[[float], None]
) -> _Look:
    """What is found in a snapshot; what is wrong with it as a whole is raised.

    Args:
        repository: that has it.
        snapshot: its id.
        state: to be compared with it.
        tell: called with what part of it was looked at.
    """

    def attempt(again: bool) -> _Look:
        look = _Look(repository.pieces(snapshot, again), state)
        count = 0
        tell(0)
        for rows in look.pieces:
            look.take(rows)
            count += len(rows.slots)
            if count < look.pieces.rows:
                tell(count / look.pieces.rows)
        return look

    try:
        return attempt(again=False)
    except FormatError:  # or so it seems, as a writer has let snapshots expire meanwhile
        return attempt(again=True)


def _snapshots(
    repository: "Repository", every: bool, problems: list[str]
) -> dict[str, "Commit | None"]:
    """Ids to read, the present one first, and what the history says of each."""
    snapshots: dict[str, Commit | None] = {}
    try:
        if not repository.snapshot:
            raise FormatError("refs/branch.main: got a damaged file, want the last commit's id")
        snapshots[repository.snapshot] = None
        history = repository.past.of(repository.snapshot)
        snapshots |= {commit.id: commit for commit in history[: None if every else 1]}
        if every:
            for tip in (repository.tip, *repository.past.tags().values()):
                snapshots |= {commit.id: commit for commit in repository.past.of(tip)}
    except (ForkError, StoreError):
        raise
    except MemstoreError as error:
        if not repository.past.has_lost(repository.snapshot):
            problems.append(f"history: {error}")
        if every:  # what can be found all the same
            snapshots |= {commit.id: commit for commit in repository.past.readable()}
    return snapshots


def _same_commit(commit: "Commit", ledger: "Ledger") -> bool:
    """Whether the history, which no checksum covers, agrees with what the snapshot holds."""
    apart = abs(commit.time.timestamp() - ledger.time / 1e6)
    return commit.message == ledger.message and apart < SLACK


def _state_problems(state: State) -> Iterator[str]:
    """What is wrong with a state, its index included."""
    try:
        check_state(state)
    except MemstoreError as error:
        yield str(error)
        return
    used = state.used
    parts = [used[start : start + ROWS] for start in range(0, len(used), ROWS)]
    if any((state.full[part] != full_voxels(state.values[part])).any() for part in parts):
        yield "the counts of full voxels do not fit the values"
    if not len(used):
        return
    sample = used[np.unique(np.linspace(0, len(used) - 1, SEARCHES).astype(int))]
    keys = state.index.keys
    hits = state.index.search(keys[sample], 1, state.used_rows, exact=True)
    for slot, hit, similarity in zip(sample, hits.slots[:, 0], hits.cosines[:, 0], strict=True):
        exact = np.concatenate([cosine.cosines(keys[slot], keys[part]) for part in parts])
        want = used[exact.argmax()]
        if (hit, similarity) != (want, exact.max()):
            yield f"slot {slot}: a search for its key finds slot {hit}, want slot {want}"


def _row_file_faults(path: Path, snapshot: str, look: _Look) -> Iterator[str]:
    """What is wrong with the row file of a snapshot."""
    config, ledger = look.pieces.config, look.pieces.ledger
    try:
        file = rowfile.checked(path, config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"{rowfile.FOLDER}/{snapshot}: {error}; it only repeats the rest and may be deleted"
        return
    mapped = State.over(config, file.arrays, file.rows)
    if fault := rowfile.load_lists(path, mapped.index, np.empty(0, np.int64)):
        yield f"{rowfile.FOLDER}/{snapshot}{rowfile.LISTS}: {fault}; it may be deleted"
    for slot in misfits(mapped, ledger.checks):
        yield f"{rowfile.FOLDER}/{snapshot}: slot {slot}: got another row than was written"
    follows = {
        "reads": (file.arrays["reads"] != ledger.reads).any(),
        "full": (file.arrays["full"] != look.full).any(),
        # A mark too many, of another log that ended where this one did, has a chunk written twice.
        "logged": (file.arrays["logged"] < ledger.marks).any(),
    }
    for name in (name for name, is_wrong in follows.items() if is_wrong):
        yield f"{rowfile.FOLDER}/{snapshot}: {name}: got other numbers than were written"


def _differences(state: State, look: _Look) -> Iterator[str]:
    """What nobody has changed since the snapshot and differs from it all the same."""
    stored = look.pieces
    if not state.dirty and (state.clock, state.counts) != (stored.clock, stored.counts):
        yield "the clock or the counts in RAM differ from those on disk"
    rows = min(state.index.rows, stored.rows)
    for beyond in np.flatnonzero(state.touched[rows:] != stored.touched[rows:]) + rows:
        if int(beyond) not in state.dirty:
            yield f"slot {beyond}: used in RAM or on disk only"
    for _, _, slot, name in sorted(look.unequal):
        yield f"slot {slot}: {name} in RAM differ from those on disk"


def _unequal(
    state: State, disk: Rows, dirty: NDArray[np.bool_]
) -> Iterator[tuple[int, int, int, str]]:
    """What differs of rows in RAM and on disk, in an order to be told in: part, name, slot.

    Args:
        state: in RAM.
        disk: some rows.
        dirty: (capacity,) slots that may differ.
    """
    both = ~dirty[disk.slots] & (disk.slots < state.index.rows)
    if not both.all():
        disk = disk.part(both)
    if not len(disk.slots):
        return
    ram = state.rows(disk.slots)
    named = {name: (getattr(ram, name), getattr(disk, name)) for name in ROW_NAMES}
    named |= {name: (column, disk.columns[name]) for name, column in ram.columns.items()}
    for number, (name, (ours, theirs)) in enumerate(named.items()):
        unequal = (ours != theirs).reshape(len(disk.slots), -1).any(axis=1)
        for slot in disk.slots[unequal].tolist():
            yield slot // ROWS, number, slot, name
