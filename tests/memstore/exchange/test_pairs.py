"""Pairs from elsewhere become a memory."""

import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal
from safetensors.numpy import save_file

from memstore import ArgumentError, ConfigError, FormatError, Memory
from memstore.exchange import import_memory
from memstore.search.cosine import unit
from tests.helpers.random_memories import assert_same

RNG = np.random.default_rng(0)
FEATURES = RNG.standard_normal((5, 3)) * 10
GRIDS = RNG.random((5, 4, 4, 4)) < 0.5


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("voxels", [np.bool_, np.uint8])
def test_each_pair_gets_a_slot_of_its_own(dtype, voxels, tmp_path):
    same = np.repeat(FEATURES[:1], 5, axis=0).astype(dtype)  # the policy would merge some of these
    save = {"keys": same, "values": GRIDS[[0, 0, 0, 1, 1]].astype(voxels)}
    np.savez(tmp_path / "a.npz", **save, other=np.arange(3))
    save_file(save, tmp_path / "a.safetensors")
    memory = import_memory(tmp_path / "a.npz")
    assert_same(memory, import_memory(tmp_path / "a.safetensors"))
    assert memory.config.capacity == len(memory) == memory.clock == memory.stats().inserts == 5
    assert memory.ages.tolist() == [4, 3, 2, 1, 0]
    assert_array_equal(memory.keys(range(5)), unit(same))
    assert_array_equal(memory.values([2, 3]), GRIDS[:2])


def test_by_the_policy_it_is_as_if_they_were_written(tmp_path):
    texts = [f"sö{i}" for i in range(5)]
    np.savez(tmp_path / "a.npz", keys=FEATURES, values=GRIDS, sources=np.array(texts))
    rules = {"capacity": 3, "delta": 0.4, "beta": 0.1, "value_similarity": "iou"}
    memory = import_memory(tmp_path / "a.npz", policy=True, **rules)
    written = Memory(memory.config)
    written.write(FEATURES, GRIDS, texts)
    assert_same(memory, written)
    assert (memory.config.beta, memory.config.value_similarity) == (0.1, "iou")


@pytest.mark.parametrize(
    "sources",
    [
        np.array(["a", "ü"]),
        np.array([b"a", "ü".encode()]),
        np.array([[97, 0], [195, 188]], np.uint8),
    ],
)
def test_sources_are_text_in_any_form(sources, tmp_path):
    np.savez(tmp_path / "a.npz", keys=FEATURES[:2], values=GRIDS[:2], sources=sources)
    assert import_memory(tmp_path / "a.npz").sources == ["a", "ü"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"keys": FEATURES[:4]}, r"values: got bool \(5, 4, 4, 4\), want bool or uint8 \(4, R"),
        ({"keys": FEATURES.astype(int)}, "keys: got int64"),
        ({"keys": FEATURES[:, 0]}, "keys: got float64"),
        ({"keys": np.zeros((5, 0))}, "key_dim: got 0"),
        ({"keys": FEATURES * np.nan}, r"features\[0\]: got nan"),
        ({"keys": FEATURES * 0}, r"features\[0\]: got all zeros"),
        ({"values": GRIDS.astype(float)}, "values: got float64"),
        ({"values": GRIDS[:, :3]}, "values: got bool"),
        ({"values": GRIDS.astype(np.uint8) * 2}, "values: got 2, want 0 or 1"),
        ({"sources": np.array(["a"])}, "sources: got <U1"),
        ({"sources": np.array(["a" * 129] * 5)}, r"sources\[0\]: got 129 bytes"),
        ({"sources": np.array([b"\xff"] * 5)}, "cannot be read: 'utf-8' codec"),
        ({"sources": np.array([b"a\0b"] * 5)}, "got a NUL"),
    ],
)
def test_what_is_no_pair_is_named(change, match, tmp_path):
    np.savez(tmp_path / "a.npz", **{"keys": FEATURES, "values": GRIDS, **change})
    with pytest.raises(FormatError, match=rf"a\.npz: .*{match}"):
        import_memory(tmp_path / "a.npz")


def test_a_missing_array_is_named(tmp_path):
    found = {"keys": FEATURES, "grids": GRIDS}
    np.savez(tmp_path / "a.npz", **found)
    save_file(found, tmp_path / "a.safetensors")
    for name, array in found.items():
        zarr.open_group(tmp_path / "a.zarr").create_array(name, data=array, compressors=None)
    for kind in ("npz", "safetensors", "zarr"):
        want = r"got arrays \['grids', 'keys'\], want also \['values'\]"
        with pytest.raises(FormatError, match=want):
            import_memory(tmp_path / f"a.{kind}")


def test_rules_are_checked(tmp_path):
    np.savez(tmp_path / "a.npz", keys=FEATURES, values=GRIDS)
    with pytest.raises(ArgumentError, match="capacity: got 4 for 5 pairs"):
        import_memory(tmp_path / "a.npz", capacity=4)
    with pytest.raises(ConfigError, match="beta: got 2"):
        import_memory(tmp_path / "a.npz", beta=2)
    assert import_memory(tmp_path / "a.npz", capacity=9).config.capacity == 9
