"""Figures over the rounds of a case: pure functions. The replicate is the process run."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_edgeload.results.record import Measurement, Record


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of the rounds that have the metric."""

    median: float
    least: float
    greatest: float


def spread(record: Record, metric: str) -> Spread | None:
    """Return the spread of a metric over the rounds of outcome ok; None where no round has it."""
    values = sorted(_values(record.rounds, metric))
    return Spread(statistics.median(values), values[0], values[-1]) if values else None


def ratio(record: Record, reference: Record, metric: str) -> float | None:
    """Return the median over rounds of the metric relative to the reference's in the same round; None without any."""
    theirs = {m.round: value for m in reference.rounds for value in _values([m], metric)}
    pairs = [(value, theirs.get(m.round)) for m in record.rounds for value in _values([m], metric)]
    ratios = [mine / other for mine, other in pairs if other]
    return statistics.median(ratios) if ratios else None


def outcomes(record: Record) -> dict[str, int]:
    """Return how often each outcome came up, most frequent first."""
    found = [measurement.outcome for measurement in record.rounds]
    return dict(sorted(((o, found.count(o)) for o in dict.fromkeys(found)), key=lambda pair: -pair[1]))


def _values(rounds: Iterable[Measurement], metric: str) -> list[float]:
    return [
        value
        for measurement in rounds
        if measurement.outcome == "ok" and (value := getattr(measurement, metric)) is not None
    ]
