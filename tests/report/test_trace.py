"""The trace follows its format and equals the record."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest

from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.view import View
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.measurement import Measurement, Moment, Timeline
from tests.report.virtual import MIB, asked, document, record, run, study

Event = dict[str, Any]


def events(made: Document) -> list[Event]:
    """Return the decoded trace of a document."""
    found = json.loads(FORMATS["trace"](made, Judgement(), View()))
    assert set(found) == {"traceEvents", "displayTimeUnit", "otherData"}
    assert isinstance(found["traceEvents"], list)
    return list(found["traceEvents"])


def drawn(made: Document) -> list[tuple[Case, Measurement]]:
    """Return the runs with tasks or a time line."""
    return [(r.case, m) for r in made.records for m in r.rounds if m.tasks or m.timeline.at_s]


@pytest.fixture(scope="module")
def made() -> Document:
    return study()


@pytest.fixture(scope="module")
def found(made: Document) -> list[Event]:
    return events(made)


def test_events_have_all_fields_of_the_format(found: list[Event]) -> None:
    """Each event has its phase, process, thread, name, a time >= 0, and the fields that its phase requires."""
    for event in found:
        assert event["ph"] in {"X", "C", "i", "M"}
        assert isinstance(event["name"], str)
        assert event["name"]
        assert all(isinstance(event[key], int) for key in ("pid", "tid"))
        assert isinstance(event["ts"], int | float)
        assert math.isfinite(event["ts"])
        assert event["ts"] >= 0
        if event["ph"] == "X":
            assert event["dur"] >= 0
        if event["ph"] == "C":
            assert event["args"]
            assert all(isinstance(value, int) for value in event["args"].values())
        if event["ph"] == "i":
            assert event["s"] == "p"
        if event["ph"] == "M":
            assert event["name"] in {"process_name", "thread_name"}
            assert isinstance(event["args"]["name"], str)


def test_every_process_and_thread_has_a_name(made: Document, found: list[Event]) -> None:
    """A process is a run with a unique name of case and round; a thread is a lane with its number."""
    names = {e["pid"]: e["args"]["name"] for e in found if e["name"] == "process_name"}
    assert len(set(names.values())) == len(names) == len(drawn(made))
    assert {event["pid"] for event in found} == set(names)
    assert "stream, mix at 384M, reader read, round 2" in names.values()
    lanes = {(e["pid"], e["tid"]): e["args"]["name"] for e in found if e["name"] == "thread_name"}
    assert {(e["pid"], e["tid"]) for e in found if e["ph"] == "X"} == set(lanes)
    assert all(name == f"lane {tid - 1}" for (_, tid), name in lanes.items())


def test_named_moments_are_instants() -> None:
    """Each moment that a program named is an instant of its run, at its time after the start."""
    line = Timeline((0.0, 1.0), (1, 2), (1, 2), (1, 2), (Moment("unloaded", 0.5),))
    ran = Measurement(outcome="ok", timeline=line)
    (event,) = [e for e in events(document(record("f", "1G", asked("a"), [ran]))) if e.get("cat") == "moment"]
    assert (event["name"], event["ph"], event["ts"]) == ("unloaded", "i", 500_000)


def test_spans_equal_those_of_the_record(made: Document, found: list[Event]) -> None:
    """Each task is a span of its lane at the record's time after the start of its plan, with its description."""
    for pid, (case, m) in enumerate(drawn(made), 1):
        own = [event for event in found if event["pid"] == pid]
        go = next(event["ts"] for event in own if event["name"] == "go")
        spans = [event for event in own if event["ph"] == "X"]
        assert len(spans) == len(m.tasks)
        for event, span in zip(spans, m.tasks, strict=True):
            step = m.steps[span.task]
            assert event["tid"] == span.lane + 1
            assert event["ts"] - go == pytest.approx(span.start_s * 1e6, abs=1.5)
            assert event["dur"] == pytest.approx((span.end_s - span.start_s) * 1e6, abs=1.5)
            assert (event["cat"], event["name"]) == (step.kind, f"{step.kind} {step.layer}".strip())
            assert event["args"]["network"] == case.requests[step.request].network
            assert event["args"]["request"] == step.request
            assert event["args"].get("weight_bytes", 0) == step.weight_bytes


def test_tasks_of_a_lane_do_not_overlap(found: list[Event]) -> None:
    """No task of a lane begins before the previous one has ended, because viewers would nest it."""
    lanes: dict[tuple[int, int], list[Event]] = {}
    for event in found:
        if event["ph"] == "X":
            lanes.setdefault((event["pid"], event["tid"]), []).append(event)
    for spans in lanes.values():
        for one, next_one in pairwise(sorted(spans, key=lambda event: (event["ts"], event["dur"]))):
            assert one["ts"] + one["dur"] <= next_one["ts"]


def test_counters_equal_the_time_line(made: Document, found: list[Event]) -> None:
    """Memory, swap and the limit are counters with the sampler's bytes at the sampler's times."""
    for pid, (case, m) in enumerate(drawn(made), 1):
        own = [event for event in found if event["pid"] == pid]
        go = next(event["ts"] for event in own if event["name"] == "go")
        memory, swap, limit = ([e for e in own if e["name"] == name] for name in ("memory", "swap", "limit"))
        assert [(e["args"]["anon"], e["args"]["file"]) for e in memory] == list(
            zip(m.timeline.anon_bytes, m.timeline.file_bytes, strict=True)
        )
        assert [e["args"]["swap"] for e in swap] == list(m.timeline.swap_bytes)
        assert [(e["ts"] - go) / 1e6 for e in memory] == pytest.approx(m.timeline.at_s, abs=2e-6)
        assert {e["args"]["limit"] for e in limit} == ({case.limit_bytes} if case.limit_bytes else set())


def test_arrivals_are_instant_events() -> None:
    """Each request arrives at its time after the start of the plan."""
    late = asked("a", "b", gap_s=0.25)
    found = events(document(record("bulk", "1G", late, [run("bulk", late)])))
    [go] = [event["ts"] for event in found if event["name"] == "go"]
    arrivals = [event for event in found if event.get("cat") == "arrival"]
    assert [(e["ts"] - go, e["args"]["network"]) for e in arrivals] == [(0, "a"), (250_000, "b")]


def test_summaries_give_an_empty_trace(made: Document) -> None:
    """A document without tasks and time lines is a valid trace without events."""
    assert events(made.summary()) == []


def test_trace_of_a_long_run_is_valid() -> None:
    """The trace of a long run is as valid as that of a short one."""
    many = asked(*"abcdefghij" * 30)
    found = events(document(record("linear", "1G", many, [run("linear", many)])))
    assert sum(event["ph"] == "X" for event in found) == 300 * (1 + 3 * 3)
    assert sum(e["args"].get("weight_bytes", 0) for e in found if e.get("cat") == "load") == 300 * 48 * MIB
