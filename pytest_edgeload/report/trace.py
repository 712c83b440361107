"""A trace for ui.perfetto.dev and chrome://tracing: a process for each run, a thread for each lane, memory as counters.

Format: Trace Event Format, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import msgspec

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.comparison import label
from pytest_edgeload.report.tasks import TaskView, tasks
from pytest_edgeload.report.view import View
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.measurement import Measurement

_NO_LANE = 0  # the thread of events outside lanes; lane 0 is thread 1
_Event = dict[str, Any]


def render(document: Document, _judgement: Judgement, _view: View) -> str:
    """Return the trace of all runs with tasks or a time line; all plans start at the same moment."""
    runs = [(r.case, m) for r in document.records for m in r.rounds if m.tasks or m.timeline.at_s]
    go_s = max((-m.timeline.at_s[0] for _, m in runs if m.timeline.at_s), default=0.0)  # viewers need times >= 0
    events = [event for pid, (case, m) in enumerate(runs, 1) for event in _run(pid, case, m, max(go_s, 0.0))]
    about = {"machine": document.machine.processor, "created": document.created}
    return msgspec.json.encode({"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}).decode()


def _run(pid: int, case: Case, measurement: Measurement, go_s: float) -> Iterator[_Event]:
    """Yield the events of one run whose plan starts at `go_s`."""
    views = list(tasks(case, measurement))
    yield _named(pid, _NO_LANE, "process_name", f"{label(case)}, round {measurement.round}")
    for lane in sorted({view.span.lane for view in views}):
        yield _named(pid, lane + 1, "thread_name", f"lane {lane}")
    yield {"ph": "i", "s": "p", "name": "go", "pid": pid, "tid": _NO_LANE, "ts": _us(go_s)}
    for request, (ask, at_s) in enumerate(zip(case.requests, measurement.arrived_s, strict=False)):
        args = {"request": request, "network": ask.network}
        yield {
            "ph": "i", "s": "p", "name": f"request {request} arrives", "cat": "arrival",
            "pid": pid, "tid": _NO_LANE, "ts": _us(go_s + at_s), "args": args,
        }  # fmt: skip
    for moment in filter(attrgetter("name"), measurement.timeline.moments):
        yield {
            "ph": "i", "s": "p", "name": printable(moment.name), "cat": "moment",
            "pid": pid, "tid": _NO_LANE, "ts": _us(go_s + moment.at_s),
        }  # fmt: skip
    for view in views:
        yield _task(pid, view, go_s)
    yield from _memory(pid, case, measurement, go_s)


def _task(pid: int, view: TaskView, go_s: float) -> _Event:
    span, info = view.span, view.info
    args: dict[str, Any] = {"task": span.task, "waited_ms": round((span.start_s - span.ready_s) * 1e3, 3)}
    if span.step:
        args["step"] = span.step
    if info is not None:
        args |= {"request": info.request, "network": view.network}
        args |= {"layer": info.layer, "weight_bytes": info.weight_bytes} if info.layer else {}
    return {
        "ph": "X", "name": view.name, "cat": view.kind, "pid": pid, "tid": span.lane + 1,
        "ts": _us(go_s + span.start_s), "dur": _us(go_s + span.end_s) - _us(go_s + span.start_s), "args": args,
    }  # fmt: skip


def _memory(pid: int, case: Case, measurement: Measurement, go_s: float) -> Iterator[_Event]:
    """Yield the samples. Viewers stack the counters of an event, so swap and limit have events of their own."""
    line = measurement.timeline
    for at_s, anon, file, swap in zip(line.at_s, line.anon_bytes, line.file_bytes, line.swap_bytes, strict=True):
        yield _counter(pid, go_s + at_s, "memory", {"anon": anon, "file": file})
        yield _counter(pid, go_s + at_s, "swap", {"swap": swap})
    if case.limit_bytes is not None:
        for at_s in line.at_s[:1] + line.at_s[-1:]:
            yield _counter(pid, go_s + at_s, "limit", {"limit": case.limit_bytes})


def _counter(pid: int, at_s: float, name: str, values: dict[str, int]) -> _Event:
    return {"ph": "C", "name": name, "pid": pid, "tid": _NO_LANE, "ts": _us(at_s), "args": values}


def _named(pid: int, tid: int, kind: str, name: str) -> _Event:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "ts": 0, "args": {"name": name}}


def _us(seconds: float) -> int:
    """Return whole microseconds, so that consecutive spans never overlap by a rounding error."""
    return round(seconds * 1e6)
