"""Cached stem maps equal computed ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mem3d.data.loader import BatchSampler, TrainingViews, loader
from mem3d.data.readers.r2n2 import R2N2
from mem3d.network.encoder import Encoder, normalize
from mem3d.network.presets import TINY
from mem3d.training import stem_cache
from mem3d.training.stem_cache import StemCache


@pytest.fixture
def parts(made_up_data):
    torch.manual_seed(0)
    encoder = Encoder(TINY.model)
    encoder.freeze_stem()
    views = TrainingViews(R2N2.open(made_up_data, "train"), 64, seed=0, augment=True)
    return encoder, views


def test_every_batch_equals_the_stem_run_on_its_pictures(parts):
    encoder, views = parts
    seen = []
    cache = StemCache.build(
        encoder, views, 2, batch=3, workers=0, progress=lambda *done: seen.append(done)
    )
    assert seen[-1] == (16, 16)
    schedule = BatchSampler(8, 3, 4, seed=1)  # four epochs: each variant is shown twice
    for batch, samples in zip(cache.batches(schedule), schedule, strict=True):
        [want] = loader(views, [[(epoch % 2, model) for epoch, model in samples]], 0)
        assert batch.shapes == want.shapes
        assert batch.images.numel() == 0
        np.testing.assert_array_equal(batch.grids, want.grids)
        with torch.inference_mode():
            maps = encoder.stem(normalize(want.images))
        torch.testing.assert_close(batch.stem_maps, maps, rtol=2e-3, atol=2e-3)  # float16


def test_two_caches_are_the_same_bit_for_bit(parts):
    first, second = (StemCache.build(*parts, 1, batch=4, workers=0) for _ in range(2))
    assert torch.equal(first.maps, second.maps)


def test_maps_in_bfloat16_are_near_and_of_another_fingerprint(parts, monkeypatch):
    whole = StemCache.build(*parts, 1, batch=4, workers=0)
    for can in (False, True):
        monkeypatch.setattr("mem3d.system.computes_bfloat16", lambda device, can=can: can)
        short = StemCache.build(*parts, 1, batch=4, workers=0, precision="bfloat16")
        assert torch.equal(short.maps, whole.maps) is not can
        assert (short.fingerprint == whole.fingerprint) is not can
        short.check(*parts, 1, "bfloat16")
    assert (short.maps - whole.maps).norm() < 0.05 * whole.maps.norm()
    with pytest.raises(ValueError, match="precision"):
        short.check(*parts, 1)


def test_too_much_for_the_memory_is_refused_before_it_is_computed(parts, monkeypatch):
    monkeypatch.setattr(stem_cache, "MAX_BYTES", 1000)
    monkeypatch.setattr(stem_cache, "ram", lambda: 0)
    with pytest.raises(ValueError, match="cached_views"):
        StemCache.build(*parts, 2, batch=4, workers=0)


def test_variants_need_a_frozen_stem():
    with pytest.raises(ValueError, match="cached_views"):
        replace(TINY.train, cached_views=2)


def test_maps_kept_in_a_file_equal_those_in_ram_and_are_found_again(parts, tmp_path):
    ram = StemCache.build(*parts, 2, batch=3, workers=0)
    made, file = [], tmp_path / "maps.npy"
    for _ in range(2):
        kept = StemCache.build(
            *parts, 2, batch=3, workers=0, file=file, progress=lambda done, _: made.append(done)
        )
        assert kept.fingerprint == ram.fingerprint
        assert torch.equal(kept.maps, ram.maps)
        order = [[(0, 1), (1, 5)]]
        [actual], [want] = list(kept.batches(order)), list(ram.batches(order))
        assert torch.equal(actual.stem_maps, want.stem_maps) and torch.equal(
            actual.grids, want.grids
        )
    assert made == [3, 6, 8, 11, 14, 16]  # once
    assert {path.name for path in tmp_path.iterdir()} == {"maps.npy", "maps.safetensors"}


def test_maps_of_something_else_are_made_anew(parts, tmp_path):
    file = tmp_path / "maps.npy"
    first = StemCache.build(*parts, 1, batch=4, workers=0, file=file).maps.clone()
    encoder, views = parts
    views.seed = 1
    second = StemCache.build(encoder, views, 1, batch=4, workers=0, file=file)
    assert not torch.equal(second.maps, first)
    (tmp_path / "maps.safetensors").write_bytes(b"damaged")
    again = StemCache.build(encoder, views, 1, batch=4, workers=0, file=file)
    assert torch.equal(again.maps, second.maps)


@pytest.mark.parametrize("change", ["seed", "augment", "variants", "models", "stem"])
def test_a_cache_of_something_else_is_refused(parts, made_up_data, change):
    encoder, views = parts
    cache = StemCache.build(encoder, views, 1, batch=4, workers=0)
    cache.check(encoder, views, 1)
    if change == "stem":
        encoder.stem.conv1.weight += 1e-3
    elif change == "models":
        views.data = R2N2.open(made_up_data, "val")
    elif change != "variants":
        setattr(views, change, not getattr(views, change))
    with pytest.raises(ValueError, match="cache: got maps of fingerprint"):
        cache.check(encoder, views, 2 if change == "variants" else 1)


def test_a_full_disk_is_said(parts, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stem_cache.os, "posix_fallocate", full)
    with pytest.raises(ValueError, match="No space left"):
        StemCache.build(*parts, 1, batch=4, workers=0, file=tmp_path / "maps.npy")
    assert list(tmp_path.iterdir()) == []
