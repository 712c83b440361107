"""Carries out a plan in virtual time on one disk and one processor, which tasks that run at once share evenly. Pure.

The simulator of the package gives each lane a disk and a processor of its own, which flatters policies with many lanes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pytest_edgeload.networks.tile import share
from pytest_edgeload.planning.account import Account
from pytest_edgeload.planning.dispatch import Dispatcher
from pytest_edgeload.planning.plan import STUCK, InvalidPlan, Plan, Speeds, Task
from pytest_edgeload.results.streams import requests_due
from pytest_edgeload.workload import Workload

_DONE_S = 1e-9  # work that is left because of rounding


class Outcome(NamedTuple):
    """The requests that were due, those of them that were in time, and the peak of weights and activations in bytes."""

    due: tuple[int, ...]
    in_time: tuple[int, ...]
    peak_bytes: int

    @property
    def share(self) -> float:
        """The share of requests in time."""
        return len(self.in_time) / max(1, len(self.due))


@dataclass(slots=True)
class _Running:
    """A task that runs: its lane, and the seconds of the disk or the processor that it still needs."""

    index: int
    lane: int
    left_s: float


def outcome(plan: Plan, workload: Workload, speeds: Speeds) -> Outcome:
    """Return what becomes of the requests of `workload` if all conditions hold. Raises InvalidPlan if a plan stops."""
    asked = workload.asked
    dispatcher = Dispatcher(plan, asked)
    account = Account([r.network for r in asked], plan.arena_bytes, [r.steps for r in asked])
    idle, running, now_s = set(range(plan.lanes)), list[_Running](), 0.0
    answers_s: dict[int, float] = {}
    while not dispatcher.finished:
        for lane in sorted(idle):
            if (index := dispatcher.take(lane, now_s)) is not None:
                idle.discard(lane)
                task = plan.tasks[index]
                running.append(_Running(index, lane, _seconds(task, account.begin(task), workload, speeds)))
        now_s = _advance(plan, running, now_s, dispatcher.next_arrival_s)
        dispatcher.advance(now_s)
        for ended in [each for each in running if each.left_s <= _DONE_S]:
            running.remove(ended)
            idle.add(ended.lane)
            task = plan.tasks[ended.index]
            account.end(task)
            dispatcher.end(ended.index, now_s)
            dispatcher.advance(now_s)
            if task.kind == "exec":
                answers_s[task.request] = now_s
        for request in dispatcher.discarded():
            account.discard(request)
    due = requests_due(asked, dispatcher.dropped, dispatcher.overrun)
    arrived_s = dispatcher.arrived_s
    in_time = [
        r
        for r, end_s in answers_s.items()
        if due[r] and r not in dispatcher.dropped and end_s - (arrived_s[r] or 0.0) <= (asked[r].deadline_s or end_s)
    ]
    return Outcome(tuple(r for r, is_due in enumerate(due) if is_due), tuple(sorted(in_time)), account.peak_bytes)


def _advance(plan: Plan, running: list[_Running], now_s: float, arrival_s: float | None) -> float:
    """Let the tasks run until one of them ends or a request arrives; return that time."""
    kinds = [plan.tasks[each.index].kind for each in running]
    slow = [max(1, kinds.count(kind)) for kind in kinds]
    ends_s = [now_s + each.left_s * by for each, by in zip(running, slow, strict=True)]
    if not ends_s and arrival_s is None:
        raise InvalidPlan(STUCK)
    next_s = min([*ends_s, *([] if arrival_s is None else [max(now_s, arrival_s)])])
    for each, by in zip(running, slow, strict=True):
        each.left_s -= (next_s - now_s) / by
    return next_s


def _seconds(task: Task, read_bytes: int, workload: Workload, speeds: Speeds) -> float:
    if task.kind == "load":
        return read_bytes / speeds.read_bytes_per_s
    if task.kind != "exec" or task.layer is None:
        return 0.0
    layer = workload.requests[task.request].network.layers[task.layer]
    return speeds.exec_s(layer) * share(layer, task.tile)
