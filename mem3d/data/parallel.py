"""mem3d/data/parallel.py."""

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

T = TypeVar("T")


R = TypeVar("R")


def leave_ctrl_c() -> None:
    """In a worker: finish the task in hand; the process that started it takes the interrupt."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def results(make: Callable[[T], R], tasks: Sequence[T], processes: int) -> Iterator[Iterator[R]]:
    """make(task) of each task, in any order.

    Args:
        make: a function of a module, as other processes import it.
        tasks: what to make.
        processes: 1 makes them here.

    Raises:
        ValueError: a process was killed.
    """
    if processes == 1 or len(tasks) < 2:
        yield map(make, tasks)
        return
    # Not "fork": a forked child hangs if the parent has used OpenMP threads.
    pool = ProcessPoolExecutor(min(processes, len(tasks)), get_context("spawn"), leave_ctrl_c)
    try:
        waiting = [pool.submit(make, task) for task in tasks]
        yield (done.result() for done in as_completed(waiting))
    except BrokenProcessPool as error:
        raise ValueError(
            "processes: got one that was killed, perhaps for want of memory; run again with fewer"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
