"""How much reading and computing slow each other: a plan that does each alone and both at once. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from pytest_edgeload.networks.tile import WHOLE, span_bytes
from pytest_edgeload.planning.machine_speeds import Contention
from pytest_edgeload.planning.plan import STAGES, Builder, Kind, Plan, Span
from pytest_edgeload.workload import Workload

_ALONE, _BESIDE_LOADS = range(1, 4), range(4, 14)  # requests that compute
_PAIR = range(14, 18), range(18, 22)  # that compute at once
_BESIDE_ARENA = range(22, 32)  # that compute beside loads into the arena
_LOADS_BESIDE, _LOADS_ALONE = range(4, 7), range(7, 10)  # requests with loads whose weights nothing uses
_ARENA_FIRST, _ARENA_BESIDE, _ARENA_ALONE = range(21, 22), range(22, 26), range(26, 30)  # the same, into the arena

REQUESTS = _BESIDE_ARENA.stop
"""The requests of one network that the plan needs."""

_LayerSpans = Mapping[int, Sequence[Span]]


def contention_plan(workload: Workload) -> Plan:
    """Return the plan for `REQUESTS` requests of one network, which all use the weights that request 0 loads.

    Lane 0 computes, and computes on while lane 1 reads; then lane 1 reads alone. The same follows with loads into the
    arena, after the first ones have made it resident. At last both lanes compute.
    """
    layers = workload.requests[0].network.layers
    plan = Builder(workload, lanes=2, arena_bytes=max(span_bytes(layer, WHOLE) for layer in layers))
    load, execute, free = STAGES

    def chain(
        requests: Iterable[int], stages: Sequence[Kind], lane: int, after: Iterable[int], place: int | None = None
    ) -> int:
        """Add the stages of all layers of these requests, one after the other; return the last task."""
        awaited: int | Iterable[int] = after
        for r in requests:
            if execute in stages:
                awaited = plan.add("init", r, after=awaited, lane=lane)
            for i in range(len(layers)):
                for stage in stages:
                    source = 0 if stage == execute else None
                    at = place if stage == load else None
                    awaited = plan.add(stage, r, i, after=awaited, lane=lane, weights_of=source, place=at)
        assert isinstance(awaited, int)  # there is a request
        return awaited

    def beside(computing: range, loading: range, alone: range, after: int, place: int | None = None) -> int:
        """Let lane 0 compute while lane 1 reads, and then lane 1 read alone; return the last task."""
        both = chain(computing, [execute], 0, [after]), chain(loading, [load, free], 1, [after], place)
        return chain(alone, [load, free], 1, both, place)

    loaded = chain([0], [load], 0, [])
    alone = chain([0, *_ALONE], [execute], 0, [loaded])
    read = beside(_BESIDE_LOADS, _LOADS_BESIDE, _LOADS_ALONE, alone)
    resident = chain(_ARENA_FIRST, [load, free], 1, [read], 0)
    read = beside(_BESIDE_ARENA, _ARENA_BESIDE, _ARENA_ALONE, resident, 0)
    pair = [chain(requests, [execute], lane, [read]) for lane, requests in enumerate(_PAIR)]
    chain([0], [free], 0, pair)
    return plan.done()


def contention_of(plan: Plan, ran: Sequence[Span]) -> Contention:
    """Return the factors from the spans of `contention_plan`."""
    alone = _by_layer(plan, _spans(plan, ran, "exec", _ALONE))
    first, second = (_spans(plan, ran, "exec", requests) for requests in _PAIR)

    def factors(computing: range, loading: range, loading_alone: range) -> tuple[float, float]:
        """Return the factors of reading beside computing, and of computing beside reading."""
        computed, loaded = _spans(plan, ran, "exec", computing), _spans(plan, ran, "load", loading)
        read_alone = _by_layer(plan, _spans(plan, ran, "load", loading_alone))
        reading = _factor(read_alone, _by_layer(plan, _during(loaded, computed)))
        return reading, _factor(alone, _by_layer(plan, _during(computed, loaded)))

    pair = _factor(alone, _by_layer(plan, [*_during(first, second), *_during(second, first)]))
    plain, arena = (
        factors(_BESIDE_LOADS, _LOADS_BESIDE, _LOADS_ALONE),
        factors(_BESIDE_ARENA, _ARENA_BESIDE, _ARENA_ALONE),
    )
    return Contention(*plain, pair, *arena)


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
