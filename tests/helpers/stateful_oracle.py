"""A memory on disk beside the oracle, for as long as you like.

`python -m tests.helpers.stateful_oracle 10000` does 10,000 random operations and stops at the first
difference.
"""

import argparse
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from memstore import PAPER, Memory
from tests.helpers.naive_memory import NaiveMemory, assert_found

CHANNELS, RESOLUTION = 24, 4
WEIGHTS = {"write": 0.5, "read": 0.2, "contrast": 0.15, "remove": 0.05, "commit": 0.1}


class Pair:
    """A memory and its oracle, and pairs to give them: clustered keys, values of few kinds."""

    def __init__(self, path, seed, similarity):
        self.rng, self.path = np.random.default_rng(seed), path
        rules = {"beta": 0.6, "delta": 0.9, "value_similarity": similarity}
        config = replace(PAPER, capacity=40, key_dim=CHANNELS, resolution=RESOLUTION, **rules)
        self.memory, self.oracle = Memory.create(path, config), NaiveMemory(config)
        self.centers = self.rng.standard_normal((12, CHANNELS))
        self.shapes = self.rng.random((12, RESOLUTION, RESOLUTION, RESOLUTION)) < 0.4

    def draw(self, n):
        """Features, grids and sources."""
        kinds = self.rng.integers(0, 12, n)
        noise = self.rng.choice([0, 1e-7, 0.1, 1.0], (n, 1))
        features = self.centers[kinds] + noise * self.rng.standard_normal((n, CHANNELS))
        spoiled = self.rng.choice([0, 0.05, 0.4], (n, 1, 1, 1))
        grids = self.shapes[kinds] ^ (self.rng.random((n, *self.shapes.shape[1:])) < spoiled)
        return features, grids, [f"kind {kind}" for kind in kinds.tolist()]

    def write(self):
        pairs = self.draw(int(self.rng.integers(1, 9)))
        report = self.memory.write(*pairs)
        expected = [self.oracle.write(*pair) for pair in zip(*pairs, strict=True)]
        rows = zip(report.slots, report.kinds, report.value_similarities, strict=True)
        np.testing.assert_array_equal([*map(str, rows)], [*map(str, map(_numpy, expected))])

    def read(self):
        features, _, sources = self.draw(3)
        priors = self.memory.read(features, 5, exclude=sources)
        for b, (feature, source) in enumerate(zip(features, sources, strict=True)):
            assert_found(
                priors.slots[b], priors.cosines[b], self.oracle.read(feature, 5, exclude=source)
            )

    def contrast(self):
        features, grids, _ = self.draw(3)
        pairs = self.memory.contrast(features, grids)
        expected = [self.oracle.contrast(*pair) for pair in zip(features, grids, strict=True)]
        assert [*zip(pairs.positive, pairs.negative, strict=True)] == expected

    def remove(self):
        used = self.oracle.used()
        slots = self.rng.choice(used, min(2, len(used)), replace=False).tolist()
        self.memory.remove(slots)
        self.oracle.remove(slots)

    def commit(self):
        """Commit, and mostly open again."""
        before = self.memory.snapshot
        changed = self.memory.commit("commit") != before
        if self.rng.random() < 0.5:
            self.memory.expire(3)
        if changed and self.rng.random() < 0.5:  # reads alone are not saved
            self.memory.close(discard=True)
            self.memory = Memory.open(self.path, "r+")

    def check(self):
        """All that both hold."""
        used = self.oracle.used()
        entries = [self.oracle.slots[slot] for slot in used]
        assert self.memory.slots.tolist() == used
        assert self.memory.ages.tolist() == [entry["age"] for entry in entries]
        assert self.memory.sources == [entry["source"] for entry in entries]
        assert self.memory.reads.tolist() == [entry["reads"] for entry in entries]
        for name in ("key", "value"):
            rows = getattr(self.memory, f"{name}s")(used)
            expected = np.array([entry[name] for entry in entries]).reshape(rows.shape)
            np.testing.assert_array_equal(rows, expected)


def _numpy(expected):
    """The oracle's answer with the types of the memory's."""
    slot, kind, similarity = expected
    return np.int64(slot), np.str_(kind), np.float64(similarity)


def operations(count, seed, similarity="mse"):
    """Do random operations; how many of each kind of operation and of write there were."""
    counts = Counter()
    with tempfile.TemporaryDirectory() as root:
        pair = Pair(Path(root) / "memory", seed, similarity)
        for _ in range(count):
            name = str(pair.rng.choice([*WEIGHTS], p=[*WEIGHTS.values()]))
            getattr(pair, name)()
            pair.check()
            counts[name] += 1
        counts.update({f"pairs: {kind}": n for kind, n in pair.memory._state.counts.items()})
        pair.memory.close(discard=True)
    return counts


def main():
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operations", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for similarity in ("mse", "iou"):
        print(similarity, dict(operations(args.operations // 2, args.seed, similarity)))


if __name__ == "__main__":
    main()
