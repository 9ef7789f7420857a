"""The folder: commits, history, tags, rewinding, and what is in the way."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import icechunk
import numpy as np
import pytest
import zarr

import memstore
from memstore import PAPER, Memory
from memstore.search.cosine import unit
from memstore.slots.state import Rows
from memstore.storage import schema
from memstore.storage.local import repository
from memstore.storage.local.repository import SIDE
from memstore.voxels.grids import pack

TINY = replace(PAPER, capacity=4, key_dim=3, resolution=2, delta=1)
AXES = np.eye(3, dtype=np.float32)
GRIDS = np.stack(
    [np.full((2, 2, 2), False), np.full((2, 2, 2), True), np.eye(4).reshape(4, 2, 2)[:2] > 0]
)


def folder_bytes(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def rows_of(memory, features, grids):
    """Rows that fill the first slots."""
    n = len(features)
    keys, zeros = unit(features), np.zeros(n, np.int64)
    return Rows(np.arange(n), keys, pack(grids), zeros, np.zeros(n, "S128"), zeros)


@pytest.fixture
def path(tmp_path):
    """A memory with commits of one, two and three slots; the first is tagged."""
    with Memory.create(tmp_path / "memory", TINY) as memory:
        for i in range(3):
            memory.write(AXES[i : i + 1], GRIDS[i : i + 1])
            memory.commit(f"slot {i}")
            if i == 0:
                memory.tag("first")
    return tmp_path / "memory"


def test_history(path):
    with Memory.open(path) as memory:
        history = memory.history()
        assert [entry.message for entry in history] == ["slot 2", "slot 1", "slot 0", "create"]
        assert history[0].id == memory.snapshot
        assert memory.tags() == {"first": history[2].id}
    assert all(entry.time.utcoffset() == timedelta(0) for entry in history)
    assert history == sorted(history, key=lambda entry: entry.time, reverse=True)
    assert datetime.now(UTC) - history[-1].time < timedelta(minutes=5)


def test_time_travel_by_tag_and_id(path):
    with Memory.open(path, at="first") as memory:
        assert (len(memory), memory.clock, len(memory.history())) == (1, 1, 2)
        snapshot = memory.snapshot
    with Memory.open(path, at=snapshot) as memory:
        assert len(memory) == 1


def test_rewinding_changes_nothing_before_the_commit(path):
    tip = Memory.open(path).snapshot
    with Memory.open(path, "r+", at="first") as memory:
        memory.write(AXES[2:], GRIDS[1:2])
        assert Memory.open(path).snapshot == tip
        snapshot = memory.commit("another second")
    with Memory.open(path) as memory:
        assert memory.snapshot == snapshot
        messages = [entry.message for entry in memory.history()]
        assert messages == ["another second", "slot 0", "create"]
        np.testing.assert_array_equal(memory.keys([0, 1]), AXES[[0, 2]])
    assert len(Memory.open(path, at=tip)) == 3  # left the history, not the disk


def test_rewinding_survives_a_writer_that_died_rewinding(path):
    storage = icechunk.local_filesystem_storage(str(path))
    icechunk.Repository.open(storage).create_branch(SIDE, Memory.open(path).snapshot)
    with Memory.open(path, "r+", at="first") as memory:
        memory.write(AXES[2:], GRIDS[1:2])
        memory.commit("another second")
    assert len(Memory.open(path)) == 2
    assert icechunk.Repository.open(storage).list_branches() == {"main"}


def test_commit_of_nothing(path):
    with Memory.open(path, "r+") as memory:
        assert memory.commit("nothing") == memory.snapshot
        assert len(memory.history()) == 4
    with Memory.open(path, "r+", at="first") as memory:
        memory.commit("back to the first")
    assert len(Memory.open(path)) == 1


@pytest.mark.parametrize("capacity", [200, 2000])
def test_a_commit_grows_the_folder_with_the_change(tmp_path, capacity):
    config = replace(PAPER, capacity=capacity, key_dim=1024, resolution=2, delta=1)
    rng = np.random.default_rng(0)
    with Memory.create(tmp_path / "memory", config) as memory:
        grids = rng.random((capacity, 2, 2, 2)) < 0.5
        memory._state.put(rows_of(memory, rng.standard_normal((capacity, 1024)), grids))
        memory.commit("all")
        before = folder_bytes(tmp_path)
        memory.remove(memory.slots[:: capacity // 20])
        memory.write(rng.standard_normal((20, 1024)), grids[:20])
        memory.commit("twenty slots, far apart")
    assert folder_bytes(tmp_path) - before < 1.3 * 20 * 1024 * 4
    assert Memory.open(tmp_path / "memory").verify().problems == ()


def test_tags_are_for_good(path):
    with Memory.open(path, "r+") as memory:
        with pytest.raises(memstore.ArgumentError, match="already exists"):
            memory.tag("first")
        memory.tag("last-1.0")
        assert memory.tags()["last-1.0"] == memory.snapshot


@pytest.mark.parametrize("at", ["nothing", "", "../x", "0" * 20, "1CECHNKREP0F1RSTCMT0"])
def test_unknown_snapshots(path, at):
    """The last is Icechunk's own first snapshot, which holds no memory."""
    with pytest.raises(memstore.SnapshotError, match="no snapshot or tag"):
        Memory.open(path, at=at)


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_an_id_in_small_letters_or_cut_short_is_not_damage(path, mode):
    ids = [commit.id for commit in memstore.history(path)]
    for at in (ids[0].lower(), ids[0][:19], ids[0][:12].lower()):
        with pytest.raises(memstore.SnapshotError, match=f"in capitals: is {ids[0]} meant"):
            Memory.open(path, mode, at=at)
    with pytest.raises(memstore.SnapshotError, match=ids[0]):
        memstore.history(path, at=ids[0].lower())
    with pytest.raises(memstore.DtypeError, match="at: got int, want str"):
        Memory.open(path, mode, at=3)


def asking_of_the_folder(memory):
    """Calls that look into the folder, of a memory with a tag "first"."""
    yield from (memory.history, memory.tags, memory.verify, lambda: memory.verify(every=True))
    if memory.mode == "r":
        yield memory.refresh
    else:
        yield from (lambda: memory.commit("x"), memory.expire)
        yield from (lambda: memory.tag("new"), lambda: memory.untag("first"))


@pytest.mark.parametrize("is_moved", [True, False])
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_folder_that_is_gone_is_told(path, mode, is_moved):
    memory = Memory.open(path, mode)
    if mode == "r+":
        memory.update([0], sources=["changed"])
    if is_moved:
        path.rename(path.with_name("elsewhere"))
    else:
        shutil.rmtree(path)
    for call in asking_of_the_folder(memory):
        with pytest.raises(memstore.PathMissingError, match="moved or deleted after it was opened"):
            call()
    assert len(memory.read(AXES).slots) == memory.stats().used == 3
    memory.copy_to(path.with_name("saved"))  # as the message says
    with Memory.open(path.with_name("saved")) as saved:
        assert saved.sources == memory.sources
    if mode == "r+" and is_moved:
        path.with_name("elsewhere").rename(path)
        memory.commit("back in its place")
        assert Memory.open(path).sources[0] == "changed"
    memory.close(discard=True)


def test_paths_in_the_way(tmp_path, path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    for name in ("file", "folder", "broken", "memory"):
        with pytest.raises(memstore.PathExistsError, match=name):
            Memory.create(tmp_path / name, TINY)
    for name in ("file", "folder"):
        with pytest.raises(memstore.NotAMemoryError, match=name):
            Memory.open(tmp_path / name)
    for name in ("nothing", "broken"):
        with pytest.raises(memstore.PathMissingError, match=name):
            Memory.open(tmp_path / name)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "broken",
        "file",
        "folder",
        "memory",
    ]


def test_a_foreign_icechunk_repository_is_left_alone(tmp_path):
    repo = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "foreign")))
    for _ in range(2):
        before = sorted((tmp_path / "foreign").rglob("*"))
        with pytest.raises(memstore.NotAMemoryError, match="foreign"):
            Memory.open(tmp_path / "foreign", "r+")
        assert sorted((tmp_path / "foreign").rglob("*")) == before
        session = repo.writable_session("main")
        zarr.create_group(session.store, overwrite=True)
        session.commit("a group that is no memory")


def test_a_failed_create_leaves_nothing(tmp_path):
    with pytest.raises(AttributeError):
        Memory.create(tmp_path / "memory", "not a config")
    assert list(tmp_path.iterdir()) == []
    Memory.create(tmp_path / "deep" / "down" / "memory", TINY).close()


def test_a_moved_folder_opens(path):
    moved = path.rename(path.with_name("elsewhere"))
    with Memory.open(moved, "r+") as memory:
        memory.remove([0])
        memory.commit("moved")
    assert len(Memory.open(moved)) == 2


def test_a_commit_without_the_lock_is_noticed(path):
    with Memory.open(path, "r+") as memory:
        (path / "writer.lock").unlink()
        with Memory.open(path, "r+") as intruder:
            intruder.remove([0])
            intruder.commit("intruder")
        memory.remove([1])
        with pytest.raises(memstore.LockedError, match="without the lock"):
            memory.commit("too late")
        memory.close(discard=True)


def test_expire_keeps_the_last_and_the_tagged(path):
    with Memory.open(path, "r+") as memory:
        ids = [entry.id for entry in memory.history()]
        before = folder_bytes(path)
        expired = memory.expire(2)
        assert expired.snapshots == 1  # "create": the oldest but one is tagged
        assert [entry.message for entry in memory.history()] == ["slot 2", "slot 1"]
        assert before - folder_bytes(path) == expired.bytes > 0
        memory.write(AXES[:1], GRIDS[1:2])
        memory.commit("goes on")
    for at, slots in (("first", 1), (ids[0], 3), (ids[1], 2)):
        assert len(Memory.open(path, at=at)) == slots
    with pytest.raises(memstore.SnapshotError, match="no snapshot or tag"):
        Memory.open(path, at=ids[3])


def test_expire_takes_what_a_rewind_left_behind(path):
    tip = Memory.open(path).snapshot
    with Memory.open(path, "r+", at="first") as memory:
        with pytest.raises(memstore.SnapshotError, match="commit first"):
            memory.expire()
        memory.commit("back")
        memory.expire()
        with pytest.raises(memstore.SnapshotError):
            Memory.open(path, at=tip)
        assert memory.verify(every=True) == (2, 1 + 1 + 0, ())


def test_untag_frees_a_snapshot(path):
    with Memory.open(path, "r+") as memory:
        memory.untag("first")
        assert memory.tags() == {}
        memory.expire(1)
        with pytest.raises(memstore.SnapshotError, match="no tag 'first'"):
            memory.untag("first")
        with pytest.raises(memstore.ArgumentError, match="choose another"):
            memory.tag("first")
    assert len(list((path / "snapshots").iterdir())) == 2  # ours, and Icechunk's first


def test_expire_wants_a_count(path):
    with Memory.open(path, "r+") as memory:
        for keep, error in ((0, memstore.ArgumentError), (1.5, memstore.DtypeError)):
            with pytest.raises(error, match="keep"):
                memory.expire(keep)
    with pytest.raises(memstore.ReadOnlyError):
        Memory.open(path).expire()
    with pytest.raises(memstore.TransientError):
        Memory(TINY).expire()


def test_a_damaged_tag_does_not_cost_its_snapshot(path):
    ref = path / "refs" / "tag.first" / "ref.json"
    ref.write_text(ref.read_text().replace("snapshot", "snapshop"))
    with Memory.open(path, "r+") as memory:
        for call in (memory.tags, memory.expire):
            with pytest.raises(memstore.FormatError, match="damaged tag"):
                call()
        assert memory.verify(every=True).problems


@pytest.mark.parametrize("name", [".DS_Store", "._branch.main", "Thumbs.db"])
def test_what_a_file_manager_leaves_is_passed_over(path, name):
    stray = path / "refs" / name
    stray.write_bytes(b"\0\0\0\1Bud1")
    assert list(Memory.open(path).tags()) == ["first"] == list(memstore.tags(path))
    assert Memory.open(path).verify(every=True).problems == ()
    with Memory.open(path, "r+") as memory:
        memory.tag("second")
        memory.untag("second")
        assert stray.exists()
        memory.expire(1)
    assert list(memstore.tags(path)) == ["first"]


def test_what_is_no_branch_or_tag_is_refused(path):
    (path / "refs" / "tug.first").mkdir()
    with pytest.raises(memstore.FormatError, match=r"refs/tug\.first"):
        Memory.open(path).tags()


def test_growth_is_bounded(tmp_path, monkeypatch):
    """Ten times the commits, the same size: what expired is gone from the disk."""
    monkeypatch.setattr(schema, "LOG_LEAST", 64)
    rng, sizes = np.random.default_rng(0), []
    with Memory.create(tmp_path / "memory", replace(PAPER, capacity=40, key_dim=8)) as memory:
        memory.write(rng.standard_normal((40, 8)), rng.random((40, 32, 32, 32)) < 0.5)
        for commit in range(100):
            memory.write(rng.standard_normal((1, 8)), rng.random((1, 32, 32, 32)) < 0.5)
            memory.commit(str(commit))
            memory.expire(4)
            sizes.append(folder_bytes(tmp_path))
        assert len(memory.history()) == 4
    assert max(sizes[50:]) <= 1.2 * max(sizes[10:50])


def test_a_copy_is_whole_and_has_no_past(path, tmp_path):
    with Memory.open(path, at="first") as memory:
        memory.copy_to(tmp_path / "deep" / "copy")
        with pytest.raises(memstore.PathExistsError):
            memory.copy_to(path)
    with Memory.open(tmp_path / "deep" / "copy", "r+") as copy:
        assert (len(copy), copy.clock, copy.keys([0]).tolist()) == (1, 1, [[1, 0, 0]])
        assert [entry.message for entry in copy.history()] == ["copy"]
        assert copy.verify().problems == ()


def test_a_memory_in_ram_can_be_saved(tmp_path):
    memory = Memory(TINY)
    memory.write(AXES, GRIDS, ["a", "b", "c"])
    memory.copy_to(tmp_path / "memory")
    with Memory.open(tmp_path / "memory") as saved:
        assert (saved.sources, saved.ages.tolist()) == (["a", "b", "c"], [2, 1, 0])
        np.testing.assert_array_equal(saved.values([0, 1, 2]), GRIDS)


def test_a_damaged_last_commit_leaves_the_earlier_ones(path):
    with Memory.open(path) as memory:
        tip, before = memory.history()[:2]
    (path / "snapshots" / tip.id).write_bytes(b"power failed")
    with pytest.raises(memstore.FormatError):
        Memory.open(path)
    with Memory.open(path, "r+", at=before.id) as memory:
        memory.write(AXES[2:], GRIDS[2:])
        memory.commit("on from there")
    assert len(Memory.open(path)) == 3


def test_where_a_memory_is_already_it_is_said_how_to_go_on(path, tmp_path):
    for call in (lambda: Memory.create(path, TINY), lambda: Memory(TINY).copy_to(path)):
        with pytest.raises(memstore.PathExistsError, match=r"is a memory: Memory\.open.*'r\+'"):
            call()
    (tmp_path / "else").write_text("mine")
    with pytest.raises(memstore.PathExistsError, match=r"want a path where nothing is$"):
        Memory.create(tmp_path / "else", TINY)


def test_two_creators(tmp_path, monkeypatch):
    """The slower one is told that the faster one was there."""
    write = schema.write

    def write_slowly(*args):
        monkeypatch.setattr(schema, "write", write)
        Memory.create(tmp_path / "memory", TINY).close()
        return write(*args)

    monkeypatch.setattr(schema, "write", write_slowly)
    with pytest.raises(memstore.PathExistsError, match="exists already"):
        Memory.create(tmp_path / "memory", TINY)
    assert [entry.name for entry in tmp_path.iterdir()] == ["memory"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("late")])
@pytest.mark.parametrize("at", [None, "first"])
def test_a_commit_that_arrived_all_the_same(path, monkeypatch, error, at):
    """An interrupt, or an error, after the main branch has moved and before that is synced."""
    with Memory.open(path, "r+", at=at) as memory:
        monkeypatch.setattr(memory._repository, "_end_move", lambda: _raise(error))
        memory.write(AXES[2:], ~GRIDS[2:])
        with pytest.raises((KeyboardInterrupt, memstore.PathError)):
            memory.commit("arrived")
        monkeypatch.undo()
        assert memory.history()[0].message == "arrived"
        synced = []
        monkeypatch.setattr(repository, "sync", synced.extend)
        assert memory.commit("again") == memory.snapshot  # nothing is left to save, but to sync
        assert [entry.name for entry in synced] == ["branch.main"]
        monkeypatch.undo()
        memory.write(AXES[:1], ~GRIDS[:1])
        memory.commit("and on")
    assert [entry.message for entry in Memory.open(path).history()][:2] == ["and on", "arrived"]
    assert Memory.open(path).verify(every=True).problems == ()


def _raise(error):
    raise error


def test_a_damaged_last_commit_hides_no_other(path):
    with Memory.open(path) as memory:
        ids = [commit.id for commit in memory.history()]
    file = path / "snapshots" / ids[0]
    file.write_bytes(file.read_bytes()[:-20])
    found = memstore.verify_folder(path)
    assert found.snapshots == 3 and any(ids[0] in problem for problem in found.problems)
    assert [commit.id for commit in memstore.history(path)] == ids[1:]
    with Memory.open(path, "r+", at=ids[1]) as memory:
        memory.tag("the-last-whole-one")


def test_history_without_opening(path):
    with Memory.open(path) as memory:
        assert memstore.history(path) == memory.history()
        assert memstore.tags(path) == memory.tags()


def test_a_reader_whose_snapshot_expired(path):
    with Memory.open(path) as reader:
        with Memory.open(path, "r+") as writer:
            writer.write(AXES[:1], ~GRIDS[:1])
            writer.commit("new")
            writer.expire(1)
        assert reader.verify() == (0, 3, ())
        with pytest.raises(memstore.SnapshotError, match="has expired"):
            reader.history()
        assert len(reader) == 3


def test_a_copy_does_not_go_into_the_memory(path):
    with Memory.open(path) as memory, pytest.raises(memstore.ArgumentError, match="outside"):
        memory.copy_to(path / "deeper" / "copy")


def test_paths_from_here(tmp_path, monkeypatch):
    """A memory made, written, tagged and copied by a name without a folder."""
    monkeypatch.chdir(tmp_path)
    with Memory.create("memory", TINY) as memory:
        memory.write(AXES, GRIDS)
        memory.commit("one")
        memory.tag("first")
        memory.expire(1)
        memory.copy_to("copy")
    assert len(Memory.open("copy")) == len(Memory.open("memory", at="first")) == 3


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_another_memory_in_the_folders_place_is_told(path, tmp_path, mode):
    with Memory.create(tmp_path / "other", TINY) as other:
        other.write(AXES[:1], GRIDS[:1])
    memory = Memory.open(path, mode)
    if mode == "r+":
        memory.update([0], sources=["changed"])
    path.rename(tmp_path / "away")
    (tmp_path / "other").rename(path)
    files = sorted(path.rglob("*"))
    for call in asking_of_the_folder(memory):
        with pytest.raises(memstore.PathMissingError, match="another memory there"):
            call()
    assert sorted(path.rglob("*")) == files
    assert memory.stats().used == 3 and memory.stats().disk_bytes == {}
    path.rename(tmp_path / "other")
    shutil.copytree(tmp_path / "away", path)  # a copy of the folder is the same memory
    assert memory.verify().problems == () and memory.tags().keys() == {"first"}
    if mode == "r+":
        memory.expire(1)  # the file that tells outlives it
        memory.commit("back in its place")
    memory.close()


def test_a_writer_that_was_overtaken_neither_tags_nor_expires(path):
    with Memory.open(path, "r+") as memory:
        (path / "writer.lock").unlink()
        with Memory.open(path, "r+") as intruder:
            intruder.remove([0])
            intruder.commit("intruder")
        for call in (lambda: memory.tag("new"), lambda: memory.untag("first"), memory.expire):
            with pytest.raises(memstore.LockedError, match="without the lock"):
                call()
    with Memory.open(path) as memory:
        assert memory.tags().keys() == {"first"} and len(memory.history()) == 5


def test_what_an_expiry_of_another_machine_left_half_made_goes(path):
    leftovers = [path / f".{name}.abcdef-1-01234567.partial" for name in ("expire", "tag")]
    for leftover in leftovers:
        shutil.copytree(path / "snapshots", leftover / "snapshots")
    Memory.open(path).close()
    assert all(leftover.exists() for leftover in leftovers)
    with Memory.open(path, "r+") as memory:
        assert not any(leftover.exists() for leftover in leftovers)
        leftovers[0].mkdir()
        memory.expire(1)
        assert not leftovers[0].exists()


def folder_files(path):
    """What each file of a memory holds, the lock's aside."""
    files = [file for file in path.rglob("*") if file.is_file() and file.name != "writer.lock"]
    return {file.relative_to(path): file.read_bytes() for file in files}


def test_an_expiry_without_room_for_its_copy_is_refused_before_it_begins(path, monkeypatch):
    before = folder_files(path)
    with Memory.open(path, "r+") as memory:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 10))
        with pytest.raises(memstore.PathError, match=r"needs [\d,]+ bytes.*, and 10 are free"):
            memory.expire(1)
        assert folder_files(path) == before
        monkeypatch.undo()
        assert memory.expire(1).snapshots == 2


@pytest.mark.parametrize("file", range(1, 7))
def test_a_disk_that_fills_up_in_an_expiry_leaves_the_memory_as_it_was(path, monkeypatch, file):
    before, copy, numbers = folder_files(path), shutil.copy2, iter(range(1, 100))

    def copy2(*args, **options):
        if next(numbers) == file:
            raise OSError(28, "No space left on device")
        return copy(*args, **options)

    with Memory.open(path, "r+") as memory:
        copytree = shutil.copytree
        monkeypatch.setattr(
            shutil, "copytree", lambda old, new, *_: copytree(old, new, False, None, copy2)
        )
        with pytest.raises(memstore.PathError, match="No space left"):
            memory.expire(1)
        assert folder_files(path) == before
        monkeypatch.undo()
        assert memory.expire(1).snapshots == 2 and memory.verify(every=True).problems == ()


def test_no_memory_is_made_in_the_folder_of_another(path):
    before = folder_files(path)
    for place in (path / "deeper", path / "rows" / "x", path / ".." / path.name / "y"):
        with pytest.raises(memstore.ArgumentError, match=f"outside of the memory {path}$"):
            Memory.create(place, TINY)
        with pytest.raises(memstore.ArgumentError, match="outside of"):
            Memory(TINY).copy_to(place)
    assert folder_files(path) == before


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_process_that_goes_elsewhere_takes_no_memory_along(path, tmp_path, monkeypatch, mode):
    """Opened by a name from here, from elsewhere it is the same memory, not one of that name."""
    (tmp_path / "other").mkdir()
    Memory.create(tmp_path / "other" / "memory", TINY).close()
    monkeypatch.chdir(tmp_path)
    with Memory.open("memory", mode) as memory:
        monkeypatch.chdir(tmp_path / "other")
        assert memory.verify(every=True).snapshots == len(memory.history()) == 4
        if mode == "r+":
            memory.update([0], sources=["changed"])
            memory.commit("elsewhere")
            memory.tag("second")
            memory.expire(1)
        else:
            with Memory.open(path, "r+") as writer:
                writer.update([0], sources=["changed"])
                writer.commit("later")
            assert memory.refresh() and str(memory.path) == "memory"
    assert Memory.open(path).sources[0] == "changed" and not len(Memory.open("memory"))


def test_paths_that_cannot_be_looked_at(path, monkeypatch):
    with pytest.raises(memstore.PathError, match="File name too long"):
        Memory.open("x" * 5000)
    with pytest.raises(memstore.PathError, match="File name too long"):
        memstore.import_memory("x" * 5000 + ".npz")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:  # as root may read everything
        patch.setattr(repository, "check_files", refuse)
        with pytest.raises(memstore.PathError, match=r"cannot be read: .*Permission denied$"):
            Memory.open(path)


def test_a_copy_is_no_larger_than_a_memory_may_be(path):
    with Memory.open(path) as memory, pytest.raises(memstore.ConfigError, match="capacity"):
        memory.copy_to(path.with_name("huge"), 2**55)
