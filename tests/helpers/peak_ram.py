"""How much RAM a call takes at its peak, by the system's own count.

Not by `tracemalloc`: where other threads allocate, as Icechunk's do, stopping it crashes Python up
to 3.12.8 (https://github.com/python/cpython/issues/128679).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def at_most(limit: float) -> Iterator[None]:
    """Fail if the block takes so many bytes at once beside what the process had before."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    before = _kilobytes("VmRSS")
    yield
    extra = 1024 * (_kilobytes("VmHWM") - before)
    assert extra < limit, f"took {extra:,} bytes, want less than {limit:,.0f}"


def _kilobytes(entry: str) -> int:
    """An entry of the process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry))


def held() -> int:
    """Bytes of RAM of the process alone: not what it has mapped of files and left unchanged."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
