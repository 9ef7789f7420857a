"""ReadWriteLock: many readers or one writer, so that threads may share a memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, get_ident, local

from memstore.errors import BusyError

_BUSY = "memory: this thread is in the middle of another call of it; is this a signal handler?"


class ReadWriteLock:
    """Lets many threads read at once, or one write; who waits to write goes before new readers.

    Reading may be nested. Anything else within a call of the same thread is refused: it comes from
    a signal handler, and would see, or save, half of a change.
    """

    def __init__(self) -> None:
        # Sets of threads, not counts: an interrupt between two steps cannot make them wrong.
        self._change = Condition()
        self._readers: set[int] = set()
        self._waiting: set[int] = set()
        self._writer: int | None = None
        self._thread = local()  # what this thread is in: depth of reads, or a write
        self._reading = _Reading(self)

    def reading(self) -> "_Reading":
        """Wait until nobody writes, and keep writers out."""
        return self._reading

    def enter(self) -> None:
        """Begin to read."""
        thread, me = self._thread, get_ident()
        if getattr(thread, "writes", False):
            raise BusyError(_BUSY)
        if depth := getattr(thread, "depth", 0):
            thread.depth = depth + 1
            return
        thread.depth = 1
        try:
            with self._change:
                while self._writer is not None or self._waiting:
                    self._change.wait()
                self._readers.add(me)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """End reading."""
        self._thread.depth -= 1
        if not self._thread.depth:
            with self._change:
                self._readers.discard(get_ident())
                if self._waiting:
                    self._change.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Wait until nobody reads or writes, and keep all others out."""
        thread, me = self._thread, get_ident()
        if getattr(thread, "writes", False) or getattr(thread, "depth", 0):
            raise BusyError(_BUSY)
        thread.writes = True
        try:
            with self._change:
                self._waiting.add(me)
                while self._readers or self._writer is not None:
                    self._change.wait()
                self._waiting.discard(me)
                self._writer = me
            yield
        finally:
            with self._change:
                self._waiting.discard(me)
                if self._writer == me:
                    self._writer = None
                self._change.notify_all()
            thread.writes = False


class _Reading:
    """What `with lock.reading()` enters: a plain class, for reads are to be quick."""

    def __init__(self, lock: ReadWriteLock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.enter()

    def __exit__(self, *exception: object) -> None:
        self._lock.leave()
