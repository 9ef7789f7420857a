"""One step: its precision, its parts, its clock."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mem3d.data.loader import TrainingViews, loader
from mem3d.data.readers.r2n2 import R2N2
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from mem3d.training.state import TrainingState
from mem3d.training.step import train_step
from memstore import Memory


@pytest.fixture
def data(made_up_data):
    return R2N2.open(made_up_data, "train")


def fresh(beta=0.85, rate=0.0):
    torch.manual_seed(0)
    model = Mem3D(TINY.model)
    memory = Memory(replace(TINY.memory, beta=beta))
    return TrainingState(model, torch.optim.SGD(model.parameters(), rate), memory)


def batches(data, size):
    views = TrainingViews(data, 64, seed=0, augment=False)
    return loader(views, [[(0, i) for i in range(low, low + size)] for low in range(0, 8, size)], 0)


def test_bfloat16_computes_so_and_keeps_float32(data, monkeypatch):
    monkeypatch.setattr("mem3d.system.computes_bfloat16", lambda device: True)
    exact, short = fresh(rate=0.1), fresh(rate=0.1)
    seen = []
    short.model.decoder.register_forward_hook(lambda *result: seen.append(result[-1].dtype))
    for batch in batches(data, 4):
        want = train_step(exact, batch, data, TINY.train, "cpu")
        config = replace(TINY.train, precision="bfloat16")
        actual = train_step(short, batch, data, config, "cpu")
        assert actual["bce"] == pytest.approx(want["bce"], rel=0.05)
    assert seen == [torch.bfloat16] * 2
    assert {p.dtype for p in short.model.parameters()} == {torch.float32}
    assert short.memory.keys(short.memory.slots).dtype == np.float32


def test_without_bfloat16_in_the_processor_float32_is_computed(data, monkeypatch):
    monkeypatch.setattr("mem3d.system.computes_bfloat16", lambda device: False)
    result = []
    for precision in ("float32", "bfloat16"):
        run, config = fresh(), replace(TINY.train, precision=precision)
        result += [
            train_step(run, batch, data, config, "cpu")["loss"] for batch in batches(data, 8)
        ]
    assert result[0] == result[1]


def test_the_memory_s_time_is_part_of_the_step_s(data):
    run = fresh()
    figures = [train_step(run, batch, data, TINY.train, "cpu") for batch in batches(data, 4)][-1]
    parts = [figures[f"{phase}_ms"] for phase in ("read", "contrast", "write")]
    assert min(parts) > 0
    assert sum(parts) < figures["step_ms"]
