"""Lanes: threads that run tasks as the dispatcher hands them out."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_edgeload.planning.dispatch import Arriving, Dispatcher
from pytest_edgeload.planning.plan import STUCK, InvalidPlan, Plan, Span


class TaskPerformer(Protocol):
    """Carries out what the lanes hand it."""

    def perform(self, index: int) -> None:
        """Carry out the task with this index; return when it is done."""

    def holds(self, request: int) -> bool:
        """Tell whether the condition of `request` holds, when the request that it asks about has been answered."""

    def discard(self, request: int) -> None:
        """Forget what `request` has computed: it is dropped, and none of its tasks runs any more."""


@dataclass(frozen=True, slots=True)
class LaneResult:
    """What ran when, in order of start; when each request arrived; and which were dropped."""

    spans: tuple[Span, ...]
    arrived_s: tuple[float, ...]
    dropped: tuple[int, ...]


def run(plan: Plan, performer: TaskPerformer, requests: Sequence[Arriving] = ()) -> LaneResult:
    """Carry out `plan` on its lanes; `requests` say when each arrives, without them all are there.

    The calling thread is the first lane. The first exception of a task ends all lanes and is raised again.
    """
    lanes = _Lanes(plan, performer, requests)
    others = [threading.Thread(target=lanes.work, args=(lane,), name=f"lane {lane}") for lane in range(1, plan.lanes)]
    for thread in others:
        thread.start()
    lanes.work(0)
    for thread in others:
        thread.join()
    if lanes.error is not None:
        raise lanes.error
    return lanes.ran()


class _Lanes:
    def __init__(self, plan: Plan, performer: TaskPerformer, requests: Sequence[Arriving]) -> None:
        self._dispatcher = Dispatcher(plan, requests)
        self._performer = performer
        self._change = threading.Condition()
        self._begin = time.perf_counter()
        self._spans: list[Span] = []
        self.error: BaseException | None = None

    def ran(self) -> LaneResult:
        """Return what happened."""
        spans = tuple(sorted(self._spans, key=lambda span: span.start_s))
        return LaneResult(spans, tuple(at or 0.0 for at in self._dispatcher.arrived_s), self._dispatcher.dropped)

    def work(self, lane: int) -> None:
        """Run tasks until none is left or one has failed."""
        try:
            while (index := self._next(lane)) is not None:
                start_s = self._now_s()
                self._performer.perform(index)
                end_s = self._now_s()
                with self._change:
                    self._spans.append(Span(index, lane, self._dispatcher.ready_s[index], start_s, end_s))
                    self._end(index)
                    self._change.notify_all()
        except BaseException as error:  # noqa: BLE001  # raised again by run(), on the caller's thread
            with self._change:
                self.error = self.error or error
                self._change.notify_all()

    def _now_s(self) -> float:
        return time.perf_counter() - self._begin

    def _end(self, index: int) -> None:
        """Note that a task has ended, and drop the requests that nobody wants since."""
        now_s = self._now_s()  # taken under the lock, so that the dispatcher's time never goes back
        for request in self._dispatcher.end(index, now_s):
            if not self._performer.holds(request):
                self._dispatcher.drop(request, now_s)
        for request in self._dispatcher.discarded():
            self._performer.discard(request)

    def _next(self, lane: int) -> int | None:
        """Wait for a task; None when there is nothing left to do."""
        with self._change:
            while self.error is None:
                now_s = self._now_s()
                self._dispatcher.advance(now_s)
                if self._dispatcher.finished:  # asked only now: the arrival of what is dropped can be the end
                    break
                index = self._dispatcher.take(lane, now_s)
                if index is not None:
                    return index
                if self._dispatcher.is_stuck(now_s):
                    raise InvalidPlan(STUCK)
                arrival_s = self._dispatcher.next_arrival_s
                self._change.wait(None if arrival_s is None else max(0.0, arrival_s - self._now_s()))
            return None
