"""One rule for paths, wherever one is given."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import memstore
from memstore import (
    PAPER,
    ArgumentError,
    DtypeError,
    LockedError,
    Memory,
    PathError,
    PathExistsError,
)
from memstore.paths import lies_within, local_path, place_of
from memstore.sharded import ShardedMemory
from memstore.storage import repository

CONFIG = replace(PAPER, capacity=4, key_dim=3, resolution=2)


def write_one(memory):
    memory.write(np.eye(3)[:1], np.ones((1, 2, 2, 2), bool))


CALLS = {
    "create": lambda path: Memory.create(path, CONFIG),
    "open": Memory.open,
    "open to write": lambda path: Memory.open(path, "r+"),
    "copy_to": lambda path: Memory(CONFIG).copy_to(path),
    "export": lambda path: memstore.export(Memory(CONFIG), path, "npz"),
    "import_memory": memstore.import_memory,
    "history": memstore.history,
    "tags": memstore.tags,
    "verify_folder": memstore.verify_folder,
    "read_features": memstore.read_features,
}
URLS = ("file:///tmp/mem", "https://host/mem", "s3:/bucket/mem", "S3://bucket/mem", "gcs://bucket")
NO_MEMORIES = (
    "export",
    "import_memory",
    "read_features",
)  # what takes a path on this machine alone


@pytest.mark.parametrize("of", [str, Path])
@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_urls_are_refused_by_name(call, url, of, tmp_path, monkeypatch):
    """Before: a folder `s3:` here."""
    monkeypatch.chdir(tmp_path)
    scheme = url.partition(":")[0]
    with pytest.raises(PathError, match=rf"got a URL \({scheme}:\), want a path on this machine"):
        call(of(url))
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("call", NO_MEMORIES)
def test_only_memories_have_urls(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PathError, match="memories in one piece alone may have a URL: s3://"):
        CALLS[call]("s3://bucket/mem")
    with pytest.raises(PathError, match="memories in one piece alone may have a URL: s3://"):
        ShardedMemory.create("s3://bucket/mem", CONFIG, 2, workers="local")
    with pytest.raises(PathError, match="memories in one piece alone may have a URL: s3://"):
        ShardedMemory.open("s3://bucket/mem", workers="local")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("of", [str, Path])
def test_one_slash_is_told(of):
    with pytest.raises(PathError, match="with two slashes and as text, as pathlib joins them"):
        Memory.open(of("s3:/bucket/mem"))


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hidden@bucket/m",
        "s3://bucket/m?token=hidden",
        "az://c/m#hidden",
        "gs:/a:hidden@b/m",
    ],
)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_credentials_in_a_url_are_refused_and_not_shown(call, url):
    with pytest.raises(PathError) as caught:
        call(url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3:///m", "s3://b//m", "s3://b/../m", "s3://b/./m", "s3://b/a\\b", "s3://b/a\nb"],
)
def test_odd_urls(url):
    with pytest.raises(PathError, match="got a URL with odd parts, want s3://BUCKET/PREFIX"):
        Memory.open(url)


def test_parts_of_a_url():
    place = place_of("gs://my-bucket/a/b c/")
    assert (place.scheme, place.bucket, place.prefix) == ("gs", "my-bucket", "a/b c")
    assert place_of(place) == place == "gs://my-bucket/a/b c" and place_of("s3://b").prefix == ""
    assert place_of("a/b") == Path("a/b")


def test_what_lies_within_what(tmp_path):
    inner, outer = place_of("s3://b/m/x"), place_of("s3://b/m")
    assert lies_within(inner, outer) and not lies_within(outer, outer)
    assert not lies_within(place_of("s3://b/mx"), outer) and not lies_within(inner, None)
    assert not lies_within(tmp_path, outer) and not lies_within(inner, tmp_path)
    assert lies_within(tmp_path / "a" / "b", tmp_path)


def test_a_folder_takes_no_storage_options(tmp_path):
    Memory.create(tmp_path / "m", CONFIG).close()
    with pytest.raises(ArgumentError, match="storage_options: got some for "):
        Memory.open(tmp_path / "m", storage_options={"region": "x"})
    with pytest.raises(ArgumentError, match="storage_options: got some for "):
        Memory(CONFIG).copy_to(tmp_path / "c", storage_options={"region": "x"})


def test_a_file_url_says_which_path_is_meant():
    for url in ("file:///a/b", "file://localhost/a/b", "FILE:/a/b", Path("file:///a/b")):
        with pytest.raises(PathError, match="want a path on this machine: /a/b; "):
            local_path(url)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_is_no_path(call):
    for bad in (b"mem", 3, None):
        with pytest.raises(DtypeError, match="path: got "):
            call(bad)
    for bad in ("", "a\0b"):
        with pytest.raises(PathError, match="path: got "):
            call(bad)


@pytest.mark.parametrize(
    "name", ["a%20b", "a#b?c", "a\\b", "a\nb", "*", " b ", "a:b", "~", "..x", "é"]
)
def test_other_names_are_names(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Memory.create(name, CONFIG).close()
    assert os.listdir(tmp_path) == [name] and (tmp_path / name / "snapshots").is_dir()
    assert len(Memory.open(tmp_path / name)) == 0


@pytest.fixture
def beside_a_link(tmp_path, monkeypatch):
    """here/link leads to there/deep, so that here/link/.. is `there`; here/x is of somebody else"""
    (tmp_path / "here").mkdir()
    (tmp_path / "there" / "deep").mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there" / "deep")
    with Memory.create(tmp_path / "here" / "x", CONFIG) as theirs:
        write_one(theirs)
        theirs.commit("theirs")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_parent_of_a_link_is_that_of_its_target(beside_a_link, is_absolute):
    path = f"{beside_a_link / 'here'}/link/../x" if is_absolute else "link/../x"
    with Memory.create(path, CONFIG) as memory:
        assert len(memory) == 0 and memory.path == beside_a_link / "there" / "x"
        assert sorted(os.listdir(beside_a_link / "there")) == ["deep", "x"]
        memory.copy_to("link/../copy")
        memstore.export(memory, "link/../rows.npz")
    assert sorted(os.listdir(beside_a_link / "there")) == ["copy", "deep", "rows.npz", "x"]
    assert sorted(os.listdir(beside_a_link / "here")) == ["link", "x"]
    assert len(Memory.open(path)) == len(memstore.history(path)) - 1 == 0
    assert len(Memory.open("x")) == 1


def test_a_parent_of_nothing_makes_no_folder(beside_a_link):
    """Before: `new` was made on the way, too."""
    with pytest.raises(PathExistsError):
        Memory.create("new/../x", CONFIG)
    Memory.create("new/../y", CONFIG).close()
    assert sorted(os.listdir()) == ["link", "x", "y"]


def test_links_in_a_circle(tmp_path):
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for call in CALLS.values():
        with pytest.raises((PathError, DtypeError)):
            call(f"{tmp_path}/circle/../circle/x")


def test_create_returns_what_it_made_or_nothing(tmp_path, monkeypatch):
    create = repository.create

    def create_and_be_slow(path, *arguments):
        snapshot = create(path, *arguments)
        with Memory.open(path, "r+") as other:
            write_one(other)
            other.commit("somebody was quicker")
        return snapshot

    monkeypatch.setattr(repository, "create", create_and_be_slow)
    with pytest.raises(LockedError, match="changed by somebody else"):
        Memory.create(tmp_path / "memory", CONFIG)
    monkeypatch.undo()
    with Memory.open(tmp_path / "memory", "r+") as memory:  # and nobody holds it
        assert len(memory) == 1
