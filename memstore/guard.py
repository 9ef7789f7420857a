"""Guard: many readers or one writer, so that threads may share a memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Guard:
    """Lets many threads read at once, or one write.

    Reading may be nested, also in writing; who writes within reading waits for itself.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._readers = 0
        self._reading = _Reading(self)

    def reading(self) -> "_Reading":
        """Wait until nobody writes, and keep writers out."""
        return self._reading

    def enter(self) -> None:
        """Begin to read."""
        with self._changed:
            self._readers += 1

    def leave(self) -> None:
        """End reading."""
        with self._changed:
            self._readers -= 1
            if not self._readers:
                self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Wait until nobody reads or writes, and keep all others out."""
        with self._changed:
            while self._readers:
                self._changed.wait()
            yield


class _Reading:
    """What `with guard.reading()` enters: a plain class, for reads are to be quick."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def __enter__(self) -> None:
        self._guard.enter()

    def __exit__(self, *exception: object) -> None:
        self._guard.leave()
