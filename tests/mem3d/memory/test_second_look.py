"""The second look, against a plain loop; the same on the host and on a device."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mem3d.memory.device import DeviceMemory
from mem3d.memory.host import HostMemory
from mem3d.memory.second_look import (
    AGREEMENT,
    COSINE,
    ELECTORS,
    SHORTLIST,
    TEMPERATURE,
    best_fits,
    expected_iou,
    fits,
)
from memstore import PAPER, Memory

R, N, C = 8, 4, 6


def naive_fit(grid, guess):
    shares = grid.reshape(N, 2, N, 2, N, 2).astype(np.float64).mean((1, 3, 5))
    shared = (shares * guess).sum()
    either = shares.sum() + guess.sum() - shared
    return shared / either if either else 0.0


def naive_iou(a, b):
    either = (a | b).sum()
    return (a & b).sum() / either if either else 0.0


def naive_order(grids, cosines, guess, k):
    """Places of the k best grids, a loop over all."""
    scores = [naive_fit(g, guess) + COSINE * c for g, c in zip(grids, cosines, strict=True)]
    near = sorted(range(len(grids)), key=lambda i: -scores[i])[: max(k, ELECTORS)]
    likely = {i: np.exp((scores[i] - max(scores)) / TEMPERATURE) for i in near}
    agreed = {
        i: sum(likely[j] * naive_iou(grids[i], grids[j]) for j in near) / sum(likely.values())
        for i in near
    }
    return sorted(near, key=lambda i: -scores[i] - AGREEMENT * agreed[i])[:k]


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    grids = rng.random((3, 5, R, R, R)) < rng.uniform(0, 0.6, (3, 5, 1, 1, 1))
    grids[0, 0] = False
    return grids, rng.random((3, N, N, N)).astype(np.float32)


@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
def test_fits_are_those_of_a_loop(case, kind):
    grids, guess = case
    actual = fits(torch.from_numpy(grids).to(kind), torch.from_numpy(guess))
    want = [[naive_fit(grid, g) for grid in row] for row, g in zip(grids, guess, strict=True)]
    np.testing.assert_allclose(actual.numpy(), want, rtol=1e-5)


def test_two_empty_ones_do_not_fit():
    assert fits(torch.zeros(1, 1, R, R, R), torch.zeros(1, N, N, N)).item() == 0


def test_the_best_come_first_and_padding_last(case):
    grids, guess = (torch.from_numpy(part) for part in case)
    counts, cosines = torch.tensor([5, 2, 0]), torch.rand(3, 5)
    places = best_fits(grids, cosines, counts, guess, 4)
    assert places.shape == (3, 4)
    for b, count in ((0, 5), (1, 2)):
        asked = [part[b].numpy() for part in (grids[:, :count], cosines[:, :count], guess)]
        assert places[b, :count].tolist() == naive_order(*asked, 4)
    assert best_fits(grids, cosines, counts, guess, 9).shape == (3, 5)


def test_one_like_the_others_comes_before_one_that_fits_a_little_better():
    guess = torch.zeros(1, N, N, N)
    guess[:, :, :, :2] = 0.5
    grids = torch.zeros(1, 6, R, R, R, dtype=torch.bool)
    grids[:, :5, :, :, :3] = True  # five alike
    grids[:, 5, :, 1:, :4] = True  # fits better by itself
    assert fits(grids, guess).argmax() == 5
    places = best_fits(grids, torch.zeros(1, 6), torch.tensor([6]), guess, 6)
    assert places[0].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
def test_the_iou_to_expect_is_that_of_a_loop(case, kind):
    grids, _ = case
    likely = torch.rand(3, 5).softmax(1)
    actual = expected_iou(torch.from_numpy(grids).to(kind), likely)
    want = [
        [sum(w * naive_iou(a, b) for w, b in zip(ws, row, strict=True)) for a in row]
        for ws, row in zip(likely.tolist(), grids, strict=True)
    ]
    np.testing.assert_allclose(actual.numpy(), want, rtol=1e-5)


def memory_of(count, beta=-1.0):
    rng = np.random.default_rng(1)
    memory = Memory(replace(PAPER, capacity=count, key_dim=C, resolution=R, beta=beta, delta=1.0))
    grids = rng.random((count, R, R, R)) < rng.uniform(0.05, 0.6, (count, 1, 1, 1))
    keys = rng.standard_normal((count, C)).astype(np.float32)
    memory.write(keys, grids, [f"shape/{i}" for i in range(count)])
    return memory


@pytest.mark.parametrize(("count", "beta"), [(100, -1.0), (100, 0.4), (3, -1.0)])
def test_host_and_device_recall_what_a_loop_does(count, beta):
    memory = memory_of(count, beta)
    rng = np.random.default_rng(2)
    queries = rng.standard_normal((4, C)).astype(np.float32)
    guess = rng.random((4, N, N, N)).astype(np.float32)
    exclude = [None, "shape/1", None, "shape/2"]
    asked = torch.from_numpy(queries), 8, exclude, torch.from_numpy(guess)
    host, device = HostMemory(memory).recall(*asked), DeviceMemory(memory, "cpu").recall(*asked)
    shortlist = memory.read(queries, SHORTLIST, exclude=exclude)
    for b in range(4):
        slots = [slot for slot in shortlist.slots[b].tolist() if slot >= 0]
        cosines = shortlist.cosines[b, : len(slots)].tolist()
        want = [slots[i] for i in naive_order(memory.values(slots), cosines, guess[b], 8)]
        for recalled in (host, device):
            assert recalled.counts[b] == len(want)
            assert recalled.slots[b, : len(want)].tolist() == want
            assert (recalled.slots[b, len(want) :] == -1).all()
            values = memory.values(want)
            assert np.array_equal(recalled.priors[b, : len(want)].numpy(), values)
            assert not recalled.priors[b, len(want) :].any()
        np.testing.assert_allclose(host.cosines[b], device.cosines[b], rtol=1e-5)


def test_an_empty_memory_gives_nothing():
    memory = Memory(replace(PAPER, capacity=4, key_dim=C, resolution=R))
    asked = torch.ones(2, C), 3, None, torch.rand(2, N, N, N)
    for recalled in (HostMemory(memory).recall(*asked), DeviceMemory(memory, "cpu").recall(*asked)):
        assert recalled.counts.tolist() == [0, 0] and not recalled.priors.any()
