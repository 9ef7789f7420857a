"""Stores: a URL and its options, as what Icechunk opens."""

import inspect
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import icechunk

from memstore.errors import ArgumentError
from memstore.paths import ObjectUrl

TIMEOUT = 60.0  # seconds
AZURE_ACCOUNTS = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")

_STORES: dict[str, tuple[Callable[..., icechunk.Storage], tuple[str, ...]]] = {
    "s3": (icechunk.s3_storage, ("bucket", "prefix")),
    "gs": (icechunk.gcs_storage, ("bucket", "prefix")),
    "az": (icechunk.azure_storage, ("container", "prefix")),
}
_WHO = (  # options that say who asks; without any, the environment does
    *("access_key_id", "anonymous", "from_env", "get_credentials", "service_account_file"),
    *("service_account_key", "application_credentials", "bearer_token", "access_key", "sas_token"),
)


def storage_at(url: ObjectUrl, options: Mapping[str, Any]) -> icechunk.Storage:
    """Where Icechunk keeps a repository.

    Args:
        url: of the store.
        options: keyword arguments of Icechunk's `s3_storage`, `gcs_storage` or `azure_storage`, and
            `timeout`, which is not for here. What they leave open the environment says.

    Raises:
        ArgumentError: no such option, or not of its type.
    """
    make, (bucket, prefix) = _STORES[url.scheme]
    names = set(inspect.signature(make).parameters) - {bucket, prefix}
    if unknown := sorted(set(options) - names - {"timeout"}):
        want = ", ".join(sorted(names | {"timeout"}))
        raise ArgumentError(f"storage_options: got {', '.join(unknown)}, want some of {want}")
    asked = {name: value for name, value in options.items() if name != "timeout"}
    if not any(asked.get(name) for name in _WHO):
        asked["from_env"] = True
    asked = {**_defaults(url, asked), **asked}
    try:
        none = "" if url.scheme == "az" else None
        return make(**{bucket: url.bucket, prefix: url.prefix or none}, **asked)
    except (TypeError, ValueError, icechunk.IcechunkError):  # its words would show the value
        raise ArgumentError(
            f"storage_options: got a value that icechunk.{make.__name__} refuses, want the types "
            "that its documentation names"
        ) from None


def timeout_of(options: Mapping[str, Any]) -> float:
    """Seconds that one call may take."""
    seconds = options.get("timeout", TIMEOUT)
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds < 1e6:
        raise ArgumentError(f"storage_options: timeout: got {seconds!r}, want seconds, above 0")
    return float(seconds)


def _defaults(url: ObjectUrl, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the environment says of a store that is not the scheme's own."""
    if url.scheme == "az" and not options.get("account"):
        account = _first(AZURE_ACCOUNTS)
        if account is None:
            names = " or ".join(AZURE_ACCOUNTS)
            raise ArgumentError(f"storage_options: got no account for {url}, want one, or {names}")
        return {"account": account}
    if url.scheme != "s3":
        return {}
    endpoint = options.get("endpoint_url") or _first(ENDPOINTS)
    region = _first(REGIONS)
    if not endpoint:
        return {"region": region} if region else {}
    _check_endpoint(endpoint)
    return {
        "endpoint_url": endpoint,
        "region": region or "us-east-1",
        "allow_http": str(endpoint).lower().startswith("http://"),
        "force_path_style": True,  # such a store has seldom a host name for each bucket
    }


def _check_endpoint(endpoint: object) -> None:
    """Raise ArgumentError unless it is a URL; it would seem to be a store that is down."""
    if not isinstance(endpoint, str) or not re.match(r"(?i)https?://[^\s/]+(/\S*)?$", endpoint):
        shown = repr(endpoint) if "@" not in str(endpoint) else "one"  # it may be a password
        raise ArgumentError(
            f"storage_options: endpoint_url: got {shown}, want http://HOST or https://HOST, maybe "
            "with :PORT"
        )


def _first(names: tuple[str, ...]) -> str | None:
    """The first variable of the environment that is set."""
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def settings() -> icechunk.RepositoryConfig:
    """How often a request is tried, and that no manifest is fetched before it is needed."""
    from memstore.storage import backend

    config = backend.settings()
    tries = icechunk.StorageRetriesSettings(
        max_tries=4, initial_backoff_ms=100, max_backoff_ms=2000
    )
    config.storage = icechunk.StorageSettings(retries=tries)
    return config
