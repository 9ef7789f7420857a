"""What `verify` has to find: the plain way, with the whole snapshot in RAM beside the state."""

import numpy as np
import pytest

from memstore.errors import MemstoreError
from memstore.storage import reader
from memstore.storage.checksums import misfits

TOGETHER = 1024  # slots whose differences are told together
NAMES = ("keys", "values", "touched", "sources")


def snapshot_problems(repository, state):
    """Problems of a repository's present snapshot, compared with a state, or None.

    Its history and its row file are left out.
    """
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader, "misfits", lambda *_: [])  # told below, not raised
            stored, ledger = repository.read(repository.snapshot)
    except MemstoreError as error:
        return [f"snapshot {repository.snapshot}: {error}"]
    unlike = "its key, value, source, columns or clock value is not what was written"
    faults = [f"slot {slot}: {unlike}" for slot in misfits(stored, ledger.checks)]
    faults += differences(state, stored) if state else []
    return [f"snapshot {repository.snapshot}: {fault}" for fault in faults]


def differences(state, stored):
    """What differs between two states, as verify tells it."""
    if not state.dirty and (state.clock, state.counts) != (stored.clock, stored.counts):
        yield "the clock or the counts in RAM differ from those on disk"
    rows = min(state.index.rows, stored.index.rows)
    for slot in range(rows, state.config.capacity):
        if state.touched[slot] != stored.touched[slot] and slot not in state.dirty:
            yield f"slot {slot}: used in RAM or on disk only"
    for start in range(0, rows, TOGETHER):
        slots = [s for s in range(start, min(start + TOGETHER, rows)) if s not in state.dirty]
        ours, theirs = (parts(which, np.array(slots, np.int64)) for which in (state, stored))
        for name in ours:
            for i, slot in enumerate(slots):
                if np.any(ours[name][i] != theirs[name][i]):
                    yield f"slot {slot}: {name} in RAM differ from those on disk"


def parts(state, slots):
    """The parts of rows by name."""
    rows = state.rows(slots)
    return {name: getattr(rows, name) for name in NAMES} | dict(rows.columns)
