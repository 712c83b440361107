"""How requests were served: figures that follow from a plan and the spans of its tasks. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_edgeload.planning.plan import Kind, Plan, Span
from pytest_edgeload.results.record import Service
from pytest_edgeload.workload import Workload

_LAST: tuple[Kind, ...] = ("init", "exec")


@dataclass(frozen=True, slots=True)
class Served:
    """One request that was answered, in seconds: `response_s` is `wait_s` + `load_s` + `exec_s`; `own_s` its tasks."""

    request: int
    response_s: float
    wait_s: float
    load_s: float
    exec_s: float
    own_s: float


def served(
    plan: Plan, workload: Workload, spans: Iterable[Span], arrived_s: Sequence[float], dropped: Sequence[int]
) -> list[Served]:
    """Return how each request was served that was not dropped, in order."""
    own: list[dict[Kind, list[tuple[float, float]]]] = [{} for _ in workload.requests]
    for span in spans:
        task = plan.tasks[span.task]
        own[task.request].setdefault(task.kind, []).append((span.start_s, span.end_s))
    return [_served(r, own[r], arrived_s[r]) for r in range(len(own)) if r not in dropped]


def _served(request: int, own: dict[Kind, list[tuple[float, float]]], arrived_s: float) -> Served:
    answered_s = max(end for kind in _LAST for _, end in own.get(kind, []))
    executing = _merge(own.get("exec", []))
    busy = _merge([*executing, *own.get("init", []), *own.get("load", [])])
    exec_s, busy_s = _length(executing), _length(busy)
    response_s = answered_s - arrived_s
    total_s = _length(own.get("exec", [])) + _length(own.get("init", [])) + _length(own.get("load", []))
    return Served(request, response_s, max(0.0, response_s - busy_s), busy_s - exec_s, exec_s, total_s)


def _merge(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return `spans` with those that overlap made one."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _length(spans: Iterable[tuple[float, float]]) -> float:
    return sum(end - start for start, end in spans)


def responses(found: Sequence[Served]) -> dict[str, float]:
    """Return mean and percentiles, linear between neighbours, of the response times; nothing where there are none."""
    if not found:
        return {}
    times = [one.response_s for one in found]
    spread = times if len(times) > 1 else times * 2  # before Python 3.13 `quantiles` wants two values
    cuts = statistics.quantiles(spread, n=100, method="inclusive")
    figures = {f"response_p{p}_s": cuts[p - 1] for p in (50, 90, 99)}
    return {"response_mean_s": statistics.fmean(times), **figures}


def by_network(workload: Workload, found: Sequence[Served], dropped: Sequence[int]) -> dict[str, Service]:
    """Return how the requests of each network were served, in order of first use."""
    services: dict[str, Service] = {}
    for name in dict.fromkeys(request.network.name for request in workload.requests):
        own = {r for r, request in enumerate(workload.requests) if request.network.name == name}
        mine = [one for one in found if one.request in own]
        slowdowns = [one.response_s / one.own_s for one in mine if one.own_s > 0]
        slowdown = statistics.fmean(slowdowns) if slowdowns else None
        services[name] = Service(len(own), len(own.intersection(dropped)), **responses(mine), slowdown=slowdown)
    return services


def figures(
    plan: Plan, workload: Workload, spans: Sequence[Span], arrived_s: Sequence[float], dropped: Sequence[int]
) -> dict[str, object]:
    """Return all metrics of a measurement that say how its requests were served."""
    found = served(plan, workload, spans, arrived_s, dropped)
    times = {one.request: one.response_s for one in found}
    services = by_network(workload, found, dropped)
    slowdowns = [service.slowdown for service in services.values() if service.slowdown is not None]
    makespan_s = max((span.end_s for span in spans), default=0.0)
    made: dict[str, object] = {
        "response_s": tuple(times.get(r) for r in range(len(workload.requests))),
        "service": services,
        "worst_slowdown": max(slowdowns, default=None),
        **responses(found),
    }
    if found:
        made |= {f"response_{kind}_s": statistics.fmean(getattr(s, f"{kind}_s") for s in found) for kind in _PARTS}
    if makespan_s > 0:
        made["throughput_per_s"] = len(found) / makespan_s
        made["lane_use"] = _length((span.start_s, span.end_s) for span in spans) / (makespan_s * plan.lanes)
    if dropped:
        lost = [(span.start_s, span.end_s) for span in spans if plan.tasks[span.task].request in dropped]
        made["dropped_s"] = _length(lost)
    deadlines = {r: request.deadline_s for r, request in enumerate(workload.requests) if request.deadline_s is not None}
    if deadlines:
        made["deadline_misses"] = sum(times[r] > deadline for r, deadline in deadlines.items() if r in times)
    return made


_PARTS = ("wait", "load", "exec")
