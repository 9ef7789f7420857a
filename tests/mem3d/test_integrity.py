"""Checks of facts and files, and what is put in place."""

import hashlib
import os

import pytest

from mem3d.integrity import CHECK_LENGTH, check_of_facts, check_of_file, put_in_place


def test_checks_are_blake2b(tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)
    want = hashlib.blake2b(data, digest_size=16).hexdigest()
    assert check_of_file(tmp_path / "a") == want and len(want) == CHECK_LENGTH


def test_facts_have_one_check_however_they_are_laid_out():
    check = check_of_facts({"a": [1, 0.1], "b": {"ä": None}})
    assert check == check_of_facts({"b": {"ä": None}, "a": (1, 0.1)})
    others = (
        {"a": [1, 0.1]},
        {"a": [1, 0.2], "b": {"ä": None}},
        {"a": [1.0, 0.1], "b": {"ä": None}},
    )
    assert all(check_of_facts(other) != check for other in others)


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs names of open files")
def test_all_of_a_folder_is_synced_before_its_name(tmp_path, monkeypatch):
    events, real = [], os.replace
    place = lambda fd: os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), tmp_path)  # noqa: E731
    monkeypatch.setattr(os, "fsync", lambda fd: events.append(place(fd)))
    monkeypatch.setattr(os, "replace", lambda *paths: events.append("renamed") or real(*paths))
    (tmp_path / "beside" / "in").mkdir(parents=True)
    put_in_place(tmp_path / "beside", tmp_path / "new")
    assert events == ["beside/in", "beside", "renamed", "."]
    assert (tmp_path / "new" / "in").is_dir()
