"""Guard: many readers or one writer, so that threads may share a memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Guard:
    """Lets many threads read at once, or one write.

    A thread that holds it may not ask for it again.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._readers = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Wait until nobody writes, and keep writers out."""
        with self._changed:
            self._readers += 1
        try:
            yield
        finally:
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
