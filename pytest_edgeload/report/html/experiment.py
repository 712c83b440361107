"""Experiments: the records that share a chart, which differ only in policy and limit. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import spread

NO_LIMIT = "none"


@dataclass(frozen=True, slots=True)
class Experiment:
    """All records whose cases differ only in policy and limit; `case` has neither."""

    case: Case
    records: tuple[Record, ...]

    @property
    def metric(self) -> str:
        """The metric that its policies are compared by."""
        return self.case.main_metric

    @property
    def metric_name(self) -> str:
        """The metric in words."""
        return "makespan" if self.metric == "makespan_s" else "mean response time"

    @property
    def limits(self) -> dict[str, int | None]:
        """The limits and their bytes, smallest first and no limit last."""
        return sorted_limits(self.records)

    def at(self, limit: str) -> list[Record]:
        """Return the records at one of its limits, quickest first and those without a good run last."""
        return sorted((record for record in self.records if limit_of(record) == limit), key=self._place)

    def _place(self, record: Record) -> tuple[bool, float]:
        times = spread(record, self.metric)
        return (times is None, 0.0 if times is None else times.median)


def experiments(records: Iterable[Record]) -> list[Experiment]:
    """Return the records by experiment, in order of first appearance."""
    grouped: dict[Case, list[Record]] = {}
    for record in records:
        constraints = record.case.constraints.without(["memory_bytes"])
        common = msgspec.structs.replace(record.case.group, limit=None, constraints=constraints)
        grouped.setdefault(common, []).append(record)
    return [Experiment(case, tuple(members)) for case, members in grouped.items()]


def sorted_limits(records: Iterable[Record]) -> dict[str, int | None]:
    """Return the limits of records and their bytes, smallest first and no limit last."""
    limits = {limit_of(record): record.case.limit_bytes for record in records}
    return dict(sorted(limits.items(), key=lambda pair: (pair[1] is None, pair[1] or 0)))


def limit_of(record: Record) -> str:
    """Return the limit of a record as text."""
    return record.case.limit or NO_LIMIT


def typical(record: Record) -> list[Measurement]:
    """Return the rounds to draw: the good one nearest to the median, and the first that was not ok.

    Rounds without a time line and tasks are left out.
    """
    metric = record.case.main_metric
    middle = spread(record, metric)
    good = [m for m in record.rounds if m.outcome == "ok" and m.value(metric) is not None]
    nearest = [] if middle is None else [min(good, key=lambda m: abs(m.value(metric) - middle.median))]
    bad = [m for m in record.rounds if m.outcome != "ok"]
    return [m for m in (*nearest, *bad[:1]) if m.tasks or m.timeline.at_s]
