"""WriterLock: one writer per memory, dead writers forgotten."""

import fcntl
import os
import socket
from contextlib import suppress
from io import FileIO
from pathlib import Path

from memstore.errors import LockedError, PathError


class WriterLock:
    """An exclusive flock on a file, held until `close` or the end of the process.

    The kernel holds the lock, not the file: a file left behind blocks nobody. Its text, "pid host",
    only serves the message for whoever comes second, be it this very process.
    """

    def __init__(self, path: Path) -> None:
        self._pid = os.getpid()
        try:  # no bare number: interrupted while it closes, a file knows whether it is closed
            self._file = FileIO(path, "a+", opener=_open)
        except OSError as error:
            raise PathError(f"{path.parent}: cannot be opened to write: {error}") from error
        try:
            self._take(path.parent)
        except BaseException:
            self.close()
            raise

    def _take(self, folder: Path) -> None:
        """Lock the file, and say in it who we are."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.seek(0)
            pid, _, host = self._file.read(300).decode(errors="replace").partition(" ")
            raise LockedError(
                f"{folder}: process {pid or '?'} on {host or '?'} has it open to write; "
                "close it there, or only read it (memstore inspect, or mode 'r')"
            ) from error
        with suppress(OSError):  # a full disk takes the text, not the lock
            self._file.truncate(0)
            self._file.write(f"{self._pid} {socket.gethostname()}".encode())

    def close(self) -> None:
        """Let the next writer in; more than once is fine."""
        if self._file.closed:
            return
        if os.getpid() == self._pid:  # a forked child shares the lock and must not give it away
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()


def _open(path: str, flags: int) -> int:
    """As os.open, a new file with the usual rights."""
    return os.open(path, flags, 0o644)
