"""A memory on an object store: the oracle, two writers, and whatever a store can do to it."""

import os
import time
import traceback
from dataclasses import replace
from datetime import timedelta
from itertools import count

import numpy as np
import pytest

import memstore
from memstore import (
    PAPER,
    ArgumentError,
    DtypeError,
    FormatError,
    LockedError,
    Memory,
    NotAMemoryError,
    PathExistsError,
    PathMissingError,
    SnapshotError,
    StoreError,
)
from memstore.paths import ObjectUrl
from memstore.storage.objects import repository, stores
from tests.helpers import object_kills, object_oracle
from tests.helpers.object_server import BUCKET, KEY, SECRET, kind_of

CONFIG = replace(PAPER, capacity=40, key_dim=6, resolution=4, delta=None)
NUMBERS = count()


@pytest.fixture
def url():
    """Where nothing is yet."""
    return f"s3://{BUCKET}/test/{next(NUMBERS)}"


def write(memory, seed, n=3):
    rng = np.random.default_rng(seed)
    memory.write(rng.standard_normal((n, 6)), rng.random((n, 4, 4, 4)) < 0.4)


def assert_opens_as(url, options, seeds, message):
    """What opens is whole, and is what was written, row for row."""
    expected = Memory(CONFIG)
    for seed in seeds:
        write(expected, seed)
    with Memory.open(url, storage_options=options) as memory:
        assert memory.history()[0].message == message
        assert memory.slots.tolist() == expected.slots.tolist()
        np.testing.assert_array_equal(memory.keys(memory.slots), expected.keys(expected.slots))
        np.testing.assert_array_equal(memory.values(memory.slots), expected.values(expected.slots))
        assert memory.verify(every=True).problems == ()


@pytest.fixture
def place(store, url):
    """URL and options of a memory with a commit of the rows of seed 1."""
    with Memory.create(url, CONFIG, storage_options=store.options) as memory:
        write(memory, 1)
        memory.commit("one")
        memory.tag("first")
    store.forget()
    return url, store.options


@pytest.mark.parametrize("rules", [{}, {"delta": None, "when_full": "error"}])
def test_random_operations_are_those_of_a_folder(store, url, rules, monkeypatch):
    monkeypatch.setattr(repository, "GRACE", timedelta(0))
    counts = object_oracle.operations(31, 7, url, store.options, **rules)
    assert set(counts) == set(object_oracle.WEIGHTS)


def test_it_leaves_no_file_here(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url, options = place
    with Memory.open(url, "r+", storage_options=options) as memory:
        write(memory, 2)
        memory.commit("two")
        assert memory.path == url and memory.stats().disk_bytes.keys() == {"chunks"}
    assert not os.listdir(tmp_path)
    assert memstore.tags(url, storage_options=options) == memory.tags()
    assert memstore.verify_folder(url, storage_options=options).problems == ()
    history = memstore.history(url, storage_options=options)
    assert [entry.message for entry in history] == ["two", "one", "create"]


def test_the_environment_leads_to_it(store, place, monkeypatch):
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    assert len(Memory.open(place[0])) == 3


def test_a_reader_sees_later_commits_when_it_asks(place):
    url, options = place
    reader = Memory.open(url, storage_options=options)
    with Memory.open(url, "r+", storage_options=options) as memory:
        write(memory, 2)
    assert len(reader) == 3 and reader.refresh() and len(reader) == 6 and not reader.refresh()
    with pytest.raises(SnapshotError):
        Memory.open(url, at="first", storage_options=options).refresh()


# Two writers.


def test_the_second_of_two_writers_is_refused_and_loses_nothing(place, tmp_path):
    url, options = place
    first, second = (Memory.open(url, "r+", storage_options=options) for _ in range(2))
    write(first, 2)
    write(second, 3)
    first.commit("first's")
    for _ in range(2):
        with pytest.raises(LockedError, match="another writer has committed meanwhile, and noth"):
            second.commit("second's")
    assert_opens_as(url, options, [1, 2], "first's")
    second.copy_to(tmp_path / "kept")
    assert len(Memory.open(tmp_path / "kept")) == 6
    second.close(discard=True)
    with Memory.open(url, "r+", storage_options=options) as again:
        write(again, 3)
        again.commit("second's")
    assert_opens_as(url, options, [1, 2, 3], "second's")


@pytest.mark.parametrize("at", [None, "first"])
def test_two_writers_at_the_very_moment(store, place, at):
    """The other commits between our look at the main branch and our putting it."""
    url, options = place
    first, second = (Memory.open(url, "r+", storage_options=options) for _ in range(2))
    write(second, 2)
    second.commit("two")
    first.close()
    first = Memory.open(url, "r+", at=at, storage_options=options)
    write(first, 3)
    write(second, 4)
    raced = []

    def race(_, method, path):
        if method == "PUT" and path.endswith("branch.main/ref.json") and not raced:
            raced.append(path)
            second.commit("four")

    store.on_request = race
    with pytest.raises(LockedError, match="another writer has committed meanwhile"):
        first.commit("three")
    assert raced
    assert_opens_as(url, options, [1, 2, 4], "four")
    assert store.names(f"{ObjectUrl(url).prefix}/refs/branch.commit") == []


def test_of_two_that_create_one_does(store, url):
    memories = []

    def race(_, method, path):
        if method == "PUT" and not memories:
            memories.append(None)
            memories[0] = Memory.create(url, CONFIG, storage_options=store.options)

    store.on_request = race
    with pytest.raises((PathExistsError, LockedError)):
        Memory.create(url, CONFIG, storage_options=store.options)
    write(memories[0], 1)
    memories[0].commit("one")
    assert_opens_as(url, store.options, [1], "one")


# Answers that are lost.


def is_main(method, path):
    return method == "PUT" and path.endswith("branch.main/ref.json")


def test_a_commit_whose_answer_is_lost_has_arrived(store, place):
    """The store's client asks again, and is told that somebody was quicker: it was itself."""
    url, options = place
    memory = Memory.open(url, "r+", storage_options=options)
    write(memory, 2)
    lost = []

    def lose(_, method, path):
        if is_main(method, path) and not lost:
            lost.append(path)
            return ("lose", False)

    store.on_request = lose
    snapshot = memory.commit("two")
    assert lost and memory.snapshot == snapshot
    assert_opens_as(url, options, [1, 2], "two")
    write(memory, 3)
    memory.commit("three")
    assert_opens_as(url, options, [1, 2, 3], "three")


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("stage", ["PUT manifests", "PUT snapshots", "PUT refs"])
def test_a_server_that_dies_during_a_commit(store, place, stage, before):
    url, options = place
    memory = Memory.open(url, "r+", storage_options=options | {"timeout": 1})
    write(memory, 2)
    dead = []

    def die(_, method, path):
        if dead or stage == kind_of(method, path):
            dead.append(path)
            return ("lose", before or len(dead) > 1)

    store.on_request = die
    with pytest.raises(StoreError, match=r"nothing of the last commit is lost: try again"):
        memory.commit("two")
    assert dead
    store.kill()
    with pytest.raises(StoreError):
        memory.commit("two")
    assert len(memory) == 6
    store.on_request = None
    store.revive()
    arrived = stage == "PUT refs" and not before
    assert_opens_as(url, options, [1, 2] if arrived else [1], "two" if arrived else "one")
    memory.commit("two")
    write(memory, 3)
    memory.commit("three")
    assert_opens_as(url, options, [1, 2, 3], "three")


def test_a_server_that_dies_while_one_is_made(store, url):
    stages = []
    store.on_request = lambda _, method, path: stages.append((method, path))
    Memory.create(url, CONFIG, storage_options=store.options)
    last_of_kind = {kind_of(*sent): n for n, sent in enumerate(stages) if sent[0] == "PUT"}
    for number in {1, *last_of_kind.values()}:
        other = f"{url}-{number}"
        store.forget()
        store.on_request = lambda n, *_, number=number: ("lose", True) if n >= number else None
        with pytest.raises(StoreError):
            Memory.create(other, CONFIG, storage_options=store.options | {"timeout": 0.5})
        store.forget()
        names = store.names(ObjectUrl(other).prefix + "/")
        objects = {name: store.get(name) for name in names}
        with pytest.raises((PathMissingError, NotAMemoryError)) as caught:
            Memory.open(other, storage_options=store.options)
        assert ("was begun and holds nothing yet" in str(caught.value)) == (len(names) > 1)
        if not names:
            continue
        with pytest.raises(PathExistsError):
            Memory.create(other, CONFIG, storage_options=store.options)
        assert {name: store.get(name) for name in names} == objects  # one may still come late


@pytest.mark.parametrize(
    ("work", "stage", "before"),
    [
        ("commit", "PUT snapshots", False),
        ("commit", "PUT refs", True),
        ("commit", "PUT refs", False),
        ("create", "PUT snapshots", False),
        ("rewind", "PUT manifests", True),
        ("expire", "PUT snapshots", False),
    ],
)
def test_a_process_that_is_killed(store, url, work, stage, before):
    """`python -m tests.helpers.object_kills` does so at every request."""
    object_kills.prepare(url, store.options, work)
    process = object_kills.start(work, url, store)
    killed = []

    def kill(_, method, path):
        if killed or stage == kind_of(method, path):
            killed.append(path)
            process.kill()
            process.wait()
            return ("lose", before or len(killed) > 1)

    store.on_request = kill
    process.communicate("go\n")
    assert killed
    store.forget()
    state = object_kills.outcome(url, store.options, work)
    expected = {
        "commit": "the new commit" if stage == "PUT refs" and not before else "the one before",
        "create": "nothing there",
        "rewind": "the one before",
        "expire": "1 commits in the history",
    }
    assert state in (expected[work], "2 commits in the history", "3 commits in the history")
    assert work == "expire" or state == expected[work]


# What a store may answer.


FAILS = "cannot be reached, or fails|does not answer within"


def faults():
    """Per fault: what the server does, options that differ, and words of the error."""
    return {
        "500": (lambda *_: ("status", 500, "InternalError"), {"timeout": 1}, FAILS),
        "503": (lambda *_: ("status", 503, "SlowDown"), {"timeout": 1}, FAILS),
        "403": (lambda *_: ("status", 403, "AccessDenied"), {}, "refuses who asks .AccessDenied"),
        "slow": (lambda *_: 1.5, {"timeout": 0.2}, r"does not answer within 0\.2 s"),
        "lost": (lambda *_: ("lose", True), {"timeout": 0.2}, FAILS),
        "key": (None, {"access_key_id": "WRONGWRONG"}, "refuses who asks .InvalidAccessKeyId"),
        "port": (None, {"endpoint_url": "http://127.0.0.1:9", "timeout": 0.2}, FAILS),
    }


@pytest.mark.parametrize("fault", faults())
def test_faults_when_it_is_opened_and_committed(store, place, fault):
    url, options = place
    on_request, other, words = faults()[fault]
    memory = Memory.open(url, "r+", storage_options=options | {"timeout": 1})
    write(memory, 2)
    store.on_request = on_request
    wrong = options | other
    calls = [
        lambda: Memory.open(url, storage_options=wrong),
        lambda: Memory.create(f"{url}/new", CONFIG, storage_options=wrong),
        lambda: memstore.history(url, storage_options=wrong),
        lambda: Memory(CONFIG).copy_to(f"{url}-copy", storage_options=wrong),
        lambda: memstore.verify_folder(url, storage_options=wrong),
    ]
    for call in calls[:1] if fault == "500" else calls:  # each of which is tried for long
        with pytest.raises(StoreError, match=words) as caught:
            call()
        shown = "".join(traceback.format_exception(caught.value))
        assert SECRET not in shown and KEY not in shown and ".rs:" not in shown
        assert str(caught.value).startswith("s3://")
    if on_request:
        calls = [lambda: memory.commit("two"), lambda: memory.tag("x")]
        if fault == "403":  # with others these two wait for up to half a minute each
            calls += [memory.expire, memory.verify]
        for call in calls:
            with pytest.raises(StoreError):
                call()
    store.on_request = None
    assert_opens_as(url, options, [1], "one")
    memory.commit("two")
    assert_opens_as(url, options, [1, 2], "two")


def test_a_500_that_passes_is_not_noticed(store, place):
    url, options = place
    store.on_request = lambda n, *_: ("status", 500, "InternalError") if n % 5 == 0 else None
    with Memory.open(url, "r+", storage_options=options) as memory:
        write(memory, 2)
        memory.commit("two")
    store.on_request = None
    assert_opens_as(url, options, [1, 2], "two")


def test_slow_answers_are_waited_for(store, place):
    url, options = place
    store.on_request = lambda *_: 0.1
    with Memory.open(url, "r+", storage_options=options) as memory:
        write(memory, 2)
        memory.commit("two")
    store.on_request = None
    assert_opens_as(url, options, [1, 2], "two")


def test_places_that_hold_no_memory(store, url):
    options = store.options
    for call in (
        lambda place: Memory.open(place, storage_options=options),
        lambda place: Memory.open(place, "r+", storage_options=options),
        lambda place: memstore.history(place, storage_options=options),
        lambda place: memstore.verify_folder(place, storage_options=options),
    ):
        with pytest.raises(PathMissingError, match="got no memory there"):
            call(url)
        with pytest.raises(PathMissingError, match="got no such bucket, want one that exists"):
            call("s3://no-such-bucket/memory")
    with pytest.raises(PathMissingError, match="got no such bucket"):
        Memory.create("s3://no-such-bucket/memory", CONFIG, storage_options=options)
    store.put(f"{ObjectUrl(url).prefix}/file", b"something else")
    with pytest.raises(PathMissingError, match=r"got no memory there .nothing, other objects"):
        Memory.open(url, storage_options=options)
    with pytest.raises(PathExistsError, match="want a prefix below which there is nothing"):
        Memory.create(url, CONFIG, storage_options=options)
    assert store.names(ObjectUrl(url).prefix) == [f"{ObjectUrl(url).prefix}/file"]


def test_an_icechunk_repository_of_something_else(store, url):
    import icechunk
    import zarr

    repo = icechunk.Repository.create(stores.storage_at(ObjectUrl(url), store.options))
    with pytest.raises(NotAMemoryError, match="begun and holds nothing yet"):
        Memory.open(url, storage_options=store.options)
    session = repo.writable_session("main")
    zarr.create_group(session.store)
    session.commit("something else")
    with pytest.raises(NotAMemoryError, match="an Icechunk repository, but not of a memory"):
        Memory.open(url, storage_options=store.options)


def test_nothing_is_made_over_a_memory(store, place):
    url, options = place
    names = {name: store.get(name) for name in store.names(ObjectUrl(url).prefix)}
    for call in (
        lambda: Memory.create(url, CONFIG, storage_options=options),
        lambda: Memory(CONFIG).copy_to(url, storage_options=options),
    ):
        with pytest.raises(PathExistsError, match="exists already"):
            call()
    assert {name: store.get(name) for name in store.names(ObjectUrl(url).prefix)} == names
    with pytest.raises(ArgumentError, match="want a place outside of s3://"):
        Memory.open(url, storage_options=options).copy_to(f"{url}/in", storage_options=options)


def test_every_object_that_is_missing_or_damaged_is_told(store, place):
    """Or it is one that nothing reads; and once it is back, all is as it was.

    Each is missed; of each kind, the first is also cut short and changed.
    """
    url, options = place
    names, silent = store.names(ObjectUrl(url).prefix), []
    assert len(names) > 8
    kinds = set()
    for name in names:
        data, kind = store.get(name), name.split("/")[-2]
        damages = [None]
        if kind not in kinds:
            damages += [data[: len(data) // 2], bytes([data[0] ^ 1]) + data[1:]]
        kinds.add(kind)
        for damage in damages:
            store.delete(name) if damage is None else store.put(name, damage)
            try:
                report = memstore.verify_folder(url, storage_options=options)
                problems = report.problems
                with Memory.open(url, storage_options=options) as memory:
                    assert len(memory) == 3
            except (FormatError, PathMissingError) as error:
                problems = [str(error)]
            assert all(".rs:" not in problem for problem in problems)
            if not problems:
                silent.append(name)
            store.put(name, data)
    assert {name.split("/")[-2] for name in silent} <= {"transactions", "tag.first", "snapshots"}
    assert_opens_as(url, options, [1], "one")


def test_a_missing_chunk_is_damage_and_not_the_stores_fault(store, place):
    url, options = place
    with Memory.open(url, "r+", storage_options=options) as memory:
        chunks = [name for name in store.names(ObjectUrl(url).prefix) if "/chunks/" in name]
        for name in chunks:
            store.delete(name)
        assert chunks and memory.verify().problems
    with pytest.raises(FormatError, match="got no object where the memory names one"):
        Memory.open(url, storage_options=options)


# Options and rules.


@pytest.mark.parametrize("options", [[1], "secret", 3])
def test_options_that_are_no_dict(place, options):
    for call in (Memory.open, memstore.history, memstore.verify_folder):
        with pytest.raises(DtypeError, match="storage_options: got a"):
            call(place[0], storage_options=options)


def test_options_that_are_none(place):
    url, options = place
    with pytest.raises(ArgumentError, match="storage_options: got secret, want some of access_ke"):
        Memory.open(url, storage_options=options | {"secret": SECRET})
    with pytest.raises(ArgumentError) as caught:
        Memory.open(url, storage_options=options | {"secret_access_key": 1234567})
    assert "1234567" not in str(caught.value)
    for seconds in (0, -1, "60", True):
        with pytest.raises(ArgumentError, match="storage_options: timeout: got "):
            Memory.open(url, storage_options=options | {"timeout": seconds})


def test_a_prefix_may_be_called_as_a_bucket(store, url):
    """What is missing there is the memory, which is to be made, and no bucket."""
    with Memory.create(f"{url}/my-bucket", CONFIG, storage_options=store.options) as memory:
        assert len(memory) == 0


def test_an_environment_that_tells_nothing(store, url, monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))  # no file of a user's
    with pytest.raises(StoreError, match="got no region, want one, as AWS_REGION"):
        Memory.open(url)
    options = {"endpoint_url": store.options["endpoint_url"], "timeout": 20}
    with pytest.raises(StoreError, match=r"refuses who asks .*, want credentials"):
        Memory.open(url, storage_options=options)


def test_other_stores_are_taken_as_icechunk_takes_them(monkeypatch):
    """As it shows them; test_other_stores.py makes requests."""
    for name in stores.AZURE_ACCOUNTS:
        monkeypatch.delenv(name, raising=False)
    for url, prefix in (("bucket/a/b", "a/b"), ("bucket", "")):
        shown = repr(stores.storage_at(ObjectUrl(f"gs://{url}"), {"anonymous": True}))
        assert f"GcsObjectStoreBackend(bucket=bucket, prefix={prefix})" in shown
        options = {"account": "me", "access_key": "a2V5"}
        shown = repr(stores.storage_at(ObjectUrl(f"az://{url}"), options))
        assert f"AzureObjectStoreBackend(account=me, container=bucket, prefix={prefix})" in shown
    with pytest.raises(ArgumentError, match="got no account for az://box/memory, want one, or AZ"):
        stores.storage_at(ObjectUrl("az://box/memory"), {})
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "me")
    stores.storage_at(ObjectUrl("az://box/memory"), {})


def test_an_expiry_spares_what_may_be_of_a_commit_under_way(store, place, monkeypatch):
    url, options = place
    prefix = ObjectUrl(url).prefix
    first, second = (Memory.open(url, "r+", storage_options=options) for _ in range(2))
    write(first, 2)
    freed = []

    def expire(_, method, path):
        if is_main(method, path) and not freed:
            freed.append(second.expire(1))

    store.on_request = expire  # all but the last step of the commit is done
    first.commit("two")
    store.on_request = None
    assert freed and freed[0].bytes == 0
    assert_opens_as(url, options, [1, 2], "two")

    monkeypatch.setattr(repository, "GRACE", timedelta(0))
    first.untag("first")
    before = store.names(prefix)
    time.sleep(1.1)  # the store's clock has seconds
    assert first.expire(1).bytes > 0
    assert len(store.names(prefix)) < len(before)
    assert_opens_as(url, options, [1, 2], "two")


def test_branches_of_dead_writers_go_with_an_expiry(store, place, monkeypatch):
    url, options = place
    memory = Memory.open(url, "r+", storage_options=options)
    memory._repository._repo.create_branch("commit-1-abcdef", memory.snapshot)
    memory._repository._repo.create_branch(f"commit-{int(time.time()):x}-ab", memory.snapshot)
    memory._repository._repo.create_branch("somebody's", memory.snapshot)
    memory.expire()
    branches = memory._repository._repo.list_branches()
    assert sorted(branches)[-1] == "somebody's" and len(branches) == 3


def test_a_forked_child_is_refused(place):
    url, options = place
    memory = Memory.open(url, storage_options=options)
    child = os.fork()
    if not child:
        try:
            memory.history()
        except memstore.ForkError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_an_overtaken_writer_neither_tags_nor_expires(place):
    url, options = place
    first, second = (Memory.open(url, "r+", storage_options=options) for _ in range(2))
    write(first, 2)
    first.commit("first's")
    calls = [lambda: second.tag("new"), lambda: second.untag("first"), lambda: second.expire(1)]
    for call in calls:
        with pytest.raises(LockedError, match="another writer has committed meanwhile"):
            call()
    assert first.tags().keys() == {"first"} and len(first.history()) == 3
    first.tag("new")


def test_a_tag_asks_for_itself_alone(store, place):
    """Not for all others, each of which is four requests more."""
    url, options = place
    memory, counts = Memory.open(url, "r+", storage_options=options), []
    for call in (memory.tag, memory.untag):
        for name in ("second", "third"):
            store.forget()
            call(name)
            counts.append(len(store.requests))
    assert counts[0] == counts[1] <= 10 and counts[2] == counts[3] <= 11
    with pytest.raises(ArgumentError, match="'second', which already exists or did"):
        memory.tag("second")
    for call in (
        lambda: memory.untag("third"),
        lambda: Memory.open(url, at="third", storage_options=options),
    ):
        with pytest.raises(SnapshotError, match=r"no .*tag 'third'"):
            call()
    assert memory.tags().keys() == {"first"}


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_another_memory_below_the_prefix_is_told(store, place, mode):
    url, options = place
    memory = Memory.open(url, mode, storage_options=options)
    for name in store.names(url.removeprefix(f"s3://{BUCKET}/") + "/"):
        store.delete(name)
    with Memory.create(url, CONFIG, storage_options=options) as other:
        write(other, 2)
    calls = [memory.tags, memory.verify, lambda: memory.verify(every=True)]
    if mode == "r":
        calls += [memory.refresh]
    else:
        write(memory, 3)
        calls += [lambda: memory.commit("x"), memory.expire, lambda: memory.tag("new")]
        calls += [lambda: memory.untag("first")]
    for call in calls:
        with pytest.raises(PathMissingError, match="another memory there"):
            call()
    assert_opens_as(url, options, [2], "end of a with block")
    memory.close(discard=True)


def test_no_memory_is_made_below_or_above_another(store, place):
    url, options = place
    for parts in ("/deeper", "/a/b", "/refs"):
        with pytest.raises((ArgumentError, PathExistsError)):
            Memory.create(url + parts, CONFIG, storage_options=options)
    with pytest.raises(ArgumentError, match=f"outside of the memory {url}$"):
        Memory(CONFIG).copy_to(f"{url}/x/y", storage_options=options)
    with pytest.raises(PathExistsError, match="want a prefix below which there is nothing"):
        Memory.create(url.rpartition("/")[0], CONFIG, storage_options=options)
    Memory.create(url + "x", CONFIG, storage_options=options).close()


@pytest.mark.parametrize(
    "endpoint",
    ["notaurl", "localhost:9000", "ftp://host", "http://", "https:///path", "http://a b", 3],
)
def test_an_endpoint_that_is_no_url_is_told(url, monkeypatch, endpoint):
    with pytest.raises(ArgumentError, match=r"endpoint_url: got .*want http://HOST or https://"):
        Memory.open(url, storage_options={"endpoint_url": endpoint})
    if isinstance(endpoint, str):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(ArgumentError, match="endpoint_url: got"):
            Memory.create(url, CONFIG)


def test_an_endpoint_with_a_password_is_not_shown(url):
    with pytest.raises(ArgumentError, match="want http://HOST") as caught:
        Memory.open(url, storage_options={"endpoint_url": "ftp://me:hidden@host"})
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("scheme", stores._STORES)
def test_a_whole_bucket_may_be_asked_for(scheme):
    options = {"account": "a"} if scheme == "az" else {}
    stores.storage_at(ObjectUrl(f"{scheme}://bucket"), options)
