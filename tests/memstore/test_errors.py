"""One tree of errors, each of them also a builtin."""

import shutil

import pytest

import memstore
from memstore.errors import check_shape, first_line

BUILTINS = {
    "ArgumentError": ValueError,
    "BusyError": RuntimeError,
    "ConfigError": ValueError,
    "DtypeError": TypeError,
    "ExtraMissingError": ImportError,
    "FeatureError": ValueError,
    "ForkError": RuntimeError,
    "FormatError": ValueError,
    "FullError": RuntimeError,
    "LockedError": BlockingIOError,
    "NotAMemoryError": OSError,
    "PathError": OSError,
    "PathExistsError": FileExistsError,
    "PathMissingError": FileNotFoundError,
    "ReadOnlyError": PermissionError,
    "ShapeError": ValueError,
    "ShardError": RuntimeError,
    "SlotError": IndexError,
    "SnapshotError": LookupError,
    "StoreError": ConnectionError,
    "TornError": RuntimeError,
    "TransientError": RuntimeError,
}


def test_all_errors_are_public_and_listed_here():
    public = {name for name in memstore.__all__ if name.endswith("Error")}
    assert public == {*BUILTINS, "MemstoreError"}


@pytest.mark.parametrize("name", BUILTINS)
def test_each_is_a_builtin_with_a_plain_message(name):
    error = getattr(memstore, name)("what: got X, want Y")
    assert isinstance(error, (memstore.MemstoreError))
    assert isinstance(error, BUILTINS[name])
    assert str(error) == "what: got X, want Y"


def test_check_shape():
    check_shape("keys", (3, 4), (None, 4))
    for got in ((3, 5), (4,), (1, 3, 4)):
        with pytest.raises(memstore.ShapeError, match=r"keys: got shape .*, want \(any, 4\)"):
            check_shape("keys", got, (None, 4))


def test_a_copy_of_many_files_that_fails_names_one(tmp_path):
    (tmp_path / "from").mkdir()
    for name in ("a", "b"):
        (tmp_path / "from" / name).symlink_to(tmp_path / "nothing")
    with pytest.raises(shutil.Error) as caught:
        shutil.copytree(tmp_path / "from", tmp_path / "to")
    line = first_line(caught.value)
    assert line.startswith(f"{tmp_path}/from/") and "No such file" in line and "[" not in line[:1]
