"""A connection to Ray, which several parts of a process share. Ray is loaded here, and by name."""

import logging
import os
import secrets
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from memstore.errors import ArgumentError, ExtraMissingError, first_line

OBJECT_STORE = 200_000_000  # bytes of a Ray that is started here: batches pass through, no more
PATIENCE = 10  # seconds until a cluster must have taken a connection

_users = 0  # sessions of the Ray that was started here


class RaySession:
    """Ray, connected: to a cluster, or started on this machine.

    Attributes:
        ray: the module.
    """

    def __init__(self, subject: str, address: str | None = None) -> None:
        """Connect, unless this process is connected already.

        Args:
            subject: what needs Ray; an error begins with it.
            address: of a cluster, as `ray.init` takes it; by default a Ray of this machine, which
                is started with the first and stopped with the last such session.

        Raises:
            ExtraMissingError: Ray is not installed.
            ArgumentError: no Ray answers at the address.
        """
        global _users
        if address is None:
            _keep_to_itself()
        try:
            self.ray: Any = import_module("ray")
        except ImportError as error:
            raise ExtraMissingError.of(subject, "ray", "ray") from error
        self._is_ours = _users > 0 or not self.ray.is_initialized()
        if not self.ray.is_initialized():
            _start(self.ray, address)
        _users += self._is_ours
        self._is_open = True

    def close(self) -> None:
        """Leave; more than once is fine."""
        global _users
        if not self._is_open:
            return
        self._is_open = False
        _users -= self._is_ours
        if self._is_ours and not _users:
            self.ray.shutdown()


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
        try:
            _check_answers(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        except ConnectionError as error:
            raise ArgumentError(
                f"address: got {address!r}, where no Ray answers ({first_line(error)}), want that "
                "of a cluster"
            ) from error
        return
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        object_store_memory=OBJECT_STORE,
    )


def _check_answers(address: str) -> None:
    """Raise ConnectionError if nothing listens at a host:port; Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "://" in address or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except OSError as error:
        raise ConnectionError(str(error)) from error
