"""NaiveMemory: memstore's contract in the dullest code we can write, one slot at a time."""

import numpy as np


def unit(feature):
    wide = feature.astype(np.float64)
    if np.abs(wide).max() > 1e100:
        wide = wide * 2.0**-900  # exact; the squares would overflow
    elif np.abs(wide).max() < 1e-100:
        wide = wide * 2.0**900
    return (wide / np.sqrt((wide * wide).sum())).astype(np.float32)


def cosine(a, b):
    rounded = np.float32((a.astype(np.float64) * b.astype(np.float64)).sum())
    return max(-1.0, min(1.0, float(rounded)))


def value_similarity(a, b, kind):
    if kind == "mse":
        return int((a == b).sum()) / a.size
    joint = int((a | b).sum())
    return int((a & b).sum()) / joint if joint else 1.0


class NaiveMemory:
    """Slots are a list of None (empty) or dicts with key, value, age and source."""

    def __init__(self, config):
        self.config = config
        self.slots = [None] * config.capacity
        self.clock = 0

    def used(self):
        return [s for s, entry in enumerate(self.slots) if entry is not None]

    def ranked(self, feature):
        """(cosine, slot) of used slots, most similar first, equal cosines by lowest slot."""
        query = unit(feature)
        pairs = [(cosine(query, self.slots[s]["key"]), s) for s in self.used()]
        return sorted(pairs, key=lambda pair: (-pair[0], pair[1]))

    def similarity(self, grid, slot):
        return value_similarity(grid, self.slots[slot]["value"], self.config.value_similarity)

    def products(self, units, grids):
        """Cosines and value similarities of pairs and rows, then those among the pairs."""
        kind, rows = self.config.value_similarity, max(self.used(), default=-1) + 1
        cosines, similarities = np.full((2, len(units), rows), -np.inf)
        for b, (key, grid) in enumerate(zip(units, grids, strict=True)):
            for slot in self.used():
                cosines[b, slot] = cosine(key, self.slots[slot]["key"])
                similarities[b, slot] = self.similarity(grid, slot)
        own_cosines = np.array([[cosine(a, b) for b in units] for a in units])
        return (
            *(cosines, similarities, own_cosines),
            np.array([[value_similarity(a, b, kind) for b in grids] for a in grids]),
        )

    def write(self, feature, grid, source=""):
        """Write one pair; gives slot, kind and value similarity."""
        ranked = self.ranked(feature)
        nearest = ranked[0][1] if ranked else None
        similarity = self.similarity(grid, nearest) if ranked else float("nan")
        if ranked and similarity >= self.config.delta:
            slot, kind, entry = nearest, "merge", dict(self.slots[nearest])
            total = unit(feature).astype(np.float64) + entry["key"].astype(np.float64)
            entry["key"] = unit(total) if total.any() else unit(feature)
        else:
            entry = {"key": unit(feature), "value": grid, "source": source, "reads": 0}
            if None in self.slots:
                slot, kind = self.slots.index(None), "insert"
            else:
                ages = [other["age"] for other in self.slots]
                slot, kind = ages.index(max(ages)), "evict"
        for s in self.used():
            self.slots[s] = {**self.slots[s], "age": self.slots[s]["age"] + 1}
        self.slots[slot] = {**entry, "age": 0}
        self.clock += 1
        return slot, kind, similarity

    def remove(self, slots):
        for slot in slots:
            self.slots[slot] = None

    def replace_keys(self, slots, features):
        for slot, feature in zip(slots, features, strict=True):
            self.slots[slot]["key"] = unit(feature)

    def search(self, feature, k):
        """(cosine, slot) of the k best."""
        return self.ranked(feature)[:k]

    def read(self, feature, k, beta=None, exclude=None):
        """(cosine, slot) of the k best above beta that are not from the excluded source."""
        beta = np.float32(self.config.beta if beta is None else beta)
        pairs = [(c, s) for c, s in self.ranked(feature) if np.float32(c) > beta]
        hits = [(c, s) for c, s in pairs if self.slots[s]["source"] != exclude][:k]
        for _, slot in hits:
            self.slots[slot]["reads"] += 1
        return hits

    def contrast(self, feature, grid):
        """Nearest slot with a similar value and nearest without; -1 where there is none."""
        positive = negative = -1
        for _, slot in reversed(self.ranked(feature)):
            if self.similarity(grid, slot) >= self.config.delta:
                positive = slot
            else:
                negative = slot
        return positive, negative


def assert_found(slots, cosines, expected):
    """One row of an answer: the expected (cosine, slot) pairs, then padding."""
    padding = len(slots) - len(expected)
    assert slots.tolist() == [slot for _, slot in expected] + [-1] * padding
    assert cosines.tolist() == [cosine for cosine, _ in expected] + [-np.inf] * padding
