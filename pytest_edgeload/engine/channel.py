"""How every worker speaks: as `job` lays down, over pipes that nothing else in the process can mistake for its own."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import BinaryIO

import msgspec

from pytest_edgeload.base.text import printable
from pytest_edgeload.job import Event, Failed

_WORDS = 2000  # characters; the parent keeps fewer
Send = Callable[[Event], None]

_PR_SET_PDEATHSIG = 1


def speak(work: Callable[[BinaryIO, Send], None]) -> int:
    """Let `work` read what it is told and send events; return the exit status."""
    # A parent that is killed cannot end its worker, so the kernel does. setpriv asked for that, too (see sandbox.user),
    # for programs that are not ours; where it is not installed, this is all there is.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    commands, events = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    os.register_at_fork(after_in_child=events.close)  # or we would seem alive as long as a child of ours is
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # whoever asks for input must not read what is meant for us
    os.dup2(2, 1)  # what a library prints goes to standard error, never between the events
    send = partial(_send, events)
    try:
        work(commands, send)
    except MemoryError as error:
        send(Failed(printable(str(error)) or "out of memory", memory=True))
        return 1
    except Exception as error:  # noqa: BLE001  # the parent makes it an outcome
        is_refused = "can't allocate memory" in str(error) or getattr(error, "errno", None) == errno.ENOMEM
        send(Failed(printable(f"{type(error).__name__}: {error}"[:_WORDS]), memory=is_refused))
        return 1
    return 0


def _send(events: BinaryIO, event: Event) -> None:
    data = memoryview(msgspec.json.encode(event) + b"\n")
    while data:
        data = data[events.write(data) or 0 :]
