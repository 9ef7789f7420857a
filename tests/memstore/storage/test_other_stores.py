"""gs:// and az://: what is asked of them, and of whom, by stand-ins for the services."""

import numpy as np
import pytest

from memstore import (
    LockedError,
    Memory,
    MemoryConfig,
    PathExistsError,
    PathMissingError,
    verify_folder,
)
from tests.helpers.fault_injection import content
from tests.helpers.other_stores import OtherServer

CONFIG = MemoryConfig(capacity=12, key_dim=4, resolution=8)
PLACE = "my-bucket/a b/c"


@pytest.fixture(params=["gs", "az"])
def server(request):
    stand_in = OtherServer(request.param)
    yield stand_in
    stand_in.close()


def options(server):
    """What leads to a stand-in, and who asks."""
    own = {
        "gs": {"bearer_token": "b3M", "config": {"google_base_url": server.endpoint}},
        "az": {"account": "me", "access_key": "a2V5", "config": {"endpoint": server.endpoint}},
    }[server.scheme]
    own["config"]["allow_http"] = "true"
    return own | {"timeout": 30}


def write(memory, seed):
    rng = np.random.default_rng(seed)
    memory.write(rng.standard_normal((3, 4)), rng.random((3, 8, 8, 8)) < 0.5)


def test_a_life_there(server, tmp_path):
    """Every request names the container, the prefix and who asks; two writers are put in order."""
    url, keyword = f"{server.scheme}://{PLACE}", {"storage_options": options(server)}
    with pytest.raises(PathMissingError, match="got no memory there"):
        Memory.open(url, **keyword)
    first = Memory.create(url, CONFIG, **keyword)
    write(first, 1)
    first.commit("one")
    first.tag("first")
    asked = {"gs": "Bearer b3M", "az": "SharedKey me:"}[server.scheme]
    assert all(who.startswith(asked) for *_, who in server.requests)
    assert all(name.startswith(f"{PLACE}/") for name in server.objects)
    assert f"{PLACE}/refs/branch.main/ref.json" in server.objects

    second = Memory.open(url, "r+", **keyword)
    for memory, seed in ((first, 2), (second, 3)):
        write(memory, seed)
    first.commit("two")
    with pytest.raises(LockedError, match="another writer has committed meanwhile"):
        second.commit("late")
    second.close(discard=True)
    with pytest.raises(PathExistsError, match="exists already"):
        Memory.create(url, CONFIG, **keyword)

    with Memory.open(url, at="first", **keyword) as memory:
        assert len(memory) == 3 and memory.tags().keys() == {"first"}
    with Memory.open(url, **keyword) as memory:
        assert content(memory) == content(first)
        memory.copy_to(tmp_path / "here")
    assert verify_folder(url, **keyword).problems == ()
    with Memory.open(tmp_path / "here") as here:
        assert len(here) == 6
        here.copy_to(f"{url}-again", **keyword)
    assert len(Memory.open(f"{url}-again", **keyword)) == 6
    assert first.expire(1).snapshots == 1  # the tagged one stays


def test_who_asks_is_told_by_the_environment(monkeypatch):
    server = OtherServer("az")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "somebody")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    reach = {"config": {"endpoint": server.endpoint, "allow_http": "true"}}
    with pytest.raises(PathMissingError):
        Memory.open(f"az://{PLACE}", storage_options=reach)
    [(_, name, who)] = server.requests
    assert (name, who[:19]) == (f"{PLACE}/refs/branch.main/ref.json", "SharedKey somebody:")
    server.close()
