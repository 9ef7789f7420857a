"""Workers: who holds the shards, and how they are asked. Here: this process itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from memstore.errors import MemstoreError, ShardError, first_line
from memstore.sharded.shard import Shard


class Request(NamedTuple):
    """One call of one shard."""

    shard: int
    method: str  # of Shard
    args: tuple[Any, ...]  # the same object for all shards that are told the same


class LostShard(Exception):
    """The worker of a shard is gone, and what it held in RAM with it."""


class Workers(Protocol):
    """One long-lived worker per shard."""

    def ask(self, requests: Sequence[Request]) -> list[Any]:
        """Call shards, side by side if they can be; answers in the order of the requests.

        Waits for all, whatever the order in which they finish.

        Raises:
            ShardError: any shard failed or is lost; the others have answered, and are not heard.
        """

    def revive(self, shards: Sequence[int]) -> None:
        """Put new workers, which hold nothing yet, in the place of lost ones."""

    def close(self) -> None:
        """End all workers; more than once is fine."""


class LocalWorkers:
    """Shards in this process, asked one after the other."""

    def __init__(self, shards: int) -> None:
        self._shards: dict[int, Shard] = {}
        self.revive(range(shards))

    def ask(self, requests: Sequence[Request]) -> list[Any]:
        """As Workers."""
        return answers(requests, [self._call(request) for request in requests])

    def revive(self, shards: Sequence[int]) -> None:
        """As Workers."""
        self._shards |= {shard: Shard() for shard in shards}

    def close(self) -> None:
        """As Workers."""
        for shard in self._shards.values():
            shard.close()

    def _call(self, request: Request) -> Any:
        """What a shard answers, or what it raises on purpose."""
        try:
            if request.shard not in self._shards:
                raise LostShard("its worker is gone")
            return getattr(self._shards[request.shard], request.method)(*request.args)
        except (MemstoreError, OSError, MemoryError, LostShard) as error:
            return error


def answers(requests: Sequence[Request], outcomes: Sequence[Any]) -> list[Any]:
    """The outcomes, none of them an exception.

    Raises:
        ShardError: names the lowest shard that failed; lost ones first.
    """
    failures = [
        (request, outcome)
        for request, outcome in zip(requests, outcomes, strict=True)
        if isinstance(outcome, BaseException)
    ]
    if not failures:
        return list(outcomes)
    request, cause = min(
        failures, key=lambda failure: (not isinstance(failure[1], LostShard), failure[0].shard)
    )
    what = first_line(cause) if isinstance(cause, MemstoreError | LostShard) else repr(cause)
    error = ShardError(f"shard {request.shard}: {request.method}: {what}")
    error.lost = tuple(sorted({r.shard for r, o in failures if isinstance(o, LostShard)}))
    raise error from cause


def each(shards: int, method: str, *args: Any) -> list[Request]:
    """Tell all shards the same."""
    return [Request(shard, method, args) for shard in range(shards)]


def some(method: str, args: Mapping[int, tuple[Any, ...]]) -> list[Request]:
    """Tell each of some shards something of its own."""
    return [Request(shard, method, args[shard]) for shard in sorted(args)]


Ask = Callable[[Sequence[Request]], list[Any]]
