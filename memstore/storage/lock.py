"""WriterLock: one writer per memory, dead writers forgotten."""

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from memstore.errors import LockedError, PathError


class WriterLock:
    """An exclusive flock on a file, held until `close` or the end of the process.

    The kernel holds the lock, not the file: a file left behind blocks nobody. Its text, "pid host",
    only serves the message for whoever comes second, be it this very process.
    """

    def __init__(self, path: Path) -> None:
        self._pid = os.getpid()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise PathError(f"{path.parent}: cannot be opened to write: {error}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid, _, host = os.read(self._file, 300).decode(errors="replace").partition(" ")
            self.close()
            raise LockedError(
                f"{path.parent}: process {pid or '?'} on {host or '?'} has it open to write; "
                "close it there, or only read it (memstore inspect, or mode 'r')"
            ) from error
        with suppress(OSError):  # a full disk takes the text, not the lock
            os.ftruncate(self._file, 0)
            os.write(self._file, f"{self._pid} {socket.gethostname()}".encode())

    def close(self) -> None:
        """Let the next writer in; more than once is fine."""
        if self._file < 0:
            return
        if os.getpid() == self._pid:  # a forked child shares the lock and must not give it away
            fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)
        self._file = -1

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()
