"""The plan of a workload with streams has a table of them, with a line over time."""

from __future__ import annotations

from pytest_edgeload.planning.plan import Budget
from pytest_edgeload.planning.simulate import simulate
from pytest_edgeload.policies import POLICIES
from pytest_edgeload.report import graph
from pytest_edgeload.report.stream_timeline import stream_timeline
from pytest_edgeload.workload import Mix, Workload
from pytest_edgeload.workload.arrivals import Constant
from pytest_edgeload.workload.streams import Stream
from tests.builders import SPEEDS, network, plan_of, workload

FRAME = network((8, 1, 1), flops=[8], name="detector")  # a second to load, and a second to execute
STREAMS = [
    Stream("camera", "detector", Constant(1.0), deadline_s=2.5, queue=1),
    Stream("sound", "keyword", Constant(5.0), start_s=2.0, deadline_s=0.5),
]


def _lines(asked: Workload) -> list[str]:
    plan = POLICIES["linear"](asked, Budget(None, 1, SPEEDS))
    return list(stream_timeline(plan, asked, simulate(plan, asked, speeds=SPEEDS)))


def test_each_stream_has_its_counts_and_its_line() -> None:
    """A row counts the requests in time, late and dropped; its line has the worst of them at each moment."""
    mix = Mix.of_streams("kitchen", STREAMS, duration_s=5.0)
    lines = _lines(mix.workload({"detector": FRAME, "keyword": network((8, 1, 1), name="keyword")}))
    assert lines[1] == "requests by arrival, from 0 to 4 s: + in time, ! late, x dropped"
    camera, sound = (line.split() for line in lines[-2:])
    assert camera[:6] == ["camera", "detector", "5", "2", "1", "2"]
    assert sound[:6] == ["sound", "keyword", "1", "0", "1", "0"]
    assert [camera[6][column] for column in (0, 10, 20, 30, 39)] == ["+", "x", "+", "x", "!"]
    assert {*camera[6]} == {"·", "+", "!", "x"}
    assert (len(camera[6]), sound[6].index("!")) == (40, 20)


def test_a_workload_without_streams_has_no_table() -> None:
    """Requests of no stream add no line."""
    assert _lines(workload(FRAME)) == []


def test_drawings_name_the_stream_of_a_request() -> None:
    """The box of a request has its stream."""
    asked = Mix.of_streams("kitchen", STREAMS[:1], duration_s=1.0).workload({"detector": FRAME})
    assert '"request 0: detector, stream camera"' in graph.dot(plan_of("linear", asked), asked)
