"""RayWorkers: shards held by Ray's actors. The only file that uses Ray."""

import os
import secrets
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from memstore.errors import ExtraMissingError
from memstore.sharded.shard import Shard
from memstore.sharded.workers import LostShard, Request, answers

OBJECT_STORE = 200_000_000  # bytes of a Ray that is started here: a batch passes through, no more
LARGE = 100_000  # bytes told to several shards, from which on they are put in the store once

_users = 0  # RayWorkers of the Ray that was started here


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
        global _users
        if address is None:
            _keep_to_itself()
        try:
            self._ray: Any = import_module("ray")
        except ImportError as error:
            raise ExtraMissingError.of("memstore.sharded", "ray", "ray") from error
        self._is_ours = _users > 0 or not self._ray.is_initialized()
        if not self._ray.is_initialized():
            _start(self._ray, address)
        _users += self._is_ours
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
        global _users
        if not self._is_open:
            return
        self._is_open = False
        if self._ray.is_initialized():
            for actor in self._actors.values():
                self._ray.kill(actor)
        _users -= self._is_ours
        if self._is_ours and not _users:
            self._ray.shutdown()

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


def _keep_to_itself() -> None:
    """Have a Ray that is loaded after this tell nobody of its use, and have a token of its own.

    Else it writes one into the home folder. What somebody has set stays.
    """
    if "ray" in sys.modules:
        return  # it has read its settings
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    has_token = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if not (has_token or (Path.home() / ".ray" / "auth_token").exists()):
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _start(ray: Any, address: str | None) -> None:
    """Connect to a cluster, or start a Ray of this machine, without its page in the browser."""
    if address is not None:
        ray.init(address=address, log_to_driver=False)
        return
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=OBJECT_STORE,
    )


def _bytes(args: Sequence[Any]) -> int:
    """Bytes of the arrays in arguments, named tuples looked into."""
    total = 0
    for arg in args:
        if isinstance(arg, tuple):
            total += _bytes(arg)
        else:
            total += getattr(arg, "nbytes", 0)
    return total
