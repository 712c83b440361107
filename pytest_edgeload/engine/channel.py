"""The worker's end of the conversation in `job`: pipes that no other code in the process can read or write."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import BinaryIO

import msgspec

from pytest_edgeload.base.processes import die_with_parent
from pytest_edgeload.base.text import printable
from pytest_edgeload.base.tracebacks import user_lines
from pytest_edgeload.engine import memory
from pytest_edgeload.job import Event, Failed

Send = Callable[[Event], None]
"""Sends one event to the parent."""

_MAX_MESSAGE_CHARACTERS = 2000  # the parent keeps fewer


def serve(work: Callable[[BinaryIO, Send], None]) -> int:
    """Run `work`, which reads messages and sends events; return the exit status.

    An exception of `work` becomes a Failed event and exit status 1.
    """
    # A killed parent cannot end its worker, so the kernel does. setpriv requests the same for all programs (see
    # sandbox.user), but it may not be installed.
    die_with_parent(signal.SIGKILL)
    commands, events = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    os.register_at_fork(after_in_child=events.close)  # else the worker seems alive until its forked children end
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a library that reads standard input must not read our messages
    os.dup2(2, 1)  # output that a library prints goes to standard error, never between the events
    send = partial(_send, events)
    try:
        work(commands, send)
    except MemoryError as error:
        send(Failed(printable(str(error)) or "out of memory", memory=True))
        return 1
    except Exception as error:  # noqa: BLE001  # the parent turns it into an outcome
        is_refused = memory.is_refusal(error)
        message = printable(f"{type(error).__name__}: {error}"[:_MAX_MESSAGE_CHARACTERS])
        send(Failed(message, memory=is_refused, traceback=user_lines(error)))
        return 1
    return 0


def _send(events: BinaryIO, event: Event) -> None:
    data = memoryview(msgspec.json.encode(event) + b"\n")
    while data:
        data = data[events.write(data) or 0 :]
