"""The metrics that only some records have: those that programs reported about themselves, and of streams. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from pytest_edgeload.base.errors import nearest
from pytest_edgeload.base.text import listed
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.metric import Metric, OwnMetric
from pytest_edgeload.results.naming import short
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.stream_stats import STREAM_METRICS, of_stream, split_name
from pytest_edgeload.results.threshold import Figure

SERIES_STATISTICS = ("mean", "p50", "p90", "p99")
"""The statistics of a series by which it is reported, if there are enough samples."""


def optional_metrics(records: Iterable[Record]) -> dict[str, Metric]:
    """Return the unit and the direction of each metric that not all runs have: a program's own, or that of a stream.

    The first report of a name counts.
    """
    records = list(records)
    metrics = {
        of_stream(name, stream): metric for stream in streams_of(records) for name, metric in STREAM_METRICS.items()
    }
    for _, name, own in _reports(records):
        metrics.setdefault(name, own.metric)
    return metrics


def own_figures(records: Iterable[Record]) -> list[Figure]:
    """Return the figures of all metrics of programs: the number itself, or the statistics of a series."""
    figures: dict[Figure, None] = {}
    metrics: dict[str, Metric] = {}
    for _, name, own in _reports(records):
        kind = metrics.setdefault(name, own.metric)
        stats = SERIES_STATISTICS if isinstance(own.value, tuple) else ("median",)
        figures |= {Figure(name, stat, own=kind): None for stat in stats}
    return list(figures)


def disagreements(records: Iterable[Record]) -> list[str]:
    """Return a sentence on each metric that programs reported with different units or directions."""
    kinds: dict[str, dict[Metric, str]] = {}
    for record, name, own in _reports(records):
        kinds.setdefault(name, {}).setdefault(own.metric, record.case.policy)
    return [_disagreement(name, kinds[name]) for name in kinds if len(kinds[name]) > 1]


def unreported(figure: Figure, reported: Collection[str]) -> str | None:
    """Return a sentence if no record has the metric of a figure; None if one has, or if all runs have it.

    `reported` are the names of the metrics that `optional_metrics` found.
    """
    if not figure.is_optional or figure.metric in reported:
        return None
    streams = {stream: None for name in reported if (stream := split_name(name)[1]) is not None}
    if figure.stream is not None:
        return f"no workload has a stream {figure.stream}{_hint(figure.stream, list(streams), (), 'the streams are')}"
    own = [name for name in reported if split_name(name)[1] is None]
    return f"no program reported {figure.metric}{_hint(figure.metric, own, map(short, METRICS), 'programs reported')}"


def _hint(name: str, known: Sequence[str], others: Iterable[str], words: str) -> str:
    """Return a name that was probably meant, or all that are known, after a semicolon."""
    near = nearest(name, [*known, *others])
    return f"; did you mean {near}?" if near else f"; {words} {listed(known)}" if known else ""


def streams_of(records: Iterable[Record]) -> list[str]:
    """Return the names of all streams, in order of first appearance."""
    return list(dict.fromkeys(name for record in records for m in record.rounds for name in m.streams))


def stream_figures(records: Iterable[Record]) -> list[Figure]:
    """Return the figures of all streams that are a single number per run."""
    return [Figure(of_stream(name, s)) for s in streams_of(records) for name in STREAM_METRICS if name != "response_s"]


def _reports(records: Iterable[Record]) -> Iterator[tuple[Record, str, OwnMetric]]:
    """Yield the metrics of programs in all rounds; a name that is built in is not a program's own."""
    for record in records:
        for measurement in record.rounds:
            for name, own in measurement.own.items():
                if name not in METRICS:
                    yield record, name, own


def _disagreement(name: str, kinds: Mapping[Metric, str]) -> str:
    words = [f"{_words(kind)} from {program}" for kind, program in kinds.items()]
    return f"{name} has several meanings: {', '.join(words)}; the first counts"


def _words(kind: Metric) -> str:
    return f"{kind.unit or 'no unit'}, {kind.better} is better" if kind.better != "neither" else kind.unit or "no unit"
