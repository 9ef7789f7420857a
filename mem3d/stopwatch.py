"""How much of a training step the memory takes."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mem3d.contrastive import Candidates
from mem3d.recall import Features, Grids, Recalled, WritableMemory
from mem3d.resident import ResidentMemory
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


class TimedResident:
    """A resident memory that sums up the seconds spent in it.

    On a GPU, from when it begins with a call's first kernel until it has done the last one's: what
    the call adds to a step. The host is not kept waiting for it.

    Attributes:
        seconds: by phase, as `TimedMemory`; ask once the step is over.
    """

    def __init__(self, memory: ResidentMemory, device: str) -> None:
        self._memory = memory
        self._is_gpu = torch.device(device).type == "cuda"
        self._spans: list[tuple[str, Any, Any]] = []

    def _now(self) -> Any:
        """Seconds; on a GPU an event that will tell when it passed."""
        if not self._is_gpu:
            return perf_counter()
        event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _timed(self, phase: str, call: Callable[[], T]) -> T:
        began = self._now()
        found = call()
        self._spans.append((phase, began, self._now()))
        return found

    @property
    def seconds(self) -> dict[str, float]:
        """Waits for the device."""
        spent = {"read": 0.0, "contrast": 0.0, "write": 0.0}
        if self._is_gpu:
            torch.cuda.synchronize()
        for phase, began, ended in self._spans:
            if self._is_gpu:
                spent[phase] += began.elapsed_time(ended) / 1000
            else:
                spent[phase] += ended - began
        return spent

    def recall(
        self, features: Tensor, k: int, exclude: Sequence[str | None] | None = None
    ) -> Recalled:
        """As `ResidentMemory.recall`."""
        return self._timed("read", lambda: self._memory.recall(features, k, exclude))

    def contrast_keys(self, features: Tensor, grids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `ResidentMemory.contrast_keys`."""
        return self._timed("contrast", lambda: self._memory.contrast_keys(features, grids))

    def candidates(self, features: Tensor, grids: Tensor, sources: Sequence[str]) -> Candidates:
        """As `ResidentMemory.candidates`."""
        return self._timed("contrast", lambda: self._memory.candidates(features, grids, sources))

    def remember(self, features: Tensor, grids: Tensor, sources: Sequence[str]) -> WriteReport:
        """As `ResidentMemory.remember`."""
        return self._timed("write", lambda: self._memory.remember(features, grids, sources))
