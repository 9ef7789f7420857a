"""How much of a training step the memory takes."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mem3d.recall import Features, Grids, WritableMemory
from memstore import Contrast, Hits, MemoryConfig, Priors, WriteReport

T = TypeVar("T")


class TimedMemory:
    """A memory that sums up the seconds spent in it.

    It works on the CPU, on arrays that are already there: a GPU need not be waited for to time it.

    Attributes:
        seconds: by phase, "read", "contrast" and "write".
    """

    def __init__(self, memory: WritableMemory) -> None:
        self._memory = memory
        self.seconds = {"read": 0.0, "contrast": 0.0, "write": 0.0}

    def _timed(self, phase: str, call: Callable[[], T]) -> T:
        began = perf_counter()
        found = call()
        self.seconds[phase] += perf_counter() - began
        return found

    @property
    def config(self) -> MemoryConfig:
        """As `memstore.Memory.config`."""
        return self._memory.config

    @property
    def slots(self) -> NDArray[np.int64]:
        """As `memstore.Memory.slots`."""
        return self._timed("contrast", lambda: self._memory.slots)

    @property
    def sources(self) -> list[str]:
        """As `memstore.Memory.sources`."""
        return self._timed("contrast", lambda: self._memory.sources)

    def read(
        self,
        features: Features,
        k: int,
        beta: float | None = None,
        exclude: Sequence[str | None] | None = None,
    ) -> Priors:
        """As `memstore.Memory.read`."""
        return self._timed("read", lambda: self._memory.read(features, k, beta, exclude))

    def search(self, features: Features, k: int) -> Hits:
        """As `memstore.Memory.search`; training searches for what to contrast with."""
        return self._timed("contrast", lambda: self._memory.search(features, k))

    def contrast(self, features: Features, grids: Grids) -> Contrast:
        """As `memstore.Memory.contrast`."""
        return self._timed("contrast", lambda: self._memory.contrast(features, grids))

    def keys(self, slots: NDArray[np.int64]) -> Features:
        """As `memstore.Memory.keys`."""
        return self._timed("contrast", lambda: self._memory.keys(slots))

    def values(self, slots: NDArray[np.int64]) -> Grids:
        """As `memstore.Memory.values`."""
        return self._timed("contrast", lambda: self._memory.values(slots))

    def write(
        self, features: Features, grids: Grids, sources: Sequence[str] | None = None
    ) -> WriteReport:
        """As `memstore.Memory.write`."""
        return self._timed("write", lambda: self._memory.write(features, grids, sources))
