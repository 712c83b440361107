"""Serves requests in one window after the other, on a thread of its own. Imports torch.

A window has a bounded number of requests, so planning takes as long for the last request as for the first.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Mapping, Sequence

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.runtime.memory import WeightMemory
from pytest_edgeload.runtime.pending import PendingRequest
from pytest_edgeload.runtime.planning import Planner, TimedAsk
from pytest_edgeload.runtime.window import FULL, Window

PAST = 8
"""How many past requests are planned again with new ones, besides the last of each network. They are all that a policy
which counts or times requests knows of the past."""


class TooManyRequests(UsageError):
    """More requests would wait than a runtime allows."""


class WindowServer:
    """Serves requests that any thread submits, of which at most `max_waiting` wait (None: any number)."""

    def __init__(self, networks: Mapping[str, OpenNetwork], planner: Planner, max_waiting: int | None = None) -> None:
        self._networks = networks
        self._planner = planner
        self._max_waiting = max_waiting
        self._counted: list[PendingRequest] = []  # that were not answered, if there is a maximum
        self._past: list[TimedAsk] = []
        self._memory = WeightMemory(networks)
        self._changed = threading.Condition()
        self._waiting: list[PendingRequest] = []
        self._window: Window | None = None
        self._is_closed = self._is_abandoned = False
        self._pid = os.getpid()
        atexit.register(self._end)  # Python aborts if it ends a thread that is in an operator
        self._thread = threading.Thread(target=self._serve, name="edgeload runtime", daemon=True)
        self._thread.start()

    def submit(self, pending: Sequence[PendingRequest]) -> None:
        """Let requests arrive now.

        Raises TooManyRequests, and UsageError if the server is closed or was opened before a fork.
        """
        if self._pid != os.getpid():  # a fork copies no thread but the one that forks
            raise UsageError("the runtime", "opened before this process was forked", "open another one in it")
        with self._changed:
            if self._is_closed:
                raise UsageError("the runtime", "closed", "ask inside its `with` block")
            self._count(pending)
            now_s = time.perf_counter()
            for each in pending:
                each.ask = each.ask._replace(arrived_s=now_s)
            self._waiting += pending
            self._extend()
            self._changed.notify_all()

    def _count(self, pending: Sequence[PendingRequest]) -> None:
        """Count requests as waiting. Raises TooManyRequests if they would be too many."""
        if self._max_waiting is None:
            return
        self._counted = [each for each in self._counted if not each.is_over]
        if len(self._counted) + len(pending) > self._max_waiting:
            waiting, more = len(self._counted), len(pending)
            reason = f"at most {self._max_waiting} may wait for answers, but {waiting} did and {more} more came"
            raise TooManyRequests("the runtime", reason, "ask again later, or raise max_waiting")
        self._counted += pending

    def close(self, *, is_waiting: bool = True) -> None:
        """Wait for the requests that were submitted, or only for a step of each, and free all memory."""
        if self._pid != os.getpid():
            return
        with self._changed:
            self._is_closed = True
            self._is_abandoned |= not is_waiting
            self._close_window()
            self._changed.notify_all()
        self._thread.join()
        self._memory.clear()
        atexit.unregister(self._end)

    def _end(self) -> None:
        self.close(is_waiting=False)

    def _close_window(self) -> None:
        if self._window is not None:
            self._window.close()
            if self._is_abandoned:
                self._window.abandon_all()

    def _serve(self) -> None:
        """Serve windows until the server is closed and no request is left."""
        while (waiting := self._next()) is not None:
            asked: list[TimedAsk] = []  # no weights are left of a window that fails: the next one begins like the first
            try:
                asked = self._serve_window(waiting)
            except BaseException as error:  # noqa: BLE001  # of a plan or the engine; the callers get it
                self._memory.clear()
                for each in waiting:
                    each.fail(error)
                if self._window is not None:
                    self._window.fail_all(error)
            with self._changed:
                self._past = _recent(asked)
                self._window = None

    def _next(self) -> list[PendingRequest] | None:
        """Wait for requests, and return those of the next window; None if there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            count = min(FULL, len(self._waiting))
            if count > 1 and not self._fit(self._waiting[:count]):
                count = 1
            taken, self._waiting = self._waiting[:count], self._waiting[count:]
            return taken or None

    def _fit(self, pending: Sequence[PendingRequest]) -> bool:
        try:
            return self._planner.fit([each.ask for each in pending])
        except Exception:  # noqa: BLE001  # of a policy; each is planned alone, and one of them may fail with it
            return False

    def _serve_window(self, pending: Sequence[PendingRequest]) -> list[TimedAsk]:
        """Serve requests, and those that come meanwhile if the window can take them; return all, and past ones."""
        window = Window(self._networks, self._planner, self._past, pending, self._memory)
        with self._changed:
            self._window = window
            self._extend()
            if self._is_closed:
                self._close_window()
        window.run()
        with self._changed:  # another thread may still be adding requests
            return window.asked

    def _extend(self) -> None:
        """Give the requests that wait to the window that runs, if it can take them."""
        if self._window is not None and self._waiting and self._window.extend(self._waiting):
            self._waiting = []


def _recent(asked: Sequence[TimedAsk]) -> list[TimedAsk]:
    """Return the last requests, and the last one of each network."""
    last = {ask.network: i for i, ask in enumerate(asked)}
    return [ask for i, ask in enumerate(asked) if i >= len(asked) - PAST or i == last[ask.network]]
