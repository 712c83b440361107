"""The metrics that programs report have the unit and the direction of their first report."""

from __future__ import annotations

import pytest

from pytest_edgeload.results.measurement import METRICS, Measurement
from pytest_edgeload.results.metric import Metric, OwnMetric
from pytest_edgeload.results.own import disagreements, optional_metrics, own_figures, unreported
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import lacking, runs_of, spread, value_of
from pytest_edgeload.results.stream_stats import StreamStats
from pytest_edgeload.results.threshold import Figure
from tests.cases import CASE


def _record(*reports: dict[str, OwnMetric]) -> Record:
    return Record(CASE, tuple(Measurement(outcome="ok", round=i, own=own) for i, own in enumerate(reports)))


def test_first_report_of_a_name_gives_its_unit_and_direction() -> None:
    """The first report of a name counts, a sentence names the others, and a built-in metric keeps its meaning."""
    records = [
        _record({"speed": OwnMetric(1, "frames/s", "higher"), "peak_bytes": OwnMetric(1, "s")}),
        _record({"speed": OwnMetric(2)}),
    ]
    assert optional_metrics(records) == {"speed": Metric("frames/s", "higher")}
    assert disagreements(records) == [
        "speed has several meanings: frames/s, higher is better from bulk, no unit from bulk; the first counts"
    ]
    assert disagreements(records[:1]) == []


def test_series_is_reported_by_its_statistics() -> None:
    """A number is a figure; a series is its mean and its percentiles, which need as many samples as response times."""
    slow = {"latency_s": OwnMetric(tuple(0.1 * i for i in range(10)), "s", "lower"), "rtf": OwnMetric(2)}
    record = _record(slow, slow)
    figures = own_figures([record])
    assert list(map(str, figures)) == ["latency_s.mean", "latency_s.p50", "latency_s.p90", "latency_s.p99", "rtf"]
    runs = [(runs_of(record, figure), figure.stat) for figure in figures]
    assert [lacking(*one) for one in runs] == [None, None, 64, 662, None]
    assert value_of(*runs[0]) == pytest.approx(0.45)
    assert spread(record, "rtf") is not None
    assert spread(record, "tokens_per_s") is None


def test_metric_that_no_program_reported_has_a_suggestion() -> None:
    """The sentence suggests the most similar name, or lists what was reported."""
    reported = ["tokens_per_s", "rtf"]
    assert unreported(Figure("rtf"), reported) is None
    assert unreported(Figure("makespan_s"), ()) is None
    assert unreported(Figure("tokns_per_s"), reported) == "no program reported tokns_per_s; did you mean tokens_per_s?"
    assert unreported(Figure("fps"), reported) == "no program reported fps; programs reported tokens_per_s, rtf"
    assert unreported(Figure("makspn"), reported) == "no program reported makspn; did you mean makespan?"
    assert unreported(Figure("fps"), ()) == "no program reported fps"


def test_stream_that_no_workload_has_has_a_suggestion() -> None:
    """The sentence suggests the most similar stream, or lists the streams; a program's own metrics are not among them.

    A stream has all metrics of streams, and a program is not asked for these.
    """
    stats = {name: StreamStats(requests=(0,), requests_due=1, overruns=0) for name in ("camera", "mic")}
    run = Measurement(outcome="ok", streams=stats, own={"rtf": OwnMetric(2)})
    reported = optional_metrics([Record(CASE, (run,))])
    assert reported["in_time[camera]"] == METRICS["in_time"]
    assert unreported(Figure("response_s[mic]", "p90"), reported) is None
    assert unreported(Figure("in_time[camra]"), reported) == "no workload has a stream camra; did you mean camera?"
    assert (
        unreported(Figure("in_time[sound]"), reported) == "no workload has a stream sound; the streams are camera, mic"
    )
    assert unreported(Figure("in_time[sound]"), ["rtf"]) == "no workload has a stream sound"
    assert unreported(Figure("fps"), reported) == "no program reported fps; programs reported rtf"
