"""The table of streams, and the metrics of streams in every format."""

from __future__ import annotations

import csv
import io
import json

import msgspec
import pytest

from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.closing import closing
from pytest_edgeload.report.digits import number
from pytest_edgeload.report.html import summary
from pytest_edgeload.report.html.experiment import experiments
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Document
from pytest_edgeload.results.finding import Judgement
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.streams import with_streams
from pytest_edgeload.workload import Ask, Request, Workload
from tests.builders import network
from tests.report import virtual

NETWORK = network((1, 1, 1))
CAMERA = tuple(Request(NETWORK, arrival_s=i / 30, deadline_s=1 / 30, stream="camera", queue=1) for i in range(70))
MIC = tuple(Request(NETWORK, arrival_s=i / 3, deadline_s=1 / 3, stream="mic") for i in range(7))
MIX = Workload("assistant", tuple(sorted(CAMERA + MIC, key=lambda request: request.arrival_s)))


def run(number: int, camera_s: float, mic_s: float, every: int) -> Measurement:
    """Return a run that answers the microphone, and every so many frames of the camera."""
    frames = [r for r, request in enumerate(MIX.requests) if request.stream == "camera"]
    times: list[float | None] = [mic_s] * len(MIX.requests)
    for i, r in enumerate(frames):
        times[r] = None if i % every else camera_s
    dropped = tuple(r for r, response_s in enumerate(times) if response_s is None)
    measured = Measurement(
        outcome="ok",
        round=number,
        makespan_s=2.4,
        peak_bytes=300 << 20,
        arrived_s=tuple(request.arrival_s for request in MIX.requests),
        response_s=tuple(times),
        dropped=dropped,
        overrun=dropped,
    )
    return with_streams(measured, MIX)


def record(policy: str, *rounds: Measurement) -> Record:
    """Return the record of a policy."""
    asks = tuple(
        Ask("net", arrival_s=one.arrival_s, deadline_s=one.deadline_s, stream=one.stream, queue=one.queue)
        for one in MIX.requests
    )
    changes = {"policy": policy, "workload": "assistant", "requests": asks, "loop": "open", "arrivals": "streams"}
    return Record(msgspec.structs.replace(virtual.CASE, **changes), rounds)


@pytest.fixture(scope="module")
def made() -> Document:
    """Return a policy that drops every other frame, and one that is late for the microphone."""
    return virtual.document(
        record("bulk", run(0, 0.02, 0.5, 2), run(1, 0.021, 0.5, 2)),
        record("stream", run(0, 0.02, 0.1, 1), run(1, 0.03, 0.1, 1)),
    )


def render(made: Document, form: str, *columns: str, width: int | None = None) -> str:
    """Return the report in this format."""
    return FORMATS[form](made, Judgement(), View(columns=columns, width=width))


def cells(text: str, first: str) -> list[list[str]]:
    """Return the cells of the rows that begin with this word."""
    return [line.split() for line in text.splitlines() if line.startswith(f"{first} ")]


def test_table_of_streams_has_a_row_for_each_stream_and_policy(made: Document) -> None:
    """Below the table of policies: requests due, in time, late, dropped; the rate; percentiles with enough samples."""
    text = render(made, "terminal")
    assert cells(text, "camera") == [
        ["camera", "stream", "70", "1.0", "0", "0", "30", "0.025", "0.030"],
        ["camera", "bulk", "70", "0.5", "0", "35", "15", "0.021", "0.021"],
    ]
    assert cells(text, "mic") == [
        ["mic", "stream", "7", "1.0", "0", "0", "3", "0.10", "needs", "64"],
        ["mic", "bulk", "7", "0", "7", "0", "2.8", "0.50", "needs", "64"],
    ]
    assert "network" not in text


def test_policies_are_compared_by_their_share_in_time(made: Document) -> None:
    """The policy with the larger share in time is first and is the best, although its mean response is slower."""
    text = render(made, "terminal", width=80)
    header, _, best, other = text.splitlines()[3:7]
    assert header.split() == ["policy", "in", "time", "worst", "score", "peak", "swap", "in/out", "outcome"]
    assert best.split() == ["stream", "1.0", "1.0", "1.0", "300M", "-/-", "2", "ok"]
    assert other.split() == ["bulk", "0.45", "0", "0.12", "300M", "-/-", "2", "ok"]
    assert "no room in 80 columns for x bulk, p90 s, fairness" in text
    said = closing(made.records, View())
    assert said.startswith("share in time by policy, assistant at 384M, open loop, median of 2 rounds\n")
    assert "stream has the highest share in time in 1 of 1 comparison (assistant at 384M, open loop)." in said
    assert "There it has 2.20 x the share in time of bulk." in said


def test_times_and_shares_of_a_session_are_told_apart(made: Document) -> None:
    """A session of both says which policy is the quickest where times count, and which is most in time elsewhere."""
    once = [virtual.record(policy, "1G", virtual.asked("a", "b")) for policy in ("bulk", "linear")]
    records = [*once, *made.records]
    _, said = closing(records, View()).split("\n\n")
    assert said.splitlines() == [
        "No difference between the quickest policies was seen in 1 comparison (mix at 1G).",
        "stream has the highest share in time in 1 of 1 comparison (assistant at 384M, open loop).",
        "There it has 2.20 x the share in time of bulk.",
        "bulk swapped the most, 5M in mix at 1G.",
    ]
    best = summary.winners(compared := experiments(records), summary.titles(compared))
    assert best["best"] == "The best"


def test_columns_can_be_metrics_of_streams(made: Document) -> None:
    """A column may be a metric of a stream; a stream that no workload has is named below the table."""
    text = render(made, "terminal", "in_time[mic]", "response[camera].p90", "deadline_misses", "in_time[mik]")
    assert "in_time[mic]" in text
    assert "no workload has a stream mik; did you mean mic?" in text


def test_exports_have_the_metrics_of_streams(made: Document) -> None:
    """CSV, JSON, Markdown, HTML and the services for benchmarks have them."""
    [first, *_] = csv.DictReader(io.StringIO(render(made, "csv")))
    assert (first["in_time[camera]"], first["overruns[camera]"], first["rate_per_s[mic]"]) == (
        "0.5",
        "35",
        first["rate_per_s[mic]"],
    )
    stored = json.loads(render(made, "json"))["records"][0]["rounds"][0]
    assert (stored["streams"]["camera"]["in_time"], stored["worst_in_time"]) == (0.5, 0)
    assert "| `camera` | `stream`" in render(made, "markdown")
    assert "By stream: suites/test_a.py::test_a assistant at 384M" in render(made, "html")
    services = json.loads(render(made, "bmf"))
    assert any("in_time[camera]" in name for figures in services.values() for name in figures)


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.5, "0.5"), (0.994, "0.994"), (0.998, "0.998"), (0.99951, "0.9995"), (1.0, "1.0"), (0.0, "0")]
)
def test_only_a_whole_share_is_shown_as_one(ratio: float, text: str) -> None:
    """One frame in a thousand that is late can be seen."""
    assert number(ratio, "ratio") == text
