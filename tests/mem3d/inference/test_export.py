"""The network as programs, served with torch and memstore alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mem3d.inference import export
from mem3d.inference.export import export_programs
from mem3d.inference.serving import Program
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from memstore import Memory
from tests.helpers.r2n2_folder import blob

RICH = {"refiner": 8, "fuse": True, "gate": True, "stretch": True, "lift": True, "pose": 6}


def trained(**settings):
    """A network whose weights are all random, those that begin at zero too."""
    torch.manual_seed(0)
    preset = replace(TINY, model=replace(TINY.model, **settings))
    model = Mem3D(preset.model).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return model, preset


def served(folder, images, memory):
    """What docs/library.md does, without mem3d."""
    told = json.loads((folder / "programs.json").read_text())
    known = {"images": images}
    for one in told["programs"]:
        program = torch.export.load(folder / one["file"]).module()
        with torch.no_grad():
            found = program(*(known[name] for name in one["inputs"]))
        found = found if isinstance(found, tuple) else (found,)
        known |= dict(zip(one["outputs"], found, strict=True))
        if "features" in one["outputs"]:
            k = told["recall"]["priors"]
            read = memory.read(known["features"].numpy(), k, told["recall"]["beta"])
            known["priors"] = torch.from_numpy(read.values).float()
            known["counts"] = torch.from_numpy(read.counts)
            known["cosines"] = torch.from_numpy(read.cosines)
    return known["occupancy"]


BLENDED = {"blend": 0.5, "shift": -0.4}


@pytest.mark.parametrize(
    "settings",
    [{}, RICH, BLENDED, RICH | BLENDED],
    ids=["paper", "refined", "paper, blended", "refined, blended"],
)
def test_programs_and_a_memory_give_what_the_network_gives(settings, tmp_path):
    model, preset = trained(**settings)
    images = torch.randn(2, 3, 64, 64)
    memory = Memory(replace(preset.memory, beta=-0.5))
    with torch.no_grad():
        features = model.encoder(images)
        memory.write(features.numpy(), np.stack([blob(0), blob(1)]))
        wanted = model(images, memory).logits.sigmoid()
    preset = replace(preset, memory=memory.config)
    done = export_programs(model, preset, tmp_path / "out")
    assert [one.file for one in done] == ["encoder.pt2", "shape_encoder.pt2", "decoder.pt2"]
    assert done[0].inputs == {"images": ["B", 3, 64, 64]}
    torch.testing.assert_close(served(tmp_path / "out", images, memory), wanted, rtol=0, atol=1e-4)
    assert wanted.std() > 0.01  # not one number everywhere
    assert all(weight.requires_grad for weight in model.parameters())


def test_a_program_that_differs_is_not_kept(tmp_path, monkeypatch):
    """As if tracing had lost something: what is compared is another layer."""

    def programs(_model, batch, seed=0):
        inputs = {"images": torch.ones(batch, 2)}
        return [Program("encoder", nn.Linear(2, 3), inputs, ("features",))]

    monkeypatch.setattr(export, "programs", programs)
    with pytest.raises(ValueError, match=r"encoder\.pt2: got outputs that differ"):
        export_programs(nn.Identity(), TINY, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_control_of_studies_is_not_served(tmp_path):
    fields = {"shape_encoder": "box", "refiner": 4, "fuse": True, "stretch": True}
    preset = replace(TINY, model=replace(TINY.model, **fields))
    with pytest.raises(ValueError, match="got 'box', which is for studies"):
        export_programs(Mem3D(preset.model).eval(), preset, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
