"""Crew: workers of Ray's that do the tasks of a long job; answers come in the tasks' order."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from memstore import MemstoreError
from memstore.ray_session import RaySession

BEGUN = 2  # tasks that a worker is given at a time: the next waits there while it works
AHEAD = 4  # tasks per worker that may be ahead of the one whose answer is due


class Hiring(NamedTuple):
    """How many workers are wanted, and where.

    Attributes:
        workers: how many; None: as many as the CPUs there are for, by their threads.
        address: of a cluster, as `ray.init` takes it; None: a Ray of this machine.
    """

    workers: int | None = None
    address: str | None = None


class Worker(Protocol):
    """What does tasks, one after the other, in a process of its own."""

    @property
    def identity(self) -> str:
        """Of the network that it has opened."""

    def __call__(self, task: Any, /) -> Any:
        """Do a task."""


class WorkerError(ValueError):
    """A worker failed or was lost: the message names it and what it was doing."""


class _Lost(Exception):
    """A worker is gone."""


class Hand:
    """A worker's actor."""

    def enter(self, folder: str) -> None:
        """Work where the command was called: paths may be relative."""
        os.chdir(folder)

    def start(self, make: Callable[[], Worker]) -> str:
        """Make the worker; its identity."""
        self._worker = make()
        return self._worker.identity

    def do(self, task: Any) -> Any:
        """Do a task."""
        return self._worker(task)


class Crew:
    """Workers in Ray's actors, each with a network of its own.

    Attributes:
        identity: of the network that all of them have opened.
    """

    def __init__(
        self, make: Callable[[], Worker], hiring: Hiring, threads: int, session: Any = None
    ) -> None:
        """Start the workers, and Ray if this process is not connected to one.

        Args:
            make: makes a worker, in its process; can be pickled.
            hiring: how many and where.
            threads: that each computes with.
            session: of Ray; by default a new one.

        Raises:
            ExtraMissingError: Ray is not installed.
            WorkerError: a worker cannot start, or has opened another network than the first.
        """
        self._session = session or RaySession("--ray", hiring.address)
        self._ray = self._session.ray
        self._hands: list[Any] = []
        try:
            count = hiring.workers
            if count is None:
                count = max(1, int(self._ray.cluster_resources().get("CPU", 1)) // threads)
            # Spread over machines. No CPU is asked for, or one that is busy would be waited for.
            hand = self._ray.remote(Hand).options(
                scheduling_strategy="SPREAD", max_restarts=0, max_concurrency=1, num_cpus=0
            )
            self._hands = [hand.remote() for _ in range(count)]
            self.identity = self._start(make)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        for hand in self._hands:
            self._ray.kill(hand)
        self._hands = []
        self._session.close()

    def map(self, tasks: Iterable[Any], name: Callable[[Any], str]) -> Iterator[Any]:
        """Answers in the order of the tasks, whatever the order in which they are finished.

        No more than `AHEAD` tasks per worker are begun ahead, so that answers do not pile up.

        Args:
            tasks: what to do.
            name: what an error calls a task.

        Raises:
            WorkerError: a task failed; those before it have been answered.
        """
        waiting = iter(tasks)
        running: dict[Any, tuple[int, int, Any]] = {}  # by reference: number, hand, task
        answers: dict[int, Any] = {}
        loads = [0] * len(self._hands)
        begun = due = 0
        is_more = True
        while True:
            while is_more and min(loads) < BEGUN and begun < due + AHEAD * len(loads):
                task = next(waiting, self)
                is_more = task is not self
                if is_more:
                    hand = loads.index(min(loads))
                    running[self._begin(hand, task)] = begun, hand, task
                    loads[hand] += 1
                    begun += 1
            if due in answers:
                answer = answers.pop(due)
                due += 1
                if isinstance(answer, WorkerError):
                    raise answer
                yield answer
            elif running:
                [ready], _ = self._ray.wait([*running], num_returns=1)
                number, hand, task = running.pop(ready)
                loads[hand] -= 1
                answers[number] = self._outcome(ready, hand, name(task))
            else:
                return

    def _start(self, make: Callable[[], Worker]) -> str:
        """Have all open their networks, side by side; what these have in common."""
        folder = os.getcwd()
        calls = [hand.enter.remote(folder) for hand in self._hands]
        calls += [hand.start.remote(make) for hand in self._hands]
        count = len(self._hands)
        outcomes = [self._outcome(call, i % count, "its start") for i, call in enumerate(calls)]
        for outcome in outcomes:
            if isinstance(outcome, WorkerError):
                raise outcome
        outcomes = outcomes[count:]
        for hand, outcome in enumerate(outcomes):
            if outcome != outcomes[0]:
                raise WorkerError(
                    f"{self._named(hand)}: has opened another network or memory than worker 1: "
                    "they have changed meanwhile; run the command again"
                )
        return str(outcomes[0])

    def _begin(self, hand: int, task: Any) -> Any:
        """Have a worker begin a task."""
        return self._hands[hand].do.remote(task)

    def _outcome(self, call: Any, hand: int, doing: str) -> Any:
        """What a worker answers; a WorkerError where it does not."""
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(call)
        except exceptions.RayTaskError as error:
            cause: BaseException = error.cause or error
        except (exceptions.RayActorError, exceptions.RaySystemError) as error:
            cause = _Lost(f"the worker is gone ({str(error).splitlines()[0]})")
        except exceptions.RayError as failure:
            cause = failure
        is_plain = isinstance(cause, MemstoreError | OSError | ValueError | _Lost)
        what = str(cause) if is_plain else f"{type(cause).__name__}: {cause}"
        failed = WorkerError(f"{self._named(hand)}, at {doing}: {what}")
        failed.__cause__ = cause
        return failed

    def _named(self, hand: int) -> str:
        """A worker, as users count."""
        return f"worker {hand + 1} of {len(self._hands)}"
