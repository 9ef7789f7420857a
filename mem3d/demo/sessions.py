"""Where the demo page's visitors memorize shapes: each in a copy of the memory, or all in one run.

The run that the page was started with is never changed.
"""

import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mem3d.demo.reconstruct_view import PhotoResult
from mem3d.network.checkpoint import State
from mem3d.network.model import Mem3D
from mem3d.runs.copy import copy_run, keep_change
from mem3d.runs.folder import MEMORIZED
from mem3d.runs.memorization import memorize_photo
from memstore import Memory

MOST_COPIES = 16  # visitors' memories at once, as each takes RAM; that not written longest goes
KINDS = ("inserted", "merged", "evicted")


@dataclass(frozen=True)
class PairReport:
    """What became of a pair.

    Attributes:
        kind: "inserted", "merged" or "evicted".
        slot: where it is now.
        source: name of the shape there: the pair's own, but for a merge.
        used: slots in use.
        anew: the visitor's earlier pairs are gone, for many others came since.
    """

    kind: str
    slot: int
    source: str
    used: int
    anew: bool = False

    def __str__(self) -> str:
        text = f"The memory now holds {self.used:,} shapes."
        if self.anew:
            text += " What you remembered earlier is gone: too many visitors came since."
        if self.kind == "merged":
            return (
                f"Merged into slot {self.slot} ({self.source or 'no source'}), which holds a "
                f"similar shape: it keeps that shape, and its key moved towards this photo. {text}"
            )
        place = " in the place of the oldest pair" if self.kind == "evicted" else ""
        return f"Remembered as {self.source!r} in slot {self.slot}{place}. {text}"


class VisitorMemories:
    """Memories to write to: of one visitor each, in a temporary folder, or of one run for all."""

    def __init__(
        self,
        run: Path,
        model: Mem3D,
        memory: Memory,
        state: State,
        *,
        write: Path | None = None,
        device: str = "cpu",
    ) -> None:
        """Begin.

        Args:
            run: folder that model, memory and state were loaded from.
            model: encodes, in evaluation mode.
            memory: the run's; is copied, never written.
            state: of the checkpoint.
            write: where nothing is yet: a run made here at once, which all visitors change.
            device: where the network is.

        Raises:
            memstore.MemstoreError: there is something at `write`, or the disk refuses.
        """
        self._model, self._memory, self._device = model, memory, device
        self._lock = threading.Lock()
        self._own: dict[int, tuple[Memory, Path]] = {}  # by identity, the last written last
        self._write, self._state = write, state
        self._shared: Memory | None = None
        if write is not None:
            record = {"kind": MEMORIZED, "by": "demo", "pictures": 0, "sources": []}
            self._state = copy_run(run, write, model, memory, state, lambda _: record)
            self._shared = Memory.open(write / "memory", "r+")
        self._folder = Path(tempfile.mkdtemp(prefix="mem3d-demo-"))  # last: close() removes it

    @property
    def shared(self) -> bool:
        """Whether all visitors write to one memory, which is kept."""
        return self._shared is not None

    def memory(self, own: Memory | None) -> Memory:
        """Where a visitor recalls: in the own memory if there is one, else in everybody's."""
        memories = (own, self._shared)  # an empty one is false
        return next((memory for memory in memories if memory is not None), self._memory)

    def memorize(
        self, own: Memory | None, photo: PhotoResult, grid: NDArray[np.bool_], source: str
    ) -> tuple[Memory | None, PairReport]:
        """Write a photo and a shape as a pair.

        Args:
            own: the visitor's memory; None before the first pair.
            photo: of the pair.
            grid: (R, R, R) bool.
            source: the shape's name, 1 to 128 bytes.

        Returns:
            the visitor's own memory (None if all share one), and what became of the pair.

        Raises:
            ValueError: the grid is empty or of another resolution, the name is empty, or the
                encoder answers the photo with zeros.
            memstore.MemstoreError: the name is too long, or the disk refuses.
        """
        source = source.strip()
        if not source:
            raise ValueError("name: got none, want one for the shape")
        with self._lock:
            anew = own is not None and own.mode == "closed"
            if self._shared is None:
                own = self._copy() if own is None or anew else own
                self._own[id(own)] = self._own.pop(id(own))  # the last
            memory = self.memory(own)
            device = self._device
            report = memorize_photo(self._model, memory, photo.rgba, grid, source, device=device)
            if self._shared is not None and self._write is not None:
                self._state = keep_change(self._write, self._model, memory, self._state, [source])
            [kind] = [kind for kind in KINDS if getattr(report, kind)]
            slot = int(memory.slots[memory.ages.argmin()])  # touched last
            [there] = memory.sources_of([slot])
        return own, PairReport(kind, slot, there, report.slots_after, anew)

    def forget(self, own: Memory | None) -> None:
        """Drop the memory of a visitor who has left."""
        with self._lock:
            self._drop(id(own))

    def close(self) -> None:
        """Drop all that is temporary, and let the next writer into the run that was written."""
        with self._lock:
            for key in list(self._own):
                self._drop(key)
            if self._shared is not None:
                self._shared.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _copy(self) -> Memory:
        """A new memory for one visitor."""
        while len(self._own) >= MOST_COPIES:
            self._drop(next(iter(self._own)))
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        self._memory.copy_to(folder / "memory")
        memory = Memory.open(folder / "memory", "r+")
        self._own[id(memory)] = memory, folder
        return memory

    def _drop(self, key: int) -> None:
        """Close a visitor's memory and remove its folder, if there is one."""
        if key in self._own:
            memory, folder = self._own.pop(key)
            memory.close(discard=True)
            shutil.rmtree(folder, ignore_errors=True)
