"""Checksums over what a memory holds, so that a damaged one is told from a whole one.

Chunks carry a CRC each; these checks hold the parts together: a row that is whole but another
slot's, or from another commit, does not fit its check or the seal.
"""

import struct
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from memstore.config import saved_config
from memstore.slots.state import COUNTS, EMPTY, Rows, State

CHECK_BYTES = 16
NO_DELTA = -1.0  # in the seal, for null
CHECK_ROWS = 1024  # rows checked at once; bounds what lies in RAM twice


def checks(rows: Rows) -> NDArray[np.uint8]:
    """Checks (n, 16) of rows: BLAKE2b over slot, touched, source, key, value, columns by name.

    Zeros for an empty slot.

    `reads` is left out: it may change without a write, and the seal covers it.
    """
    digests = np.zeros((len(rows.slots), CHECK_BYTES), np.uint8)
    for i in np.flatnonzero(rows.touched != EMPTY).tolist():
        digest = blake2b(digest_size=CHECK_BYTES)
        digest.update(struct.pack("<qq", rows.slots[i], rows.touched[i]))
        digest.update(rows.sources[i : i + 1].tobytes())
        digest.update(rows.keys[i].astype("<f4", copy=False).tobytes())
        digest.update(rows.values[i].tobytes())
        for column in rows.columns.values():
            digest.update(column[i : i + 1].tobytes())
        digests[i] = np.frombuffer(digest.digest(), np.uint8)
    return digests


def misfits(state: State, row_checks: NDArray[np.uint8]) -> list[int]:
    """Slots whose rows, or their absence, do not fit their checks (capacity, 16)."""
    rows = state.index.rows
    wrong: list[int] = []
    for start in range(0, rows, CHECK_ROWS):
        slots = np.arange(start, min(start + CHECK_ROWS, rows))
        unequal = (checks(state.rows(slots)) != row_checks[slots]).any(axis=1)
        wrong += slots[unequal].tolist()
    beyond = rows + np.flatnonzero(row_checks[rows:].any(axis=1))
    return [*wrong, *beyond.tolist()]


def seal(
    state: State, row_checks: NDArray[np.uint8], log_rows: int, message: str, time: int
) -> str:
    """Seal (32 hex digits) of a memory: BLAKE2b over all that the chunks' checksums leave open.

    Args:
        state: of the memory.
        row_checks: (capacity, 16) checks of all slots; their XOR goes in.
        log_rows: rows in the log.
        message: of the commit.
        time: of the commit, microseconds since 1970 (UTC).
    """
    config, counts = state.config, [state.counts[name] for name in COUNTS]
    sizes = (config.capacity, config.key_dim, config.resolution)
    delta = NO_DELTA if config.delta is None else config.delta
    digest = blake2b(digest_size=CHECK_BYTES)
    digest.update(struct.pack("<3q2d", *sizes, config.beta, delta))
    digest.update(config.value_similarity.encode().ljust(8, b"\0"))
    if saved_config(config)[0] > 1:
        digest.update(config.when_full.encode().ljust(8, b"\0"))
        if config.search != "exact":
            digest.update(config.search.encode().ljust(8, b"\0"))
        for name, kind in config.columns.items():
            digest.update(f"{name}:{kind}".encode() + b"\0")
    digest.update(struct.pack("<6q", state.clock, *counts, log_rows))
    digest.update(np.bitwise_xor.reduce(row_checks, axis=0).tobytes())
    digest.update(state.reads.astype("<i8", copy=False).tobytes())
    digest.update(struct.pack("<q", time) + message.encode())
    return digest.hexdigest()
