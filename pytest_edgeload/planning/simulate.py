"""Carries out a plan in virtual time, with the dispatcher of the engine. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace

from pytest_edgeload.networks.tile import share
from pytest_edgeload.planning.account import Account
from pytest_edgeload.planning.dispatch import Dispatcher
from pytest_edgeload.planning.plan import STUCK, InvalidPlan, Plan, Span, Speeds, Task, TaskTotal
from pytest_edgeload.planning.span_log import KEPT_STEPS, SpanLog, makespan_s
from pytest_edgeload.workload import Workload


@dataclass(frozen=True, slots=True)
class Simulation:
    """The result of a simulation: the tasks in order of start, the peaks of memory, and the arrivals.

    `peak_bytes` counts weights and activations, `peak_weight_bytes` weights alone; both include the plan's whole arena.
    `dropped` contains the requests that were dropped, and `overrun` those of them that newer ones pushed out of their
    queue. `totals` has the tasks of later steps, see `SpanLog`.
    """

    spans: tuple[Span, ...]
    peak_bytes: int
    peak_weight_bytes: int
    arrived_s: tuple[float | None, ...]
    dropped: tuple[int, ...]
    totals: tuple[TaskTotal, ...] = ()
    overrun: tuple[int, ...] = ()

    @property
    def makespan_s(self) -> float:
        """The end of the last task, in virtual seconds."""
        return makespan_s(self.spans, self.totals)


def simulate(
    plan: Plan, workload: Workload, *, speeds: Speeds | None = None, holds: Callable[[int], bool] = lambda _: True
) -> Simulation:
    """Carry out `plan` for `workload` in virtual time.

    `speeds` set the duration of loads and execs; other tasks take no time. `holds` returns whether the condition of a
    request holds. Raises InvalidPlan if tasks are left that can never run.
    """
    return _Simulator(plan, workload, speeds or Speeds(), holds).run()


class _Simulator:
    """A plan while it is carried out in virtual time."""

    def __init__(self, plan: Plan, workload: Workload, speeds: Speeds, holds: Callable[[int], bool]) -> None:
        self._plan, self._workload, self._speeds, self._holds = plan, workload, speeds, holds
        self._dispatcher = Dispatcher(plan, workload.asked)
        self._account = Account(
            [request.network for request in workload.requests],
            plan.arena_bytes,
            [request.steps for request in workload.requests],
        )
        self._idle_lanes = set(range(plan.lanes))
        self._fresh_lanes: set[int | None] = set(self._idle_lanes)  # that may have a task, as others have not
        self._running: list[tuple[float, int, int]] = []  # a heap: end, index, lane
        self._log = SpanLog()
        self._now_s = 0.0

    def run(self) -> Simulation:
        """Carry out all tasks."""
        while not self._dispatcher.finished:
            self._start_tasks()
            arrival_s = self._dispatcher.next_arrival_s
            if self._running and (arrival_s is None or self._running[0][0] <= arrival_s):
                self._end_task()
            elif arrival_s is not None:
                self._now_s = arrival_s
                self._dispatcher.advance(arrival_s)
            else:
                raise InvalidPlan(STUCK)
        account, arrived_s = self._account, tuple(self._dispatcher.arrived_s)
        spans, totals, dropped = self._log.spans, self._log.totals, self._dispatcher.dropped
        peaks = account.peak_bytes, account.peak_weight_bytes
        return Simulation(spans, *peaks, arrived_s, dropped, totals, self._dispatcher.overrun)

    def _start_tasks(self) -> None:
        """Start a task on each idle lane that can run one."""
        fresh = self._fresh_lanes | self._dispatcher.fresh_lanes()
        self._fresh_lanes = set()
        for lane in sorted(self._idle_lanes if None in fresh else self._idle_lanes & fresh):
            index = self._dispatcher.take(lane, self._now_s)
            if index is not None:
                task = self._plan.tasks[index]
                self._idle_lanes.remove(lane)
                read_bytes = self._account.begin(task)
                end_s = self._now_s + _seconds(task, read_bytes, self._workload, self._speeds)
                ready_s, step = self._dispatcher.ready_s(index), self._dispatcher.step(index)
                self._log.add(Span(index, lane, ready_s, self._now_s, end_s, step))
                heapq.heappush(self._running, (end_s, index, lane))

    def _end_task(self) -> None:
        """Advance to the end of the task that ends next."""
        self._now_s, index, lane = heapq.heappop(self._running)
        self._idle_lanes.add(lane)
        self._fresh_lanes.add(lane)
        self._account.end(self._plan.tasks[index])
        decided = self._dispatcher.end(index, self._now_s)
        for request in decided:
            if not self._holds(request):
                self._dispatcher.drop(request, self._now_s)
        if decided:
            self._dispatcher.advance(self._now_s)
        for request in self._dispatcher.discarded():
            self._account.discard(request)


def peak_bytes(plan: Plan, workload: Workload) -> int:
    """Return the peak of weights and activations of `plan` in bytes, if all conditions hold.

    The peak is exact for one lane and requests that are all there from the start; otherwise it is the peak of a run at
    nominal speeds. Later steps of a loop hold what the first ones do. Raises InvalidPlan if tasks are left that can
    never run.
    """
    requests = tuple(replace(request, steps=min(request.steps, KEPT_STEPS)) for request in workload.requests)
    return simulate(plan.shortened(KEPT_STEPS), replace(workload, requests=requests)).peak_bytes


def _seconds(task: Task, read_bytes: int, workload: Workload, speeds: Speeds) -> float:
    if task.kind == "load":
        return read_bytes / speeds.read_bytes_per_s
    if task.layer is None or task.kind == "free":
        return 0.0
    layer = workload.requests[task.request].network.layers[task.layer]
    return speeds.exec_s(layer) * share(layer, task.tile)
