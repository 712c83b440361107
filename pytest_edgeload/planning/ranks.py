"""The ranks of tasks that are ready, for the orders that depend on the time. The lowest rank goes first. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pytest_edgeload.planning.progress import TaskState
from pytest_edgeload.planning.ready import Rank
from pytest_edgeload.planning.urgency import IN_TIME, Urgency


def rank_at(now_s: float, order: str, tasks: Mapping[int, TaskState], urgency: Urgency) -> Rank | None:
    """Return the ranks of tasks at this time; None if all have the same one."""
    if order in {"created", "ready"}:
        return None
    if order == "deadline":
        return lambda index: _by_deadline(tasks[index], urgency, now_s)
    return lambda index: _by_response_ratio(tasks[index], now_s)


def _by_deadline(state: TaskState, urgency: Urgency, now_s: float) -> tuple[float, float]:
    """Return the rank by deadline, see `planning.urgency`; frees go first, because others may wait for memory.

    The inputs of requests that can be in time and have weights to read go before other tasks of such requests: the disk
    can read these weights meanwhile.
    """
    if state.task.kind == "free":
        return -1.0, 0.0
    request = state.request
    arrived_s = request.arrived_s or 0.0
    turn_s = arrived_s if request.turn_s is None else request.turn_s
    rank, second = urgency.rank(request.index, request.deadline_s, arrived_s, turn_s, now_s)
    return (IN_TIME - 0.5 if rank == IN_TIME and _lets_read(state) else rank), second


def _lets_read(state: TaskState) -> bool:
    """Return whether a task reads inputs, and loads wait for it."""
    return state.task.kind == "init" and any(follower.task.kind == "load" for follower in state.followers)


def _by_response_ratio(state: TaskState, now_s: float) -> tuple[float, float]:
    """Return the rank by response ratio; of equal ratios, the shorter request goes first.

    The same order holds a moment later: requests that arrived together keep their order at any time.
    """
    service_s = state.request.service_s
    waited_s = now_s - (state.request.arrived_s or 0.0)
    return -(1 + waited_s / service_s) if service_s > 0 else -math.inf, service_s
