"""What is tried with a real Ray, started once: `python -m tests.helpers.ray_session FOLDER`.

Prints "cannot start: why" if Ray does not start here, else "done" at the end.
"""

import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from memstore import PAPER, Memory, ShardError, TornError
from memstore.sharded import ShardedMemory
from tests.helpers.sharded_oracle import assert_equal, assert_same

CONFIG = replace(
    PAPER, capacity=60, key_dim=24, resolution=4, beta=-1, columns={"kind": str, "mass": float}
)
STORE = 100_000_000  # bytes


def pairs(rng, n):
    """Features, grids, sources and columns."""
    columns = {"kind": [f"ö{i % 3}" for i in range(n)], "mass": rng.random(n)}
    grids = rng.random((n, 4, 4, 4)) < 0.4
    return rng.standard_normal((n, 24)), grids, [f"source {i}" for i in range(n)], columns


def answers_are_those_of_one_memory(whole, parts, rng):
    """Reads, writes and the rest, and what is in a commit."""
    for n in (1, 7, 40):
        batch = pairs(rng, n)
        assert_equal(whole.write(*batch), parts.write(*batch))
        assert_equal(whole.read(batch[0], 5), parts.read(batch[0], 5))
        where = {"where": {"mass": {"<": 0.5}}, "exclude": ["source 0"] * n}
        assert_equal(whole.search(batch[0], 5, **where), parts.search(batch[0], 5, **where))
        assert_equal(whole.contrast(*batch[:2]), parts.contrast(*batch[:2]))
    assert_equal(whole.remove([3, 11]), parts.remove([3, 11]))
    keys = rng.standard_normal((2, 24))
    whole.replace_keys([5, 4], keys)
    parts.replace_keys([5, 4], keys)
    assert_same(whole, parts)
    whole.commit("first")
    parts.commit("first")
    assert parts.verify(every=True).problems == ()
    assert parts.stats().used == len(whole)


def a_lost_actor_is_named_and_comes_back(whole, parts, rng):
    """First with nothing to lose, then in the middle of changes."""
    ray, actors = parts._driver._workers._ray, parts._driver._workers._actors
    ray.kill(actors[1])
    query = rng.standard_normal((2, 24))
    try:
        parts.search(query, 3)
        raise AssertionError("a search went on without a shard")
    except ShardError as error:
        assert error.lost == (1,) and "shard 1" in str(error) and "nothing is lost" in str(error)
    assert_equal(whole.search(query, 3), parts.search(query, 3))
    assert_same(whole, parts)

    parts.write(*pairs(rng, 3))
    os.kill(ray.get(actors[0].__ray_call__.remote(lambda _: os.getpid())), 9)
    try:
        parts.commit("not to be")
        raise AssertionError("a commit went on without a shard")
    except ShardError as error:
        assert error.lost == (0,) and "rollback" in str(error)
    try:
        parts.search(query, 3)
        raise AssertionError("a search went on though changes were lost")
    except TornError:
        parts.rollback()
    assert_equal(whole.search(query, 3), parts.search(query, 3))
    assert [commit.message for commit in parts.history()] == ["first", "create"]


def started(num_cpus=1):
    """Ray, or None if it does not start here, which is printed."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
    os.environ["RAY_AUTH_TOKEN"] = os.urandom(32).hex()
    import ray  # reads these when it is loaded

    try:
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=STORE,
        )
    except Exception as error:
        print(f"cannot start: {type(error).__name__}: {str(error).splitlines()[0]}")
        return None
    return ray


def main(folder):
    """All of it."""
    ray = started()
    if ray is None:
        return
    try:
        rng = np.random.default_rng(0)
        whole = Memory.create(folder / "whole", CONFIG)
        parts = ShardedMemory.create(folder / "parts", CONFIG, 2)
        answers_are_those_of_one_memory(whole, parts, rng)
        a_lost_actor_is_named_and_comes_back(whole, parts, rng)
        whole.close(), parts.close(discard=True)
        with ShardedMemory.open(folder / "parts") as past, Memory.open(folder / "whole") as same:
            assert_same(same, past)
        print("done")
    finally:
        ray.shutdown()


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of merges and evictions
    main(Path(sys.argv[1]))
