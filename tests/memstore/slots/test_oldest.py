"""The queue of oldest slots against a sort of all."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from memstore.slots import oldest
from memstore.slots.oldest import OldestFirst

SLOTS = 40
steps = st.lists(
    st.tuples(st.sampled_from(["touch", "empty", "set", "ask"]), st.integers(0, 2**32 - 1)),
    max_size=60,
)


@given(steps)
def test_it_is_a_sort_of_all(steps):
    touched, order, clock = np.full(SLOTS, -1), OldestFirst(), 0
    for kind, seed in steps:
        rng = np.random.default_rng(seed)
        slots = rng.choice(SLOTS, rng.integers(1, 9), replace=False)
        if kind == "touch":
            touched[slots] = clock + 1 + np.arange(len(slots))
            clock += len(slots)
        elif kind == "empty":
            touched[slots] = -1
        elif kind == "set":  # clock values of any kind, equal ones too
            touched[slots] = rng.integers(1, clock + 2, len(slots))
            clock += 1
            order.forget()
        count = int(rng.integers(1, 12))
        used = [slot for slot in range(SLOTS) if touched[slot] >= 0]
        want = sorted(used, key=lambda slot: (touched[slot], slot))[:count]
        assert order.first(touched, count) == want


def test_all_are_looked_at_seldom(monkeypatch):
    looks = []
    fill = OldestFirst._fill
    monkeypatch.setattr(OldestFirst, "_fill", lambda *args: looks.append(1) or fill(*args))
    touched, order = np.arange(6400), OldestFirst()
    for clock in range(6400, 6400 + 6400):
        [slot] = order.first(touched, 1)
        touched[slot] = clock
    assert len(looks) <= 2 * oldest.AHEAD
