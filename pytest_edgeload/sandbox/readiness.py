"""Probes of whether a service is ready: a TCP connection, an HTTP response, or the caller's own function."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from pytest_edgeload.base.arguments import BadArgument
from pytest_edgeload.base.errors import UsageError

Probe = Callable[[], object]

_PATIENCE_S = 1.0
_HINT = "try 'tcp:127.0.0.1:8000', 'http://127.0.0.1:8000/', or a function that returns true once it is ready"


def probe_of(ready: Probe | str) -> Callable[[], bool]:
    """Return a function that returns whether a service is ready. A probe that raises OSError is not ready.

    Raises UsageError.
    """
    if not callable(ready) and not isinstance(ready, str):
        raise BadArgument.of("ready", ready, "neither an address nor a function", _HINT)
    return partial(_is_ready, ready if callable(ready) else _parse(ready))


def _is_ready(probe: Probe) -> bool:
    try:
        return bool(probe())
    except (OSError, HTTPException):  # no server listens yet, or it does not respond properly
        return False


def _parse(text: str) -> Probe:
    try:
        parts = urlsplit(text if "://" in text else text.replace("tcp:", "tcp://", 1))
        if parts.scheme == "tcp" and parts.hostname and parts.port:
            return partial(_connects, parts.hostname, parts.port)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return partial(_responds, text)
    except ValueError as error:
        raise UsageError(f"ready={text!r}", str(error), _HINT) from None
    raise UsageError(f"ready={text!r}", "not an address of a service", _HINT)


def _connects(host: str, port: int) -> bool:
    with socket.create_connection((host, port), timeout=_PATIENCE_S):
        return True


def _responds(url: str) -> bool:
    # Not through a proxy, which would respond instead of this machine's service.
    with build_opener(ProxyHandler({})).open(url, timeout=_PATIENCE_S):
        return True
