"""Looking through a memory."""

from dataclasses import replace

import numpy as np
import pytest

from mem3d.demo import memory_view
from mem3d.demo.memory_view import (
    ORDERS,
    Reference,
    facts,
    histograms,
    key_cosines,
    page,
    slot_text,
    write_slot,
)
from memstore import PAPER, Memory
from tests.helpers.r2n2_folder import blob

CONFIG = replace(PAPER, capacity=8, key_dim=4, delta=1.0)


@pytest.fixture
def memory():
    """Five shapes, the last under the key of the first axis; slot 1 was emptied, slot 3 read."""
    memory = Memory(CONFIG)
    keys = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    keys[4] = [2, 0, 0, 0]
    for i, key in enumerate(keys):
        memory.write(key[None], blob(i)[None], [f"03001627/{i}"])
    memory.read(keys[3:4], 1)
    memory.remove([1])
    return memory


@pytest.fixture
def present():
    return Reference(blob(2), np.array([1, 0, 0, 0], np.float32))


@pytest.mark.parametrize(
    ("order", "first"),
    [
        *(("most read", 3), ("newest", 4), ("oldest", 0), ("slot", 0)),
        *(("like this shape", 2), ("like this photo", 4)),
    ],
)
def test_each_order_begins_with_its_own(order, first, memory, present):
    found = page(memory, order, 1, present)
    assert found.slots[0] == first
    assert sorted(found.slots.tolist()) == [0, 2, 3, 4]
    assert len(found.tiles) == 4
    assert {"like this shape": "IoU 1.000", "like this photo": "cosine 1.000"}.get(
        order, "chair"
    ) in found.tiles[0][1]


def test_pages_hold_each_slot_once(memory, monkeypatch):
    monkeypatch.setattr(memory_view, "PER_PAGE", 3)
    pages = [page(memory, "slot", number) for number in (1, 2)]
    assert [found.slots.tolist() for found in pages] == [[0, 2, 3], [4]]
    assert [page(memory, "slot", number).number for number in (-3, 99)] == [1, 2]
    assert pages[0].pages == 2


def test_an_empty_memory_has_one_empty_page(present):
    empty = Memory(CONFIG)
    for order in ORDERS:
        found = page(empty, order, 5, present)
        assert (found.number, found.pages, found.tiles) == (1, 1, [])
    assert histograms(empty, present).ndim == 3
    assert "0 of 8 slots" in facts(empty)


def test_what_has_nothing_to_compare_with_is_refused(memory):
    with pytest.raises(ValueError, match="before any photo"):
        page(memory, "like this shape")
    with pytest.raises(ValueError, match="feature of zeros"):
        page(memory, "like this photo", 1, Reference(blob(0), np.zeros(4, np.float32)))
    with pytest.raises(ValueError, match="want one of"):
        page(memory, "loudest")


def test_similarities_are_those_of_one_by_one(memory, present, monkeypatch):
    monkeypatch.setattr(memory_view, "BLOCK", 3)
    grids, grid = memory.values(memory.slots), present.grid
    want = [(one & grid).sum() / (one | grid).sum() for one in grids]
    np.testing.assert_allclose(memory.value_similarities(grid, kind="iou"), want)
    feature = np.array([0.3, -2, 5, 1], np.float32)
    want = [key @ feature / np.linalg.norm(feature) for key in memory.keys(memory.slots)]
    np.testing.assert_allclose(key_cosines(memory, feature), want, rtol=1e-5)


def test_more_is_drawn_once_there_is_a_photo(memory, present):
    before, after = histograms(memory), histograms(memory, present)
    assert after.shape[0] > before.shape[0]
    assert (after < 200).any()


def test_a_slot_is_told_and_written(memory, tmp_path):
    assert slot_text(memory, 3) == "slot 3: 03001627/3, age 1, read 1 times"
    assert slot_text(memory, 1) == ""
    path = write_slot(memory, 3, tmp_path)
    assert path.read_bytes()[:4] == b"glTF"
