"""An object store on loopback, `moto`'s, that can be slow, fail, refuse, and die in mid-request."""

import re
import socket
import threading
import time

BUCKET, REGION, KEY, SECRET = "memories", "us-east-1", "AKIDTESTTESTTEST", "secret-of-the-test"
_ERROR = '<?xml version="1.0"?><Error><Code>{0}</Code><Message>{0} it is</Message></Error>'


def kind_of(method, path):
    """A request in two words, as "PUT snapshots"; "GET list" and "POST list" are of the bucket."""
    kind = re.search("/(refs|snapshots|manifests|transactions|chunks|repo|config.yaml)(/|$)", path)
    return f"{method} {kind[1] if kind else 'list'}"


class ObjectServer:
    """A server in this process; what it stores outlives its being killed.

    Attributes:
        on_request: called with (number, method, path) before a request is answered; what it
            returns is done to it: None; seconds to wait; ("status", 500, "InternalError"), not
            carried out; ("lose", before), where the connection ends without an answer, before the
            request is carried out or after.
        requests: (method, path) of all since `forget`.
    """

    def __init__(self):
        import logging

        from moto.server import DomainDispatcherApplication, create_backend_app

        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server, self.port = None, 0
        self._mutex = threading.Lock()
        self.forget()
        self.start()
        self._call("PUT", f"/{BUCKET}")

    def forget(self):
        """Count requests from here on, and answer them as they come."""
        self.requests, self.on_request = [], None

    def start(self):
        """Answer on the port that was answered on before."""
        from werkzeug.serving import make_server

        self._server = make_server("127.0.0.1", self.port, self._answer, threaded=True)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        often = {"poll_interval": 0.02}  # seconds that `kill` waits, else half a second
        threading.Thread(target=self._server.serve_forever, kwargs=often, daemon=True).start()

    def kill(self):
        """Answer nobody any more: the port is closed, and requests under way are lost."""
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()

    def revive(self):
        """Answer again, if it was killed."""
        if self._server is None:
            self.start()

    @property
    def options(self):
        """Storage options to reach it."""
        keys = {"access_key_id": KEY, "secret_access_key": SECRET}
        return {"endpoint_url": f"http://127.0.0.1:{self.port}", "region": REGION, **keys}

    @property
    def environment(self):
        """The same by variables."""
        names = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", **names}

    def _answer(self, environ, start_response):
        """One request."""
        what = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        with self._mutex:
            self.requests.append(what)
            number, on_request = len(self.requests) - 1, self.on_request
            if self._server is None:
                return self._hang_up(environ)
        fault = on_request(number, *what) if on_request else None
        if f"Credential={KEY}/" not in environ.get("HTTP_AUTHORIZATION", ""):
            fault = ("status", 403, "InvalidAccessKeyId")
        if isinstance(fault, int | float):
            time.sleep(fault)
        elif fault and fault[0] == "status":
            start_response(f"{fault[1]} {fault[2]}", [("Content-Type", "application/xml")])
            return [_ERROR.format(fault[2]).encode()]
        elif fault and fault[1]:
            return self._hang_up(environ)
        answer = self._app(environ, start_response)
        if fault and not isinstance(fault, int | float):
            return self._hang_up(environ)
        return answer

    def _hang_up(self, environ):
        """End the connection without an answer."""
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionAbortedError

    def _call(self, method, path, data=b""):
        """What moto answers to a request of our own, past the network."""
        from werkzeug.test import Client

        host = f"127.0.0.1:{self.port}"
        scope = f"20260101/{REGION}/s3/aws4_request"
        header = {"Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}", "Host": host}
        return Client(self._app).open(path, method=method, data=data, headers=header)

    def put(self, name, data):
        """Store an object."""
        assert self._call("PUT", f"/{BUCKET}/{name}", data).status_code == 200

    def get(self, name):
        """Bytes of an object."""
        return self._call("GET", f"/{BUCKET}/{name}").data

    def delete(self, name):
        """Do away with an object."""
        assert self._call("DELETE", f"/{BUCKET}/{name}").status_code == 204

    def names(self, prefix=""):
        """Of all objects whose names begin so."""
        from moto.s3.models import s3_backends

        [backends] = [
            backend["global" if "global" in backend else "aws"] for backend in s3_backends.values()
        ]
        return sorted(name for name in backends.buckets[BUCKET].keys if name.startswith(prefix))


def main():
    """Serve until the standard input ends, each answer some seconds late; print the port."""
    import sys

    server, delay = ObjectServer(), float(sys.argv[1])
    server.on_request = (lambda *_: delay) if delay else None
    print(server.port, flush=True)
    sys.stdin.read()
    server.kill()


if __name__ == "__main__":
    main()
