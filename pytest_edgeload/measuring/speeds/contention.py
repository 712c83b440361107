"""How much reading and computing slow each other: a plan that does each alone and both at once. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from pytest_edgeload.planning.machine_speeds import Contention
from pytest_edgeload.planning.plan import STAGES, Builder, Kind, Plan, Span
from pytest_edgeload.workload import Workload

_ALONE, _BESIDE_LOADS = range(1, 4), range(4, 14)  # requests that compute
_PAIR = range(14, 18), range(18, 22)  # that compute at once
_LOADS_BESIDE, _LOADS_ALONE = range(4, 7), range(7, 10)  # requests with loads whose weights nothing uses

REQUESTS = _PAIR[1].stop
"""The requests of one network that the plan needs."""

_LayerSpans = Mapping[int, Sequence[Span]]


def contention_plan(workload: Workload) -> Plan:
    """Return the plan for `REQUESTS` requests of one network, which all use the weights that request 0 loads.

    Lane 0 computes, and computes on while lane 1 reads; then lane 1 reads alone; at last both compute.
    """
    plan = Builder(workload, lanes=2)
    load, execute, free = STAGES

    def chain(requests: Iterable[int], stages: Sequence[Kind], lane: int, after: Iterable[int]) -> int:
        """Add the stages of all layers of these requests, one after the other; return the last task."""
        awaited: int | Iterable[int] = after
        for r in requests:
            if execute in stages:
                awaited = plan.add("init", r, after=awaited, lane=lane)
            for i in range(len(workload.requests[r].network.layers)):
                for stage in stages:
                    source = 0 if stage == execute else None
                    awaited = plan.add(stage, r, i, after=awaited, lane=lane, weights_of=source)
        assert isinstance(awaited, int)  # there is a request
        return awaited

    loaded = chain([0], [load], 0, [])
    alone = chain([0, *_ALONE], [execute], 0, [loaded])
    beside = chain(_BESIDE_LOADS, [execute], 0, [alone]), chain(_LOADS_BESIDE, [load, free], 1, [alone])
    read = chain(_LOADS_ALONE, [load, free], 1, beside)
    pair = [chain(requests, [execute], lane, [read]) for lane, requests in enumerate(_PAIR)]
    chain([0], [free], 0, pair)
    return plan.done()


def contention_of(plan: Plan, ran: Sequence[Span]) -> Contention:
    """Return the factors from the spans of `contention_plan`."""
    computed, loaded = _spans(plan, ran, "exec", _BESIDE_LOADS), _spans(plan, ran, "load", _LOADS_BESIDE)
    alone = _by_layer(plan, _spans(plan, ran, "exec", _ALONE))
    first, second = (_spans(plan, ran, "exec", requests) for requests in _PAIR)
    return Contention(
        reading_beside_computing=_factor(
            _by_layer(plan, _spans(plan, ran, "load", _LOADS_ALONE)), _by_layer(plan, _during(loaded, computed))
        ),
        computing_beside_reading=_factor(alone, _by_layer(plan, _during(computed, loaded))),
        computing_beside_computing=_factor(alone, _by_layer(plan, [*_during(first, second), *_during(second, first)])),
    )


def _spans(plan: Plan, spans: Iterable[Span], kind: Kind, requests: range) -> list[Span]:
    tasks = plan.tasks
    return [span for span in spans if tasks[span.task].kind == kind and tasks[span.task].request in requests]


def _during(spans: Iterable[Span], others: Sequence[Span]) -> list[Span]:
    """Return the spans between the start of the first of the others and the end of the last of them."""
    begin_s, end_s = min(span.start_s for span in others), max(span.end_s for span in others)
    return [span for span in spans if begin_s <= span.start_s and span.end_s <= end_s]


def _by_layer(plan: Plan, spans: Iterable[Span]) -> _LayerSpans:
    found: dict[int, list[Span]] = {}
    for span in spans:
        layer = plan.tasks[span.task].layer
        assert layer is not None  # of a load or an exec
        found.setdefault(layer, []).append(span)
    return found


def _factor(alone: _LayerSpans, beside: _LayerSpans) -> float:
    """Return the time of the layers during other work over their time alone, at least 1."""
    both = alone.keys() & beside.keys()
    alone_s = sum(_mean_s(alone[i]) for i in both)
    return max(1.0, sum(_mean_s(beside[i]) for i in both) / alone_s) if alone_s else 1.0


def _mean_s(spans: Iterable[Span]) -> float:
    return statistics.fmean(span.end_s - span.start_s for span in spans)
