"""What would have been stored otherwise than it was meant is refused by name."""

import copy
import pickle
from dataclasses import asdict

import numpy as np
import pytest

from memstore import ArgumentError, ConfigError, DtypeError, Memory, MemoryConfig, export

RNG = np.random.default_rng(0)
KEYS, GRIDS = RNG.standard_normal((3, 4)), RNG.random((3, 2, 2, 2)) < 0.5
CONFIG = MemoryConfig(capacity=9, key_dim=4, resolution=2, columns={"kind": str})


def test_columns_of_a_config_stay_as_they_are():
    """A column more, and the next commit could not have been opened."""
    for change in (
        lambda columns: columns.__setitem__("more", "int"),
        lambda columns: columns.update(more="int"),
        lambda columns: columns.pop("kind"),
        lambda columns: columns.clear(),
    ):
        with pytest.raises(ConfigError, match="columns: got a change"):
            change(CONFIG.columns)
    for again in (copy.deepcopy(CONFIG), pickle.loads(pickle.dumps(CONFIG))):
        assert again == CONFIG
    assert asdict(CONFIG)["columns"] == {"kind": "str"}


@pytest.mark.parametrize("sources", [{"a", "b", "c"}, dict.fromkeys("abc"), iter("abc"), "abc"])
def test_sources_without_an_order_are_refused(sources):
    memory = Memory(CONFIG)
    with pytest.raises(DtypeError, match=r"sources: got a .*, want a list of str"):
        memory.write(KEYS, GRIDS, sources, {"kind": ["x"] * 3})
    assert len(memory) == 0


def test_masked_entries_are_refused():
    memory, columns = Memory(CONFIG), {"kind": ["x"] * 3}
    masked = np.ma.array(KEYS, mask=[[True] * 4, [False] * 4, [False] * 4])
    with pytest.raises(DtypeError, match="features: got a masked array"):
        memory.write(masked, GRIDS, columns=columns)
    with pytest.raises(DtypeError, match="grids: got a masked array"):
        memory.write(KEYS, np.ma.array(GRIDS, mask=True), columns=columns)
    memory.write(np.ma.array(KEYS), GRIDS, columns=columns)
    assert len(memory) == 3


def test_a_tag_is_like_no_snapshot_s_id(tmp_path):
    """`at` would have led to the tag instead of the snapshot."""
    with Memory.create(tmp_path / "memory", CONFIG) as memory:
        memory.write(KEYS, GRIDS, columns={"kind": ["x"] * 3})
        first = memory.commit("first")
        for name in (first, ".", ".."):
            with pytest.raises(ArgumentError, match="want one that no snapshot's id is like"):
                memory.tag(name)
        memory.tag("v1.0")


def test_an_export_is_not_written_into_the_memory_s_own_folder(tmp_path):
    with Memory.create(tmp_path / "memory", CONFIG) as memory:
        memory.write(KEYS, GRIDS, columns={"kind": ["x"] * 3})
        with pytest.raises(ArgumentError, match="want a place outside of"):
            export(memory, tmp_path / "memory" / "x.npz")
        export(memory, tmp_path / "x.npz")
