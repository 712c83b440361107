"""The pulse between a controller and its hosts: a host that feels none for too long ends its session by itself.

Without it, a host whose cable was pulled would measure to the end of its tests for no one.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Any

PULSE = "edgeload_pulse"
"""The key under which a controller sends its hosts the channel of the pulse."""

GIVEN_UP = "edgeload_given_up"
"""The key under which a host says that it ended because it felt no pulse."""

_BEATS = 6  # within the patience of a host, so that a few may be late
_CHECKS = 2  # before a host ends: after the whole machine stood still, pulses may wait to be read
_GRACE_S = 30.0  # to restore the machine


class Heart:
    """The pulse for one host, through a channel of execnet, until the connection is closed."""

    def __init__(self, channel: Any, patience_s: float) -> None:
        self._channel = channel
        self._period_s = patience_s / _BEATS
        self._is_over = Event()
        Thread(target=self._beat, name="edgeload-pulse", daemon=True).start()

    def stop(self, *, has_all: bool) -> None:
        """Stop the pulse. If the controller `has_all` measurements, the host learns that."""
        self._is_over.set()
        if has_all:
            with suppress(OSError):
                self._channel.send(has_all)

    def _beat(self) -> None:
        with suppress(OSError):
            while not self._is_over.wait(self._period_s):
                self._channel.send(False)  # noqa: FBT003  # not all is there yet


class Watch:
    """Watches the pulse of the controller, in a process on a host.

    After `patience_s` without a pulse, it `has_given_up`: the session ends as by Ctrl-C, and the process with it.
    `on_all` is called when the controller has all measurements.
    """

    def __init__(self, on_all: Callable[[], None], channel: Any, patience_s: float) -> None:
        self._patience_s = patience_s
        self._on_all = on_all
        self._felt_s = time.monotonic()
        self._is_restored = Event()
        self.has_given_up = False
        channel.setcallback(self._feel)
        self._channel = channel  # execnet forgets it otherwise
        Thread(target=self._watch, name="edgeload-watch", daemon=True).start()

    def end(self) -> None:
        """Note that the session has ended and the machine is as before."""
        self._is_restored.set()

    def _feel(self, has_all: bool) -> None:  # noqa: FBT001  # execnet calls it
        self._felt_s = time.monotonic()
        if has_all:
            self._on_all()

    def _left_s(self) -> float:
        return self._felt_s + self._patience_s - time.monotonic()

    def _watch(self) -> None:
        checks = 0
        while checks < _CHECKS:
            time.sleep(max(1.0, self._left_s()))
            checks = 0 if self._left_s() > 0 else checks + 1
        self.has_given_up = True
        if not self._is_restored.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            self._is_restored.wait(_GRACE_S)
        os._exit(1)  # pytest may be waiting for the connection, which accepts nothing any more
