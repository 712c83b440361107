"""Programs on a host by ssh: run once, with their output, or a sentence on the reason why the host did not run them."""

from __future__ import annotations

import math
import re
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from pytest_edgeload.base.errors import Refusal, Unsupported
from pytest_edgeload.base.text import printable
from pytest_edgeload.hosts.file import Host

OPTIONS = ("-oBatchMode=yes", "-oConnectTimeout=10", "-oServerAliveInterval=10", "-oServerAliveCountMax=3")
"""Options of ssh, unless the host sets them: never ask, and notice within half a minute that a host is gone."""

_MIN_PATIENCE_S, _MAX_PATIENCE_S = 10.0, 900.0
_ALIVE_OPTIONS = ("serveraliveinterval", "serveralivecountmax")  # as ssh -G prints them
_ALIVE = re.compile(rf"^(?:{'|'.join(_ALIVE_OPTIONS)}) (\d+)$", re.MULTILINE)
_NO_CONNECTION = 255  # ssh's exit status for its own failures; see ssh(1)
_NOT_FOUND = (126, 127)  # a shell's exit status for a program that it cannot run

T = TypeVar("T")


def address(host: Host) -> str:
    """Return the address of a host for execnet, which becomes an option of pytest-xdist."""
    return f"ssh={' '.join([*host.arguments, *OPTIONS])}//python={host.interpreter}//id={host.name}"


def on_each(hosts: Sequence[Host], work: Callable[[Host], T]) -> list[T | Refusal]:
    """Return the result of `work` for each host, or its error. All hosts work at the same time.

    Ctrl-C does not wait for the work, which may be a copy of gigabytes.
    """

    def attempt(host: Host, result: Future[T | Refusal]) -> None:
        try:
            result.set_result(work(host))
        except Refusal as error:
            result.set_result(error)
        except BaseException as error:  # noqa: BLE001  # raised below
            result.set_exception(error)

    results: list[Future[T | Refusal]] = [Future() for _ in hosts]
    for host, result in zip(hosts, results, strict=True):
        threading.Thread(target=attempt, args=(host, result), daemon=True).start()
    return [result.result() for result in results]


def ask(host: Host, command: str, data: bytes = b"", *, timeout_s: float = 300.0) -> bytes:
    """Return the output of a shell command on a host, with `data` as its input. Raises Unsupported."""
    argv = ["ssh", *host.arguments, *OPTIONS, command]
    try:
        done = subprocess.run(argv, input=data, capture_output=True, timeout=timeout_s, check=False)
    except FileNotFoundError as error:
        raise Unsupported("ssh", "not found", "install it (Debian package openssh-client)") from error
    except subprocess.TimeoutExpired as error:
        raise Unsupported(host.name, f"no answer within {timeout_s:.0f} s", "look at the host") from error
    if done.returncode:
        raise _failure(host, done.returncode, done.stderr.decode("utf-8", "replace"))
    return done.stdout


def patience_s(host: Host) -> float:
    """Return the seconds of silence after which a host gives up its controller: twice those of ssh here.

    If ssh here never gives up, or does not say when, these are 15 minutes.
    """
    argv = ["ssh", "-G", *host.arguments, *OPTIONS]
    shown = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout
    found = _ALIVE.findall(shown)
    silence_s = math.prod(map(int, found)) if len(found) == len(_ALIVE_OPTIONS) else 0
    return max(_MIN_PATIENCE_S, 2.0 * silence_s) if silence_s else _MAX_PATIENCE_S


def _failure(host: Host, status: int, said: str) -> Unsupported:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = printable(lines[-1]) if lines else f"exit status {status}"
    if status == _NO_CONNECTION:
        return Unsupported(host.name, f"not reachable: {reason}", f"try ssh {host.ssh} true")
    if status in _NOT_FOUND:
        return Unsupported(host.name, reason, "run edgeload hosts install, or name another python in the file of hosts")
    return Unsupported(host.name, reason)
