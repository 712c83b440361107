"""A limit for the silence of a host before pytest runs on it; from then on the pulse of the session has one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread, Timer
from typing import Any

from pytest_edgeload.base.errors import Refusal, Unsupported
from pytest_edgeload.hosts.connection import patience_s
from pytest_edgeload.hosts.file import Host
from pytest_edgeload.hosts.project import LOST

_PATIENCE_S = 300.0  # an answer may wait for a file of 16 MiB on a slow link
_QUESTIONS = 6  # within the patience


@contextmanager
def limited_silence(gateway: Any, host: Host, limit_s: float | None = None) -> Iterator[None]:
    """Ask the interpreter behind a gateway of execnet again and again whether it lives, during the block.

    If it does not answer for `limit_s`, close the connection, which ends every wait for it, and raise Unsupported.
    Without `limit_s` these are five minutes, or the patience of the pulse if that is longer.
    """
    silence_s = max(_PATIENCE_S, patience_s(host)) if limit_s is None else limit_s
    is_over, is_silent = Event(), Event()

    def give_up() -> None:
        if is_over.is_set():  # the block ended while the last question was on its way
            return
        is_silent.set()
        gateway._io.kill()  # noqa: SLF001  # as execnet's group does with a gateway that does not end

    def ask() -> None:
        with suppress(*LOST):
            while not is_over.wait(silence_s / _QUESTIONS):
                timer = Timer(silence_s, give_up)
                timer.daemon = True
                timer.start()
                try:
                    gateway.remote_status()  # answered by the thread that receives, whatever the others do
                finally:
                    timer.cancel()

    Thread(target=ask, name="edgeload-silence", daemon=True).start()
    try:
        yield
    except (Refusal, *LOST) as error:
        if is_silent.is_set():
            hint = "look at the host, and start the session again"
            raise Unsupported(host.name, f"no answer for {silence_s:.0f} s", hint) from error
        raise
    finally:
        is_over.set()
