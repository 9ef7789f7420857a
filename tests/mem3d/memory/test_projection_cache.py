"""Kept projections: the same answers as without, and never those of other values or weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mem3d.inference.reconstruct import reconstruct
from mem3d.memory.host import HostMemory
from mem3d.memory.projection_cache import ProjectionCache, can_project, projections_of
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from memstore import Memory
from tests.helpers.r2n2_folder import blob, picture

C = TINY.memory.key_dim


def filled(slots=7):
    memory = Memory(replace(TINY.memory, beta=-1.0, delta=1.0))
    keys = np.abs(np.random.default_rng(0).standard_normal((slots, C), np.float32))
    memory.write(keys, np.stack([blob(i) for i in range(slots)]))
    return memory


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Mem3D(TINY.model).eval()


def test_rows_are_the_projections_of_the_values(model):
    memory = filled()
    cache = ProjectionCache(model.shape_encoder, memory)
    slots = np.array([[3, 0, -1], [5, 3, 6]])
    result = cache.of(slots)
    assert len(cache) == 4
    for row, column in np.ndindex(*slots.shape):
        slot = slots[row, column]
        grid = memory.values([slot])[0] if slot >= 0 else np.zeros((32,) * 3, bool)
        want = model.shape_encoder.project(torch.from_numpy(grid).float()[None])[0]
        torch.testing.assert_close(result[row, column], want, rtol=0, atol=1e-4)


def test_a_row_does_not_depend_on_what_it_is_asked_for_with(model):
    memory = filled()
    alone, together, all_of_them = (ProjectionCache(model.shape_encoder, memory) for _ in range(3))
    all_of_them.fill()
    assert len(all_of_them) == 7
    want = together.of(np.array([[6, 1, 4]]))[0]
    for number, slot in enumerate([6, 1, 4]):
        assert torch.equal(alone.of(np.array([[slot]]))[0, 0], want[number])
        assert torch.equal(all_of_them.of(np.array([[slot]]))[0, 0], want[number])


def test_many_slots_at_once_give_the_rows_that_few_do(model):
    """BLAS adds up products of 16 rows otherwise than those of 8: each is of as many."""
    memory = Memory(replace(TINY.memory, capacity=40, beta=-1.0, delta=1.0))
    keys = np.abs(np.random.default_rng(0).standard_normal((40, C), np.float32))
    memory.write(keys, np.stack([blob(i) for i in range(40)]))
    few, many = (ProjectionCache(model.shape_encoder, memory) for _ in range(2))
    want = many.of(np.arange(40)[None])[0]
    for start in range(40):
        slots = np.arange(start, min(start + 3, 40))
        assert torch.equal(few.of(slots[None])[0], want[slots])


def test_reconstruction_is_the_same_with_and_without(model):
    memory = filled()
    cache = projections_of(model, memory)
    photos = [picture(seed) for seed in range(3)]
    for photo in [*photos, *photos]:  # the second time, nothing is computed
        [plain], [fast] = (
            reconstruct(model, memory, [photo], projections=one) for one in (None, cache)
        )
        np.testing.assert_allclose(fast.occupancy, plain.occupancy, rtol=0, atol=1e-4)
        assert [prior.slot for prior in fast.priors] == [prior.slot for prior in plain.priors]
    assert 0 < len(cache) <= 7


def test_an_empty_memory_is_all_padding(model):
    memory = Memory(TINY.memory)
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        plain = model(image, HostMemory(memory)).logits
        fast = model(image, HostMemory(memory), projections=projections_of(model, memory)).logits
    assert torch.equal(plain, fast)


def test_changed_values_and_changed_weights_are_noticed(model):
    memory = filled(slots=8)  # full
    cache = ProjectionCache(model.shape_encoder, memory)
    first = cache.of(np.array([[2]]))
    memory.write(memory.keys([2]), ~memory.values([2]))
    slot = memory.search(memory.keys([2]), 1).slots.item()
    grid = torch.from_numpy(memory.values([slot])).float()
    want = model.shape_encoder.project(grid)
    torch.testing.assert_close(cache.of(np.array([[slot]]))[0], want, rtol=0, atol=1e-4)
    with torch.no_grad():
        model.shape_encoder.lstm.bias_ih_l0 += 1
    later = cache.of(np.array([[slot]]))[0]
    torch.testing.assert_close(later, want + 1, rtol=0, atol=1e-4)
    assert not torch.equal(first[0], later)


def test_those_of_another_memory_or_network_are_refused(model):
    cache = projections_of(model, filled())
    for one, memory in ((model, filled()), (Mem3D(TINY.model).eval(), cache.memory)):
        with pytest.raises(ValueError, match="another network or memory"):
            one(torch.rand(1, 3, 64, 64), HostMemory(memory), projections=cache)


def test_an_encoder_that_projects_nothing_has_none(model):
    assert not can_project(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="want one that projects grids"):
        ProjectionCache(torch.nn.Linear(2, 2), filled())
    with torch.inference_mode():  # whose weights may change without a trace
        assert projections_of(Mem3D(TINY.model), filled()) is None
    fc = Mem3D(replace(TINY.model, shape_encoder="fc")).eval()  # it has weights, but reads none
    assert projections_of(fc, filled()) is None
    model.shape_encoder = torch.nn.Identity()
    assert projections_of(model, filled()) is None


def test_filling_tells_how_far_it_is(model):
    seen = []
    ProjectionCache(model.shape_encoder, filled()).fill(lambda *at: seen.append(at))
    assert seen == [(7, 7)]
