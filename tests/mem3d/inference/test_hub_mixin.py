"""The hub's own mixin: the same folders, and all of its options."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from huggingface_hub import ModelHubMixin, hub_mixin

import mem3d
from mem3d.inference.hub_mixin import HubReconstructor
from mem3d.network.checkpoint import FILES
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from memstore import Memory
from tests.helpers.r2n2_folder import blob, picture


@pytest.fixture
def trained():
    torch.manual_seed(0)
    memory = Memory(replace(TINY.memory, beta=0.0))
    keys = np.random.default_rng(0).standard_normal((2, TINY.memory.key_dim))
    memory.write(keys, np.stack([blob(0), blob(1)]), ["chair/a", "chair/b"])
    return HubReconstructor(Mem3D(TINY.model).eval(), memory, replace(TINY, memory=memory.config))


def occupancy(reconstructor):
    return reconstructor.reconstruct(picture(5)).occupancy


def test_it_is_the_mixin_and_a_reconstructor(trained):
    assert isinstance(trained, ModelHubMixin) and isinstance(trained, mem3d.Reconstructor)
    for name in ("save_pretrained", "from_pretrained", "push_to_hub"):
        ours, theirs = (getattr(one, name) for one in (HubReconstructor, ModelHubMixin))
        assert getattr(ours, "__func__", ours) is getattr(theirs, "__func__", theirs)


def test_a_saved_folder_comes_back_offline(trained, tmp_path, monkeypatch):
    def fetched(*arguments, **options):
        raise AssertionError("it asked the hub")

    monkeypatch.setattr("mem3d.inference.hub_mixin.snapshot_download", fetched)
    folder = tmp_path / "published"
    trained.save_pretrained(folder)
    assert {path.name for path in folder.iterdir()} == {*FILES, "README.md"}
    assert [path.name for path in tmp_path.iterdir()] == ["published"]
    again = HubReconstructor.from_pretrained(folder)
    np.testing.assert_array_equal(occupancy(again), occupancy(trained))
    assert again.preset == trained.preset and again.memory.sources == trained.memory.sources
    with mem3d.load(folder) as plain:
        np.testing.assert_array_equal(occupancy(plain), occupancy(trained))
    assert "mem3d" in (folder / "README.md").read_text()


def test_what_was_saved_before_is_replaced(trained, tmp_path):
    trained.save_pretrained(tmp_path)
    with torch.no_grad():
        for weight in trained.model.parameters():
            weight.add_(0.1)
    trained.save_pretrained(tmp_path)
    again = HubReconstructor.from_pretrained(tmp_path)
    np.testing.assert_array_equal(occupancy(again), occupancy(trained))


def test_the_whole_folder_is_sent(trained, monkeypatch):
    sent = {}

    class Api:
        def __init__(self, **options):
            sent.update(options)

        def create_repo(self, repo_id, **options):
            return type("Made", (), {"repo_id": repo_id})

        def upload_folder(self, folder_path, **options):
            sent.update(options, files={path.name for path in folder_path.iterdir()})
            return "there"

    monkeypatch.setattr(hub_mixin, "HfApi", Api)
    assert trained.push_to_hub("me/chairs", token="mine", branch="next") == "there"
    assert sent["files"] == {*FILES, "README.md"}
    assert (sent["repo_id"], sent["token"], sent["revision"]) == ("me/chairs", "mine", "next")


def test_a_damaged_folder_is_named(trained, tmp_path):
    trained.save_pretrained(tmp_path)
    facts = json.loads((tmp_path / "config.json").read_text())
    facts["preset"]["model"]["hidden"] = 99
    (tmp_path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"config\.json"):
        HubReconstructor.from_pretrained(tmp_path)
