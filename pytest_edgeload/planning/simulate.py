"""The dispatcher in virtual time: what a plan would do, without doing it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from pytest_edgeload.networks.tile import left_bytes, share, tile_bytes, working_bytes
from pytest_edgeload.planning.dispatch import Dispatcher
from pytest_edgeload.planning.plan import STUCK, InvalidPlan, Plan, Span, Speeds, Task, Weights
from pytest_edgeload.workload import Workload


@dataclass(frozen=True, slots=True)
class Simulated:
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
) -> Simulated:
    """Carry out `plan` in virtual time, its loads and execs as long as `speeds` say, other tasks in no time.

    `holds` tells whether the condition of a request holds. Raises InvalidPlan for a plan whose tasks can never all run.
    """
    speeds = speeds or Speeds()
    dispatcher = Dispatcher(plan, workload.asked)
    held = _Held(workload, plan.arena_bytes)
    free = list(range(plan.lanes))
    running: list[tuple[float, int, int]] = []  # a heap: end, index, lane
    spans: list[Span] = []
    now_s = 0.0
    while not dispatcher.finished:
        for lane in list(free):
            index = dispatcher.take(lane, now_s)
            if index is not None:
                free.remove(lane)
                held.begin(plan.tasks[index])
                end_s = now_s + _seconds(plan.tasks[index], workload, speeds)
                spans.append(Span(index, lane, dispatcher.ready_s[index], now_s, end_s))
                heapq.heappush(running, (end_s, index, lane))
        arrival_s = dispatcher.next_arrival_s
        if running and (arrival_s is None or running[0][0] <= arrival_s):
            now_s, index, lane = heapq.heappop(running)
            free.append(lane)
            free.sort()
            held.end(plan.tasks[index])
            for request in dispatcher.end(index, now_s):
                if not holds(request):
                    dispatcher.drop(request, now_s)
            for request in dispatcher.discarded():
                held.discard(request)
        elif arrival_s is not None:
            now_s = arrival_s
            dispatcher.advance(now_s)
        else:
            raise InvalidPlan(STUCK)
    arrived_s = tuple(dispatcher.arrived_s)
    return Simulated(tuple(spans), held.peak_bytes, held.peak_weight_bytes, arrived_s, dispatcher.dropped)


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
        return tile_bytes(network, task.layer, task.rows) / speeds.read_bytes_per_s
    layer = network.layers[task.layer]
    return speeds.exec_s(layer) * share(layer, task.rows)


class _Held:
    """The bytes that a run holds, as the engine's ledger counts them."""

    def __init__(self, workload: Workload, arena_bytes: int) -> None:
        self._workload = workload
        self._weights: dict[Weights, int] = {}
        self._weight_bytes = arena_bytes
        self._activations = [0] * len(workload.requests)
        self.peak_bytes = self.peak_weight_bytes = arena_bytes

    def begin(self, task: Task) -> None:
        network = self._workload.requests[task.request].network
        if task.layer is None:
            self._activations[task.request] = network.input_bytes
        elif task.kind == "load" and task.place is None:
            self._weights[task.weights] = tile_bytes(network, task.layer, task.rows)
            self._weight_bytes += self._weights[task.weights]
        elif task.kind == "exec":
            self._activations[task.request] = working_bytes(network.layers[task.layer], task.rows)
        self.peak_bytes = max(self.peak_bytes, self._weight_bytes + sum(self._activations))
        self.peak_weight_bytes = max(self.peak_weight_bytes, self._weight_bytes)

    def end(self, task: Task) -> None:
        if task.layer is not None and task.kind == "exec":
            layer = self._workload.requests[task.request].network.layers[task.layer]
            self._activations[task.request] = left_bytes(layer, task.rows)
        elif task.kind == "free":
            self._weight_bytes -= self._weights.pop(task.weights, 0)

    def discard(self, request: int) -> None:
        self._activations[request] = 0
