"""Contrastive keys: the loss against one worked out image by image, and the step it joins."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mem3d.data.loader import TrainingViews, loader
from mem3d.data.readers.r2n2 import R2N2
from mem3d.memory.contrastive import candidates, contrastive_loss
from mem3d.memory.host import HostMemory
from mem3d.memory.timing import TimedMemory
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from mem3d.training.state import Run
from mem3d.training.step import train_step
from memstore import FeatureError, Memory, MemoryConfig
from tests.helpers.naive_memory import unit, value_similarity

C, R, T = 6, 4, 0.2
CONFIG = MemoryConfig(capacity=90, key_dim=C, resolution=R, delta=0.6, value_similarity="iou")


def naive(memory, features, grids, sources, nearest):
    """(losses of the valid images, which those are), in the dullest code."""
    losses, valid = [], []
    for image, (feature, grid, source) in enumerate(zip(features, grids, sources, strict=True)):
        if not feature.any():
            continue
        cosines = {}
        for slot in memory.slots.tolist():
            key = memory.keys([slot])[0].astype(np.float64)
            cosines[slot] = float(unit(feature).astype(np.float64) @ key)
        named = dict(zip(memory.slots.tolist(), memory.sources, strict=True))
        own = [slot for slot in cosines if named[slot] == source]
        ranked = sorted(cosines, key=lambda slot: (-cosines[slot], slot))
        others = []
        for slot in ranked[:nearest]:
            value = memory.values([slot])[0]
            similarity = value_similarity(grid, value, memory.config.value_similarity)
            if named[slot] != source and similarity < memory.config.delta:
                others.append(slot)
        if own and others:
            of_own = sum(math.exp(cosines[slot] / T) for slot in own)
            of_others = sum(math.exp(cosines[slot] / T) for slot in others)
            losses.append(-math.log(of_own / (of_own + of_others)))
            valid.append(image)
    return losses, valid


def filled(rng, slots, similarity="iou", kinds=12):
    """A memory of so many random slots, with gaps, and shapes of few kinds."""
    memory = Memory(replace(CONFIG, value_similarity=similarity))
    shapes = rng.random((kinds, R, R, R)) < 0.4
    for _ in range(slots):
        kind = int(rng.integers(kinds))
        grid = shapes[kind] ^ (rng.random((R, R, R)) < rng.choice([0.0, 0.1, 0.4]))
        memory.write(rng.standard_normal((1, C)), grid[None], [f"kind {rng.integers(kinds)}"])
    if len(memory) > 3:
        memory.remove(memory.slots[::3])
    return memory, shapes


def drawn(rng, shapes, images):
    features = rng.standard_normal((images, C)).astype(np.float32)
    kinds = rng.integers(len(shapes), size=images)
    return features, shapes[kinds], [f"kind {kind}" for kind in kinds.tolist()]


def both(memory, features, grids, sources, nearest=64):
    """What the fast path gives: loss, valid images."""
    features = torch.from_numpy(features)
    found = candidates(memory, features, grids, sources, nearest)
    loss = contrastive_loss(features, found, temperature=T)
    return loss.item(), torch.flatten(found.valid.nonzero()).tolist()


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    slots=st.sampled_from([0, 1, 2, 5, 20, 60]),
    similarity=st.sampled_from(["iou", "mse"]),
    nearest=st.sampled_from([1, 4, 64]),
    is_dead=st.booleans(),
)
def test_any_memory_gives_what_the_oracle_gives(seed, slots, similarity, nearest, is_dead):
    rng = np.random.default_rng(seed)
    memory, shapes = filled(rng, slots, similarity)
    features, grids, sources = drawn(rng, shapes, images=5)
    if is_dead:
        features[2] = 0
    losses, want = naive(memory, features, grids, sources, nearest)
    loss, valid = both(memory, features, grids, sources, nearest)
    assert valid == want
    assert loss == pytest.approx(sum(losses) / max(1, len(losses)), rel=1e-5, abs=1e-6)


X, Y = np.eye(C, dtype=np.float32)[:2]
FULL = np.ones((R, R, R), np.bool_)
HALF, OTHER_HALF = FULL.copy(), FULL.copy()
HALF[2:] = OTHER_HALF[:2] = False
SIDE = HALF.transpose(1, 0, 2)  # IoU 1/3 with both
NOTHING, DENTED = ~FULL, HALF.copy()
DENTED[0, 0, 0] = False  # IoU 31/32 with HALF


def memory_of(*entries):
    """A memory of (key, grid, source), none merged into another."""
    memory = Memory(CONFIG)
    for key, grid, source in entries:
        memory.write(key[None], grid[None], [source])
    assert len(memory) == len(entries)
    return memory


def test_by_hand():
    memory = memory_of((X, HALF, "a"), (Y, OTHER_HALF, "b"), (-X, HALF, "a"))
    features = torch.from_numpy(np.stack([3 * X, Y]))
    found = candidates(memory, features, np.stack([HALF, OTHER_HALF]), ["a", "b"])
    e = math.e
    first = -math.log((e + 1 / e) / (e + 1 / e + 1))  # cosines 1 and -1 to its own, 0 to b's
    second = -math.log(e / (e + 1 + 1))
    loss = contrastive_loss(features, found, temperature=1.0)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)


@pytest.mark.parametrize(("own", "alike"), [(HALF, DENTED), (NOTHING, NOTHING)])
def test_a_slot_as_good_as_its_own_is_no_negative(own, alike):
    memory = memory_of((-X, OTHER_HALF, "c"), (X, own, "a"), (Y, alike, "b"))
    found = candidates(memory, torch.from_numpy(X[None]), own[None], ["a"])
    assert found.positive.tolist() == [[False, True]]  # b is not even among them
    assert found.negative.tolist() == [[True, False]]
    np.testing.assert_array_equal(found.keys.numpy(), [-X, X])


def test_all_slots_of_its_own_count_however_far():
    memory = memory_of((-X, OTHER_HALF, "c"), (X, HALF, "a"), (Y, SIDE, "b"), (-Y, HALF, "a"))
    found = candidates(memory, torch.from_numpy(X[None]), HALF[None], ["a"], nearest=2)
    assert found.positive.sum() == 2
    np.testing.assert_array_equal(found.keys[found.negative[0]].numpy(), [Y])


@pytest.mark.parametrize("source", ["new", ""])
def test_an_image_without_a_slot_of_its_own_is_skipped(source):
    memory = memory_of((X, HALF, "a"), (Y, OTHER_HALF, ""))
    features = torch.from_numpy(np.stack([X, Y]))
    found = candidates(memory, features, np.stack([HALF, OTHER_HALF]), ["a", source])
    assert found.valid.tolist() == [True, False]
    alone = candidates(memory, features[:1], HALF[None], ["a"])
    both_images, one = (
        contrastive_loss(features[: len(c.valid)], c, temperature=T) for c in (found, alone)
    )
    assert both_images.item() == one.item() > 0


@pytest.mark.parametrize("entries", [(), ((X, HALF, "a"),)], ids=["empty", "own only"])
def test_without_a_valid_image_it_is_zero_and_harmless(entries):
    features = torch.from_numpy(X[None].copy()).requires_grad_()
    found = candidates(memory_of(*entries), features, HALF[None], ["a"])
    loss = contrastive_loss(features, found, temperature=T)
    loss.backward()
    assert loss.item() == 0
    assert not features.grad.any()


def test_it_pulls_to_its_own_and_not_the_keys():
    memory = memory_of((X, HALF, "a"), (Y, OTHER_HALF, "b"))
    features = torch.from_numpy((X + Y)[None]).requires_grad_()
    found = candidates(memory, features, HALF[None], ["a"])
    contrastive_loss(features, found, temperature=T).backward()
    assert features.grad[0, 0] < 0 < features.grad[0, 1]  # descending moves to X, away from Y
    assert not found.keys.requires_grad


def test_it_is_float32_under_autocast():
    rng = np.random.default_rng(0)
    memory, shapes = filled(rng, 20)
    features, grids, sources = drawn(rng, shapes, images=5)
    want = both(memory, features, grids, sources)
    with torch.autocast("cpu", torch.bfloat16):
        assert both(memory, features, grids, sources) == want
    assert want[0] > 0


def test_a_diverged_feature_is_an_error():
    features = torch.full((1, C), float("nan"))
    with pytest.raises(FeatureError):
        candidates(memory_of((X, HALF, "a")), features, HALF[None], ["a"])


def test_parts_of_a_batch_weighted_by_valid_images_make_the_whole():
    rng = np.random.default_rng(1)
    memory, shapes = filled(rng, 30)
    batch = drawn(rng, shapes, images=9)
    whole, valid = both(memory, *batch)
    parts = [both(memory, *(rows[part] for rows in batch)) for part in (slice(4), slice(4, 9))]
    assert len(valid) == sum(len(rows) for _, rows in parts) > 0
    of_parts = sum(loss * len(rows) for loss, rows in parts) / len(valid)
    assert of_parts == pytest.approx(whole, rel=1e-6)


def two_epochs(folder, **changes):
    """Rows of four forwards; the second epoch finds what the first has written."""
    torch.manual_seed(0)
    data, config = R2N2.open(folder, "train"), replace(TINY.train, **changes)
    model, rows = Mem3D(TINY.model), []
    run = Run(model, torch.optim.SGD(model.parameters(), 1e-2), Memory(TINY.memory))
    views = TrainingViews(data, 64, seed=0, augment=False)
    order = [[(epoch, i) for i in range(low, low + 4)] for epoch in (0, 1) for low in (0, 4)]
    for batch in loader(views, order, 0):
        rows.append(train_step(run, batch, data, config, "cpu"))
    return rows


def test_a_step_has_it_only_if_asked_and_the_same_twice(made_up_data):
    plain, one, again = (two_epochs(made_up_data, contrast_weight=w) for w in (0.0, 0.1, 0.1))
    assert "contrastive" not in plain[0]
    assert one[0]["contrastive"] == 0 < one[-1]["contrastive"]  # nothing was there at first
    assert one[-1]["loss"] == pytest.approx(
        one[-1]["bce"] + one[-1]["triplet"] + 0.1 * one[-1]["contrastive"]
    )
    assert [row["contrastive"] for row in one] == [row["contrastive"] for row in again]
    assert one[-1]["bce"] != plain[-1]["bce"]  # it has changed the weights


def test_the_memory_s_clock_runs_meanwhile():
    rng = np.random.default_rng(0)
    memory, shapes = filled(rng, 20)
    timed = TimedMemory(HostMemory(memory), "cpu")
    features, grids, sources = drawn(rng, shapes, images=5)
    features = torch.from_numpy(features)
    got = timed.candidates(features, torch.from_numpy(grids), sources)
    want = candidates(memory, features, grids, sources)
    assert all(torch.equal(getattr(got, n), getattr(want, n)) for n in vars(want))
    assert timed.seconds["contrast"] > 0 == timed.seconds["read"]
