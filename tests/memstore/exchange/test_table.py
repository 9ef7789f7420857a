"""A table that no memory can be in is refused, whatever file it came in."""

import json
import zlib
from dataclasses import asdict

import numpy as np
import pytest

from memstore import FormatError
from memstore.exchange import export, import_memory
from tests.helpers.random_memories import busy_memory


def forged(tmp_path, facts=None, **changes):
    """An export with other contents, and checksums that agree with them."""
    export(busy_memory(), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as read:
        arrays = {name: array.copy() for name, array in read.items()}
    told = json.loads(arrays.pop("attributes").tobytes())
    for name, change in changes.items():
        arrays[name] = change(arrays[name])
        told["crc32"][name] = zlib.crc32(arrays[name].tobytes())
    told.update(facts or {})
    text = np.frombuffer(json.dumps(told).encode(), np.uint8)
    np.savez(tmp_path / "a.npz", **arrays, attributes=text)
    return tmp_path / "a.npz"


def first(value):
    """Change the first entry."""

    def change(array):
        array[0] = value
        return array

    return change


def test_the_forger_can_write():
    assert first(3)(np.zeros(2)).tolist() == [3, 0]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"slots": first(6)}, r"slots: got 6, want numbers in \[0, 5\]"),
        ({"slots": first(-1)}, "slots: got -1"),
        ({"slots": first(1)}, "slots: got a slot twice"),
        ({"keys": first(0)}, "no unit vector"),
        ({"keys": first(np.nan)}, "no unit vector"),
        ({"keys": lambda keys: keys * 1.001}, "keys: got float32|no unit vector"),
        ({"keys": lambda keys: keys.astype(np.float64)}, "keys: got float64"),
        ({"keys": lambda keys: keys[:, :3]}, "keys: got float32"),
        ({"values": first(1)}, "padding bits"),
        ({"values": lambda values: values[1:]}, "values: got uint8"),
        ({"touched": first(-1)}, "touched: got -1"),
        ({"touched": first(10)}, r"touched: got 10, want numbers in \[1, 9\]"),
        ({"reads": first(-1)}, "reads: got -1"),
        ({"sources": first(b"\xff")}, "codec"),
        ({"sources": first(b"a\0b")}, "without NUL"),
        ({"facts": {"clock": -1}}, "clock: got -1"),
        ({"facts": {"clock": 2.0}}, "clock: got 2.0"),
        ({"facts": {"clock": 2**80}}, "clock: got"),
        ({"facts": {"counts": {}}}, "merge"),
        ({"facts": {"config": {"capacity": 6}}}, "key_dim"),
        ({"facts": {"config": 7}}, "cannot be read"),
        ({"facts": {"memstore_export": 2}}, "config: got .* in format 2"),
        ({"facts": {"memstore_export": 3}}, "memstore_export: got 3, want 1 or 2"),
        ({"facts": {"memstore_export": True}}, "memstore_export: got True, want 1 or 2"),
        ({"facts": {"crc32": {}}}, "slots"),
    ],
)
def test_what_does_not_add_up_is_named(changes, match, tmp_path):
    path = forged(tmp_path, **changes)
    with pytest.raises(FormatError, match=rf"a\.npz: .*({match})"):
        import_memory(path)


def test_a_far_slot_of_a_giant_is_refused_before_rows_are_made(tmp_path):
    config = {"capacity": 2**24, "key_dim": 5, "resolution": 3, "beta": 0, "delta": 0}
    path = forged(tmp_path, {"config": config}, slots=first(2**24 - 1))
    with pytest.raises(FormatError, match="highest, and the capacity: got 3,170,893,824 bytes"):
        import_memory(path, max_bytes=10**6)


@pytest.mark.parametrize(
    "facts",
    [
        {"memstore_export": "x" * 10**5},
        {"clock": "x" * 10**5},
        {"config": {"capacity": "x" * 10**5, "key_dim": 5}},
        {"config": {"x" * 10**5: 1}},
    ],
)
def test_a_long_value_is_quoted_in_short(facts, tmp_path):
    with pytest.raises(FormatError) as caught:
        import_memory(forged(tmp_path, facts))
    assert len(str(caught.value)) < len(str(tmp_path)) + 350


def test_a_capacity_counts_as_what_it_takes(tmp_path):
    config = {**asdict(busy_memory().config), "capacity": 2**24}
    with pytest.raises(FormatError, match=r"capacity: got 2,684,\d+,\d+ bytes"):  # 160 each
        import_memory(forged(tmp_path, {"config": config}))
