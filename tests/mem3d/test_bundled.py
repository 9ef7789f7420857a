"""What comes with the package: a model, whichever it is, and photos to try it with."""

import hashlib

import numpy as np
import pytest
import torch

import mem3d
from mem3d import bundled
from mem3d.data.images.io import read_image
from mem3d.network.checkpoint import FILES, SMALL_MEMORY, is_published
from mem3d.network.heads.key import RankedKey, load_bundled_key
from mem3d.tensor_files import opened

MOST = 20 * 10**6  # bytes of the model
MOST_OF_EXAMPLES = 400_000


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_model_is_a_published_folder_of_bounded_size():
    folder = bundled.bundled_model()
    assert is_published(folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= MOST


def test_its_sums_are_those_of_its_files():
    """`sha256sum -c SHA256SUMS`."""
    folder = bundled.bundled_model()
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert set(FILES[:2]) < set(sums) and set(sums) & {FILES[2], SMALL_MEMORY}
    for name, digest in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


def test_its_weights_take_half_the_bytes():
    with opened(bundled.bundled_model() / "model.safetensors", "weights") as file:
        weights = file.tensors()
    kernels = [weight for weight in weights.values() if weight.ndim > 1]
    assert kernels and all(weight.element_size() == 2 for weight in kernels)


def test_it_answers_where_no_run_is_named_and_stays_as_it_is():
    before = stamps(bundled.FOLDER)
    with mem3d.load() as reconstructor:
        result = reconstructor.reconstruct(bundled.example_files()[0])
        weights = {weight.dtype for weight in reconstructor.model.parameters()}
        assert len(reconstructor.memory) > 0
        reconstructor.memory.write(  # in RAM
            np.ones((1, reconstructor.memory.config.key_dim)), result.grid[None] | True
        )
    assert result.grid.shape == (32, 32, 32) and result.grid.any()
    assert {str(dtype) for dtype in weights} == {"torch.float32"}
    assert stamps(bundled.FOLDER) == before


def test_a_folder_named_as_the_model_is_has_no_say(tmp_path, monkeypatch):
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    with mem3d.load() as reconstructor:
        assert len(reconstructor.memory) > 0
    with pytest.raises(ValueError, match="base"):
        mem3d.load("base")


def test_an_installation_without_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "FOLDER", tmp_path / "base")
    with pytest.raises(ValueError, match="got nothing there, want the bundled model"):
        mem3d.load()


def test_the_photos_are_few_small_and_credited():
    files = bundled.example_files()
    assert 6 <= len(files) <= 16
    assert sum(path.stat().st_size for path in files) <= MOST_OF_EXAMPLES
    credits = (bundled.EXAMPLES / "CREDITS.md").read_text()
    for path in files:
        assert f"`{path.name}`" in credits
        assert min(read_image(path).shape[:2]) >= 256


def test_training_begins_with_its_key():
    key = RankedKey(128, 32)
    load_bundled_key(key)
    with mem3d.load() as reconstructor:
        theirs = reconstructor.model.key.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in key.state_dict().items())
