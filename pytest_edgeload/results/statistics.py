"""Figures over the rounds of a case: pure functions. The replicate is the process run."""

from __future__ import annotations

import statistics
from collections import Counter
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
    mine, theirs = _by_turn(record, metric), _by_turn(reference, metric)
    ratios = [mine[turn] / theirs[turn] for turn in mine if theirs.get(turn)]
    return statistics.median(ratios) if ratios else None


def multiple(record: Record, metric: str, unit: str) -> float | None:
    """Return the median over rounds of one metric relative to another one of the same run; None without any."""
    found = [(getattr(m, metric), getattr(m, unit)) for m in record.rounds if m.outcome == "ok"]
    ratios = [value / one for value, one in found if value is not None and one]
    return statistics.median(ratios) if ratios else None


def outcomes(record: Record) -> dict[str, int]:
    """Return how often each outcome came up, most frequent first."""
    found = [measurement.outcome for measurement in record.rounds]
    return dict(sorted(((o, found.count(o)) for o in dict.fromkeys(found)), key=lambda pair: -pair[1]))


def _by_turn(record: Record, metric: str) -> dict[tuple[int, int], float]:
    """Return the metric by round and place in the round: a test may measure the same case several times in one."""
    turns = Counter[int]()
    found: dict[tuple[int, int], float] = {}
    for measurement in record.rounds:
        for value in _values([measurement], metric):
            found[measurement.round, turns[measurement.round]] = value
        turns[measurement.round] += 1
    return found


def _values(rounds: Iterable[Measurement], metric: str) -> list[float]:
    """Return the metric of the rounds that were ok and have it; of a list of figures, its mean."""
    found = [getattr(measurement, metric) for measurement in rounds if measurement.outcome == "ok"]
    means = [_mean(value) if isinstance(value, tuple) else value for value in found]
    return [value for value in means if value is not None]


def _mean(values: tuple[float | None, ...]) -> float | None:
    """Return the mean of the requests that have the figure; None where no one has it."""
    found = [value for value in values if value is not None]
    return statistics.fmean(found) if found else None
