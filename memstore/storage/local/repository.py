"""Repository: a memory's folder, an Icechunk repository of Zarr arrays (docs/format.md).

A commit goes to a side branch; what is new in the folder is synced; then the side branch's file,
synced too, is renamed to be the main one's. So a power cut leaves the commit or the one before.
"""

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.errors import GroupNotFoundError

from memstore.errors import (
    ArgumentError,
    FormatError,
    LockedError,
    NotAMemoryError,
    PathError,
    PathExistsError,
    PathMissingError,
    SnapshotError,
)
from memstore.files import (
    Durability,
    disk_bytes,
    is_there,
    made_beside,
    partial_of,
    sync,
    tidy,
    tree,
    write_atomic,
)
from memstore.paths import SHARDS_FILE, ObjectUrl
from memstore.slots.state import State
from memstore.storage import reader, rowfile, schema
from memstore.storage.backend import (
    MAIN,
    REF_FILE,
    Opener,
    reading,
    ref,
    storage_of,
    wait_at_exit,
    writing,
)
from memstore.storage.checksums import unfit
from memstore.storage.chunks import ChunkStore, Draft, Layout, check_files
from memstore.storage.history import Expired, Past, advising, is_stray
from memstore.storage.local.durable import Durable
from memstore.storage.local.lock import WriterLock
from memstore.storage.reader import Pieces
from memstore.storage.renewal import Renewal
from memstore.storage.rowfile import Place

LOCK_FILE = "writer.lock"
SIDE = "commit"  # branch that lives during one commit
COPIED = ("snapshots", "refs")  # folders that an expiry changes in a copy
MANY = 2048  # rows checked at once
BLOCK = 4096  # bytes that a file takes at least, in most file systems

wait_at_exit()

# Icechunk warns that a local folder does not order two writers; the writer lock does.
icechunk.set_logs_filter("off")


def create(path: Path, state: State, message: str, durability: Durability = "full") -> str:
    """Make a memory, built beside the path, then renamed, so never half of one; its snapshot."""
    _check_outside(path)
    if _is_like_memory(path):
        raise PathExistsError(already_made(path))
    with made_beside(path, durability) as beside, writing(path):
        beside.mkdir()  # where we may not, Icechunk would panic
        repo = icechunk.Repository.create(storage_of(beside))
        session = repo.writable_session(MAIN)
        write_first(session.store, state, message)
        snapshot = session.commit(message)
    return snapshot


def write_first(store: Any, state: State, message: str) -> None:
    """Make the arrays of a memory in a store that holds nothing, and write a state to them."""
    group = zarr.create_group(store)
    for name, options in schema.arrays(state.config).items():
        group.create_array(name, **options, compressors=_codecs(name))
    draft = Draft(store, group)
    schema.write(draft, state, state.used, schema.Ledger.empty(state.config), message)


def already_made(path: Path | ObjectUrl) -> str:
    """What to do where a memory is to be made and one is already."""
    return (
        f"{path}: exists already, and is a memory: Memory.open(path, 'r+') goes on with it; want a "
        "path where nothing is for a new one"
    )


def _check_outside(path: Path) -> None:
    """Raise ArgumentError for a place in the folder of a memory."""
    for parent in path.resolve().parents:
        if _is_like_memory(parent):
            raise ArgumentError(f"path: got {path}, want a place outside of the memory {parent}")


def _is_like_memory(path: Path) -> bool:
    """Whether a folder has the folders of a memory; False where that cannot be told."""
    return all(os.path.isdir(path / name) for name in ("refs", "snapshots"))


def _check_like_memory(path: Path) -> None:
    """Raise NotAMemoryError, or PathMissingError, where a memory in one piece cannot be."""
    if not is_there(path):
        want = "the folder of a memory, as training, memstore import or Memory.create makes it"
        raise PathMissingError(f"{path}: nothing there, want {want}")
    if _is_like_memory(path):
        return
    if is_there(path / SHARDS_FILE):
        raise NotAMemoryError(
            f"{path}: got a memory in shards, want one in one piece; memstore copy {path} --out "
            "FOLDER makes one, memstore.sharded.ShardedMemory.open opens it as it is"
        )
    raise NotAMemoryError(f"{path}: got something else, want the folder of a memory")


def _put_anew(used: NDArray[np.int64], draft: Draft, ledger: schema.Ledger) -> NDArray[np.int64]:
    """Which of the used slots (n,) a commit copies from their rows: all of them, or a fold's."""
    if not ledger.log.rows:
        return used
    is_copied = np.zeros(len(ledger.checks), np.bool_)
    for start, stop in draft.copied:
        is_copied[start:stop] = True
    return used[is_copied[used]]


def _codecs(name: str) -> list[Any]:
    """How the chunks of an array are written: each ends with a checksum."""
    # Random mantissas do not compress; those of the log are beside values, which do.
    levels = {"keys": [], "log": [-1]}.get(name, [3])
    return [*(ZstdCodec(level=level) for level in levels), Crc32cCodec()]


class Repository:
    """The folder of one memory, open to be read, or locked and open to be written."""

    def __init__(
        self,
        path: Path,
        writable: bool = False,
        at: str | None = None,
        durability: Durability = "full",
        lenient: bool = False,
        place: Place | None = "ram",
    ) -> None:
        """Open the folder.

        Args:
            path: of the folder.
            writable: keep other writers out.
            at: snapshot id or tag; by default the last commit.
            durability: of what is written from now on.
            lenient: do without the last commit where it cannot be told; `snapshot` is "" then.
            place: where rows are to lie that are loaded; None chooses.
        """
        self.path: Path | ObjectUrl = path
        # The same, wherever this process goes to; an object store has none.
        self._folder = folder = path.absolute()
        self._place = place
        _check_like_memory(path)
        self._lock: WriterLock | None = None
        self._durability: Durability = durability
        self._durable = Durable(folder, [rowfile.FOLDER])
        self._arriving: tuple[str, schema.Ledger] | None = None  # the last commit that was begun
        self._row_file: Path | None = None  # that was mapped
        self._watch: rowfile.Watch | None = None  # over it
        self._changed: NDArray[np.bool_] | None = None  # (capacity,) since rows were mapped
        self._renewal: Renewal | None = None  # of the row file
        self._layouts: dict[str, Layout] = {}  # of arrays that a commit has looked at
        self._is_moving = False  # the main branch's end is new, and perhaps not synced
        self._is_lenient = lenient or at is not None
        self._opener = Opener(folder, self._is_lenient)
        with advising(path), reading(path):
            check_files(path, besides=rowfile.FOLDER)
            self.past = Past(path, self._opener)
        self._at = None if at is None else self.past.named(at)
        self.tip = self._tip()
        self.snapshot = self._at or self.tip
        if writable:
            with reading(path):
                self._group(self.snapshot)  # before a foreign folder gets a lock file
            try:
                self._lock = WriterLock(path / LOCK_FILE)
                self._tidy()
                if not self.tip:
                    self._make_main_anew()
                self.tip = self._tip()
                self.snapshot = self._at or self.tip
            except BaseException:
                self.close()
                raise
        self._ledger: schema.Ledger

    def _tip(self) -> str:
        """Id of the last commit; "" if that cannot be told, and need not."""
        if self._opener.stand_in:
            return ""
        try:
            return self.past.last()
        except FormatError:
            if not self._is_lenient:
                raise
            return ""

    def _tidy(self) -> None:
        """Remove what writers have left half made: with the lock, nobody else is at it."""
        tidy(self._folder, of_all=True)

    def _make_main_anew(self) -> None:
        """Have the main branch, which is damaged, end at the snapshot that was asked for."""
        main = self._folder / "refs" / f"branch.{MAIN}"
        with writing(self.path):
            main.mkdir(exist_ok=True)
            write_atomic(main / REF_FILE, ref(self.snapshot).encode())
            sync([main.parent])
        self._opener.stand_in = None
        self.past.reopen()

    def close(self) -> None:
        """Let the next writer in."""
        self._end_renewal()
        if self._lock:
            self._lock.close()

    def load(self) -> State:
        """Read the state at `self.snapshot`; later commits follow it."""
        while True:
            try:
                with advising(self.path):
                    state, self._ledger = self._loaded()
                if state.index.is_mapped:
                    state.guard = self.guard
                return state
            except FormatError:
                # A writer may have committed, and expired our snapshot, while we read it.
                tip = self.past.last() if self._at is None else self.snapshot
                if tip == self.snapshot:
                    raise
                self.tip = self.snapshot = tip

    def _loaded(self) -> tuple[State, schema.Ledger]:
        """As load, of the present snapshot: from a row file if there is one that will do."""
        if self._place == "ram":
            return self.read(self.snapshot)
        if mapped := self._mapped():
            return mapped
        with rowfile.making(self._folder, self._place) as maker:
            state, ledger = self.read(self.snapshot, begin=maker.begin)
            if not maker.draft:
                return state, ledger
            with suppress(OSError):  # a full disk
                maker.finish(self.snapshot, ledger, self.tip)
        return self._mapped() or self.read(self.snapshot)

    def _renew(self, state: State, changed: NDArray[np.int64]) -> None:
        """Make a new row file once much of the mapped one was changed in RAM, and map it.

        Each commit makes a piece of it.

        Args:
            state: as committed.
            changed: (n,) slots that the commit has changed.
        """
        if not state.index.is_mapped:
            return
        if self._changed is None:
            self._changed = np.zeros(state.config.capacity, np.bool_)
        self._changed[changed] = True
        count = int(np.count_nonzero(self._changed))
        try:
            if self._renewal is None:
                if not rowfile.is_outgrown(state.config, state.index.rows, count):
                    return
                self._renewal = Renewal(self._folder, state)
            if self._renewal.go_on(state, self._ledger.checks, changed):
                self._take(state, self._renewal)
        except (OSError, ValueError):  # a full disk, say: a cache less
            self._end_renewal()

    def _take(self, state: State, renewal: Renewal) -> None:
        """Have a state lie in the row file that a renewal has made."""
        file = renewal.finish(state, self._ledger, self.snapshot, self.tip)
        state.move(file.arrays, file.rows)
        self._row_file, self._watch = file.path, file.watch
        checks, marks = file.arrays["checks"], file.arrays["logged"]
        self._ledger = replace(self._ledger, checks=checks, marks=marks, changes={})
        self._end_renewal()

    def _end_renewal(self) -> None:
        """Begin anew to count what is changed, so that where it has failed the next waits."""
        if self._renewal:
            self._renewal.close()
        self._renewal = self._changed = None

    def _mapped(self) -> tuple[State, schema.Ledger] | None:
        """As load, from a row file; None if there is none that will do."""
        with suppress(FormatError), reading(self.path):
            group = self._group(self.snapshot)
            file = rowfile.opened(self._folder, reader.config_of(group), self.snapshot)
            if file:
                self._row_file, self._watch = file.path, file.watch
                return reader.read_over(group, self.size, file, self.snapshot)
        return None

    def row_file(self, snapshot: str) -> Path | None:
        """Where the row file of a snapshot is, if it has one; None where it can have none."""
        folder = self._folder / rowfile.FOLDER if isinstance(self.path, Path) else None
        return folder / snapshot if folder and not folder.is_symlink() else None

    def keep_lists(self, state: State) -> None:
        """Save lists of keys that searches have made, if they are those of a row file."""
        file = self._row_file if state.index.is_mapped and not state.dirty else None
        if file and file.name == self.snapshot:
            with suppress(FormatError):
                self.guard(state)
                rowfile.save_lists(file, state.index)

    def reopened(self) -> "Repository | None":
        """The folder as it is now, to be read; None if its last commit is ours.

        Raises:
            SnapshotError: a snapshot was asked for, and no later one is to be followed.
        """
        self._check_there()
        if self._at is not None:
            raise SnapshotError(f"{self.path}: opened at {self._at}, which stays as it is")
        fresh = self._anew()
        self.past.check_same(fresh.past)
        return None if fresh.tip == self.snapshot else fresh

    def _anew(self) -> "Repository":
        """The same, open to be read."""
        fresh = Repository(self._folder, durability=self._durability, place=self._place)
        fresh.path = self.path
        return fresh

    def read(
        self, snapshot: str, begin: reader.Begin = State.with_rows
    ) -> tuple[State, schema.Ledger]:
        """Read a snapshot from disk, every chunk of it.

        Args:
            snapshot: its id.
            begin: gives the state to fill.
        """

        def attempt() -> tuple[State, schema.Ledger]:
            with reading(self.path):
                return reader.read(self._group(snapshot), self.size, begin)

        try:
            return attempt()
        except FormatError:  # or so it seems, as a writer has let snapshots expire meanwhile
            self.past.reopen()
            return attempt()

    def pieces(self, snapshot: str, again: bool = False) -> Pieces:
        """A snapshot on disk, to be read some rows at a time, every chunk of it.

        Args:
            snapshot: its id.
            again: something was wrong: look at the folder anew, and for the first thing.
        """
        if again:
            self.past.reopen()
        with reading(self.path):
            return Pieces(self.path, self._group(snapshot), self.size, in_turn=again)

    def commit(self, state: State, message: str) -> str:
        """Write the rows of dirty slots as one snapshot after `self.snapshot`."""
        state.check_whole()
        with writing(self.path):
            self._check_there()
            self._settle()
            if state.dirty:
                self._commit(state, message)
            elif self.snapshot != self.tip:
                self._begin_side()
                self._move_main(self.snapshot)
                self.tip = self.snapshot
            elif self._is_moving:
                self._end_move()
        return self.snapshot

    def _commit(self, state: State, message: str) -> None:
        """As commit; the history changes in one step, also after a rewind."""
        self._check_latest()
        session = self._session()
        draft = Draft(session.store, layouts=self._layouts)
        dirty = np.array(sorted(state.dirty), np.int64)
        ledger = schema.write(draft, state, dirty, self._ledger, message)
        state.check_stored(_put_anew(state.used, draft, ledger))
        if not ledger.log.rows:
            self._layouts.pop("log", None)  # a log that begins anew is another
        self._arriving = self._saved(session, message), ledger
        try:
            self._move_main(self._arriving[0])
        finally:  # an interrupt, or a late failure: the commit may have arrived all the same
            if self._settle():
                state.dirty.clear()
        self._renew(state, dirty)

    def guard(self, state: State, slots: NDArray[np.int64] | None = None) -> None:
        """As `Guard` has it, over the row file that is mapped."""
        assert self._watch
        is_whole, time = self._watch.look()
        if not is_whole:
            raise FormatError(
                f"{self.path}: {rowfile.FOLDER}: somebody has cut off the row file that is mapped; "
                f"nothing was saved; delete the folder {rowfile.FOLDER}, and open the memory again"
            )
        if self._watch.is_new(time):
            self._check_rows(state, np.arange(state.index.rows))
            self._watch.accept(time)
        elif slots is not None:
            self._check_rows(state, slots)

    def _check_rows(self, state: State, slots: NDArray[np.int64]) -> None:
        """Raise FormatError if rows of slots (n,) that were not changed are not those written."""
        unchanged = slots[~np.isin(slots, list(state.dirty))]
        starts = range(0, len(unchanged), MANY)
        parts = [unchanged[start : start + MANY] for start in starts]
        wrong = [part[unfit(state.rows(part), self._ledger.checks[part])] for part in parts]
        if any(map(len, wrong)):
            raise FormatError(
                f"{self.path}: slots {np.concatenate(wrong)[:8].tolist()}: got other rows than "
                "were written: the row file was changed while it was mapped; nothing was saved; "
                f"delete the folder {rowfile.FOLDER} in it, and open it again"
            )

    def _check_there(self) -> None:
        """Raise PathMissingError if what was opened is not there any more."""
        self.past.check_there()

    def _check_latest(self) -> None:
        """Raise LockedError if somebody has committed since our last commit."""
        if self._tip() != self.tip:
            raise self._overtaken()

    def _overtaken(self) -> LockedError:
        """The error of a writer that comes second."""
        return LockedError(f"{self.path}: somebody committed without the lock; open it again")

    @property
    def snapshot(self) -> str:
        """Id of the snapshot that the state is based on."""
        self._settle()
        return self._snapshot

    @snapshot.setter
    def snapshot(self, snapshot: str) -> None:
        self._snapshot = snapshot

    def _settle(self) -> bool:
        """Follow a commit of ours that has arrived, though an interrupt kept us from noting it."""
        snapshot, ledger = self._arriving or ("", None)
        if ledger is None or snapshot == self.tip or self._tip() != snapshot:
            return False
        ledger.settle()
        self._ledger, self._snapshot, self.tip = ledger, snapshot, snapshot
        return True

    def _session(self) -> icechunk.Session:
        """A session at `self.snapshot`, to write to."""
        self._begin_side()
        return self.past.repo.writable_session(SIDE)

    def _saved(self, session: icechunk.Session, message: str) -> str:
        """Id of the snapshot of what was written, which the main branch does not yet lead to."""
        return session.commit(message)

    def _begin_side(self) -> None:
        """Make the side branch, at `self.snapshot`; a writer that died may have left one."""
        self._drop_side()
        folder = self._folder / "refs" / f"branch.{SIDE}"
        folder.mkdir()
        (folder / REF_FILE).write_text(ref(self.snapshot))

    def _drop_side(self) -> None:
        """Forget the side branch."""
        shutil.rmtree(self._folder / "refs" / f"branch.{SIDE}", ignore_errors=True)

    def _move_main(self, snapshot: str) -> None:
        """Have the main branch end where the side branch does: the step that makes a commit."""
        del snapshot  # the side branch's file names it
        side, main = (self._folder / "refs" / f"branch.{name}" for name in (SIDE, MAIN))
        self._sync(side / REF_FILE)
        self._is_moving = True
        os.replace(side / REF_FILE, main / REF_FILE)
        self._end_move()

    def _end_move(self) -> None:
        """Make sure that the main branch's new end outlives a power cut."""
        if self._durability == "full":
            sync([self._folder / "refs" / f"branch.{MAIN}"])
        self._is_moving = False
        self._drop_side()

    def _sync(self, *besides: Path) -> None:
        """Bring to stable storage what is new in the folder; the first time, all that is there."""
        if self._durability == "process":
            return
        self._durable.sync(besides)

    def tag(self, name: str) -> None:
        """Name `self.snapshot`: the tag's folder is built beside, then renamed."""
        self.past.check_there()
        with writing(self.path):
            self._check_latest()
            self.past.check_new_tag(name)
            self._sync()
            refs = self._folder / "refs"
            with partial_of(self._folder / "tag") as folder:
                folder.mkdir()
                (folder / REF_FILE).write_text(ref(self.snapshot))
                if self._durability == "full":
                    sync(tree(folder))
                folder.rename(refs / f"tag.{name}")
            self._sync(refs)

    def untag(self, name: str) -> None:
        """Take a tag away."""
        self.past.check_tag(name)
        with writing(self.path):
            self._check_latest()
            self.past.repo.delete_tag(name)
            self._sync()

    def expire(self, keep: int) -> Expired:
        """Forget snapshots but the last `keep` and tagged ones, and delete what only they used."""
        self.past.check_there()
        if self.snapshot != self.tip:
            raise SnapshotError(
                f"{self.path}: open at {self.snapshot}, which is not the last commit; "
                "commit first, or open it without `at`"
            )
        with writing(self.path):
            self._check_latest()
            self._tidy()
            self._drop_strays()
            tags = self.past.tags()  # a damaged tag must not cost its snapshot
            self._drop_side()
            snapshots, size = self._snapshot_files(), self.size()
            times = [commit.time for commit in self.past.of(self.tip)]
            for snapshot in tags.values():
                self.past.of(snapshot)  # whole, or Icechunk might walk it for ever
            if times != sorted(times, reverse=True):
                raise FormatError(f"{self.path}: got times out of order; a snapshot is damaged")
            if keep < len(times):
                self._shorten(times[keep - 1])
            self.past.reopen()
            self.past.repo.garbage_collect(datetime.now(UTC))
            rowfile.drop(self._folder, [self.tip])
            freed = size - self.size()
        return Expired(snapshots - self._snapshot_files(), freed)

    def _drop_strays(self) -> None:
        """Delete what file managers have left among the branches, over which Icechunk stumbles."""
        for entry in (self._folder / "refs").iterdir():
            if is_stray(entry.name) and not entry.is_dir():
                entry.unlink()

    def _shorten(self, time: datetime) -> None:
        """End the history, and those of tags, before what is older than a time.

        Icechunk writes the oldest snapshots that stay anew, in place. So it does so in a copy, from
        which they are synced and renamed: at any time each is the old one or the new one.
        """
        self._check_room()
        with partial_of(self._folder / "expire") as copy:
            for folder in COPIED:
                shutil.copytree(self._folder / folder, copy / folder)
            icechunk.Repository.open(storage_of(copy)).expire_snapshots(time)
            for file in sorted((copy / "snapshots").iterdir()):
                original = self._folder / "snapshots" / file.name
                if file.read_bytes() != original.read_bytes():
                    if self._durability == "full":
                        sync([file])
                    os.replace(file, original)
        self._sync(self._folder / "snapshots")

    def _check_room(self) -> None:
        """Raise PathError unless the disk has room for the copy that an expiry makes."""
        files = [file for name in COPIED for file in tree(self._folder / name)]
        needs = sum(-(-os.lstat(file).st_size // BLOCK) * BLOCK for file in files)
        free = shutil.disk_usage(self._folder).free
        if needs > free:
            raise PathError(
                f"{self.path}: to expire needs {needs:,} bytes on disk, for a copy of its "
                f"snapshots, and {free:,} are free; nothing was changed"
            )

    def _snapshot_files(self) -> int:
        """Snapshots in the folder."""
        return sum(1 for _ in (self._folder / "snapshots").iterdir())

    def size(self) -> int:
        """Bytes of all files, but for row files, which only repeat them."""
        return sum(size for name, size in self.sizes().items() if name != rowfile.FOLDER)

    def sizes(self) -> dict[str, int]:
        """Bytes of all files, by kind; none of another memory in its place."""
        return disk_bytes(self._folder) if self.past.is_there() else {}

    def _group(self, snapshot: str) -> zarr.Group:
        """The arrays and attributes at a snapshot, once they say that they are a memory."""
        self.past.check(snapshot)  # zarr would take a damaged one for an empty one
        session = self.past.repo.readonly_session(snapshot_id=snapshot)
        try:
            group = zarr.open_group(ChunkStore(session.store), mode="r", zarr_format=3)
            reader.check_format(group)
        except (NotAMemoryError, GroupNotFoundError) as error:
            what = "an Icechunk repository, but not of a memory"
            raise NotAMemoryError(f"{self.path}: {what}") from error
        return group
