"""Metrics that follow from a plan and the spans of its tasks. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from pytest_edgeload.networks.tile import WHOLE, tile_bytes
from pytest_edgeload.planning.plan import Kind, Plan, Span, Task, TaskTotal
from pytest_edgeload.planning.span_log import makespan_s
from pytest_edgeload.results.measurement import Measurement, ServiceStats, TaskInfo
from pytest_edgeload.results.percentiles import Percentiles, percentiles
from pytest_edgeload.results.steps import with_steps
from pytest_edgeload.results.streams import with_streams
from pytest_edgeload.workload import Workload

_Times = tuple[float, float]
"""Start and end of a task in seconds."""


def complete(measurement: Measurement, plan: Plan, workload: Workload, plan_peak_bytes: int) -> Measurement:
    """Return `measurement` with the metrics that follow from the plan and the spans of its tasks."""
    measurement = msgspec.structs.replace(measurement, plan_peak_bytes=plan_peak_bytes)
    spans, totals = measurement.tasks, measurement.totals
    if not spans:
        return measurement
    answers = answered(plan, workload, spans, measurement.arrived_s, measurement.dropped, totals)
    times = response_times(answers)
    whole_s = makespan_s(spans, totals)
    service = by_network(workload, answers, measurement.dropped)
    derived = msgspec.structs.replace(
        with_steps(measurement, _first_read_bytes(plan, workload)),
        response_s=_by_request(answers, len(workload.requests)),
        response_mean_s=times.mean_s,
        response_p50_s=times.p50_s,
        response_p90_s=times.p90_s,
        response_p99_s=times.p99_s,
        response_wait_s=_mean(answer.wait_s for answer in answers),
        response_load_s=_mean(answer.load_s for answer in answers),
        response_exec_s=_mean(answer.exec_s for answer in answers),
        worst_slowdown=max((s.slowdown for s in service.values() if s.slowdown is not None), default=None),
        energy_per_answer_j=_per_answer(measurement.energy_j, len(answers)),
        throughput_per_s=len(answers) / whole_s if whole_s > 0 else None,
        lane_use=_lane_use(plan, spans, totals),
        dropped_s=_dropped_s(plan, spans, measurement.dropped),
        deadline_misses=_late(range(len(workload.requests)), workload, answers),
        load_s=_busy_s(plan, spans, totals, "load"),
        exec_s=_busy_s(plan, spans, totals, "exec"),
        wait_s=sum(span.start_s - span.ready_s for span in spans) + sum(total.waited_s for total in totals),
        state_bytes=max((each.network.state_bytes for each in workload.requests if each.steps > 1), default=None),
        service=service,
        steps=task_infos(plan, workload),
    )
    return with_streams(derived, workload)


# ---- answers to requests ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """The seconds that one answered request took: `response_s` is `wait_s` + `load_s` + `exec_s`.

    `own_s` is the time of all its tasks, also of those that overlapped. `wait_s` and `load_s` are None if spans of the
    request were not kept: which of its tasks overlapped is not known then.
    """

    request: int
    response_s: float
    wait_s: float | None
    load_s: float | None
    exec_s: float
    own_s: float


def answered(
    plan: Plan,
    workload: Workload,
    spans: Iterable[Span],
    arrived_s: Sequence[float],
    dropped: Sequence[int],
    totals: Iterable[TaskTotal] = (),
) -> list[Answer]:
    """Return the answers to the requests that were not dropped, in the order of the requests."""
    own: list[dict[Kind, list[_Times]]] = [{} for _ in workload.requests]
    rest: list[dict[Kind, list[TaskTotal]]] = [{} for _ in workload.requests]
    for span in spans:
        task = plan.tasks[span.task]
        own[task.request].setdefault(task.kind, []).append((span.start_s, span.end_s))
    for total in totals:
        task = plan.tasks[total.task]
        rest[task.request].setdefault(task.kind, []).append(total)
    gone = {*dropped}
    return [_answer(r, own[r], rest[r], arrived_s[r]) for r in range(len(own)) if r not in gone]


def _answer(
    request: int, own: Mapping[Kind, Sequence[_Times]], rest: Mapping[Kind, Sequence[TaskTotal]], arrived_s: float
) -> Answer:
    init, load, execs = (own.get(kind, []) for kind in ("init", "load", "exec"))
    later_execs = rest.get("exec", [])
    ends_s = [*(end for _, end in (*init, *execs)), *(total.end_s for total in later_execs)]
    response_s = max(ends_s) - arrived_s
    exec_s, busy_s = _length(_merge(execs)), _length(_merge([*init, *load, *execs]))
    own_s = _length(execs) + _length(init) + _length(load)
    if not rest:
        return Answer(request, response_s, max(0.0, response_s - busy_s), busy_s - exec_s, exec_s, own_s)
    exec_s += sum(total.busy_s for total in later_execs)
    own_s += sum(total.busy_s for kind in ("load", "exec") for total in rest.get(kind, []))
    return Answer(request, response_s, None, None, exec_s, own_s)


def _merge(times: Iterable[_Times]) -> list[_Times]:
    """Return `times` with those that overlap merged into one."""
    merged: list[_Times] = []
    for start, end in sorted(times):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _length(times: Iterable[_Times]) -> float:
    return sum((end - start for start, end in times), 0.0)


def response_times(answers: Sequence[Answer]) -> Percentiles:
    """Return mean and percentiles of the response times."""
    return percentiles([answer.response_s for answer in answers])


def by_network(workload: Workload, answers: Sequence[Answer], dropped: Sequence[int]) -> dict[str, ServiceStats]:
    """Return the statistics of each network's requests, in order of first use."""
    requests: dict[str, set[int]] = {}
    for r, request in enumerate(workload.requests):
        requests.setdefault(request.network.name, set()).add(r)
    own: dict[str, list[Answer]] = {name: [] for name in requests}
    for answer in answers:
        own[workload.requests[answer.request].network.name].append(answer)
    return {name: _stats(requests[name], workload, own[name], dropped) for name in requests}


def _stats(requests: set[int], workload: Workload, own: Sequence[Answer], dropped: Sequence[int]) -> ServiceStats:
    """Return the statistics of the requests of a network; `own` are the answers to them."""
    times = response_times(own)
    return ServiceStats(
        len(requests),
        len(requests.intersection(dropped)),
        response_mean_s=times.mean_s,
        response_p50_s=times.p50_s,
        response_p90_s=times.p90_s,
        response_p99_s=times.p99_s,
        slowdown=_mean(answer.response_s / answer.own_s for answer in own if answer.own_s > 0),
        late=_late(requests, workload, own),
    )


def _by_request(answers: Iterable[Answer], requests: int) -> tuple[float | None, ...]:
    """Return the response time of each request; None for one that was dropped."""
    times = {answer.request: answer.response_s for answer in answers}
    return tuple(times.get(r) for r in range(requests))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _per_answer(amount: float | None, answers: int) -> float | None:
    return None if amount is None or not answers else amount / answers


def _late(requests: Iterable[int], workload: Workload, answers: Iterable[Answer]) -> int | None:
    """Return the number of late answers to these requests; None if none of them has a deadline."""
    deadlines = {r: workload.requests[r].deadline_s for r in requests}
    if all(deadline_s is None for deadline_s in deadlines.values()):
        return None
    due = [(answer.response_s, deadlines[answer.request]) for answer in answers]
    return sum(deadline_s is not None and response_s > deadline_s for response_s, deadline_s in due)


# ---- tasks and lanes -------------------------------------------------------------------------------------------------


def _busy_s(plan: Plan, spans: Iterable[Span], totals: Iterable[TaskTotal], kind: Kind) -> float:
    own = ((span.start_s, span.end_s) for span in spans if plan.tasks[span.task].kind == kind)
    return _length(own) + sum(total.busy_s for total in totals if plan.tasks[total.task].kind == kind)


def _first_read_bytes(plan: Plan, workload: Workload) -> int:
    """Return the bytes of the weights that the plan loads, each tile of a network once."""
    loads = (task for task in plan.tasks if task.kind == "load")
    names = ((workload.requests[task.request].network.name, task) for task in loads)
    return sum({(name, task.layer, task.tile): weight_bytes(task, workload) for name, task in names}.values())


def _lane_use(plan: Plan, spans: Sequence[Span], totals: Sequence[TaskTotal]) -> float | None:
    whole_s = makespan_s(spans, totals)
    busy_s = _length((span.start_s, span.end_s) for span in spans) + sum(total.busy_s for total in totals)
    return busy_s / (whole_s * plan.lanes) if whole_s > 0 else None


def _dropped_s(plan: Plan, spans: Iterable[Span], dropped: Sequence[int]) -> float | None:
    """Return the time of the tasks of dropped requests; None if none was dropped."""
    gone = {*dropped}
    lost = [(span.start_s, span.end_s) for span in spans if plan.tasks[span.task].request in gone]
    return _length(lost) if dropped else None


def task_infos(plan: Plan, workload: Workload) -> tuple[TaskInfo, ...]:
    """Return the description of each task, in the plan's order."""
    return tuple(TaskInfo(t.kind, t.request, _layer(t, workload), weight_bytes(t, workload)) for t in plan.tasks)


def _layer(task: Task, workload: Workload) -> str:
    if task.layer is None:
        return ""
    return workload.requests[task.request].network.layers[task.layer].name + rows(task)


def rows(task: Task) -> str:
    """Return words for the task's part of the layer; an empty text for the whole layer."""
    if isinstance(task.tile, tuple):
        return f" [{task.tile[0]}:{task.tile[1]}]"
    return "" if task.tile is WHOLE else f" [{task.tile.value}]"


def weight_bytes(task: Task, workload: Workload) -> int:
    """Return the bytes of the task's weights; 0 for an init."""
    network = workload.requests[task.request].network
    return 0 if task.layer is None else tile_bytes(network, task.layer, task.tile)
