"""ShardedMemory in this process: what the oracle leaves out."""

import gc
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest

from memstore import (
    PAPER,
    ArgumentError,
    ExtraMissingError,
    Memory,
    NotAMemoryError,
    PathExistsError,
    PathMissingError,
    ReadOnlyError,
    ShardError,
    SnapshotError,
    TornError,
    UncommittedWarning,
)
from memstore.sharded import ShardedMemory
from memstore.sharded.deal import Deal, Place
from memstore.sharded.workers import LocalWorkers
from tests.helpers.random_memories import COLUMNS, SMALL, busy_memory
from tests.helpers.sharded_oracle import FakeWorkers, assert_equal, assert_same
from tests.test_architecture import loaded_after

pytestmark = pytest.mark.filterwarnings("ignore:memory. the first")
CONFIG = replace(SMALL, columns=COLUMNS, capacity=11, beta=-1)


@pytest.fixture
def pair(tmp_path):
    """A memory in one piece, and the same in three shards."""
    whole = busy_memory(3, 14, CONFIG)
    parts = ShardedMemory.deal(whole, tmp_path / "parts", 3, workers="local")
    yield whole, parts
    parts.close(discard=True)


def test_slots_are_dealt_in_turn():
    deal = Deal(shards=3, capacity=8)
    assert [deal.rows_of(shard) for shard in range(3)] == [3, 3, 2]
    split = [(shard, where.tolist()) for shard, where in deal.split(np.array([7, 0, 6, 3]))]
    assert split == [(0, [1, 2, 3]), (1, [0])]
    place = Place(1, 3)
    assert place.rows(np.array([7, 0, 1])).tolist() == [2, 0]
    assert place.slots(np.array([[2, -1]])).tolist() == [[7, -1]]


def test_there_and_back(pair, tmp_path):
    whole, parts = pair
    assert_same(whole, parts)
    parts.copy_to(tmp_path / "again")
    with Memory.open(tmp_path / "again") as again:
        assert_same(again, parts)
        assert again.verify().problems == ()


def test_rows_come_in_the_order_asked_for(pair):
    whole, parts = pair
    slots = [int(slot) for slot in whole.slots[::-1]] + [int(whole.slots[2])]
    assert_equal(whole.keys(slots), parts.keys(slots))
    assert_equal(whole.values(slots), parts.values(slots))
    assert_equal(whole.columns(slots), parts.columns(slots))
    assert whole.sources_of(slots) == parts.sources_of(slots)
    assert parts.keys([]).shape == (0, 5) and len(parts) == len(whole)


BAD = {
    "nan": lambda memory: memory.search([[np.nan] * 5], 1),
    "inf to write": lambda memory: memory.write([[np.inf] * 5], np.zeros((1, 3, 3, 3), bool)),
    "zeros": lambda memory: memory.read(np.zeros((1, 5))),
    "width": lambda memory: memory.read(np.ones((1, 4))),
    "k": lambda memory: memory.search(np.ones((1, 5)), 0),
    "k of a bool": lambda memory: memory.read(np.ones((1, 5)), True),
    "beta": lambda memory: memory.read(np.ones((1, 5)), beta=2),
    "out": lambda memory: memory.read(np.ones((1, 5)), out="list"),
    "where": lambda memory: memory.search(np.ones((1, 5)), 1, where={"no": 1}),
    "type in where": lambda memory: memory.read(np.ones((1, 5)), where={"mass": "heavy"}),
    "exclude": lambda memory: memory.read(np.ones((1, 5)), exclude=["a", "b"]),
    "slots": lambda memory: memory.search(np.ones((1, 5)), 1, slots=[99]),
    "no columns": lambda memory: memory.write(np.ones((1, 5)), np.zeros((1, 3, 3, 3), bool)),
    "grids": lambda memory: memory.contrast(np.ones((1, 5)), np.zeros((1, 3, 3, 3))),
    "slot twice": lambda memory: memory.remove([0, 0]),
    "both": lambda memory: memory.remove([0], source="a"),
    "no source": lambda memory: memory.remove(source="nowhere"),
    "keys": lambda memory: memory.replace_keys([0], np.ones((2, 5))),
    "empty": lambda memory: memory.keys([10]),
    "nothing to update": lambda memory: memory.update([0]),
    "slot twice to update": lambda memory: memory.update([0, 0], sources=["a", "b"]),
    "values to update": lambda memory: memory.update([0], np.zeros((2, 3, 3, 3), bool)),
    "sources to update": lambda memory: memory.update([0], sources=["a", "b"]),
    "columns to update": lambda memory: memory.update([0], columns={"no": [1]}),
    "pickle": lambda memory: None,
}


@pytest.mark.parametrize("call", BAD.values(), ids=BAD.keys())
def test_arguments_are_refused_in_memorys_words(pair, call):
    parts = pair[1]
    rows, outcomes = parts._gathered(parts.slots), []
    for memory in pair:
        try:
            outcomes.append(call(memory))
        except (ValueError, TypeError, LookupError) as error:
            outcomes.append(error)
    assert_equal(*outcomes)
    assert outcomes[0] is None or isinstance(outcomes[0], Exception)
    assert_equal(rows, parts._gathered(parts.slots))


def test_contrast_without_a_delta(tmp_path):
    config = replace(CONFIG, delta=None)
    pair = Memory(config), ShardedMemory.create(tmp_path / "m", config, 2, workers="local")
    grids = np.zeros((1, 3, 3, 3), bool)
    for memory in pair:
        with pytest.raises(ArgumentError, match=r"^contrast: got a memory with delta None"):
            memory.contrast(np.ones((1, 5)), grids)


def test_a_reader_follows_commits_where_it_was_not_pinned(pair):
    _, parts = pair
    with ShardedMemory.open(parts.path, workers="local") as reader:
        before = len(reader.slots)
        assert not reader.refresh() and not parts.refresh()
        slot = int(parts.slots[0])
        parts.remove([slot])
        parts.commit("later")
        assert reader.snapshot != parts.snapshot and len(reader) == before
        assert reader.refresh() and reader.snapshot == parts.snapshot
        assert len(reader) == before - 1 and not reader.refresh()
        assert_equal(parts.slots, reader.slots)
    with (
        ShardedMemory.open(parts.path, at=parts.snapshot, workers="local") as pinned,
        pytest.raises(SnapshotError, match="stays as it is"),
    ):
        pinned.refresh()
    with pytest.raises(ReadOnlyError, match="closed"):
        reader.refresh()


def test_a_refresh_that_fails_leaves_no_mixture(pair):
    """Some shards have opened the later commit, one has not: no answer until a refresh succeeds."""
    _, parts = pair
    workers = []

    def hired(n):
        workers.append(FakeWorkers(n))
        return workers[0]

    with ShardedMemory.open(parts.path, workers=hired) as reader:
        parts.replace_keys(parts.slots, -parts.keys(parts.slots))
        parts.commit("later")
        workers[0].kill(1, "open")
        with pytest.raises(ShardError, match="shard 1"):
            reader.refresh()
        with pytest.raises(TornError, match="a refresh failed"):
            reader.search(np.ones((1, 5)), 1)
        assert reader.refresh()
        assert_equal(parts.keys(parts.slots), reader.keys(reader.slots))


def test_a_tag_that_is_taken_away_is_not_used_again(pair):
    _, parts = pair
    parts.tag("a")
    parts.untag("a")
    assert parts.tags() == {}
    with pytest.raises(ArgumentError, match="already exists or did"):
        parts.tag("a")
    with pytest.raises(SnapshotError, match="no tag 'a'"):
        parts.untag("a")
    with pytest.raises(SnapshotError):
        ShardedMemory.open(parts.path, at="a", workers="local")
    parts.tag("a.json")  # its file is another


def test_what_shards_have_not_is_refused_by_name(pair):
    whole, parts = pair
    missing = {name for name in dir(whole) if name[0] != "_"} - set(dir(parts))
    assert missing >= {"expire", "value_similarities", "replace_rows", "reads"}
    for name in missing:
        with pytest.raises(AttributeError, match=rf"^{name}: got a memory in shards, want one in"):
            getattr(parts, name)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = parts.nonsense


def test_tags_and_time_travel(pair):
    _, parts = pair
    parts.tag("begin")
    first, rows = parts.snapshot, parts._gathered(parts.slots)
    parts.remove(parts.slots[:2])
    second = parts.commit("fewer")
    assert parts.tags() == {"begin": first}
    for name in ("begin", "..", "a/b", ".x", ""):
        with pytest.raises(ArgumentError, match="name"):
            parts.tag(name)
    for at in ("begin", first):
        with ShardedMemory.open(parts.path, at=at, workers="local") as past:
            assert_equal(rows, past._gathered(past.slots))
            assert past.snapshot == first
            with pytest.raises(ReadOnlyError):
                past.remove([0])
    for at in ("end", "../commits/x", "0" * 20, first.lower(), 3):
        with pytest.raises(SnapshotError, match="no snapshot or tag"):
            ShardedMemory.open(parts.path, at=at, workers="local")
    assert [commit.id for commit in parts.history()] == [second, first]


def test_a_with_block_ends_with_a_commit(pair):
    _, parts = pair
    with parts:
        parts.remove(parts.slots[:1])
    with (
        pytest.raises(ZeroDivisionError),
        ShardedMemory.open(parts.path, "r+", workers="local") as again,
    ):
        again.remove(again.slots[:1])
        1 / 0  # noqa: B018
    with ShardedMemory.open(parts.path, workers="local") as again:
        assert [commit.message for commit in again.history()] == ["end of a with block", "deal"]


def test_close_warns_and_nothing_goes_on_after_it(pair):
    _, parts = pair
    parts.remove(parts.slots[:1])
    with pytest.warns(UncommittedWarning, match="not committed"):
        parts.close()
    parts.close()
    for call in (lambda: parts.search(np.ones((1, 5)), 1), parts.stats, parts.rollback):
        with pytest.raises(ReadOnlyError, match="closed"):
            call()
    with pytest.raises(ReadOnlyError):
        parts.commit("late")


def test_one_that_is_dropped_warns_once(pair, tmp_path):
    memory = ShardedMemory.deal(pair[0], tmp_path / "others", 3, workers="local")
    memory.remove(memory.slots[:3])
    with pytest.warns(UncommittedWarning, match="never closed") as caught:
        del memory
        gc.collect()
    # Another test's may go at the same time.
    assert sum(str(tmp_path) in str(warning.message) for warning in caught) == 1


def test_neither_takes_the_others_folder_for_an_empty_one(pair, tmp_path):
    _, parts = pair
    with pytest.raises(NotAMemoryError, match=r"in shards.*ShardedMemory\.open"):
        Memory.open(parts.path)
    Memory.create(tmp_path / "whole", CONFIG).close()
    with pytest.raises(NotAMemoryError, match=r"one in one piece: Memory\.open"):
        ShardedMemory.open(tmp_path / "whole", workers="local")
    with pytest.raises(PathMissingError):
        ShardedMemory.open(tmp_path / "none", workers="local")
    with pytest.raises(NotAMemoryError, match="something else"):
        ShardedMemory.open(tmp_path, workers="local")
    for make in (Memory.create, lambda *a: ShardedMemory.create(*a, 2, workers="local")):
        with pytest.raises(PathExistsError):
            make(parts.path, CONFIG)


@pytest.mark.parametrize("shards", [0, 12, 2000])
def test_no_shard_is_empty(shards, tmp_path):
    with pytest.raises(ArgumentError, match="shards"):
        ShardedMemory.create(tmp_path / "m", CONFIG, shards, workers="local")
    assert not (tmp_path / "m").exists()


def test_options_and_pickles(pair, tmp_path):
    _, parts = pair
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(parts)
    for options in ({"workers": "threads"}, {"mode": "w"}, {"durability": "none"}):
        with pytest.raises(ArgumentError):
            ShardedMemory.open(parts.path, **options)


def test_without_ray_the_extra_is_named(pair, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExtraMissingError, match="want the extra 'ray'"):
        ShardedMemory.open(pair[1].path)


def test_local_use_never_loads_ray():
    loaded = loaded_after(
        "import tempfile, memstore\n"
        "from memstore.sharded import ShardedMemory\n"
        "config = memstore.MemoryConfig(capacity=3, key_dim=2, resolution=2)\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    with ShardedMemory.create(folder + '/m', config, 2, workers='local') as memory:\n"
        "        memory.read([[1.0, 2.0]])"
    )
    assert "memstore.sharded.shard" in loaded
    assert not {"ray", "memstore.sharded.ray_workers"} & set(loaded)


class Counting(LocalWorkers):
    """Counts bytes of arrays, and rounds."""

    def ask(self, requests):
        outcome = super().ask(requests)
        self.rounds += 1
        self.sent += sum(array_bytes(request.args) for request in requests)
        self.received += array_bytes(outcome)
        return outcome

    def begin(self):
        self.rounds = self.sent = self.received = 0


def array_bytes(value):
    if isinstance(value, np.ndarray):
        return value.nbytes
    parts = value.values() if isinstance(value, dict) else value
    return sum(map(array_bytes, parts)) if isinstance(value, tuple | list | dict) else 0


def test_explain_tells_what_is_sent(tmp_path, monkeypatch):
    """Once the memory is full, nothing merges, and every query finds its k."""
    monkeypatch.setattr(Counting, "rounds", 0, raising=False)
    monkeypatch.setattr(Counting, "sent", 0, raising=False)
    monkeypatch.setattr(Counting, "received", 0, raising=False)
    config = replace(CONFIG, capacity=90, delta=None)
    rng = np.random.default_rng(0)
    columns = {"kind": ["a"] * 90, "mass": [0.5] * 90, "ok": [True] * 90, "view": [1] * 90}
    with ShardedMemory.create(tmp_path / "m", config, 3, workers=Counting) as memory:
        memory.write(rng.standard_normal((90, 5)), rng.random((90, 3, 3, 3)) < 0.5, None, columns)
        workers, plan = memory._driver._workers, memory.explain(batch=1, k=6)
        for call, name in (
            (lambda: memory.search(np.ones((1, 5)), 6), "search"),
            (lambda: memory.read(np.ones((1, 5)), 6), "read"),
        ):
            workers.begin()
            call()
            assert (workers.sent, workers.received) == (
                getattr(plan, f"{name}_sent"),
                getattr(plan, f"{name}_received"),
            )
        assert workers.rounds == plan.rounds_read
        plan, some = memory.explain(batch=4), {name: column[:4] for name, column in columns.items()}
        workers.begin()
        memory.write(rng.standard_normal((4, 5)), rng.random((4, 3, 3, 3)) < 0.5, None, some)
        assert (workers.sent, workers.received) == (plan.write_sent, plan.write_received)
        assert workers.rounds == plan.rounds_write


def test_paper_sizes_in_shards_are_planned_without_a_memory():
    from memstore.sharded import costs

    plan = costs(replace(PAPER, key_dim=512), 4, 32)
    assert plan.read_sent == 4 * 32 * 2048 + 32 * 8 * 16  # by hand
    assert plan.driver_bytes == 32000


@pytest.mark.parametrize("mode", ["r", "r+"])
@pytest.mark.parametrize("is_gone", [True, False])
def test_another_memory_in_the_folders_place_is_told(tmp_path, mode, is_gone):
    for name, seed in (("ours", 3), ("other", 4)):
        whole = busy_memory(seed, 14, CONFIG)
        ShardedMemory.deal(whole, tmp_path / name, 3, workers="local").close()
    memory = ShardedMemory.open(tmp_path / "ours", mode, workers="local")
    (tmp_path / "ours").rename(tmp_path / "away")
    if not is_gone:
        (tmp_path / "other").rename(tmp_path / "ours")
    calls = [memory.history, memory.tags]
    if mode == "r":
        calls += [memory.refresh]
    else:
        calls += [lambda: memory.tag("x"), lambda: memory.untag("x"), lambda: memory.commit("x")]
        memory.remove(memory.slots[:1])
        calls += [lambda: memory.commit("x")]
    for call in calls:
        with pytest.raises(PathMissingError, match="got nothing there any more, or another memory"):
            call()
    with pytest.raises(ShardError, match=r"it was replaced|moved or deleted"):
        memory.verify()
    memory.close(discard=True)
    if not is_gone:
        with ShardedMemory.open(tmp_path / "ours", workers="local") as other:
            assert other.verify(every=True).problems == () and other.tags() == {}
