"""Numbers of numpy's where Python's are wanted: the same answers."""

from dataclasses import replace

import numpy as np
import pytest

from memstore import PAPER, DtypeError, Memory, contact_sheet, near_duplicates
from memstore.scalars import as_float, as_int

CONFIG = replace(PAPER, capacity=300, key_dim=8, resolution=2)
INTS = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.array)


def test_ints():
    for of in INTS:
        assert (as_int("n", of(100)), type(as_int("n", of(100)))) == (100, int)
    for bad in (True, np.True_, np.array(True), 1.0, np.float32(1), "1", None, [1], np.array([1])):
        with pytest.raises(DtypeError, match=r"^n: got .*, want int"):
            as_int("n", bad)
    with pytest.raises(DtypeError):
        as_int("n", np.timedelta64(1, "ns"))


def test_floats():
    for number in (1, np.float16(1), np.float32(1), np.longdouble(1), np.uint8(1), np.array(1.0)):
        assert (as_float("x", number), type(as_float("x", number))) == (1.0, float)
    for bad in (True, np.True_, "1", None, [1.0], 1j, np.array([1.0]), np.timedelta64(1, "D")):
        with pytest.raises(DtypeError, match=r"^x: got .*, want float"):
            as_float("x", bad)


@pytest.fixture(scope="module")
def memory():
    """Six keys along the axes and many near the first one, whose values are all alike."""
    memory = Memory(CONFIG)
    rng = np.random.default_rng(0)
    features = np.concatenate([np.eye(8)[:6], np.eye(8)[0] + rng.random((194, 8))])
    values = rng.random((200, 2, 2, 2)) < 0.5
    memory.replace_rows(
        memory._state.rows(np.empty(0, np.int64)), {"insert": np.uint8(200)}
    )  # a clock that is ahead
    memory.write(features, values)
    return memory


@pytest.mark.parametrize("of", INTS)
@pytest.mark.parametrize("k", [2, 100])
def test_k(memory, of, k):
    """Before: an unsigned k wrapped around, and slots were missing from the answer."""
    features = np.eye(8)
    for mine, numpy_s in (
        (memory.search(features, k), memory.search(features, of(k))),
        (memory.read(features, k, beta=-1), memory.read(features, of(k), beta=np.float32(-1))),
    ):
        assert all((a == b).all() for a, b in zip(mine[:5], numpy_s[:5], strict=True))


def test_counts_that_would_wrap_around(memory, tmp_path):
    few = near_duplicates(memory, np.float64(0.9), limit=np.uint8(200))
    assert few == near_duplicates(memory, 0.9, limit=200)
    sheet = contact_sheet(memory, count=np.uint8(2), columns=np.uint8(2))
    assert (sheet == contact_sheet(memory, count=2, columns=2)).all()
    memory.copy_to(tmp_path / "copy", capacity=np.uint16(301))
    with Memory.open(tmp_path / "copy", "r+") as copy:
        assert copy.config.capacity == 301 and len(copy) == len(memory)
        assert copy.expire(np.uint8(1)).snapshots == 0
