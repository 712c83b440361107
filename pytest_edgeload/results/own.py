"""The metrics that programs reported about themselves in records: their units, directions and figures. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from pytest_edgeload.base.errors import nearest
from pytest_edgeload.base.text import listed
from pytest_edgeload.results.measurement import METRICS
from pytest_edgeload.results.metric import Metric, OwnMetric
from pytest_edgeload.results.naming import short
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.threshold import Figure

SERIES_STATISTICS = ("mean", "p50", "p90", "p99")
"""The statistics of a series by which it is reported, if there are enough samples."""


def own_metrics(records: Iterable[Record]) -> dict[str, Metric]:
    """Return the unit and the direction of each metric of a program's own; the first report of a name counts."""
    metrics: dict[str, Metric] = {}
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
    """Return a sentence if no program reported the metric of a figure; None if one did, or if it is built in."""
    if not figure.is_own or figure.metric in reported:
        return None
    near = nearest(figure.metric, [*reported, *map(short, METRICS)])
    hint = f"; did you mean {near}?" if near else f"; programs reported {listed(list(reported))}" if reported else ""
    return f"no program reported {figure.metric}{hint}"


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
