"""Google's and Azure's object stores on loopback, as far as memstore asks them for anything.

They are what we take the services to be, from their documentation: no real one was met.
"""

import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

PAGES = {
    "gs": "<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>",
    "az": "<EnumerationResults><Blobs>{}</Blobs></EnumerationResults>",
}
ENTRIES = {
    "gs": "<Contents><Key>{name}</Key><Size>{size}</Size><ETag>{tag}</ETag>"
    "<LastModified>2026-01-01T00:00:00Z</LastModified></Contents>",
    "az": "<Blob><Name>{name}</Name><Properties><Content-Length>{size}</Content-Length>"
    "<Content-Type>any</Content-Type><Etag>{tag}</Etag>"
    "<Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified></Properties></Blob>",
}


class OtherServer:
    """A bucket, or container, of which each request is kept.

    Attributes:
        objects: (generation, bytes) by path, container first.
        requests: (method, path, who asks) of all.
    """

    def __init__(self, scheme):
        self.scheme, self.objects, self.requests = scheme, {}, []
        self._generation, self.mutex = 0, threading.Lock()
        handler = type("Handler", (_Handler,), {"store": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def put(self, name, data, expected):
        """The new generation; None unless the present one, 0 if there is none, is as expected."""
        with self.mutex:
            if expected is not None and expected != self.objects.get(name, (0,))[0]:
                return None
            self._generation += 1
            self.objects[name] = self._generation, data
            return self._generation

    def page(self, container, prefix):
        """The list of what is below a prefix."""
        entries = [
            ENTRIES[self.scheme].format(name=name[len(container) + 1 :], size=len(data), tag=tag)
            for name, (tag, data) in sorted(self.objects.items())
            if name.startswith(f"{container}/{prefix}")
        ]
        return PAGES[self.scheme].format("".join(entries)).encode()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    store: OtherServer
    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = -1, True  # an answer is sent at once

    def do_GET(self):
        url = urlsplit(self.path)
        name, asked = unquote(url.path)[1:], parse_qs(url.query)
        who = self.headers.get("authorization", url.query)
        self.store.requests.append((self.command, name, who))
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        if "/" not in name.rstrip("/"):
            return self._answer(200, self.store.page(name, asked.get("prefix", [""])[0]))
        if self.command == "PUT":
            tag = self.store.put(name, data, self._expected())
            return self._answer(412) if tag is None else self._answer(201, tag=tag)
        if name not in self.store.objects:
            return self._answer(404)
        tag, stored = self.store.objects[name]
        if self.command == "DELETE":
            del self.store.objects[name]
            return self._answer(202 if self.store.scheme == "az" else 204)
        return self._answer(200, stored, tag)

    do_PUT = do_HEAD = do_DELETE = do_GET

    def _expected(self):
        """Generation that an object is to have before it is replaced; None for any."""
        if self.headers.get("if-none-match") == "*":
            return 0
        condition = self.headers.get("x-goog-if-generation-match") or self.headers.get("if-match")
        return None if condition is None else int(condition.strip('"'))

    def _answer(self, status, data=b"", tag=0):
        part = self.headers.get("range")
        if part and status == 200:
            start, _, stop = part.removeprefix("bytes=").partition("-")
            start, stop = int(start), min(int(stop or len(data)), len(data) - 1)
            status, whole, data = 206, len(data), data[start : stop + 1]
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{stop}/{whole}")
        self.send_header("ETag", f'"{tag}"')
        self.send_header("x-goog-generation", str(tag))
        self.send_header("Last-Modified", formatdate(usegmt=True))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        """Say nothing."""
