"""What stands before the demo page: who may ask it, how much at once, and how much is kept.

A page of another site must not reach this one through a visitor's browser: neither by requests of
its own (they name it as Origin), nor under a name of its own that it lets point to this machine
(Host: DNS rebinding), nor in a frame.
"""

import asyncio
import errno
import ipaddress
import os
import re
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]  # this and the next two as ASGI has them
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY_ADDRESS = ("", "0.0.0.0", "::")
PORTS = range(7860, 7960)
UPLOADS_AT_ONCE = 8
MARGIN = 2**16  # bytes of a request besides the file in it
MOST_BYTES, MOST_FILES = 64 * 2**20, 1_000  # of all visitors' files together
_NEEDED = re.compile(  # what the page asks for; gradio would answer more: fetch from elsewhere, ...
    r"/(|config/?|theme\.css|favicon\.ico|robots\.txt|manifest\.json|(assets|static|svelte)/.*)"
    r"|/gradio_api/(info/?|app_id/?|startup-events|(queue|run|heartbeat)/.*|cancel|reset/?"
    r"|upload|upload_progress|file=(?!https?:).*)",
    re.IGNORECASE | re.DOTALL,
)
_NO_FRAMES = (b"content-security-policy", b"frame-ancestors 'none'")


def listen(host: str, port: int | None) -> tuple[socket.socket, str]:
    """A socket that listens, and the address to type into a browser.

    Args:
        host: name or address of this machine.
        port: None takes the first free one of PORTS.

    Raises:
        OSError: it cannot be listened at.
    """
    name = "localhost" if host in ANY_ADDRESS else host
    name = f"[{name}]" if ":" in name else name
    for number in PORTS if port is None else (port,):
        try:
            [(family, _, _, _, place), *_] = socket.getaddrinfo(
                host or None, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            listener = socket.create_server((place[0], number), family=family)
            return listener, f"http://{name}:{number}/"
        except (OSError, UnicodeError) as error:
            code = (error.errno if isinstance(error, OSError) else None) or 0
            if port is None and code == errno.EADDRINUSE:
                continue
            reason = os.strerror(code) if code > 0 else error
            want = "an address of this machine (--host) and a free port (--port)"
            raise OSError(f"{host}:{number}: got {reason}, want {want}") from error
    raise OSError(f"{host}: got no free port from {PORTS[0]} to {PORTS[-1]}, want one (--port)")


class Guard:
    """An ASGI application that refuses what is not for the one behind it, and says why."""

    def __init__(self, app: Any, host: str, max_bytes: int, tidy: Callable[[], None]) -> None:
        """Begin.

        Args:
            app: what answers.
            host: name or address that is listened at; where it stands for all addresses of the
                machine, any address may be asked, and the machine's name.
            max_bytes: of an upload.
            tidy: is called after each request that may have left files.
        """
        self._app, self._max_bytes, self._tidy = app, max_bytes + MARGIN, tidy
        self._any_address = host in ANY_ADDRESS
        own = socket.gethostname() if self._any_address else host
        self._names = {*LOOPBACK, own.lower()}
        self._uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, reason = self._refusal(scope)
        is_upload = scope["path"].rstrip("/").endswith("/upload")
        if not status and is_upload and self._uploads >= UPLOADS_AT_ONCE:
            status, reason = 503, f"got {UPLOADS_AT_ONCE} uploads at once, try again"
        if status:
            await _refuse(send, status, reason)
            return

        async def send_unframed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), _NO_FRAMES]}
            await send(message)

        self._uploads += is_upload
        try:
            await self._app(scope, receive, send_unframed)
        finally:
            self._uploads -= is_upload
            if scope["method"] == "POST":
                await asyncio.to_thread(self._tidy)

    def _refusal(self, scope: Scope) -> tuple[int, str]:
        """Status and reason if a request is not to be answered; else 0."""
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]
        }
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(host):
            return 403, f"Host: got {host[:100]!r}, want one that is listened to (--host)"
        is_foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if origin is not None:
            is_foreign = origin.partition("://")[2].lower() != host.lower()
        elif headers.get("sec-fetch-mode") == "navigate":  # a link to this page
            is_foreign = False
        if is_foreign:
            return 403, f"Origin: got {(origin or 'another site')[:100]!r}, want this page's own"
        if not _NEEDED.fullmatch(scope["path"]):
            return 404, "got a request for what this page does not need"
        if scope["method"] == "POST":
            length = headers.get("content-length", "")
            if not (length.isascii() and length.isdecimal()):
                return 411, "Content-Length: got none, want the request's"
            if int(length[:20]) > self._max_bytes:
                return 413, f"got {length[:20]} bytes, want at most {self._max_bytes}"
        return 0, ""

    def _is_ours(self, host: str) -> bool:
        """Whether a Host names what is listened to."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in self._names:
            return True
        if self._any_address:
            with suppress(ValueError):  # an address cannot be made to point elsewhere
                return bool(ipaddress.ip_address(name))
        return False


async def _refuse(send: Send, status: int, reason: str) -> None:
    """Answer with a line of text."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{reason}\n".encode()})


def drop_oldest(
    folder: Path, examples: Path, max_bytes: int = MOST_BYTES, max_files: int = MOST_FILES
) -> None:
    """Remove a folder's oldest files until the rest is within bounds.

    Args:
        folder: with folders in it.
        examples: folder in it that is neither counted nor changed.
        max_bytes: of all files together.
        max_files: their number.
    """
    files = []
    for parent, _, names in os.walk(folder):  # passes over what another request removes
        for path in (Path(parent) / name for name in names if Path(parent) != examples):
            with suppress(FileNotFoundError):
                status = path.lstat()
                files.append((status.st_ctime_ns, status.st_size, path))  # when it came here
    size, count = sum(entry[1] for entry in files), len(files)
    for _, length, path in sorted(files):
        if size <= max_bytes and count <= max_files:
            return
        path.unlink(missing_ok=True)
        size, count = size - length, count - 1
        if path.parent.parent != folder:  # gradio makes a folder for each of its files
            with suppress(OSError):
                path.parent.rmdir()
