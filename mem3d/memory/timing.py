"""How much of a training step the memory takes."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, TypeVar

import torch
from torch import Tensor

from mem3d.memory.host import StepMemory
from mem3d.memory.interface import Recalled
from memstore import WriteReport

T = TypeVar("T")


class TimedMemory:
    """A memory that sums up the seconds spent in it.

    On a GPU, from when it has done all that was asked of it before a call until it has done, or
    been given, what the call is for: what the call adds to a step. The host is not kept waiting.

    Args:
        memory: to ask.
        device: that trains.
    """

    def __init__(self, memory: StepMemory, device: str) -> None:
        self._memory = memory
        self._device = torch.device(device)
        self._is_gpu = self._device.type == "cuda"
        self._spans: list[tuple[str, Any, Any]] = []

    def _now(self) -> Any:
        """Seconds; on a GPU an event that will tell when it passed."""
        if not self._is_gpu:
            return perf_counter()
        event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _timed(self, phase: str, call: Callable[[], T]) -> T:
        began = self._now()
        found = call()
        self._spans.append((phase, began, self._now()))
        return found

    @property
    def seconds(self) -> dict[str, float]:
        """By phase, "read", "contrast" and "write"; waits for the device."""
        spent = {"read": 0.0, "contrast": 0.0, "write": 0.0}
        if self._is_gpu:
            torch.cuda.synchronize(self._device)
        for phase, began, ended in self._spans:
            if self._is_gpu:
                spent[phase] += began.elapsed_time(ended) / 1000
            else:
                spent[phase] += ended - began
        return spent

    def recall(
        self, features: Tensor, k: int, exclude: Sequence[str | None] | None = None
    ) -> Recalled:
        """As `StepMemory.recall`."""
        return self._timed("read", lambda: self._memory.recall(features, k, exclude))

    def contrast_keys(self, features: Tensor, grids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `StepMemory.contrast_keys`."""
        return self._timed("contrast", lambda: self._memory.contrast_keys(features, grids))

    def remember(self, features: Tensor, grids: Tensor, sources: Sequence[str]) -> WriteReport:
        """As `StepMemory.remember`."""
        return self._timed("write", lambda: self._memory.remember(features, grids, sources))
