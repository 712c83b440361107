"""Carries out a plan in virtual time, with the dispatcher of the engine. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from pytest_edgeload.networks.tile import is_last
from pytest_edgeload.planning.account import Account
from pytest_edgeload.planning.dispatch import Dispatcher
from pytest_edgeload.planning.plan import STUCK, InvalidPlan, Plan, Span, Speeds, Task, TaskTotal
from pytest_edgeload.planning.running_work import RunningWork
from pytest_edgeload.planning.span_log import KEPT_STEPS, SpanLog, makespan_s
from pytest_edgeload.planning.virtual_machine import NominalMachine, OutOfMemory, VirtualMachine
from pytest_edgeload.workload import Workload

Holds = Callable[[int], bool]
"""Returns whether the condition of a request holds."""


def always(_request: int) -> bool:
    """Let the condition of each request hold."""
    return True


@dataclass(frozen=True, slots=True)
class Simulation:
    """The result of a simulation: the tasks in order of start, the peaks of memory, and the arrivals.

    `peak_bytes` counts weights and activations, `peak_weight_bytes` weights alone; both include the plan's whole arena.
    `dropped` contains the requests that were dropped, and `overrun` those of them that newer ones pushed out of their
    queue. `totals` has the tasks of later steps, see `SpanLog`. `failure` is the reason why a machine without enough
    memory could not carry out all tasks; it is empty if they all ended. `step_ends_s` has the end of each step of the
    requests with several.
    """

    spans: tuple[Span, ...]
    peak_bytes: int
    peak_weight_bytes: int
    arrived_s: tuple[float | None, ...]
    dropped: tuple[int, ...]
    totals: tuple[TaskTotal, ...] = ()
    overrun: tuple[int, ...] = ()
    failure: str = ""
    step_ends_s: tuple[tuple[float, ...], ...] = ()

    @property
    def makespan_s(self) -> float:
        """The end of the last task, in virtual seconds."""
        return makespan_s(self.spans, self.totals)


def simulate(
    plan: Plan,
    workload: Workload,
    *,
    speeds: Speeds | None = None,
    holds: Holds = always,
    machine: VirtualMachine | None = None,
) -> Simulation:
    """Carry out `plan` for `workload` in virtual time.

    `speeds` set the duration of loads and execs; other tasks take no time, and tasks do not slow each other. `machine`
    replaces them, see `planning.virtual_machine`. `holds` returns whether the condition of a request holds. Raises
    InvalidPlan if tasks are left that can never run.
    """
    return _Simulator(plan, workload, machine or NominalMachine(workload, speeds or Speeds()), holds).run()


class _TaskStart(NamedTuple):
    """The start of a task that runs: its place among all starts, its lane and step, and when it was ready."""

    turn: int
    lane: int
    step: int
    ready_s: float
    start_s: float


class _Simulator:
    """A plan while it is carried out in virtual time."""

    def __init__(self, plan: Plan, workload: Workload, machine: VirtualMachine, holds: Holds) -> None:
        self._plan, self._machine, self._holds = plan, machine, holds
        self._dispatcher = Dispatcher(plan, workload.asked)
        self._account = Account(
            [request.network for request in workload.requests],
            plan.arena_bytes,
            [request.steps for request in workload.requests],
        )
        self._idle_lanes = set(range(plan.lanes))
        self._fresh_lanes: set[int | None] = set(self._idle_lanes)  # that may have a task, as others have not
        self._running = RunningWork(machine.paces)
        self._starts: dict[int, _TaskStart] = {}
        self._turn = 0
        self._log = SpanLog()
        self._steps = [request.steps for request in workload.requests]
        self._step_ends_s: list[list[float]] = [[] for _ in workload.requests]
        self._networks = [request.network for request in workload.requests]
        self._now_s = 0.0

    def run(self) -> Simulation:
        """Carry out all tasks."""
        failure = ""
        try:
            self._carry_out()
        except OutOfMemory as error:
            failure = str(error)
        account, arrived_s = self._account, tuple(self._dispatcher.arrived_s)
        spans, totals, dropped = self._log.spans, self._log.totals, self._dispatcher.dropped
        peaks = account.peak_bytes, account.peak_weight_bytes
        overrun, step_ends_s = self._dispatcher.overrun, tuple(map(tuple, self._step_ends_s))
        return Simulation(spans, *peaks, arrived_s, dropped, totals, overrun, failure, step_ends_s)

    def _carry_out(self) -> None:
        while not self._dispatcher.finished:
            self._start_tasks()
            arrival_s = self._dispatcher.next_arrival_s
            if self._running and (arrival_s is None or self._running.next_end_s <= arrival_s):
                self._end_work()
            elif arrival_s is not None:
                self._now_s = arrival_s
                self._dispatcher.advance(arrival_s)
            else:
                raise InvalidPlan(STUCK)

    def _start_tasks(self) -> None:
        """Start a task on each idle lane that can run one."""
        fresh = self._fresh_lanes | self._dispatcher.fresh_lanes()
        self._fresh_lanes = set()
        for lane in sorted(self._idle_lanes if None in fresh else self._idle_lanes & fresh):
            index = self._dispatcher.take(lane, self._now_s)
            if index is not None:
                self._start(index, lane)

    def _start(self, index: int, lane: int) -> None:
        task, step = self._plan.tasks[index], self._dispatcher.step(index)
        self._idle_lanes.remove(lane)
        read_bytes = self._account.begin(task)
        work = self._machine.begin(task, step, read_bytes, self._account.activation_bytes)
        self._turn += 1
        self._starts[index] = _TaskStart(self._turn, lane, step, self._dispatcher.ready_s(index), self._now_s)
        self._running.start(index, work, self._now_s)

    def _end_work(self) -> None:
        """Advance to the end of the work that ends next, and of its task if that has no other work."""
        self._now_s = max(self._now_s, self._running.next_end_s)
        index = self._running.end(self._now_s)
        if index is not None:
            self._end_task(index)

    def _end_task(self, index: int) -> None:
        start, task = self._starts.pop(index), self._plan.tasks[index]
        self._log.add(Span(index, start.lane, start.ready_s, start.start_s, self._now_s, start.step), start.turn)
        self._idle_lanes.add(start.lane)
        self._fresh_lanes.add(start.lane)
        self._account.end(task)
        if task.kind == "exec" and self._steps[task.request] > 1 and self._ends_step(task):
            self._step_ends_s[task.request].append(self._now_s)
        decided = self._dispatcher.end(index, self._now_s)
        for request in decided:
            if not self._holds(request):
                self._dispatcher.drop(request, self._now_s)
        if decided:
            self._dispatcher.advance(self._now_s)
        for request in self._dispatcher.discarded():
            self._account.discard(request)
        self._machine.end(task, self._account.activation_bytes)

    def _ends_step(self, task: Task) -> bool:
        layers = self._networks[task.request].layers
        return task.layer == len(layers) - 1 and is_last(layers[-1], task.tile)


def peak_bytes(plan: Plan, workload: Workload) -> int:
    """Return the peak of weights and activations of `plan` in bytes, if all conditions hold.

    The peak is exact for one lane and requests that are all there from the start; otherwise it is the peak of a run at
    nominal speeds. Later steps of a loop hold what the first ones do. Raises InvalidPlan if tasks are left that can
    never run.
    """
    requests = tuple(replace(request, steps=min(request.steps, KEPT_STEPS)) for request in workload.requests)
    return simulate(plan.shortened(KEPT_STEPS), replace(workload, requests=requests)).peak_bytes
