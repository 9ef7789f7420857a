"""Rows reach TensorBoard's writer; here a made-up one, as the package is no requirement."""

import sys
from dataclasses import replace
from types import ModuleType

import pytest

from mem3d.data.readers.r2n2 import R2N2
from mem3d.network.presets import TINY
from mem3d.training.trainer import train


@pytest.fixture
def written(monkeypatch):
    calls = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            calls.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            calls.append((name, value, step))

        def flush(self):
            pass

        def close(self):
            calls.append("closed")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return calls


def test_every_epoch_is_written_once(made_up_data, tmp_path, written):
    sets = R2N2.open(made_up_data, "train"), R2N2.open(made_up_data, "val")
    rows = []
    train(*sets, tmp_path, TINY, tensorboard=True, on_epoch=lambda row: rows.append(dict(row)))
    assert written[0] == (str(tmp_path / "tensorboard"), 1)
    for row in rows:
        assert ("training/loss", row["loss"], row["epoch"]) in written
        assert ("validation/val_iou", row["val_iou"], row["epoch"]) in written
    assert written[-1] == "closed"
    assert len([call for call in written if call[0] == "training/loss"]) == len(rows) == 2


def test_without_the_package_its_name_is_said(made_up_data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    data = R2N2.open(made_up_data, "train")
    preset = replace(TINY, train=replace(TINY.train, epochs=1))
    with pytest.raises(ValueError, match="want the package: pip install tensorboard"):
        train(data, None, tmp_path / "run", preset, tensorboard=True)
    assert not (tmp_path / "run").exists()
