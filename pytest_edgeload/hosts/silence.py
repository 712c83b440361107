"""A limit for the silence of a host before pytest runs on it; from then on the pulse of the session has one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread, Timer
from typing import Any

from pytest_edgeload.base.errors import Refusal, Unsupported
from pytest_edgeload.hosts.file import Host
from pytest_edgeload.hosts.project import LOST

_PATIENCE_S = 300.0  # an answer may wait for a file of 16 MiB on a slow link
_QUESTIONS = 6  # within the patience


@contextmanager
def limited_silence(gateway: Any, host: Host, patience_s: float = _PATIENCE_S) -> Iterator[None]:
    """Ask the interpreter behind a gateway of execnet again and again whether it lives, during the block.

    If it does not answer for `patience_s`, close the connection, which ends every wait for it, and raise Unsupported.
    """
    is_over, is_silent = Event(), Event()

    def give_up() -> None:
        is_silent.set()
        gateway._io.kill()  # noqa: SLF001  # as execnet's group does with a gateway that does not end

    def ask() -> None:
        with suppress(*LOST):
            while not is_over.wait(patience_s / _QUESTIONS):
                timer = Timer(patience_s, give_up)
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
            raise Unsupported(host.name, f"no answer for {patience_s:.0f} s", hint) from error
        raise
    finally:
        is_over.set()
