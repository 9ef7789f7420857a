"""Tasks over processes, which leave Ctrl-C to the one that started them."""

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


@contextmanager
def results(
    make: Callable[[Task], Result], tasks: Sequence[Task], processes: int
) -> Iterator[Iterator[Result]]:
    """make(task) of each task, in any order.

    Args:
        make: what can be pickled, as a module's function or a `partial` of one; it is sent to each
            process once.
        tasks: what to make.
        processes: 1 makes them here.

    Raises:
        ValueError: a process was killed.
    """
    if processes == 1 or len(tasks) < 2:
        yield map(make, tasks)
        return
    pool = ProcessPoolExecutor(
        min(processes, len(tasks)),
        get_context("spawn"),  # a forked child hangs if the parent has used OpenMP threads
        initializer=_start_worker,
        initargs=(make,),
    )
    try:
        waiting = [pool.submit(_run, task) for task in tasks]
        yield (future.result() for future in as_completed(waiting))
    except BrokenProcessPool as error:
        raise ValueError(
            "processes: got one that was killed, perhaps for want of memory; run again with fewer"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker_make: list[Callable[[Any], Any]] = []


def _start_worker(make: Callable[[Any], Any]) -> None:
    """Finish the task in hand at Ctrl-C: the process that started this one takes the interrupt."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker_make[:] = [make]


def _run(task: Any) -> Any:
    return _worker_make[0](task)
