"""A memory in one piece beside the same in 2 and 3 shards, for as long as you like.

`python -m tests.helpers.sharded_oracle 10000` does 10,000 random operations, asks the shards in a
random order, kills some, and stops at the first difference, of one bit.
"""

import argparse
import tempfile
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from memstore import PAPER, FullError, Memory, ShardError, TornError
from memstore.sharded import ShardedMemory
from memstore.sharded.workers import LocalWorkers, LostShard, answers

CHANNELS, RESOLUTION = 24, 4
COLUMNS = {"kind": str, "mass": float, "ok": bool, "view": int}
WEIGHTS = {
    **{"write": 0.34, "read": 0.20, "search": 0.15, "contrast": 0.12, "remove": 0.05},
    **{"replace_keys": 0.03, "commit": 0.025, "reopen": 0.01, "travel": 0.008, "rewind": 0.002},
    **{"kill": 0.008, "stats": 0.007, "update": 0.03, "tag": 0.01, "refresh": 0.01},
}
OF_COSTS = ("key_bytes", "value_bytes", "bookkeeping_bytes", "disk_bytes", "snapshot")


class FakeWorkers(LocalWorkers):
    """Shards in this process that finish in any order, and die when told."""

    def __init__(self, shards, seed=0):
        super().__init__(shards)
        self.rng, self.dying = np.random.default_rng(seed), {}

    def ask(self, requests):
        """As Workers, in a random order, mostly the reverse."""
        order = [*range(len(requests))][::-1]
        if self.rng.random() < 0.3:
            self.rng.shuffle(order)
        outcomes = {i: self._call(requests[i]) for i in order}
        return answers(requests, [outcomes[i] for i in range(len(requests))])

    def kill(self, shard, method=None, after=False):
        """Have a worker die now, or in its next call of a method, before or after it acts."""
        if method is None:
            self._shards.pop(shard).close()
        else:
            self.dying[shard] = method, after

    def _call(self, request):
        """As LocalWorkers."""
        method, after = self.dying.get(request.shard, ("", False))
        if method == request.method:
            del self.dying[request.shard]
            if after:
                super()._call(request)
            self.kill(request.shard)
            return LostShard("killed")
        return super()._call(request)


class Trio:
    """A memory, the same in 2 and in 3 shards, and things to do to them."""

    def __init__(self, root, seed, **rules):
        self.rng, self.root, self.seed = np.random.default_rng(seed), Path(root), seed
        sizes = {"capacity": 41, "key_dim": CHANNELS, "resolution": RESOLUTION, "columns": COLUMNS}
        config = replace(PAPER, **{**sizes, "beta": 0.5, "delta": 0.9, **rules})
        self.whole = Memory.create(self.root / "whole", config, "process")
        self.parts = [
            ShardedMemory.create(
                self.root / str(n), config, n, "process", workers=lambda n: FakeWorkers(n, seed)
            )
            for n in (2, 3)
        ]
        self.written = Counter()  # pairs by kind, those that were dropped again too
        self.commits = [[memory.snapshot for memory in (self.whole, *self.parts)]]
        self.centers = self.rng.standard_normal((12, CHANNELS))
        self.shapes = self.rng.random((12, RESOLUTION, RESOLUTION, RESOLUTION)) < 0.4

    def draw(self, n):
        """Features, grids, sources and columns."""
        kinds = self.rng.integers(0, 12, n)
        noise = self.rng.choice([0, 1e-7, 0.1, 1.0], (n, 1))
        features = self.centers[kinds] + noise * self.rng.standard_normal((n, CHANNELS))
        spoiled = self.rng.choice([0, 0.05, 0.4], (n, 1, 1, 1))
        grids = self.shapes[kinds] ^ (self.rng.random((n, *self.shapes.shape[1:])) < spoiled)
        columns = {
            "kind": [f"ö{kind % 5}" for kind in kinds.tolist()],
            "mass": (kinds / 7).tolist(),
            "ok": (kinds % 2 == 0).tolist(),
            "view": (-kinds).tolist(),
        }
        return features, grids, [f"kind {kind}" for kind in kinds.tolist()], columns

    def some_slots(self, most):
        """Used slots, in any order."""
        used = self.whole.slots
        return self.rng.permutation(used)[: int(self.rng.integers(0, most + 1))]

    def both(self, call):
        """Have all do the same: the same answer, or the same error."""
        outcomes = []
        for memory in (self.whole, *self.parts):
            try:
                outcomes.append(call(memory))
            except (ValueError, TypeError, LookupError, FullError) as error:
                outcomes.append(error)
        for other in outcomes[1:]:
            assert_equal(outcomes[0], other)
        return outcomes[0]

    def write(self):
        pairs = self.draw(int(self.rng.choice([0, 1, 4, 9, 30])))
        report = self.both(lambda memory: memory.write(*pairs))
        if not isinstance(report, FullError):
            self.written.update(report.counts)

    def options(self, n):
        """What a search may be told besides."""
        options = {}
        if self.rng.random() < 0.4:
            options["exclude"] = [
                f"kind {self.rng.integers(12)}" if i % 2 else None for i in range(n)
            ]
        if self.rng.random() < 0.3:
            wheres = (
                {"kind": ["ö1", "ö2"]},
                {"mass": {"<": 1.0}},
                {"ok": True, "view": {">=": -8}},
            )
            options["where"] = wheres[self.rng.integers(3)]
        if self.rng.random() < 0.3:
            options["slots"] = self.some_slots(20)
        return options

    def read(self):
        n, k = int(self.rng.integers(0, 5)), int(self.rng.choice([1, 3, 8, 50]))
        features, options = self.draw(n)[0], self.options(n)
        beta = self.rng.choice([-1, 0.2, None])
        self.both(lambda memory: memory.read(features, k, beta, **options))

    def search(self):
        n, k = int(self.rng.integers(0, 5)), int(self.rng.choice([1, 3, 8, 50]))
        features, options = self.draw(n)[0], self.options(n)
        self.both(lambda memory: memory.search(features, k, **options))
        self.both(lambda memory: memory.find("kind 3", where=options.get("where")))

    def contrast(self):
        features, grids = self.draw(3)[:2]
        self.both(lambda memory: memory.contrast(features, grids))

    def remove(self):
        if self.rng.random() < 0.3:
            source = f"kind {self.rng.integers(12)}"
            self.both(lambda memory: memory.remove(source=source))
        else:
            slots = self.some_slots(3)
            self.both(lambda memory: memory.remove(slots))

    def replace_keys(self):
        slots = self.some_slots(5)
        keys = self.draw(len(slots))[0]
        self.both(lambda memory: memory.replace_keys(slots, keys))

    def update(self):
        slots = self.some_slots(5)
        _, grids, sources, columns = self.draw(len(slots))
        given = {
            "values": grids,
            "sources": sources,
            "columns": {name: columns[name] for name in ("kind", "ok")},
        }
        names = [name for name in given if self.rng.random() < 0.6]
        self.both(lambda memory: memory.update(slots, **{name: given[name] for name in names}))

    def tag(self):
        """Name the commit, or take a name away; either may not be possible."""
        name = f"tag-{self.rng.integers(6)}"
        if name in self.whole.tags():
            self.both(lambda memory: memory.untag(name))
        else:
            self.both(lambda memory: memory.tag(name))  # once taken away, it is refused
        self.both(lambda memory: [*memory.tags()])

    def refresh(self):
        """Readers see a commit once they are refreshed, not before."""
        readers = [Memory.open(self.root / "whole")]
        readers += [ShardedMemory.open(self.root / str(n), workers="local") for n in (2, 3)]
        features = self.draw(2)[0]
        self.write()
        self.commit()
        for step in ("before", "after"):
            whole, *parts = [reader.read(features, 4) for reader in readers]
            for reader, part in zip(readers[1:], parts, strict=True):
                assert_equal(whole, part)
                assert_same(readers[0], reader)
            if step == "before":
                assert len({reader.refresh() for reader in readers}) == 1
                assert not any(reader.refresh() for reader in readers)
        assert_equal(self.whole.ages, readers[1].ages)
        for reader in readers:
            reader.close()

    def commit(self):
        before = self.commits[-1]
        ids = [memory.commit("commit") for memory in (self.whole, *self.parts)]
        same = [a == b for a, b in zip(ids, before, strict=True)]
        assert len(set(same)) == 1
        if not same[0]:
            self.commits.append(ids)
        self.both(lambda memory: [commit.message for commit in memory.history()])

    def reopen(self, at=None):
        """Drop what was not committed."""
        for memory in (self.whole, *self.parts):
            memory.close(discard=True)
        ids = (None, None, None) if at is None else at
        self.whole = Memory.open(self.root / "whole", "r+", ids[0], "process")
        seed = int(self.rng.integers(99))
        self.parts = [
            ShardedMemory.open(
                self.root / str(n), "r+", ids[i], "process", workers=lambda n: FakeWorkers(n, seed)
            )
            for i, n in enumerate((2, 3), 1)
        ]

    def travel(self):
        """Look at an earlier commit, while the memories stay open."""
        at = self.commits[self.rng.integers(len(self.commits))]
        features = self.draw(2)[0]
        pasts = [
            ShardedMemory.open(self.root / str(n), at=at[i], workers="local")
            for i, n in enumerate((2, 3), 1)
        ]
        with Memory.open(self.root / "whole", at=at[0]) as whole:
            for past in pasts:
                assert_same(whole, past)
            priors = whole.read(features, 4)
            for past in pasts:
                assert_equal(priors, past.read(features, 4))
                past.close()

    def rewind(self):
        """Go on from an earlier commit; the next commit makes it the last."""
        at = self.commits[self.rng.integers(len(self.commits))]
        self.reopen(at)
        self.commits.append(at)
        self.commit()

    def kill(self):
        """A worker dies, before a call or in its midst: nobody gives a partial answer."""
        method = self.rng.choice(["", "search", "recall", "propose", "apply", "commit"])
        after = bool(self.rng.integers(2))
        for part in self.parts:
            shard = int(self.rng.integers(part.shards))
            part._driver._workers.kill(shard, method or None, after)
        had_changes = [part._driver.is_dirty for part in self.parts]
        features, grids, sources, columns = self.draw(12)
        for part, was_dirty in zip(self.parts, had_changes, strict=True):
            try:
                part.read(features, 3, -1)
                part.write(features, grids, sources, columns)
                part.commit("not to be")
            except ShardError as error:
                assert error.lost and str(error).startswith(f"shard {error.lost[0]}: ")
                if was_dirty or "nothing is lost" not in str(error):
                    for call in (
                        lambda part=part: part.read(features),
                        lambda part=part: part.commit(""),
                    ):
                        with pytest.raises(TornError, match="rollback"):
                            call()
            except FullError:
                pass
            part._driver._workers.dying.clear()
        self.reopen(self.commits[-1])  # all at one point again, reads included
        self.both(lambda memory: memory.commit("") and None)

    def stats(self):
        self.both(
            lambda memory: {k: v for k, v in asdict(memory.stats()).items() if k not in OF_COSTS}
        )

    def check(self):
        """All that they hold."""
        for part in self.parts:
            assert_same(self.whole, part)

    def close(self):
        for memory in (self.whole, *self.parts):
            memory.close(discard=True)


def assert_same(whole, part):
    """A memory in one piece and one in shards that nobody can tell apart."""
    with whole.frozen() as state:
        expected = state.rows(state.used)
        assert state.counts == part._driver.counts
    assert whole.clock == part.clock and whole.config == part.config
    assert len(whole) == len(part)
    assert_equal(whole.slots, part.slots)
    assert_equal(whole.ages, part.ages)
    assert_equal(expected, part._gathered(part.slots))


def assert_equal(ours, theirs):
    """Bit for bit, types too; errors by type and words."""
    assert type(ours) is type(theirs), (ours, theirs)
    if isinstance(ours, tuple | list):
        assert len(ours) == len(theirs)
        for mine, its in zip(ours, theirs, strict=True):
            assert_equal(mine, its)
    elif isinstance(ours, dict):
        assert [*ours] == [*theirs]
        assert_equal([*ours.values()], [*theirs.values()])
    elif isinstance(ours, np.ndarray):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    elif isinstance(ours, Exception):
        assert str(ours) == str(theirs)
    else:
        assert ours == theirs or (ours != ours and theirs != theirs)


def operations(count, seed, every=1, **rules):
    """Do random operations; how many of each kind of operation and of write there were.

    Args:
        count: of operations.
        seed: of all that is random.
        every: of so many operations all rows are compared after one.
        rules: fields of the config.
    """
    counts = Counter()
    with tempfile.TemporaryDirectory() as root:
        trio = Trio(root, seed, **rules)
        for number in range(count):
            name = str(trio.rng.choice([*WEIGHTS], p=[*WEIGHTS.values()]))
            if len(WEIGHTS) <= number < 2 * len(WEIGHTS):  # each at least once
                name = [*WEIGHTS][number - len(WEIGHTS)]
            getattr(trio, name)()
            if number % every == 0:
                trio.check()
            counts[name] += 1
        trio.check()
        for part in trio.parts:
            assert part.verify().problems == ()
        counts.update({f"pairs: {kind}": n for kind, n in trio.written.items()})
        trio.close()
    return counts


RULES = (
    {"value_similarity": "mse"},
    {"value_similarity": "iou", "delta": 0.8},
    {"delta": None, "when_full": "error"},
)


def main():
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operations", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for rules in RULES:
        print(rules, dict(operations(args.operations // len(RULES) + 1, args.seed, **rules)))


if __name__ == "__main__":
    main()
