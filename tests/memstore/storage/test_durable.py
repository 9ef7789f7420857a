"""What is new in a folder is synced, and nothing else."""

import shutil

import numpy as np
import pytest

from memstore.files import tree
from memstore.storage.local import durable
from memstore.storage.local.durable import Durable


@pytest.fixture
def synced(monkeypatch):
    """What has been synced since it was last looked at."""
    paths = []
    monkeypatch.setattr(durable, "sync", paths.extend)
    return paths


def test_the_first_time_all_is_synced(tmp_path, synced):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    (tmp_path / "empty").mkdir()
    Durable(tmp_path).sync(["beside"])
    assert synced[0] == "beside"
    assert sorted(synced[1:]) == sorted(tree(tmp_path))


def test_files_come_before_the_folders_that_name_them(tmp_path, synced):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").touch()
    Durable(tmp_path).sync()
    assert synced == [str(tmp_path / "a" / "file"), str(tmp_path), str(tmp_path / "a")]


def test_random_changes_match_a_comparison_of_whole_trees(tmp_path, synced):
    """New entries, and the folders that they are in; what is gone asks for nothing."""
    rng, before = np.random.default_rng(0), set()
    folder = Durable(tmp_path)
    for step in range(60):
        for _ in range(rng.integers(3)):
            places = [path for path in (tmp_path, *tmp_path.rglob("*")) if path.is_dir()]
            place = places[rng.integers(len(places))]
            if rng.random() < 0.3 and place != tmp_path:
                shutil.rmtree(place)
            elif rng.random() < 0.5:
                (place / f"folder{step}-{rng.integers(100)}").mkdir()
            else:
                (place / f"file{step}-{rng.integers(100)}").touch()
        synced.clear()
        folder.sync()
        now = set(tree(tmp_path))
        new = now - before
        expected = new | {path.rpartition("/")[0] for path in new if path != str(tmp_path)}
        assert set(synced) == expected and len(synced) == len(expected)
        before = now


def test_what_a_failed_sync_was_to_bring_is_tried_again(tmp_path, monkeypatch, synced):
    (tmp_path / "file").touch()
    folder = Durable(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(durable, "sync", lambda paths: (_ for _ in ()).throw(OSError("no disk")))
        with pytest.raises(OSError, match="no disk"):
            folder.sync()
    folder.sync()
    assert str(tmp_path / "file") in synced
