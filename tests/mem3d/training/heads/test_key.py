"""A key that learns to rank shapes, and a memory that is filled with it before the first step."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mem3d.data.loader import TrainingViews
from mem3d.data.meshes.transforms import shape_family
from mem3d.data.readers.r2n2 import R2N2
from mem3d.memory.host import HostMemory
from mem3d.metrics import iou
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from mem3d.training.batches import Supply
from mem3d.training.heads.key import (
    KIND,
    TEMPERATURE,
    kind_numbers,
    pairwise_iou,
    pretrain_key,
    ranking_batches,
    ranking_loss,
)
from mem3d.training.memory_filling import fill_memory
from mem3d.training.state import TrainingJob, TrainingState
from mem3d.training.stem_cache import StemCache
from memstore import Memory

MODEL = replace(TINY.model, key="ranked")
PRESET = replace(
    TINY,
    model=MODEL,
    memory=replace(TINY.memory, key_dim=128, beta=-1.0, capacity=200),
    train=replace(
        TINY.train,
        freeze_stem=True,
        cached_views=3,
        key_epochs=4,
        triplet_weight=0.0,
        learning_rate=1e-3,
    ),
)


@pytest.fixture(scope="module")
def data(made_up_data):
    return R2N2.open(made_up_data, "train")


@pytest.fixture(scope="module")
def cache(data):
    torch.manual_seed(0)
    model = Mem3D(MODEL)
    model.encoder.freeze_stem()
    views = TrainingViews(data, 64, seed=0, augment=False, with_viewpoints=True)
    return StemCache.build(model.encoder, views, 3, batch=4, workers=0)


def fresh():
    torch.manual_seed(1)
    return Mem3D(MODEL)


def job_of(data, tmp_path, **fields):
    preset = replace(PRESET, train=replace(PRESET.train, **fields))
    return TrainingJob(data, None, tmp_path, preset, "cpu")


def test_iou_of_pairs_is_that_of_each_pair():
    grids = torch.rand(5, 4, 4, 4) < 0.4
    grids[4] = False
    matrix = pairwise_iou(grids)
    for i in range(4):
        want = iou(grids.float(), grids[i].expand(5, -1, -1, -1), threshold=0.5)
        torch.testing.assert_close(matrix[i], want)
    assert matrix[4, 4] == 0


def test_the_loss_is_nothing_where_cosines_rank_as_the_iou_does():
    """Three shapes on a line: keys whose scaled cosines are the wanted scores have no loss."""
    grids = torch.zeros(3, 2, 2, 2, dtype=torch.bool)
    grids[0, :1], grids[1, :, :1], grids[2, 0, 0, 0] = True, True, True
    wanted = pairwise_iou(grids)
    # Cosines that are the IoU itself, so that sharpness = 1 / TEMPERATURE gives the same scores.
    keys = torch.linalg.cholesky(wanted)
    shapes = kinds = torch.arange(3)
    loss = ranking_loss(keys, grids, shapes, kinds, torch.tensor(1 / TEMPERATURE))
    assert loss.item() == pytest.approx(0, abs=1e-5)
    worse = ranking_loss(keys.flip(0), grids, shapes, kinds, torch.tensor(1 / TEMPERATURE))
    assert worse > 0.1


def test_a_shape_of_the_same_kind_comes_before_one_that_is_a_little_more_alike():
    grids = torch.zeros(3, 1, 1, 20, dtype=torch.bool)
    grids[0, ..., :10], grids[1, ..., :8], grids[2, ..., 1:10] = True, True, True
    likeness = pairwise_iou(grids)
    assert likeness[0, 1] < likeness[0, 2] < likeness[0, 1] + KIND
    angles = torch.tensor([[0.0, 0.3, 0.8], [0.0, 0.8, 0.3]])  # near by kind, near by IoU
    by_kind, by_iou = torch.stack([angles.cos(), angles.sin()], dim=2)
    shapes, sharpness = torch.arange(3), torch.tensor(1 / TEMPERATURE)
    for kinds, better, worse in ([0, 0, 1], by_kind, by_iou), ([0, 1, 2], by_iou, by_kind):
        losses = [
            ranking_loss(keys, grids, shapes, torch.tensor(kinds), sharpness)
            for keys in (better, worse)
        ]
        assert losses[0] < losses[1]


def test_kinds_are_those_that_ids_name(data):
    numbers = kind_numbers(data)
    names = [data.category(i) for i in range(len(data))]
    assert len(numbers) == len(data)
    for i in range(len(data)):
        assert [n == numbers[i] for n in numbers] == [name == names[i] for name in names]


def test_pictures_of_one_shape_do_not_rank_each_other():
    grids = torch.rand(4, 4, 4, 4) < 0.4
    grids[1] = grids[0]
    keys = torch.randn(4, 8)
    shapes = torch.tensor([0, 0, 1, 2])
    one = ranking_loss(keys, grids, shapes, shapes, torch.tensor(5.0))
    far = keys.clone()
    far[[0, 1]] = keys[[1, 0]]
    assert one.item() == pytest.approx(
        ranking_loss(far, grids, shapes, shapes, torch.tensor(5.0)).item(), rel=1e-5
    )


def test_batches_show_each_shape_by_two_pictures_of_it():
    batches = ranking_batches(400, 5, 2, seed=3)
    assert [len(batch) for batch in batches] == [384, 384, 32] * 2
    for epoch in (batches[:3], batches[3:]):
        pairs = [pair for batch in epoch for pair in batch]
        assert len(set(pairs)) == 800
        assert sorted({shape for _, shape in pairs}) == list(range(400))
        assert {picture for picture, _ in pairs} == set(range(5))
    assert batches == ranking_batches(400, 5, 2, seed=3)
    assert batches[:3] != batches[3:]


def test_the_key_learns_and_nothing_else_changes(data, cache, tmp_path):
    losses = []
    for epochs in (1, 40):
        model = fresh()
        job = job_of(data, tmp_path, key_epochs=epochs, learning_rate=1e-2)
        losses.append(pretrain_key(model, job, cache))
    assert losses[1] < 0.5 * losses[0]
    before, after = fresh().state_dict(), model.state_dict()
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"key"}
    assert not any(weight.requires_grad for weight in model.key.parameters())


def test_what_one_run_learned_another_finds(data, cache, tmp_path):
    job = job_of(data, tmp_path)
    first, second = fresh(), fresh()
    assert pretrain_key(first, job, cache, folder=tmp_path / "new") is not None
    assert pretrain_key(second, job, cache, folder=tmp_path / "new") is None
    assert torch.equal(first.key.key.weight, second.key.key.weight)


def test_a_frozen_key_stays_as_it_is_while_the_network_trains():
    model, maps = fresh(), torch.rand(2, 512, 8, 8)
    model.eval()
    before = model.key(maps)
    assert before.keys.shape == (2, 128) and before.guess.shape == (2, 16, 16, 16)
    model.train()
    veiled = [model.key(maps).keys for _ in range(2)]  # shown less, each time something else
    assert not torch.equal(*veiled) and not torch.equal(veiled[0], before.keys)
    model.eval()
    after = model.key(maps)  # neither running statistics nor weights have moved
    assert torch.equal(before.keys, after.keys) and torch.equal(before.guess, after.guess)


def test_the_memory_holds_every_picture_before_the_first_step(data, cache, tmp_path):
    model, job = fresh(), job_of(data, tmp_path)
    memory = Memory(job.preset.memory)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    state = TrainingState(model, optimizer, memory)
    told = []
    supply = Supply(cache=cache)
    kinds = fill_memory(state, job, supply, HostMemory(memory), lambda *at: told.append(at))
    assert sum(kinds.values()) == 3 * len(data) and kinds["inserted"] == len(memory)
    assert kinds["evicted"] == 0
    assert memory.clock == 3 * len(data)  # writes, some of them merged
    assert told[-1] == (3 * -(-len(data) // PRESET.train.batch),) * 2
    families = {shape_family(data.shape_id(i)) for i in range(len(data))}
    assert set(memory.sources) <= families
    # What was written is found again.
    keys = model.query(model.encoder.encode(None, cache.maps[:, 0].float())).keys.detach().numpy()
    nearest = memory.read(keys, 1)
    assert np.all(nearest.cosines[:, 0] > 0.5)


@pytest.mark.parametrize(
    ("part", "fields", "message"),
    [
        ("model", {"key": "feature"}, "key_epochs: got 4, want 0 without model.key=ranked"),
        ("train", {"cached_views": 1}, "key_epochs: got 4, want 0 without"),
        ("train", {"triplet_weight": 0.3}, "triplet_weight: got 0.3, want 0 with"),
    ],
)
def test_settings_that_do_not_go_together(part, fields, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESET, **{part: replace(getattr(PRESET, part), **fields)})
