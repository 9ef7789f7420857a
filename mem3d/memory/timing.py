"""How much of a training step the memory takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch


class Timer:
    """Sums up the seconds of a step's phases: `with timer("read"): ...`.

    On a GPU, from when it has done all that was asked of it before a phase until it has done, or
    been given, what the phase is for: what the phase adds to a step. The host is not kept waiting.

    Args:
        device: that trains.
        phases: their names; those that never come take 0 seconds.
    """

    def __init__(self, device: str, *phases: str) -> None:
        self._device = torch.device(device)
        self._is_gpu = self._device.type == "cuda"
        self._phases = phases
        self._spans: list[tuple[str, Any, Any]] = []

    def _now(self) -> Any:
        """Seconds; on a GPU an event that will tell when it passed."""
        if not self._is_gpu:
            return perf_counter()
        event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Time what is done within; what raises is not counted."""
        start = self._now()
        yield
        self._spans.append((phase, start, self._now()))

    @property
    def seconds(self) -> dict[str, float]:
        """By phase; waits for the device."""
        totals = dict.fromkeys(self._phases, 0.0)
        if self._is_gpu:
            torch.cuda.synchronize(self._device)
        for phase, start, end in self._spans:
            totals[phase] += start.elapsed_time(end) / 1000 if self._is_gpu else end - start
        return totals
