"""Lanes: threads that run tasks as the dispatcher hands them out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pytest_edgeload.dispatch import Dispatcher
from pytest_edgeload.job import Span
from pytest_edgeload.plan import Plan


def run(plan: Plan, perform: Callable[[int], None]) -> list[Span]:
    """Carry out `plan` on its lanes by calling `perform` with each task's index; return what ran when.

    The calling thread is the first lane. The first exception of a task ends all lanes and is raised again.
    """
    lanes = _Lanes(plan, perform)
    others = [threading.Thread(target=lanes.work, args=(lane,), name=f"lane {lane}") for lane in range(1, plan.lanes)]
    for thread in others:
        thread.start()
    lanes.work(0)
    for thread in others:
        thread.join()
    if lanes.error is not None:
        raise lanes.error
    return sorted(lanes.spans, key=lambda span: span.start_s)


class _Lanes:
    def __init__(self, plan: Plan, perform: Callable[[int], None]) -> None:
        self._dispatcher = Dispatcher(plan)
        self._perform = perform
        self._change = threading.Condition()
        self._begin = time.perf_counter()
        self._ready_s = [0.0] * len(plan.tasks)
        self.spans: list[Span] = []
        self.error: BaseException | None = None

    def work(self, lane: int) -> None:
        """Run tasks until none is left or one has failed."""
        while (index := self._next()) is not None:
            start_s = time.perf_counter() - self._begin
            try:
                self._perform(index)
            except BaseException as error:  # noqa: BLE001  # raised again by run(), on the caller's thread
                with self._change:
                    self.error = self.error or error
                    self._change.notify_all()
                return
            end_s = time.perf_counter() - self._begin
            with self._change:
                self.spans.append(Span(index, lane, self._ready_s[index], start_s, end_s))
                for ready in self._dispatcher.end(index):
                    self._ready_s[ready] = end_s
                self._change.notify_all()

    def _next(self) -> int | None:
        """Wait for a task; None when there is nothing left to do."""
        with self._change:
            while self.error is None and not self._dispatcher.finished:
                index = self._dispatcher.take()
                if index is not None:
                    return index
                self._change.wait()
            return None
