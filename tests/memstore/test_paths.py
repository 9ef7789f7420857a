"""One rule for paths, wherever one is given."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import memstore
from memstore import PAPER, DtypeError, LockedError, Memory, PathError, PathExistsError
from memstore.paths import local_path
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
URLS = ("s3://bucket/mem", "file:///tmp/mem", "https://host/mem", "s3:/bucket/mem", "gs://bucket")


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
