"""ReadWriteLock: many readers or one writer, so that threads may share a memory.

An interrupt (Ctrl-C) strikes between any two steps of Python, be it before a `try` begins or after
its `finally`, and then nobody takes back what was noted down. So a note alone counts for nothing
here: somebody is in as long as the function that went in is still running, and its thread's stack
tells. What is noted of others is swept out by whoever comes across it.
"""

import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, get_ident
from types import FrameType
from typing import Any

from memstore.errors import BusyError

PATIENCE = 0.05  # seconds that one who waits sleeps at most before looking who is really in

_BUSY = "memory: this thread is in the middle of another call of it; is this a signal handler?"


class ReadWriteLock:
    """Lets many threads read at once, or one write; who waits to write goes before new readers.

    Reading may be nested. Anything else within a call of the same thread is refused: it comes from
    a signal handler, and would see, or save, half of a change.

    The `with` must stand in a plain function, which is on its thread's stack all the while: in no
    generator, and under no ExitStack.
    """

    def __init__(self) -> None:
        # Each change of these is one step of the interpreter; readers and writers first note
        # themselves down and then look for others, so of two at once one sees the other.
        self._readers: dict[int, list[_Reading]] = {}  # by thread, which alone changes its list
        self._writers: list[_Writing] = []  # in order of arrival: the first one's turn
        self._bells: deque[Any] = deque()  # locks that those who wait sleep on

    def reading(self, subject: Any = None) -> "_Reading":
        """Wait until nobody writes, and keep writers out; `with ... as` gives the subject.

        Args:
            subject: looked at; its `check_whole` is called first, and may raise.
        """
        return _Reading(self, subject)

    def writing(self, wait: bool = True, subject: Any = None) -> "_Writing":
        """Wait until nobody reads or writes, and keep all others out; `as` gives the subject.

        Args:
            wait: else raise BusyError if somebody is in.
            subject: of the change.
        """
        return _Writing(self, wait, subject)

    def begin_to_read(self, hold: "_Reading", holds: list["_Reading"]) -> None:
        """Go in after all, where another hold of this thread or a writer was noted down."""
        if any(writer.thread == hold.thread for writer in self._present_writers()):
            holds.remove(hold)
            raise BusyError(_BUSY)
        holds[:] = [other for other in holds if other.is_running()]
        if len(holds) > 1:
            if not holds[0].inside:  # this is a handler that has struck while it went in
                holds.remove(hold)
                raise BusyError(_BUSY)
            return
        while self._present_writers():
            holds.remove(hold)
            self.ring()
            self._wait_until(lambda: not self._present_writers())
            holds.append(hold)

    def begin_to_write(self, hold: "_Writing", wait: bool) -> None:
        """Go in, or raise BusyError."""
        others = [*self._present_writers(), *self._present_readers()]
        if others and (not wait or any(other.thread == hold.thread for other in others)):
            raise BusyError(_BUSY)
        self._writers.append(hold)
        if others or self._writers[0] is not hold or self._present_readers():
            self._wait_until(lambda: self._is_turn_of(hold))

    def end_to_write(self, hold: "_Writing") -> None:
        """Let the next one in."""
        self._writers.remove(hold)
        if self._bells:
            self.ring()
            time.sleep(0)  # else this thread may be in again before any other has woken up

    def ring(self) -> None:
        """Have all who wait look again."""
        with suppress(IndexError):
            while True:
                self._bells.popleft().release()

    def _is_turn_of(self, hold: "_Writing") -> bool:
        """Whether it is the first to write, and nobody reads."""
        return self._present_writers()[0] is hold and not self._present_readers()

    def _present_writers(self) -> list["_Writing"]:
        """Who writes or waits to, in order."""
        if not self._writers:
            return []
        for hold in self._writers.copy():
            if not hold.is_running():
                with suppress(ValueError):  # another thread has swept it out
                    self._writers.remove(hold)
        return self._writers.copy()

    def _present_readers(self) -> list["_Reading"]:
        """Who reads, or is about to."""
        if not self._readers:
            return []
        noted = [hold for holds in self._readers.copy().values() for hold in holds.copy()]
        return [hold for hold in noted if hold.is_running()]

    def _wait_until(self, is_free: Callable[[], bool]) -> None:
        """Sleep until it is so; whoever leaves rings, but one that was interrupted does not."""
        while not is_free():
            bell = Lock()
            bell.acquire()
            self._bells.append(bell)
            if not is_free():
                bell.acquire(timeout=PATIENCE)
            with suppress(ValueError):
                self._bells.remove(bell)


class _Hold:
    """What `with` enters: it counts while the function in which that stands is running."""

    __slots__ = ("_lock", "frame", "thread")
    frame: FrameType
    thread: int

    def is_running(self) -> bool:
        """Whether the function is on the stack of its thread."""
        frame = sys._current_frames().get(self.thread)
        while frame is not None and frame is not self.frame:
            frame = frame.f_back
        return frame is not None


class _Reading(_Hold):
    """As _Hold; plain steps, for reads are to be quick."""

    __slots__ = ("_holds", "_subject", "inside")

    def __init__(self, lock: ReadWriteLock, subject: Any) -> None:
        self._lock, self._subject = lock, subject

    def __enter__(self) -> Any:
        lock, self.inside = self._lock, False
        self.frame, self.thread = sys._getframe(1), get_ident()
        try:
            self._holds = lock._readers[self.thread]
        except KeyError:
            self._holds = lock._readers[self.thread] = []
        self._holds.append(self)
        if lock._writers or len(self._holds) > 1:
            lock.begin_to_read(self, self._holds)
        self.inside = True
        if self._subject is not None:
            self._check_subject()
        return self._subject

    def _check_subject(self) -> None:
        """Go out again if it is not to be looked at."""
        try:
            self._subject.check_whole()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *exception: object) -> None:
        self._holds.remove(self)
        if self._lock._bells:
            self._lock.ring()


class _Writing(_Hold):
    """As _Hold."""

    __slots__ = ("_subject", "_wait")

    def __init__(self, lock: ReadWriteLock, wait: bool, subject: Any) -> None:
        self._lock, self._wait, self._subject = lock, wait, subject

    def __enter__(self) -> Any:
        self.frame, self.thread = sys._getframe(1), get_ident()
        self._lock.begin_to_write(self, self._wait)
        return self._subject

    def __exit__(self, *exception: object) -> None:
        self._lock.end_to_write(self)
