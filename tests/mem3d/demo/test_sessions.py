"""Where visitors of the demo page remember shapes."""

import json
import tempfile

import numpy as np
import pytest

from mem3d.demo import sessions
from mem3d.demo.reconstruct_view import reconstruct_upload
from mem3d.demo.sessions import VisitorMemories
from mem3d.network import checkpoint
from mem3d.runs.folder import memorized_sources
from memstore import Memory, MemstoreError
from tests.helpers.r2n2_folder import blob
from tests.helpers.untrained_run import SOURCES, save_photo


@pytest.fixture
def shown(trained, tmp_path):
    _, model, memory, _ = trained
    return reconstruct_upload(model, memory, save_photo(tmp_path / "new.png", seed=9))


@pytest.fixture
def places(trained):
    kept = VisitorMemories(*trained)
    yield kept
    kept.close()


def test_two_visitors_do_not_see_each_others_shapes(trained, places, shown):
    folder = trained[0]
    before = sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    one, told = places.memorize(None, shown, blob(9), " mine ")
    two, _ = places.memorize(None, shown, blob(8), "yours")
    assert (told.kind, told.slot, told.source, told.used) == ("inserted", 3, "mine", 4)
    assert places.memory(one).sources == [*SOURCES, "mine"]
    assert places.memory(two).sources == [*SOURCES, "yours"]
    assert places.memory(None).sources == SOURCES
    assert sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file()) == before


def test_what_was_remembered_is_recalled(trained, places, shown, tmp_path):
    model = trained[1]
    own, _ = places.memorize(None, shown, blob(9), "mine")
    again = reconstruct_upload(model, places.memory(own), tmp_path / "new.png")
    assert again.result.priors[0].source == "mine"
    np.testing.assert_array_equal(again.result.priors[0].grid, blob(9))


def test_merging_and_evicting_are_told(places, shown):
    own, _ = places.memorize(None, shown, blob(9), "mine")
    own, merged = places.memorize(own, shown, blob(9), "again")
    assert (merged.kind, merged.source) == ("merged", "mine")
    assert "keeps that shape" in str(merged)
    own, evicted = places.memorize(own, shown, blob(8), "other")
    assert (evicted.kind, evicted.slot, evicted.used) == ("evicted", 0, 4)
    assert "in the place of the oldest" in str(evicted)


def test_what_cannot_be_remembered_changes_nothing(places, shown):
    own, _ = places.memorize(None, shown, blob(9), "mine")
    for grid, name, says in (
        (np.zeros((32,) * 3, bool), "a", "no full voxel"),
        (np.ones((16,) * 3, bool), "a", "want a shape of 32"),
        (blob(0), "  ", "name: got none"),
    ):
        with pytest.raises(ValueError, match=says):
            places.memorize(own, shown, grid, name)
    with pytest.raises(MemstoreError, match="128"):
        places.memorize(own, shown, blob(0), "a" * 129)
    assert len(places.memory(own)) == 4


def test_the_copy_not_written_longest_goes_first(places, shown, monkeypatch):
    monkeypatch.setattr(sessions, "MOST_COPIES", 2)
    one, _ = places.memorize(None, shown, blob(9), "one")
    two, _ = places.memorize(None, shown, blob(9), "two")
    places.memorize(one, shown, blob(8), "one more")
    places.memorize(None, shown, blob(9), "three")
    assert (one.mode, two.mode) == ("r+", "closed")
    anew, told = places.memorize(two, shown, blob(9), "two")
    assert anew.sources == [*SOURCES, "two"]
    assert "gone" in str(told)


def test_a_visitor_who_leaves_leaves_nothing(places, shown):
    own, _ = places.memorize(None, shown, blob(9), "mine")
    folder = own.path
    assert folder.is_dir()
    places.forget(own)
    places.forget(None)
    assert (own.mode, folder.exists()) == ("closed", False)


def test_a_run_can_be_written_that_all_share(trained, shown, tmp_path):
    folder, model, memory, state = trained
    kept = VisitorMemories(folder, model, memory, state, write=tmp_path / "more")
    assert kept.shared
    for name, grid in (("mine", blob(9)), ("yours", blob(8))):
        own, _ = kept.memorize(None, shown, grid, name)
        assert own is None
        _, found, made = checkpoint.load(tmp_path / "more")  # also while it is being written
        assert name in found.sources
        assert made.snapshot != state.snapshot
    kept.close()
    assert memorized_sources(tmp_path / "more") == {"mine", "yours"}
    [change] = json.loads((tmp_path / "more" / "run.json").read_text())["changes"]
    assert (change["kind"], change["pictures"]) == ("memorised", 2)
    Memory.open(tmp_path / "more" / "memory", "r+").close()  # no lock is left


def test_a_run_is_never_written_over(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder, model, memory, state = trained
    with pytest.raises(MemstoreError, match="exists already"):
        VisitorMemories(folder, model, memory, state, write=folder)
    assert list(tmp_path.iterdir()) == []
