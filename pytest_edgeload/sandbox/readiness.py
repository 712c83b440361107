"""When a service is ready to be asked: by a TCP connection, an HTTP answer, or the caller's own function."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from pytest_edgeload.base.errors import UsageError

Probe = Callable[[], object]

_PATIENCE_S = 1.0
_HINT = "try 'tcp:127.0.0.1:8000', 'http://127.0.0.1:8000/', or a function that returns true when it is"


def probe_of(ready: Probe | str) -> Callable[[], bool]:
    """Return what tells whether a service is ready; what raises OSError is not. Raises UsageError."""
    return partial(_is_ready, ready if callable(ready) else _named(ready))


def _is_ready(probe: Probe) -> bool:
    try:
        return bool(probe())
    except (OSError, HTTPException):  # nobody listens yet, or not well enough
        return False


def _named(text: str) -> Probe:
    try:
        parts = urlsplit(text if "://" in text else text.replace("tcp:", "tcp://", 1))
        if parts.scheme == "tcp" and parts.hostname and parts.port:
            return partial(_connects, parts.hostname, parts.port)
        if parts.scheme in {"http", "https"} and parts.hostname:
            return partial(_answers, text)
    except ValueError as error:
        raise UsageError(f"ready={text!r}: {error}; {_HINT}") from None
    raise UsageError(f"ready={text!r} is no way to tell that a service is ready; {_HINT}")


def _connects(host: str, port: int) -> bool:
    with socket.create_connection((host, port), timeout=_PATIENCE_S):
        return True


def _answers(url: str) -> bool:
    # Past any proxy: it is this machine's service that is asked for, and a proxy would answer in its place.
    with build_opener(ProxyHandler({})).open(url, timeout=_PATIENCE_S):
        return True
