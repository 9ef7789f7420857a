"""The one way in to every kind of data set (what each kind gives: the tests of its reader)."""

import pytest

from mem3d.data.open import open_dataset


def test_nothing_there(tmp_path):
    with pytest.raises(ValueError, match="nowhere: got nothing there, want a data folder, a pack"):
        open_dataset(tmp_path / "nowhere")


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"notes\.txt: got a file of another kind, want a data"):
        open_dataset(tmp_path / "notes.txt")


def test_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="got no folder ShapeNetRendering"):
        open_dataset(tmp_path)
