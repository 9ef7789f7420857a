"""Recall that is no better than chance, told by keys alone: memories made by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mem3d.inference import chance
from mem3d.inference.chance import chance_of
from mem3d.inference.reconstruct import NEARLY_ALL, Reconstruction, loose_pieces, reconstruct
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from memstore import PAPER, Memory

SYNSETS = ("02691156", "02958343", "03001627", "04379243")  # aeroplane, car, chair, table
DIM = 16


def filled(keys, sources):
    """A memory of one slot per key."""
    memory = Memory(replace(PAPER, capacity=len(keys), key_dim=DIM, resolution=2, delta=1.0))
    grids = np.random.default_rng(1).random((len(keys), 2, 2, 2)) < 0.5
    memory.write(keys, grids, sources)
    memory.replace_keys(memory.slots, keys[: len(memory)])  # merged ones are moved
    return memory


def by_kind(spread, count=40, named=True):
    """Keys around an axis per kind: the cosine of two kinds is 0 but for the noise."""
    rng, keys, sources = np.random.default_rng(0), [], []
    for i in range(4 * count):
        keys.append(np.eye(DIM)[i % 4] + spread * rng.normal(size=DIM))
        sources.append(f"{SYNSETS[i % 4]}/{i}" if named else f"shape {i}")
    return filled(np.array(keys), sources)


def test_keys_by_kind_are_trusted_and_noise_is_not():
    memory = by_kind(0.1)
    measured = chance_of(memory)
    assert measured.tells_kinds and measured.same_kind == 1
    assert measured.same_kind_by_chance == pytest.approx(0.25, abs=0.01)  # of four kinds
    random = np.random.default_rng(2).normal(size=(20, DIM))
    alike = np.eye(DIM)[:4] + 0.05
    assert not any(measured.doubts(c) for c in memory.search(alike, 1).cosines[:, 0])
    # Orthogonal to all four axes: no shape is like it.
    random[:, :4] = 0
    doubts = [measured.doubts(c) for c in memory.search(random, 1).cosines[:, 0]]
    assert sum(map(bool, doubts)) >= 19
    assert "nothing alike is remembered" in max(doubts)[0]


def test_shapes_of_one_kind_are_believed_at_a_low_cosine():
    measured = chance_of(by_kind(0.1))  # four kinds, a quarter each
    sources = [f"{synset}/{i}" for i, synset in enumerate(SYNSETS)]
    chairs = ["03001627/x"] * 8
    low = (measured.least + measured.cosine) / 2
    assert measured.doubts(low, sources * 2)  # two of each kind
    assert not measured.doubts(low, chairs)
    assert measured.doubts(measured.least - 0.01, chairs)  # agreed nonsense
    # Of eight drawn, six or more are of a given kind in 1 of 237 cases, of any kind in 1 of 59.
    assert measured.agree(chairs[:6] + sources[:2])
    assert not measured.agree([*chairs[:5], sources[0], sources[1], sources[3]])
    assert not measured.agree(["who knows"] * 8) and not measured.agree([])


def test_keys_that_are_all_alike_tell_no_kinds_apart():
    """As an untrained network's: one direction and a little noise; every cosine is over .99."""
    rng = np.random.default_rng(0)
    keys = 1 + 0.02 * rng.normal(size=(160, DIM))
    memory = filled(keys, [f"{SYNSETS[i % 4]}/{i}" for i in range(160)])
    measured = chance_of(memory)
    assert not measured.tells_kinds
    [text] = measured.doubts(0.999)
    assert "do not tell kinds apart" in text and "by chance in 25%" in text


def test_views_and_variants_of_one_shape_prove_nothing():
    """Each shape thrice, near itself and nothing else."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(60, DIM))
    keys = np.concatenate([places + 0.01 * rng.normal(size=places.shape) for _ in range(3)])
    names = [f"{SYNSETS[i % 4]}/{i}" for i in range(60)]
    memory = filled(keys, [*names, *(f"{name}-v01" for name in names), *names])
    assert not chance_of(memory).tells_kinds


def test_names_that_tell_no_kind_leave_the_cosine():
    measured = chance_of(by_kind(0.1, named=False))
    assert measured.same_kind is None and measured.tells_kinds
    assert measured.doubts(-1.0) and not measured.doubts(1.0)


def test_of_few_slots_or_one_shape_nothing_is_said():
    memory = by_kind(0.1, count=5)
    assert chance_of(memory) is None
    keys = np.random.default_rng(0).normal(size=(40, DIM))
    assert chance_of(filled(keys, [f"{SYNSETS[0]}/1"] * 40)) is None
    one_kind = chance_of(filled(keys, [f"{SYNSETS[0]}/{i}" for i in range(40)]))
    assert one_kind.tells_kinds and one_kind.same_kind is None


def test_a_memory_is_measured_once_until_it_changes(monkeypatch):
    memory, calls, measure = by_kind(0.1), [], chance._measure
    monkeypatch.setattr(chance, "_measure", lambda m: calls.append(1) or measure(m))
    before = chance_of(memory)
    assert chance_of(memory) is before and len(calls) == 1
    memory.replace_keys(memory.slots, np.random.default_rng(0).normal(size=(160, DIM)))
    assert not chance_of(memory).tells_kinds and len(calls) == 2
    memory.remove([0])
    chance_of(memory)
    assert len(calls) == 3


def test_a_reconstruction_says_it(monkeypatch):
    torch.manual_seed(0)
    model = Mem3D(TINY.model).eval()
    rng = np.random.default_rng(0)
    memory = Memory(replace(TINY.memory, capacity=40, beta=-1.0, delta=1.0))
    grids = rng.random((40, *3 * (TINY.memory.resolution,))) < 0.5
    keys = rng.normal(size=(40, TINY.memory.key_dim))
    memory.write(keys, grids, [f"{SYNSETS[i % 4]}/{i}" for i in range(40)])
    photo = rng.integers(0, 256, (64, 64, 4)).astype(np.uint8)
    [result] = reconstruct(model, memory, [photo], framed=True)
    assert "do not tell kinds apart" in result.recall_doubts[0]
    assert result.recall_doubts[0] in result.remarks
    plain = Reconstruction(result.occupancy, 0.3, result.network_input, result.priors)
    taller = result.picture().shape[0] - plain.picture().shape[0]
    more = len(result.remarks) - len(plain.remarks)
    assert taller >= 15 * more > 0 and taller % 15 == 0  # a line of text each, or some


@pytest.mark.parametrize(("level", "word"), [(0.0, "no voxel"), (1.0, "fills 100% of the cube")])
def test_a_shape_that_is_none_is_told(level, word):
    grid = np.full((4, 4, 4), level, np.float32)
    [remark] = Reconstruction(grid, 0.3, np.zeros((8, 8, 3), np.uint8), ()).remarks
    assert word in remark
    grid[:2] = 1 - level  # half of it is a shape
    assert NEARLY_ALL > 0.5
    assert Reconstruction(grid, 0.3, np.zeros((8, 8, 3), np.uint8), ()).remarks == ()


def test_pieces_that_do_not_hang_together_are_told():
    occupancy = np.zeros((8, 8, 8), np.float32)
    occupancy[:4, :4, :4] = 1
    whole = Reconstruction(occupancy, 0.3, np.zeros((8, 8, 3), np.uint8), ())
    assert whole.remarks == () and loose_pieces(whole.grid) == (0, 0.0)
    many = np.zeros((16, 16, 16), np.float32)
    many[:8, :8, :8] = many[15, 15, 15] = 1
    assert loose_pieces(many > 0) == (
        1,
        pytest.approx(1 / 513),
    )  # a speck, of which nothing is said
    assert Reconstruction(many, 0.3, np.zeros((8, 8, 3), np.uint8), ()).remarks == ()
    occupancy[4, 4, 4] = 1  # a corner touches
    assert whole.remarks == ()
    occupancy[7, 7, :3] = occupancy[0, 7, 7] = 1
    assert loose_pieces(whole.grid) == (2, pytest.approx(4 / 69))
    assert whole.remarks == (
        "2 pieces do not hang together with the rest: 5.8% of the full voxels",
    )
