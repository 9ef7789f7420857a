"""A memory on an object store beside the same in a folder, for as long as you like.

`python -m tests.helpers.object_oracle 500` starts a store on loopback, does 500 random operations
on both, and stops at the first difference, of one bit.
"""

import argparse
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

import memstore
from memstore import PAPER, FullError, Memory, MemstoreError
from tests.helpers.sharded_oracle import assert_equal

CHANNELS, RESOLUTION = 12, 4
COLUMNS = {"kind": str, "mass": float, "ok": bool, "view": int}
WEIGHTS = {
    **{"write": 0.3, "read": 0.1, "update": 0.08, "remove": 0.07, "replace_keys": 0.04},
    **{"commit": 0.18, "reopen": 0.04, "travel": 0.06, "rewind": 0.02, "tag": 0.03, "untag": 0.01},
    **{"expire": 0.02, "copy": 0.02, "refuse": 0.01, "verify": 0.02},
}
OF_THE_PLACE = ("disk_bytes", "snapshot")  # in stats


class Twins:
    """A memory in a folder, the same on an object store, and things to do to them."""

    def __init__(self, root, url, options, seed, **rules):
        self.rng, self.root, self.url, self.options = (
            np.random.default_rng(seed),
            root,
            url,
            options,
        )
        sizes = {"capacity": 90, "key_dim": CHANNELS, "resolution": RESOLUTION, "columns": COLUMNS}
        config = replace(PAPER, **{**sizes, "beta": 0.5, "delta": 0.9, **rules})
        self.places = [(root / "memory", {"durability": "process"}), (url, self.remote)]
        self.memories = [Memory.create(path, config, **where) for path, where in self.places]
        self.centers = self.rng.standard_normal((12, CHANNELS))
        self.shapes = self.rng.random((12, RESOLUTION, RESOLUTION, RESOLUTION)) < 0.4
        self.names, self.copies, self.messages = [], 0, 0

    @property
    def remote(self):
        """Arguments that lead to the object store."""
        return {"storage_options": self.options}

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
        used = self.memories[0].slots
        return self.rng.permutation(used)[: int(self.rng.integers(0, most + 1))]

    def both(self, call):
        """Have both do the same: the same answer, or an error of the same type."""
        outcomes = []
        for memory in self.memories:
            try:
                outcomes.append(call(memory))
            except MemstoreError as error:
                outcomes.append(type(error))
        assert_equal(*outcomes)
        return outcomes[0]

    def write(self):
        pairs = self.draw(int(self.rng.choice([0, 1, 4, 9, 40])))
        report = self.both(lambda memory: memory.write(*pairs, warn=False))
        assert report is not FullError or self.memories[0].config.when_full == "error"

    def read(self):
        features = self.draw(3)[0]
        self.both(lambda memory: memory.read(features, 4, exclude=["kind 3", None, None]))

    def update(self):
        slots = self.some_slots(4)
        _, grids, sources, columns = self.draw(len(slots))
        self.both(lambda memory: memory.update(slots, grids, columns=columns, sources=sources))

    def remove(self):
        slots = self.some_slots(3)
        self.both(lambda memory: memory.remove(slots))

    def replace_keys(self):
        slots = self.some_slots(5)
        keys = self.draw(len(slots))[0]
        self.both(lambda memory: memory.replace_keys(slots, keys))

    def commit(self):
        self.messages += 1
        before = [memory.snapshot for memory in self.memories]
        after = [memory.commit(f"commit ö {self.messages}") for memory in self.memories]
        assert (before[0] == after[0]) == (before[1] == after[1])

    def reopen(self, at=(None, None)):
        """Drop what was not committed."""
        for memory in self.memories:
            memory.close(discard=True)
        self.memories = [
            Memory.open(path, "r+", at=snapshot, **where)
            for (path, where), snapshot in zip(self.places, at, strict=True)
        ]

    def some_commit(self):
        """Ids of a commit that both have."""
        histories = [memory.history() for memory in self.memories]
        number = int(self.rng.integers(len(histories[0])))
        return [history[number].id for history in histories]

    def travel(self):
        """Look at an earlier commit or a tag, while the memories stay open."""
        tags = [*self.memories[0].tags()]
        at = self.some_commit()
        if tags and self.rng.random() < 0.5:
            at = [tags[int(self.rng.integers(len(tags)))]] * 2
        pasts = [
            Memory.open(path, at=snapshot, **({} if not i else where))
            for i, ((path, where), snapshot) in enumerate(zip(self.places, at, strict=True))
        ]
        assert_same(*pasts)
        queries = self.draw(2)[0]
        assert_equal(*[past.search(queries, 4) for past in pasts])

    def rewind(self):
        """Go on from an earlier commit, with or without a change."""
        at = self.some_commit()
        if self.rng.random() < 0.5:
            self.commit()
        self.reopen(at)
        if self.rng.random() < 0.5:
            self.write()
        self.commit()

    def tag(self):
        self.names.append(f"tag.{len(self.names)}")
        name = self.names[-1 if self.rng.random() < 0.8 else 0]  # or one that is taken, or was
        self.both(lambda memory: memory.tag(name))

    def untag(self):
        name = self.rng.choice([*self.names, "none"])
        self.both(lambda memory: memory.untag(str(name)))

    def expire(self):
        keep = int(self.rng.integers(1, 6))
        self.both(lambda memory: type(memory.expire(keep)))

    def copy(self):
        """From each place to the other."""
        self.copies += 1
        folder, url = self.root / f"copy {self.copies}", f"{self.url}-{self.copies}"
        local, remote = self.memories
        local.copy_to(url, **self.remote)
        remote.copy_to(folder)
        assert_same(Memory.open(folder), Memory.open(url, **self.remote))

    def refuse(self):
        """What both do not do."""
        at = "0" * 20
        for path, where in self.places:
            for call in (
                lambda **w: Memory.open(at=at, **w),
                lambda **w: memstore.history(at=at, **w),
            ):
                where.pop("durability", None)
                with suppress(memstore.SnapshotError):
                    call(path=path, **where)
                    raise AssertionError("opened what there never was")

    def verify(self):
        self.both(lambda memory: memory.verify(every=bool(self.rng.integers(2))).problems)

    def check(self):
        """All that they hold, in RAM and of their history."""
        assert_same(*self.memories)
        local, remote = self.memories
        ids = {a.id: b.id for a, b in zip(local.history(), remote.history(), strict=True)}
        assert [*local.tags()] == [*remote.tags()]
        for name, snapshot in local.tags().items():
            assert remote.tags()[name] == ids.get(snapshot, remote.tags()[name])
        assert ids[local.snapshot] == remote.snapshot


def assert_same(local, remote):
    """Two memories that nobody can tell apart by what they hold and how they came to it."""
    with local.frozen() as ours, remote.frozen() as theirs:
        assert_equal(ours.rows(ours.used), theirs.rows(theirs.used))
        assert ours.counts == theirs.counts and ours.clock == theirs.clock
    assert local.config == remote.config
    stats = [asdict(memory.stats()) for memory in (local, remote)]
    for facts in stats:
        for name in OF_THE_PLACE:
            del facts[name]
    assert_equal(*stats)
    messages = [[entry.message for entry in memory.history()] for memory in (local, remote)]
    assert messages[0] == messages[1]


def operations(count, seed, url, options, **rules):
    """Do random operations; how many of each kind there were."""
    counts = Counter()
    with tempfile.TemporaryDirectory() as root:
        twins = Twins(Path(root), url, options, seed, **rules)
        for number in range(count):
            name = str(twins.rng.choice([*WEIGHTS], p=[*WEIGHTS.values()]))
            if len(WEIGHTS) <= number < 2 * len(WEIGHTS):  # each at least once
                name = [*WEIGHTS][number - len(WEIGHTS)]
            getattr(twins, name)()
            twins.check()
            counts[name] += 1
        twins.commit()
        assert twins.both(lambda memory: memory.verify(every=True).problems) == ()
        twins.reopen()
        twins.check()
        for memory in twins.memories:
            memory.close()
    return counts


def main():
    """Print the counts."""
    from datetime import timedelta

    from memstore.storage.objects import repository
    from tests.helpers.object_server import BUCKET, ObjectServer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operations", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    repository.GRACE = timedelta(0)  # so that an expiry deletes what a commit has just left
    server = ObjectServer()
    for number, rules in enumerate(({}, {"delta": None, "when_full": "error"})):
        url = f"s3://{BUCKET}/oracle-{number}"
        print(
            rules, dict(operations(args.operations // 2, args.seed, url, server.options, **rules))
        )
    print(f"{len(server.requests):,} requests")


if __name__ == "__main__":
    main()
