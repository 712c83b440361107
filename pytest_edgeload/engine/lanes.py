"""Lanes: threads that run tasks in the order of the dispatcher."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pytest_edgeload.planning.arrivals import TimedRequest
from pytest_edgeload.planning.dispatch import Dispatcher
from pytest_edgeload.planning.plan import STUCK, InvalidPlan, Plan, Span, TaskTotal
from pytest_edgeload.planning.span_log import SpanLog


class TaskPerformer(Protocol):
    """Performs the tasks that the lanes take."""

    def perform(self, index: int) -> None:
        """Perform the task with this index; return when the task has ended."""

    def holds(self, request: int) -> bool:
        """Return whether the condition of `request` holds, after the request that it refers to has been answered."""

    def discard(self, request: int) -> None:
        """Delete the values of `request`, which is dropped; none of its tasks runs any more."""


@dataclass(frozen=True, slots=True)
class LaneResult:
    """The tasks that ran, in order of start; the arrival time of each request; and the dropped requests.

    `overrun` are those of them that newer ones pushed out of their queue. `totals` has the tasks of later steps, see
    `SpanLog`. `begin_s` is the start by `time.perf_counter`.
    """

    spans: tuple[Span, ...]
    arrived_s: tuple[float, ...]
    dropped: tuple[int, ...]
    totals: tuple[TaskTotal, ...] = ()
    overrun: tuple[int, ...] = ()
    begin_s: float = field(default=0.0, compare=False)


_Ended = tuple[int, float, float]
"""A task that has ended, with its start and end."""

Failing = Callable[[int, Exception], Collection[int]]
"""Takes a task and its exception; returns the requests to drop."""


def run(
    plan: Plan,
    performer: TaskPerformer,
    requests: Sequence[TimedRequest] = (),
    *,
    begin_s: float | None = None,
    fail: Failing | None = None,
) -> LaneResult:
    """Execute `plan` on its lanes; `requests` contain arrival times, and without them all requests arrive at once.

    The calling thread is the first lane. Times count from `begin_s` by `time.perf_counter` (None: from now). If a task
    raises an exception, the requests that `fail` returns are dropped; without `fail`, all lanes end, and the exception
    is raised again.
    """
    return Lanes(plan, performer, requests, begin_s=begin_s, fail=fail).run()


class Lanes:
    """The lanes of a plan, which may grow while they run; see `run`.

    With `is_open`, lanes without a task wait for more until it is False, see `extend` and `close`.
    """

    def __init__(
        self,
        plan: Plan,
        performer: TaskPerformer,
        requests: Sequence[TimedRequest],
        *,
        begin_s: float | None = None,
        fail: Failing | None = None,
        is_open: bool = False,
    ) -> None:
        self._begin = time.perf_counter() if begin_s is None else begin_s
        self._fail = fail
        self._is_open = is_open
        self._has_ended = False
        self._count = plan.lanes
        self._dispatcher = Dispatcher(plan, requests)
        self._performer = performer
        self._lock = threading.Lock()
        self._changes = [threading.Condition(self._lock) for _ in range(plan.lanes)]  # that each lane waits for
        self._is_fresh = [False] * plan.lanes  # whether each lane may have another task than those that it has taken
        self._arrival_s: float | None = None  # the next one that lanes know of
        self._log = SpanLog()
        self.error: BaseException | None = None

    def run(self) -> LaneResult:
        """Run tasks on all lanes, of which the calling thread is the first, until none is left."""
        lanes = range(1, self._count)
        others = [threading.Thread(target=self._work, args=(lane,), name=f"lane {lane}") for lane in lanes]
        for thread in others:
            thread.start()
        self._work(0)
        for thread in others:
            thread.join()
        self._fail = None  # of the owner of the lanes: only a collection would end the cycle
        if self.error is not None:
            raise self.error
        return self._result()

    def extend(self, plan: Plan, requests: Sequence[TimedRequest], first: int, *, is_open: bool) -> bool:
        """Add requests, whose indices go on from `first`, and the tasks of `plan`, whose indices go on from before.

        Return False, and change nothing, if the lanes have ended.
        """
        with self._lock:
            if self._has_ended or self.error is not None:
                return False
            self._dispatcher.extend(
                plan.tasks,
                requests,
                plan.loops,
                service_s=plan.service_s[first : first + len(requests)],
                deadlines_s=plan.deadlines_s[first : first + len(requests)],
                now_s=self._now_s(),
            )
            self._is_open = is_open
            self._wake_all()
            return True

    def close(self) -> None:
        """Let the lanes end when no task is left."""
        with self._lock:
            self._is_open = False
            self._wake_all()

    def _result(self) -> LaneResult:
        arrived_s = tuple(at or 0.0 for at in self._dispatcher.arrived_s)
        dropped, overrun = self._dispatcher.dropped, self._dispatcher.overrun
        return LaneResult(self._log.spans, arrived_s, dropped, self._log.totals, overrun, self._begin)

    def _work(self, lane: int) -> None:
        """Run tasks until none is left or a task fails on any lane."""
        try:
            with self._lock:
                chain = self._next(lane)
            while chain:
                ended, failed = self._perform(chain, lane)
                with self._lock:
                    for request in failed:
                        self._dispatcher.drop(request, self._now_s())
                    self._end(ended, lane)
                    chain = self._next(lane)
        except BaseException as error:  # noqa: BLE001  # raised again by run(), on the caller's thread
            with self._lock:
                self.error = self.error or error
                self._wake_all()

    def _perform(self, chain: Sequence[int], lane: int) -> tuple[list[_Ended], Collection[int]]:
        """Perform tasks in turn, until another task may go before the next one; return the requests that fail."""
        ended: list[_Ended] = []
        for index in chain:
            if ended and (self._is_fresh[lane] or self._is_arrival_due()):
                break
            start_s = self._now_s()
            failed = self._perform_task(index)
            ended.append((index, start_s, self._now_s()))
            if failed:
                return ended, failed
        return ended, ()

    def _perform_task(self, index: int) -> Collection[int]:
        """Perform a task; return the requests that fail with it."""
        try:
            self._performer.perform(index)
        except Exception as error:
            if self._fail is None:
                raise
            return self._fail(index, error)
        return ()

    def _is_arrival_due(self) -> bool:
        """Return whether a request may have arrived that no lane has seen: all of them may be busy."""
        arrival_s = self._arrival_s
        return arrival_s is not None and self._now_s() >= arrival_s

    def _now_s(self) -> float:
        return time.perf_counter() - self._begin

    def _end(self, ended: Sequence[_Ended], lane: int) -> None:
        """Record the end of tasks, and drop the requests whose condition fails because of it. The lock is held."""
        (first, _, _), *chain = ended
        ready_s, step = self._dispatcher.ready_s(first), self._dispatcher.step(first)
        for index, start_s, end_s in ended:
            self._log.add(Span(index, lane, ready_s, start_s, end_s, step))
            ready_s = end_s
        now_s = self._now_s()  # read under the lock, so that the dispatcher's time never goes back
        for request in self._dispatcher.end(first, now_s, [index for index, *_ in chain]):
            if not self._performer.holds(request):
                self._dispatcher.drop(request, now_s)
        self._dispatcher.advance(now_s)
        for request in self._dispatcher.discarded():
            self._performer.discard(request)

    def _next(self, lane: int) -> Sequence[int]:
        """Wait for a task; return its index and those of its chain. The lock is held.

        Return nothing if no task is left or a lane has failed.
        """
        while self.error is None:
            now_s = self._now_s()
            self._dispatcher.advance(now_s)
            self._wake()
            if self._has_ended or (self._dispatcher.finished and not self._is_open):
                # after advance(): the arrival of a dropped request can be the end
                self._has_ended = True
                self._wake_all()
                break
            index = self._dispatcher.take(lane, now_s)
            if index is not None:
                self._is_fresh[lane] = False
                return index, *self._dispatcher.chain(index)
            if self._dispatcher.is_stuck(now_s):
                raise InvalidPlan(STUCK)
            arrival_s = self._dispatcher.next_arrival_s
            self._changes[lane].wait(None if arrival_s is None else max(0.0, arrival_s - self._now_s()))
        return ()

    def _wake(self) -> None:
        """Wake the lanes that may have a task now, or that would wait beyond the next arrival.

        Waking a lane for nothing takes the processor from the operator that runs.
        """
        lanes, arrival_s = self._dispatcher.fresh_lanes(), self._dispatcher.next_arrival_s
        if None in lanes or arrival_s != self._arrival_s:
            self._arrival_s = arrival_s
            self._wake_all()
            return
        for lane in lanes:
            if lane is not None:
                self._wake_lane(lane)

    def _wake_all(self) -> None:
        for lane in range(self._count):
            self._wake_lane(lane)

    def _wake_lane(self, lane: int) -> None:
        """Let a lane look for a task, at once or after the one that it runs."""
        self._is_fresh[lane] = True
        self._changes[lane].notify()
