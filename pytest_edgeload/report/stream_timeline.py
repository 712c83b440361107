"""The streams of a workload as a plan serves them in virtual time: counts, and a line over time. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pytest_edgeload.planning.plan import Plan
from pytest_edgeload.planning.simulate import Simulation
from pytest_edgeload.report.grid import text_table
from pytest_edgeload.results.derived import answered
from pytest_edgeload.workload import Workload

_COLUMNS = 40
_NONE, _IN_TIME, _LATE, _DROPPED = "·", "+", "!", "x"
_MARKS = (_NONE, _IN_TIME, _LATE, _DROPPED)
"""The marks of a moment, from the best to the worst; the worst of all requests that arrive in it counts."""

_HEADERS = ("stream", "network", "requests", "in time", "late", "dropped", "timeline")


def stream_timeline(plan: Plan, workload: Workload, simulated: Simulation) -> Iterator[str]:
    """Yield the lines of a table with a row for each stream; none if the workload has no streams."""
    streams: dict[str, list[int]] = {}
    for r, request in enumerate(workload.requests):
        if request.stream:
            streams.setdefault(request.stream, []).append(r)
    if not streams:
        return
    marks, end_s = _marks(plan, workload, simulated), max(at_s or 0.0 for at_s in simulated.arrived_s)
    yield ""
    yield f"requests by arrival, from 0 to {end_s:.3g} s: {_IN_TIME} in time, {_LATE} late, {_DROPPED} dropped"
    yield ""
    rows = [_row(name, own, workload, simulated.arrived_s, marks, end_s) for name, own in streams.items()]
    yield from text_table(_HEADERS, rows, texts={0, 1, 6}).splitlines()


def _marks(plan: Plan, workload: Workload, simulated: Simulation) -> Mapping[int, str]:
    """Return the mark of each request."""
    arrived_s = [at_s or 0.0 for at_s in simulated.arrived_s]
    answers = answered(plan, workload, simulated.spans, arrived_s, simulated.dropped, simulated.totals)
    marks = dict.fromkeys(simulated.dropped, _DROPPED)
    for answer in answers:
        deadline_s = workload.requests[answer.request].deadline_s
        is_late = deadline_s is not None and answer.response_s > deadline_s
        marks[answer.request] = _LATE if is_late else _IN_TIME
    return marks


def _row(
    name: str,
    own: Sequence[int],
    workload: Workload,
    arrived_s: Sequence[float | None],
    marks: Mapping[int, str],
    end_s: float,
) -> tuple[str, ...]:
    """Return the row of a stream, whose requests are `own`."""
    line = [_NONE] * _COLUMNS
    for r in own:
        column = min(_COLUMNS - 1, int(_COLUMNS * (arrived_s[r] or 0.0) / end_s)) if end_s else 0
        line[column] = max(line[column], marks[r], key=_MARKS.index)
    counts = (sum(marks[r] == mark for r in own) for mark in (_IN_TIME, _LATE, _DROPPED))
    network = workload.requests[own[0]].network.name
    return (name, network, str(len(own)), *map(str, counts), "".join(line))
