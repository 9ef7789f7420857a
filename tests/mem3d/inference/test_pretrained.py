"""Runs as folders of plain files, written for others and read from others."""

import hashlib
import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

import mem3d
from mem3d.inference import pretrained
from mem3d.inference.pretrained import load_folder, load_trained, publish, save_folder
from mem3d.network import checkpoint
from mem3d.network.checkpoint import FILES
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from memstore import ExtraMissingError, Memory, MemstoreError, export, import_memory
from tests.helpers.r2n2_folder import blob, picture

PAGE = """# A trained Mem3D

Trained on 4 models of `/home/me/secret/shapes`, validated on 2.

## Validation

| `chair` | 0.5 |

## Commands

mem3d-cli evaluate /home/me/runs/first
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of random weights with a memory of two commits, of which it names the first."""
    run = tmp_path_factory.mktemp("runs") / "run"
    torch.manual_seed(0)
    with Memory.create(run / "memory", TINY.memory) as memory:
        rng = np.random.default_rng(0)
        keys = rng.standard_normal((3, TINY.memory.key_dim))
        memory.write(keys[:2], np.stack([blob(0), blob(1)]), ["chair/a", "chair/b"])
        snapshot = memory.commit("two")
        memory.write(keys[2:], blob(2)[None])
        memory.commit("three")
    state = checkpoint.State(
        preset=TINY, step=3, snapshot=snapshot, validation_iou=0.5, best_iou=0.5, best_step=3
    )
    checkpoint.save(run / "best.safetensors", state, Mem3D(TINY.model))
    (run / "README.md").write_text(PAGE)
    (run / "validation.png").write_bytes(b"picture")
    return run


@pytest.fixture(scope="module")
def published(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "first"
    publish(run, folder)
    return folder


@pytest.fixture
def folder(published, tmp_path):
    """A copy that may be spoiled."""
    return Path(shutil.copytree(published, tmp_path / "published"))


def test_a_published_run_answers_as_before(run, folder):
    with mem3d.load(run) as before, mem3d.load(folder) as after:
        one, other = (loaded.reconstruct(picture(1)) for loaded in (before, after))
        assert after.memory.sources == before.memory.sources == ["chair/a", "chair/b"]
        assert after.preset == before.preset
    np.testing.assert_array_equal(one.occupancy, other.occupancy)


def test_its_files_are_plain(folder):
    assert {path.name for path in folder.iterdir()} == {
        *(*FILES, "README.md", "SHA256SUMS", "validation.png")
    }
    weights = load_file(folder / "model.safetensors")
    Mem3D(TINY.model).load_state_dict(weights)
    assert len(import_memory(folder / "memory.safetensors")) == 2
    assert json.loads((folder / "config.json").read_text())["trained"]["validation_iou"] == 0.5


def test_the_card_tells_the_training_but_no_places(folder):
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: mem3d\n")
    assert "4 models of `shapes`" in card and "| `chair` | 0.5 |" in card
    assert "/home" not in card and "secret" not in card
    assert "a memory of 2 shapes" in card


def test_a_run_without_a_page_has_a_card(run, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    os.symlink(run / "memory", bare / "memory")
    os.symlink(run / "best.safetensors", bare / "best.safetensors")
    publish(bare, tmp_path / "out")
    assert "3 steps of training" in (tmp_path / "out" / "README.md").read_text()


def test_what_is_there_is_not_replaced(run, folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match="exists already"):
        publish(run, folder)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_saving_what_was_loaded(folder, tmp_path):
    with mem3d.Reconstructor.from_pretrained(folder) as loaded:
        loaded.memory.write(np.ones((1, TINY.memory.key_dim)), blob(3)[None], ["mine"])
        loaded.save_pretrained(tmp_path / "again")
    with mem3d.load(tmp_path / "again") as again:
        assert again.memory.sources == ["chair/a", "chair/b", "mine"]


def settings(**changes):
    """Text of a config.json with some of the model's settings changed."""
    model = replace(TINY.model, **changes)
    preset = replace(TINY, model=model, memory=replace(TINY.memory, key_dim=model.feature_dim))
    return json.dumps({"format": 1, "preset": preset.to_dict()})


def rewrite(folder, change=lambda facts: None):
    """Change config.json; without its checks, as those from before, and from strangers."""
    facts = json.loads((folder / "config.json").read_text())
    del facts["check"], facts["files"]
    change(facts)
    (folder / "config.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("config.json", b"no json", "config.json"),
        ("config.json", b"[]", "no format 1"),
        ("config.json", b'{"format": 2}', "a newer release"),
        ("config.json", b'{"format": 1, "preset": {}}', "memory: got nothing"),
        ("config.json", b'{"format": 1}', "config.json"),
        ("config.json", b"[" * 100_000, "config.json"),
        ("config.json", b" " * (2**20 + 1), "got over"),
        ("config.json", b"\xff\xfe", "config.json"),
        ("config.json", settings(hidden=2**15).encode(), "do not fit"),  # would take 4 GB
        ("model.safetensors", b"", "model.safetensors"),
        ("model.safetensors", b"\xff" * 8 + b"{", "model.safetensors"),
        ("memory.safetensors", b"\0" * 64, "memory.safetensors"),
    ],
)
def test_hostile_folders_are_refused(name, data, says, folder):
    (folder / name).write_bytes(data)
    with pytest.raises((ValueError, MemstoreError), match=says):
        mem3d.load(folder)


def test_a_memory_of_another_network_is_refused(folder, tmp_path):
    rewrite(folder, lambda facts: facts["preset"]["memory"].update(beta=0.1))
    with pytest.raises(ValueError, match=r"want that of config\.json"):
        load_folder(folder)


def test_pipes_and_pickles_are_refused(folder):
    weights = load_file(folder / "model.safetensors")
    rewrite(folder)
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    with pytest.raises(ValueError, match="no regular file"):
        load_folder(folder)
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "model.safetensors")
    with pytest.raises(ValueError, match="want a"):
        load_folder(folder)
    save_file({"other": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="do not fit"):
        load_folder(folder)


def test_config_names_all_files_but_the_card(folder):
    """`b2sum -l 128` checks a folder without us."""
    files = json.loads((folder / "config.json").read_text())["files"]
    assert files == {
        path.name: hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        for path in folder.iterdir()
        if path.name not in ("config.json", "README.md", "SHA256SUMS")
    }


def test_sums_are_what_sha256sum_prints(folder):
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    names = sorted([*FILES, "validation.png"])
    assert lines == [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}" for name in names
    ]


def test_half_takes_half_the_bytes_and_keeps_three_digits(run, published, tmp_path):
    publish(run, tmp_path / "half", half=True)
    sizes = [(path / "model.safetensors").stat().st_size for path in (published, tmp_path / "half")]
    assert 0.49 < sizes[1] / sizes[0] < 0.52
    full, half = (load_folder(folder)[0].state_dict() for folder in (published, tmp_path / "half"))
    for name, weight in full.items():
        assert half[name].dtype == weight.dtype, name
        if weight.ndim < 2:
            assert torch.equal(half[name], weight), name  # of norms, whose variances may be tiny
        else:  # 11 bits, and 2**-24 where a weight is nearly nothing
            torch.testing.assert_close(half[name], weight, rtol=2**-11, atol=2**-24)
    assert not (tmp_path / "half" / "memory.safetensors").exists()
    with mem3d.load(published) as one, mem3d.load(tmp_path / "half") as other:
        slots = [0, 1]
        np.testing.assert_array_equal(one.memory.values(slots), other.memory.values(slots))
        np.testing.assert_array_equal(one.memory.keys(slots), other.memory.keys(slots))
        before, after = (loaded.reconstruct(picture(1)) for loaded in (one, other))
    np.testing.assert_allclose(after.occupancy, before.occupancy, atol=2e-3)


def test_weights_too_large_for_half_are_refused(tmp_path):
    model = Mem3D(TINY.model)
    name, weight = next((n, w) for n, w in model.named_parameters() if w.ndim > 1)
    weight.data[(0,) * weight.ndim] = 70_000.0
    with Memory(TINY.memory) as memory, pytest.raises(ValueError, match="over float16's") as error:
        save_folder(tmp_path / "out", model, memory, TINY, half=True)
    assert name in str(error.value) and list(tmp_path.iterdir()) == []


def test_a_published_folder_has_a_state(folder):
    _, memory, state = load_trained(folder)
    assert (state.preset, state.step, state.snapshot) == (TINY, 3, "")
    assert math.isnan(state.validation_iou) and len(memory) == 2
    (folder / "LICENSES.md").write_text("CC0")  # others may lie beside
    rewrite(folder, lambda facts: facts.update(trained={"steps": "many"}))
    assert load_trained(folder)[2].step == 0


def test_another_memory_put_into_a_folder_is_told(folder):
    with Memory(TINY.memory) as memory:
        export(memory, folder / "other.safetensors", "safetensors")
    os.replace(folder / "other.safetensors", folder / "memory.safetensors")
    with pytest.raises(ValueError, match=r"memory\.safetensors: got a damaged or another file"):
        load_folder(folder)
    rewrite(folder)
    assert len(load_folder(folder)[1]) == 0


def test_settings_that_were_changed_say_how_that_is_done(folder):
    facts = json.loads((folder / "config.json").read_text())
    facts["trained"]["validation_iou"] = 0.99
    (folder / "config.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"config\.json.*to change it, remove check and files"):
        load_folder(folder)
    (folder / "README.md").write_text("license: mine")  # the card is for others to edit
    rewrite(folder)
    load_folder(folder)


def test_others_may_read_what_is_published(folder):
    """As the umask has it; safetensors' own writer leaves files for their owner only."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes["model.safetensors"] == modes["README.md"]


def test_offline_the_hub_s_cache_serves(folder, tmp_path, monkeypatch):
    """huggingface_hub's own code, on a cache laid out as it does."""
    cached = tmp_path / "cache" / "models--me--chairs"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    (cached / "snapshots").mkdir()
    os.symlink(folder, cached / "snapshots" / ("0" * 40))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with mem3d.Reconstructor.from_pretrained("me/chairs") as loaded:
        assert len(loaded.memory) == 2
    with pytest.raises(ValueError, match="me/tables: got neither a folder nor a download"):
        mem3d.Reconstructor.from_pretrained("me/tables")
    with pytest.raises(ValueError, match="got neither a folder"):
        mem3d.Reconstructor.from_pretrained("no such/name/at all")


def test_what_is_sent_to_the_hub(folder, monkeypatch):
    sent = {}

    class Api:
        def __init__(self, **_):
            pass

        def create_repo(self, repo, **options):
            sent["private"] = options["private"]
            return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo}")

        def upload_folder(self, *, repo_id, folder_path, allow_patterns, **_):
            names = {path.name for path in folder_path.iterdir()}
            sent[repo_id] = names & set(allow_patterns)
            return type("Sent", (), {"commit_url": "https://huggingface.co/commit"})

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    with mem3d.load(folder) as loaded:
        assert loaded.push_to_hub("me/chairs", private=True) == "https://huggingface.co/commit"
    assert sent == {"private": True, "me/chairs": {*FILES, "README.md", "SHA256SUMS"}}


def test_a_refusal_of_the_hub_is_one_error(folder, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"me/chairs: the hub refused .*, want a network"):
        pretrained.upload(folder, "me/chairs")


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ExtraMissingError, match=r"-e '\.\[hub\]'"):
        mem3d.Reconstructor.from_pretrained("me/chairs")
