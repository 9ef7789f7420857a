"""Each store of the comparison keeps and finds what it was given."""

from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pytest

from benchmarks.scale import peers


@pytest.fixture(params=peers.PEERS)
def peer(request):
    """A kind of store, if its package is installed."""
    kind = peers.PEERS[request.param]
    try:
        version(kind.package)
    except PackageNotFoundError:
        pytest.skip(f"no {kind.package}; pip install -e '.[bench]' brings it")
    return kind


def units(rng, count):
    rows = rng.standard_normal((count, 64), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.filterwarnings("default")
def test_what_is_written_is_found_after_opening_again(peer, tmp_path):
    rng = np.random.default_rng(0)
    keys, bits = units(rng, 200), rng.integers(0, 256, (200, 4096), np.uint8)
    peer.build(tmp_path, keys, bits)
    store = peer(tmp_path)
    peers.check_values(store, keys[:4], bits)
    assert store.read(keys[50:51])[0][0, 0] == 50
    fresh, grids = units(rng, 32), rng.random((32, 32, 32, 32)) < 0.1
    store.write(np.arange(0, 192, 6), fresh, grids)
    store.close()
    again = peer(tmp_path)
    slots, values = again.read(fresh[:5])
    assert (values[:, 0] == grids[:5]).all()
    if peer is not peers.Memstore:  # whose rule chooses the slots
        assert slots[:, 0].tolist() == [0, 6, 12, 18, 24]
    again.close()


def test_nearest_by_hand():
    keys = np.eye(9, 9, dtype=np.float32)
    assert peers.nearest(keys, keys[3:4])[0].tolist() == [3, 0, 1, 2, 4, 5, 6, 7]
