"""Calls: what Icechunk is asked of an object store ends in time, and its errors are ours.

Icechunk waits for ever for a store that has taken a request and does not answer. So each call is
one of its coroutines, which is given up, and the request with it, after some seconds. Whether what
was sent has arrived all the same, nobody knows then: the callers look.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import icechunk
from zarr.core.sync import sync
from zarr.storage import WrapperStore

from memstore.errors import (
    ArgumentError,
    FormatError,
    LockedError,
    MemstoreError,
    PathExistsError,
    PathMissingError,
    StoreError,
)
from memstore.paths import ObjectUrl
from memstore.storage.objects.stores import timeout_of

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype

T = TypeVar("T")
LONG = 30  # times the timeout: what walks all objects may take as long
_LONGEST = 160  # characters of the store's own words in a message
_SECRETS = ("key", "token", "credential")  # parts of the names of options that are secret

OVERTAKEN = (
    "another writer has committed meanwhile, and nothing was overwritten; what was not committed "
    "is still in RAM: copy_to keeps it elsewhere, or open it again and repeat it"
)


class MissingObjectError(FormatError):
    """An object that the memory names is not there."""


class MissingBucketError(PathMissingError):
    """There is no such bucket, so that nothing can be made there."""


# What Icechunk's text says in some line, what that is, and what to do; the first that fits counts.
_KINDS: tuple[tuple[str, type[MemstoreError], str], ...] = (
    (
        r"repository doesn't exist",
        PathMissingError,
        "got no memory there (nothing, other objects, or one that has lost its "
        "refs/branch.main/ref.json), want one, as Memory.create or memstore copy makes it",
    ),
    (
        r"NoSuchBucket|bucket does not exist|ContainerNotFound",
        MissingBucketError,
        "got no such bucket, want one that exists: memstore makes none",
    ),
    (
        r"created in clean prefixes",
        PathExistsError,
        "exists already, want a prefix below which there is nothing",
    ),
    (
        r"branch update conflict",
        LockedError,
        OVERTAKEN,
    ),
    (
        r"region must be set",
        StoreError,
        "got no region, want one, as AWS_REGION or storage_options={{'region': NAME}}",
    ),
    (r"tag already exists", ArgumentError, "got a tag's name that is taken, want another"),
    (
        r"AccessDenied|Forbidden|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken"
        r"|Unauthorized|Unauthenticated|AuthenticationFailed|[Cc]redential|HTTP status: 40[13]",
        StoreError,
        "the store refuses who asks ({cause}), want credentials that may read and write there, "
        "from the environment or storage_options",
    ),
    (
        r"NoSuchKey|[Oo]bject at location .* not found|snapshot not found|ref not found"
        r"|object not found",
        MissingObjectError,
        "got no object where the memory names one ({cause})",
    ),
    (
        r"dispatch failure|error trying to connect|[Cc]onnect|[Tt]imed? ?out|InternalError|SlowDown"
        r"|ServiceUnavailable|streaming error|io error|service error|error sending request"
        r"|[Rr]esponse error|retries",
        StoreError,
        "the store cannot be reached, or fails ({cause}); nothing of the last commit is lost: try "
        "again",
    ),
)


class Calls:
    """Asks for one memory's objects."""

    def __init__(self, url: ObjectUrl, options: Mapping[str, Any]) -> None:
        self.url, self.seconds = url, timeout_of(options)
        self._secrets = [
            value
            for name, value in options.items()
            if isinstance(value, str) and value and any(part in name for part in _SECRETS)
        ]

    def run(self, start: Callable[[], Awaitable[T]], times: int = 1) -> T:
        """The answer of a coroutine.

        Args:
            start: makes it.
            times: the timeout it may take.
        """

        async def outcome() -> T:
            return await self.wait(start(), times)

        return sync(outcome())

    async def wait(self, awaitable: Awaitable[T], times: int = 1) -> T:
        """The same, for who runs in the event loop."""
        with self._translating(times):
            return await asyncio.wait_for(awaitable, self.seconds * times)

    @contextmanager
    def _translating(self, times: int) -> Iterator[None]:
        """Report Icechunk's errors as ours, without its inner trace, which may show who asks."""
        try:
            yield
        except TimeoutError:
            seconds = f"{self.seconds * times:g} s"
            raise StoreError(
                f"{self.url}: the store does not answer within {seconds}, nothing of the last "
                "commit is lost: try again, or set storage_options={'timeout': SECONDS}"
            ) from None
        except icechunk.ConflictError:
            raise self.error("branch update conflict") from None
        except icechunk.IcechunkError as error:
            raise self.error(str(error)) from None

    def error(self, text: str) -> Exception:
        """Ours for a text of Icechunk's; what it does not tell is for `reading` and `writing`."""
        cause = self._plain(_cause(text))
        for pattern, kind, words in _KINDS:
            if re.search(pattern, text):
                return kind(f"{self.url}: {words.format(cause=cause)}")
        return icechunk.IcechunkError(cause)

    def _plain(self, text: str) -> str:
        """A text without secrets, and without queries of URLs, in which some are sent."""
        for secret in self._secrets:
            text = text.replace(secret, "...")
        return re.sub(r"\?[^\s)\"']*", "?...", text)[:_LONGEST]


def _cause(text: str) -> str:
    """The innermost reason in a text of Icechunk's, whose reasons follow arrows."""
    lines = [line.strip() for line in text.splitlines()]
    reasons = [line[3:].strip() for line in lines if line.startswith(("|->", "`->"))]
    reasons = [reason for reason in reasons if reason != "Error"]
    reason = reasons[-1] if reasons else lines[0].removeprefix("x ") if lines else ""
    code = re.search(r'code: "(\w+)", message: "([^"]*)"', reason)
    return f"{code[1]}: {code[2]}" if code else reason


class Repo:
    """An Icechunk repository, by the names of its methods."""

    def __init__(self, repo: icechunk.Repository, calls: Calls) -> None:
        self._repo, self._calls = repo, calls

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._repo, f"{name}_async")
        return lambda *args, **options: self._calls.run(lambda: method(*args, **options))

    def ancestry(self, snapshot_id: str) -> list[Any]:
        """All snapshots that led to one."""

        async def walk() -> list[Any]:
            return [entry async for entry in self._repo.async_ancestry(snapshot_id=snapshot_id)]

        return self._calls.run(walk, LONG)

    def walking(self, name: str, *args: Any) -> Any:
        """The answer of a method that looks at all objects."""
        method = getattr(self._repo, f"{name}_async")
        return self._calls.run(lambda: method(*args), LONG)

    def readonly_session(self, snapshot_id: str) -> "Session":
        """As Icechunk's."""
        start = self._repo.readonly_session_async
        return Session(self._calls.run(lambda: start(snapshot_id=snapshot_id)), self._calls)

    def writable_session(self, branch: str) -> "Session":
        """As Icechunk's."""
        return Session(
            self._calls.run(lambda: self._repo.writable_session_async(branch)), self._calls
        )


class Session:
    """A session of Icechunk's."""

    def __init__(self, session: icechunk.Session, calls: Calls) -> None:
        self._session, self._calls = session, calls
        self.store = TimedStore(session.store, calls)

    @property
    def snapshot_id(self) -> str:
        """Of the snapshot that it began at."""
        return self._session.snapshot_id

    def flush(self, message: str) -> str:
        """As Icechunk's: a snapshot that no branch leads to yet."""
        return self._calls.run(lambda: self._session.flush_async(message))


class TimedStore(WrapperStore["Store"]):
    """A session's store."""

    def __init__(self, store: "Store", calls: Calls) -> None:
        super().__init__(store)
        self._calls = calls

    def _with_store(self, store: "Store") -> "TimedStore":
        return TimedStore(store, self._calls)

    async def get(
        self, key: str, prototype: "BufferPrototype", byte_range: "ByteRequest | None" = None
    ) -> "Buffer | None":
        """As the store below."""
        return await self._calls.wait(super().get(key, prototype, byte_range))

    async def set(self, key: str, value: "Buffer") -> None:
        """As the store below."""
        await self._calls.wait(super().set(key, value))

    async def exists(self, key: str) -> bool:
        """As the store below."""
        return await self._calls.wait(super().exists(key))

    async def delete(self, key: str) -> None:
        """As the store below."""
        await self._calls.wait(super().delete(key))

    async def delete_dir(self, prefix: str) -> None:
        """As the store below."""
        await self._calls.wait(super().delete_dir(prefix))
