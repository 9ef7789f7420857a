"""RayWorkers: shards held by Ray's actors."""

from collections.abc import Sequence
from typing import Any

from memstore.ray_session import RaySession
from memstore.sharded.shard import Shard
from memstore.sharded.workers import LostShard, Request, answers

LARGE = 100_000  # bytes told to several shards, from which on they are put in the store once


class RayWorkers:
    """An actor per shard, on this machine or on a cluster that sees the same folders."""

    def __init__(self, shards: int, address: str | None = None) -> None:
        """Start the actors, and Ray if this process is not connected to one.

        Args:
            shards: how many.
            address: of a cluster, as `ray.init` takes it; by default a Ray of this machine, which
                is started with the first and stopped with the last such object.

        Raises:
            ExtraMissingError: Ray is not installed.
        """
        self._session = RaySession("memstore.sharded", address)
        self._ray = self._session.ray
        self._actors: dict[int, Any] = {}
        self._is_open = True
        # Spread over machines; a long-lived actor takes no CPU from what else is scheduled.
        self._class = self._ray.remote(Shard).options(
            scheduling_strategy="SPREAD", max_restarts=0, max_concurrency=1
        )
        try:
            self.revive(range(shards))
        except BaseException:
            self.close()
            raise

    def ask(self, requests: Sequence[Request]) -> list[Any]:
        """As Workers."""
        stored: dict[int, Sequence[Any]] = {}  # what is told to several, by identity
        calls = []
        for request in requests:
            args: Sequence[Any] = request.args
            if len(requests) > 1 and _bytes(args) > LARGE:
                if id(args) not in stored:
                    stored[id(args)] = [self._put(arg) for arg in args]
                args = stored[id(args)]
            calls.append(self._begin(request, args))
        return answers(requests, [self._outcome(call) for call in calls])

    def revive(self, shards: Sequence[int]) -> None:
        """As Workers."""
        for shard in shards:
            if shard in self._actors:
                self._ray.kill(self._actors[shard])
            self._actors[shard] = self._class.remote()

    def close(self) -> None:
        """As Workers."""
        if not self._is_open:
            return
        self._is_open = False
        if self._ray.is_initialized():
            for actor in self._actors.values():
                self._ray.kill(actor)
        self._session.close()

    def _put(self, arg: Any) -> Any:
        """An argument, or where it lies in the object store, once for all shards."""
        return self._ray.put(arg) if _bytes((arg,)) > LARGE else arg

    def _begin(self, request: Request, args: Sequence[Any]) -> Any:
        """Have a shard begin; what to wait for, or why it cannot."""
        try:
            return getattr(self._actors[request.shard], request.method).remote(*args)
        except self._ray.exceptions.RayActorError as error:
            return LostShard(str(error))

    def _outcome(self, call: Any) -> Any:
        """Wait for what a shard answers, or for why it does not."""
        if isinstance(call, LostShard):
            return call
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(call)
        except exceptions.RayTaskError as error:
            return error.cause or error
        except (exceptions.RayActorError, exceptions.RaySystemError) as error:
            return LostShard(str(error))
        except exceptions.RayError as error:
            return error


def _bytes(args: Sequence[Any]) -> int:
    """Bytes of the arrays in arguments, named tuples looked into."""
    total = 0
    for arg in args:
        if isinstance(arg, tuple):
            total += _bytes(arg)
        else:
            total += getattr(arg, "nbytes", 0)
    return total
