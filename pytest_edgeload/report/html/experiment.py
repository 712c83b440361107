"""Records that share a chart: one workload under one set of circumstances, by policy and limit. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from pytest_edgeload.results.record import Case, Measurement, Record
from pytest_edgeload.results.statistics import spread

NO_LIMIT = "none"


@dataclass(frozen=True, slots=True)
class Experiment:
    """All records of cases that differ in policy and limit only; `case` has neither."""

    case: Case
    records: tuple[Record, ...]

    @property
    def metric(self) -> str:
        """What its policies are compared by."""
        return self.case.main_metric

    @property
    def metric_name(self) -> str:
        """The metric in words."""
        return "makespan" if self.metric == "makespan_s" else "mean response time"

    @property
    def limits(self) -> dict[str, int | None]:
        """The limits as they were asked for, and the bytes they came to; the least first, none at all last."""
        found = {limit_of(record): record.case.limit_bytes for record in self.records}
        return dict(sorted(found.items(), key=lambda pair: (pair[1] is None, pair[1] or 0)))

    def at(self, limit: str) -> list[Record]:
        """Return the records at one of its limits, the quickest first, those without a good run last."""
        found = [record for record in self.records if limit_of(record) == limit]
        return sorted(found, key=self._place)

    def _place(self, record: Record) -> tuple[bool, float]:
        found = spread(record, self.metric)
        return (found is None, 0.0 if found is None else found.median)


def experiments(records: Iterable[Record]) -> list[Experiment]:
    """Return the records by experiment, in order of first appearance."""
    found: dict[Case, list[Record]] = {}
    for record in records:
        constraints = record.case.constraints.without(["memory_bytes"])
        common = msgspec.structs.replace(record.case.group, limit=None, constraints=constraints)
        found.setdefault(common, []).append(record)
    return [Experiment(case, tuple(members)) for case, members in found.items()]


def limit_of(record: Record) -> str:
    """Return the limit as it was asked for."""
    return record.case.limit or NO_LIMIT


def typical(record: Record) -> list[Measurement]:
    """Return the rounds that stand for the others: the good one nearest to the median, and the first that was not ok.

    Less those of which there is neither a time line nor a task.
    """
    metric = record.case.main_metric
    middle = spread(record, metric)
    good = [m for m in record.rounds if m.outcome == "ok" and m.value(metric) is not None]
    nearest = [] if middle is None else [min(good, key=lambda m: abs(m.value(metric) - middle.median))]
    bad = [m for m in record.rounds if m.outcome != "ok"]
    return [m for m in (*nearest, *bad[:1]) if m.tasks or m.timeline.at_s]
