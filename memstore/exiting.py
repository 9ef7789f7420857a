"""A moment at the interpreter's end for Icechunk's threads.

A thread of Icechunk's that has answered still lets go of what Python gave it, for which it takes
Python's lock. Before Python 3.14 a thread that wants the lock once the interpreter is ending is
ended in the middle of Rust code, which aborts the process (PyO3/pyo3#4874). After all work was
done, 4 of 320 short processes on a busy machine ended with SIGABRT; with a wait, none of 200. That
this is the reason is inferred: no thread was seen at it.
"""

import atexit
import sys
import time

MOMENT = 0.05  # seconds; they need microseconds once they are scheduled


def wait_at_exit() -> None:
    """Have the interpreter wait before it ends, if this Python needs it."""
    if sys.version_info < (3, 14):
        atexit.register(time.sleep, MOMENT)
