"""The own metrics of a run: from its output and answers, its records, its moments, and its repetitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from pytest_edgeload.results.leak import growth
from pytest_edgeload.results.measurement import Outcome
from pytest_edgeload.results.metric import OwnMetric
from pytest_edgeload.results.reported import ReportedValue, gather, parse_report
from pytest_edgeload.sandbox.sampler import Reading, Sampler


def own_metrics(
    given: Iterable[ReportedValue], sampler: Sampler, outcome: Outcome
) -> tuple[dict[str, OwnMetric], tuple[str, ...]]:
    """Return the metrics by name, and a sentence about each that is left out; none is missed in a run that failed."""
    reports = [*given, *map(parse_report, sampler.records), *_readings(sampler.readings)]
    if outcome != "ok":
        reports = [report for report in reports if not report.fault]
    metrics, faults = gather(reports)
    if sampler.lost:
        faults = (*faults, f"it reported too much: {sampler.lost} of its messages are left out")
    return metrics, faults


def _readings(readings: Sequence[Reading]) -> Iterator[ReportedValue]:
    """Yield the memory at each named moment, a series if it came several times, and the growth over repetitions."""
    counts = Counter(reading.name for reading in readings)
    for name, _, anon_bytes in readings:
        if name:
            yield ReportedValue(f"anon_at.{name}", anon_bytes, is_series=counts[name] > 1)
    sizes = [reading.anon_bytes for reading in readings if not reading.name]
    grown = growth(sizes)
    if grown is not None:
        yield ReportedValue("leak", grown.leak, interval=(grown.low, grown.high))
