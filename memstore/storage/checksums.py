"""Checksums over what a memory holds, so that a damaged one is told from a whole one.

Chunks carry a CRC each; these checks hold the parts together: a row that is whole but another
slot's, or from another commit, does not fit its check or the seal.
"""

import math
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from memstore.config import MemoryConfig, saved_config
from memstore.slots.state import COUNTS, EMPTY, Rows, State, as_bytes
from memstore.storage.fold import Window

CHECK_BYTES = 16
NO_DELTA = -1.0  # in the seal, for null
CHECK_ROWS = 512  # rows checked at once
THREADS = os.cpu_count() or 1  # that check rows; Python's lock is free while a key is hashed


def checks(rows: Rows) -> NDArray[np.uint8]:
    """Checks (n, 16) of rows: BLAKE2b over slot, touched, source, key, value, columns by name.

    Zeros for an empty slot.

    `reads` is left out: it may change without a write, and the seal covers it.
    """
    n = len(rows.slots)
    digests = np.zeros((n, CHECK_BYTES), np.uint8)
    keys = rows.keys.astype("<f4", copy=False)
    values = rows.values.reshape(n, math.prod(rows.values.shape[1:]))
    texts = [as_bytes(rows.sources), *map(as_bytes, rows.columns.values())]
    for i in np.flatnonzero(rows.touched != EMPTY).tolist():
        digest = blake2b(digest_size=CHECK_BYTES)
        digest.update(struct.pack("<qq", rows.slots[i], rows.touched[i]))
        digest.update(texts[0][i])
        digest.update(keys[i])
        digest.update(values[i])
        for column in texts[1:]:
            digest.update(column[i : i + 1].tobytes())
        digests[i] = np.frombuffer(digest.digest(), np.uint8)
    return digests


def unfit(rows: Rows, row_checks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(n,) rows, or their absence, that do not fit their checks (n, 16)."""

    def unfit_in(start: int) -> NDArray[np.bool_]:
        part = slice(start, start + CHECK_ROWS)
        unequal: NDArray[np.bool_] = (checks(rows.part(part)) != row_checks[part]).any(axis=1)
        return unequal

    starts = range(0, len(rows.slots) or 1, CHECK_ROWS)
    with ThreadPoolExecutor(max(1, min(THREADS, len(starts)))) as pool:
        return np.concatenate(list(pool.map(unfit_in, starts)))


def misfits(state: State, row_checks: NDArray[np.uint8]) -> list[int]:
    """Slots whose rows, or their absence, do not fit their checks (capacity, 16)."""
    rows = state.index.rows
    wrong = np.flatnonzero(unfit(state.rows(slice(0, rows)), row_checks[:rows]))
    beyond = rows + np.flatnonzero(row_checks[rows:].any(axis=1))
    return [*wrong.tolist(), *beyond.tolist()]


def joined(row_checks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """XOR (16,) of the checks (n, 16) of some slots."""
    joint: NDArray[np.uint8] = np.bitwise_xor.reduce(row_checks, axis=0)
    return joint


class Counted(Protocol):
    """What the seal has of a memory: a State, or what was read of one."""

    config: MemoryConfig
    clock: int
    counts: dict[str, int]
    reads: NDArray[np.int64]


def seal(state: Counted, joint: NDArray[np.uint8], log: Window, message: str, time: int) -> str:
    """Seal (32 hex digits) of a memory: BLAKE2b over all that the chunks' checksums leave open.

    Args:
        state: of the memory.
        joint: (16,) XOR of the checks of all slots.
        log: rows of it that count.
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
    digest.update(struct.pack("<6q", state.clock, *counts, log.rows))
    if log.has_moved:
        digest.update(struct.pack("<3q", log.first, log.folding, log.folded))
    digest.update(joint.tobytes())
    digest.update(state.reads.astype("<i8", copy=False).tobytes())
    digest.update(struct.pack("<q", time) + message.encode())
    return digest.hexdigest()
