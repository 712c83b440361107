"""The dispatcher in virtual time: what a plan would do, without doing it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from pytest_edgeload.networks.tile import share, tile_bytes
from pytest_edgeload.planning.account import Account
from pytest_edgeload.planning.dispatch import Dispatcher
from pytest_edgeload.planning.plan import STUCK, InvalidPlan, Plan, Span, Speeds, Task
from pytest_edgeload.workload import Workload


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a run would be: its tasks in order of start, the most bytes held at any moment, who arrived when.

    `peak_bytes` counts weights and activations, `peak_weight_bytes` weights alone, both with the whole arena of the
    plan. `dropped` are the requests whose condition failed.
    """

    spans: tuple[Span, ...]
    peak_bytes: int
    peak_weight_bytes: int
    arrived_s: tuple[float | None, ...]
    dropped: tuple[int, ...]

    @property
    def makespan_s(self) -> float:
        """The end of the last task, in virtual seconds."""
        return max((span.end_s for span in self.spans), default=0.0)


def simulate(
    plan: Plan, workload: Workload, *, speeds: Speeds | None = None, holds: Callable[[int], bool] = lambda _: True
) -> Simulation:
    """Carry out `plan` in virtual time, its loads and execs as long as `speeds` say, other tasks in no time.

    `holds` tells whether the condition of a request holds. Raises InvalidPlan for a plan whose tasks can never all run.
    """
    speeds = speeds or Speeds()
    dispatcher = Dispatcher(plan, workload.asked)
    account = Account([request.network for request in workload.requests], plan.arena_bytes)
    free = list(range(plan.lanes))
    running: list[tuple[float, int, int]] = []  # a heap: end, index, lane
    spans: list[Span] = []
    now_s = 0.0
    while not dispatcher.finished:
        for lane in list(free):
            index = dispatcher.take(lane, now_s)
            if index is not None:
                free.remove(lane)
                account.begin(plan.tasks[index])
                end_s = now_s + _seconds(plan.tasks[index], workload, speeds)
                spans.append(Span(index, lane, dispatcher.ready_s[index], now_s, end_s))
                heapq.heappush(running, (end_s, index, lane))
        arrival_s = dispatcher.next_arrival_s
        if running and (arrival_s is None or running[0][0] <= arrival_s):
            now_s, index, lane = heapq.heappop(running)
            free.append(lane)
            free.sort()
            account.end(plan.tasks[index])
            for request in dispatcher.end(index, now_s):
                if not holds(request):
                    dispatcher.drop(request, now_s)
            for request in dispatcher.discarded():
                account.discard(request)
        elif arrival_s is not None:
            now_s = arrival_s
            dispatcher.advance(now_s)
        else:
            raise InvalidPlan(STUCK)
    arrived_s = tuple(dispatcher.arrived_s)
    return Simulation(tuple(spans), account.peak_bytes, account.peak_weight_bytes, arrived_s, dispatcher.dropped)


def peak_bytes(plan: Plan, workload: Workload) -> int:
    """Return the most bytes of weights and activations that `plan` holds at any moment, all conditions holding.

    Exact for one lane and requests that are all there from the start; else what a run at nominal speeds would reach.
    Raises InvalidPlan for a plan whose tasks can never all run.
    """
    return simulate(plan, workload).peak_bytes


def _seconds(task: Task, workload: Workload, speeds: Speeds) -> float:
    if task.layer is None or task.kind == "free":
        return 0.0
    network = workload.requests[task.request].network
    if task.kind == "load":
        return tile_bytes(network, task.layer, task.tile) / speeds.read_bytes_per_s
    layer = network.layers[task.layer]
    return speeds.exec_s(layer) * share(layer, task.tile)
