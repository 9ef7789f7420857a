"""Reading by hand; contrasts, for which the nearest similar value may be far down the order."""

from dataclasses import replace

import numpy as np
import pytest

from memstore import PAPER, ArgumentError, DtypeError, Memory, Rows, ShapeError, SlotError
from memstore.slots import lookup
from memstore.slots.lookup import NEAR
from memstore.voxels.grids import pack, unpack
from tests.helpers.naive_memory import NaiveMemory, unit, value_similarity

CONFIG = replace(PAPER, capacity=5, key_dim=2, resolution=2, beta=0.7, delta=1)
WIDE = replace(PAPER, capacity=3 * NEAR, key_dim=8, resolution=8, delta=0.99)
ANGLES = np.radians([0, 10, 40, 50, 90])  # cosines to the x axis: 1, .98, .77, .64, 0
GRIDS = unpack(np.arange(1, 6, dtype=np.uint8)[:, None], 8).reshape(5, 2, 2, 2)
X = np.array([[2.0, 0.0]])


def five():
    memory = Memory(CONFIG)
    features = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
    features[4] = [0, 1]  # exactly
    memory.write(features, GRIDS, ["a", "b", "a", "b", ""])
    return memory


def test_above_beta_most_similar_first():
    priors = five().read(X, 4)
    assert priors.slots.tolist() == [[0, 1, 2, -1]]
    assert priors.counts.tolist() == [3]
    np.testing.assert_allclose(priors.cosines[0, :3], np.cos(ANGLES[:3]), rtol=1e-6)
    assert priors.cosines[0, 3] == -np.inf
    np.testing.assert_array_equal(priors.values[0, :3], GRIDS[:3])
    assert not priors.values[0, 3].any()


def test_places_past_the_last_prior_are_blank():
    """In a full memory, whose last row is what an index of -1 would give."""
    kinds = {"kind": str, "mass": float, "ok": bool, "view": int}
    memory = Memory(replace(CONFIG, columns=kinds))
    last = {"kind": ["b"] * 5, "mass": [1.5] * 5, "ok": [True] * 5, "view": [7] * 5}
    memory.write(np.eye(2)[[0, 1, 1, 1, 1]], ~GRIDS, [f"model-{i}" for i in range(5)], last)
    priors = memory.read(X, 3, beta=0.5)
    assert (priors.slots.tolist(), priors.counts.tolist()) == ([[0, -1, -1]], [1])
    assert priors.cosines.tolist() == [[1, -np.inf, -np.inf]]
    assert priors.sources.tolist() == [["model-0", "", ""]]
    assert priors.values[0, 0].any() and not priors.values[0, 1:].any()
    columns = {name: column.tolist() for name, column in priors.columns.items()}
    assert np.isnan(columns.pop("mass")[0][1:]).all()
    assert columns == {"kind": [["b", "", ""]], "ok": [[True, False, False]], "view": [[7, 0, 0]]}
    assert memory.reads.tolist() == [1, 0, 0, 0, 0]


def test_beta_is_a_strict_bound():
    """The y axis has cosine 0 to the x axis, and 0 > 0 is false."""
    memory = five()
    assert memory.read(X, 5, beta=0).counts.tolist() == [4]
    assert memory.read(X, 5, beta=-1).counts.tolist() == [5]
    assert memory.read(X, 5, beta=1).counts.tolist() == [0]


def test_others_move_up_for_the_excluded():
    memory = five()
    queries = np.repeat(X, 4, axis=0)
    priors = memory.read(queries, 2, beta=-1, exclude=["a", "b", None, ""])
    assert priors.slots.tolist() == [[1, 3], [0, 2], [0, 1], [0, 1]]


def test_an_empty_memory():
    priors = Memory(CONFIG).read(X, 2)
    assert (priors.slots.tolist(), priors.counts.tolist()) == ([[-1, -1]], [0])
    assert not priors.values.any()


@pytest.mark.parametrize("far", [0, NEAR - 1, NEAR, NEAR + 1, 3 * NEAR - 1])
def test_one_of_a_kind_wherever_it_ranks(far):
    """Keys at growing angles to the query, whose grid is like that of the one ranked `far`."""
    angles = np.linspace(0.1, 1.5, WIDE.capacity)
    features = np.zeros((WIDE.capacity, 8))
    features[:, 0], features[:, 1] = np.cos(angles), np.sin(angles)
    rng = np.random.default_rng(0)
    grids = rng.random((WIDE.capacity, 8, 8, 8)) < 0.5
    order = rng.permutation(WIDE.capacity)
    memory = Memory(WIDE)
    memory.write(features[order], grids[order])
    slot_of = np.argsort(order)
    found = memory.contrast(np.eye(8)[:1], grids[[far]])
    assert found.positive.item() == slot_of[far]
    assert found.negative.item() == slot_of[1 if far == 0 else 0]


@pytest.mark.parametrize("spread", [0, 1e-6, 1e-2])
def test_against_the_oracle(spread):
    """More near-equal keys than are looked at first; two kinds of grids."""
    rng = np.random.default_rng(0)
    memory, oracle = Memory(WIDE), NaiveMemory(WIDE)
    features = 1 + spread * rng.standard_normal((3 * NEAR, 8))
    grids = rng.random((3 * NEAR, 8, 8, 8)) < 0.5
    memory.write(features, grids)
    for feature, grid in zip(features, grids, strict=True):
        oracle.write(feature, grid)
    for grid in (grids[0], grids[-1], ~grids[0]):
        found = memory.contrast(features[:4], np.stack([grid] * 4))
        pairs = list(zip(found.positive.tolist(), found.negative.tolist(), strict=True))
        assert pairs == [oracle.contrast(feature, grid) for feature in features[:4]]


@pytest.mark.parametrize("by_blocks", [True, False])
def test_many_queries_that_find_no_near_one_of_a_kind(by_blocks, monkeypatch):
    """More of them than are compared with all slots at once; some lack one kind, some the other.

    The values are halves of the grid, which lie in other blocks and need not be compared bit by
    bit, or stripes, of which each block has as many.
    """
    monkeypatch.setattr(lookup, "AT_ONCE", 3)
    passes, compared = [], lookup.value_similarities

    def watched(values, grids, *rest):
        passes.append(len(grids))
        return compared(values, grids, *rest)

    monkeypatch.setattr(lookup, "value_similarities", watched)
    rng = np.random.default_rng(0)
    config = replace(WIDE, capacity=40, value_similarity="iou", delta=0.5)
    memory, oracle = Memory(config), NaiveMemory(config)
    # Two values; keys lie apart by value, so that a query's near ones all hold the same.
    halves = np.zeros((2, 8, 8, 8), bool)
    if by_blocks:
        halves[0, :4], halves[1, 4:] = True, True
    else:
        halves[0, ::2], halves[1, 1::2] = True, True
    kinds = (np.arange(40) % 3 == 2).astype(int)
    keys = np.stack([unit(k) for k in rng.standard_normal((40, 8)) + 4 * np.eye(8)[kinds]])
    ticks, zeros = np.arange(1, 41), np.zeros(40, np.int64)
    values, sources = pack(halves[kinds]), np.full(40, b"", "S128")
    memory.replace_rows(Rows(np.arange(40), keys, values, ticks, sources, zeros), {"insert": 40})
    for slot, (key, kind) in enumerate(zip(keys, kinds, strict=True)):
        oracle.slots[slot] = {"key": key, "value": halves[kind]}
    asked = np.concatenate([halves[[0, 1] * 10], rng.random((4, 8, 8, 8)) < 0.02])
    queries = rng.standard_normal((24, 8)) + 4 * np.eye(8)[rng.integers(0, 2, 24)]
    found = memory.contrast(queries, asked)
    expected = [oracle.contrast(*pair) for pair in zip(queries, asked, strict=True)]
    assert list(zip(found.positive.tolist(), found.negative.tolist(), strict=True)) == expected
    if by_blocks:  # some of a batch are compared with all, others with what blocks leave
        assert max(passes) < 3
    else:
        assert passes.count(3) >= 4 and len([n for n in passes if 1 < n < 3]) <= 2  # both kinds


@pytest.mark.parametrize("kind", [None, "mse", "iou"])
@pytest.mark.parametrize("block", [1, 5 * 64, 2**22])
def test_similarities_are_those_of_one_by_one(monkeypatch, kind, block):
    monkeypatch.setattr(lookup, "BLOCK", block)
    rng = np.random.default_rng(0)
    memory = Memory(replace(WIDE, value_similarity="iou", delta=1.0))
    memory.write(rng.standard_normal((12, 8)), rng.random((12, 8, 8, 8)) < 0.5)
    memory.remove([3])
    grid = rng.random((8, 8, 8)) < 0.5
    values = memory.values(memory.slots)
    want = [value_similarity(one, grid, kind or "iou") for one in values]
    np.testing.assert_array_equal(memory.value_similarities(grid, kind=kind), want)
    np.testing.assert_array_equal(
        memory.value_similarities(grid, [5, 0, 5], kind)[::2], [want[4]] * 2
    )
    assert memory.value_similarities(values[0])[0] == 1


def test_similarities_want_a_grid_used_slots_and_a_known_kind():
    memory = Memory(WIDE)
    assert memory.value_similarities(np.zeros((8, 8, 8), bool)).shape == (0,)
    with pytest.raises(SlotError, match="which is empty"):
        memory.value_similarities(np.zeros((8, 8, 8), bool), [0])
    with pytest.raises(ShapeError, match=r"grid: got shape \(8, 8\)"):
        memory.value_similarities(np.zeros((8, 8), bool))
    with pytest.raises(DtypeError, match="want bool"):
        memory.value_similarities(np.zeros((8, 8, 8)))
    with pytest.raises(ArgumentError, match="want 'mse' or 'iou'"):
        memory.value_similarities(np.zeros((8, 8, 8), bool), kind="dice")


def test_exclude_follows_sources_that_are_given_anew():
    rng = np.random.default_rng(0)
    memory = Memory(replace(PAPER, capacity=6, key_dim=4, resolution=2, beta=-1, delta=1))
    keys = rng.standard_normal((4, 4)).astype(np.float32)
    memory.write(keys, rng.random((4, 2, 2, 2)) < 0.5, ["a", "b", "a", "b"])
    before = memory.read(keys[:1], 4, exclude=["a"])  # from here on a mark a source is kept
    assert set(before.sources[0, : before.counts[0]]) == {"b"}
    memory.update([0, 1], sources=["b", "a"])
    after = memory.read(keys[:1], 4, exclude=["a"])
    assert sorted(after.slots[0, : after.counts[0]].tolist()) == [0, 3]
    assert memory.find("a").tolist() == [1, 2]
