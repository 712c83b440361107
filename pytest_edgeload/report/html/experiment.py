"""Experiments: the records that share a chart, which differ only in policy and limit. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import msgspec

from pytest_edgeload.report.view import View
from pytest_edgeload.report.winners import best_first, contest, interval_in, value_in
from pytest_edgeload.results.case import Case
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.own import own_figures
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import Spread, spread
from pytest_edgeload.results.threshold import Figure

NO_LIMIT = "none"

_OTHERS = ("worst_in_time", "step_mean_s")


@dataclass(frozen=True, slots=True)
class Experiment:
    """All records whose cases differ only in policy and limit; `case` has neither.

    `figure` is the figure that its policies are compared by: the median of the main metric, or another one of the view.
    """

    case: Case
    records: tuple[Record, ...]
    figure: Figure

    @property
    def figures(self) -> list[Figure]:
        """The figures that it has charts of: its own, the main one, others of streams or steps, those of programs."""
        others = [Figure(name) for name in (self.case.main_metric, *_OTHERS)] + own_figures(self.records)
        known = [one for one in others if any(self.by(one).spread(record) for record in self.records)]
        return list(dict.fromkeys([self.figure, *known]))

    def by(self, figure: Figure) -> Self:
        """Return the experiment whose policies are compared by another figure."""
        return replace(self, figure=figure)

    def spread(self, record: Record) -> Spread | None:
        """Return the median and the range of the rounds; for other statistics, the value and its interval."""
        if self.figure.stat == "median" and self.figure.reference is None:
            return spread(record, self.figure.metric)
        group = self._at(limit_of(record))
        value = value_in(group, record, self.figure)
        if value is None:
            return None
        ends = interval_in(group, record, self.figure)
        return Spread(value, *((value, value) if ends is None else (ends.low, ends.high)))

    @property
    def limits(self) -> dict[str, int | None]:
        """The limits and their bytes, smallest first and no limit last."""
        return sorted_limits(self.records)

    def at(self, limit: str) -> list[Record]:
        """Return the records at one of its limits, the best first and those without a good run last."""
        return best_first(self._at(limit), self.figure)

    def _at(self, limit: str) -> list[Record]:
        return [record for record in self.records if limit_of(record) == limit]


def experiments(records: Iterable[Record], view: View | None = None) -> list[Experiment]:
    """Return the records by experiment, in order of first appearance, compared by the figure that orders the view."""
    grouped: dict[Case, list[Record]] = {}
    for record in records:
        constraints = record.case.constraints.without(["memory_bytes"])
        common = msgspec.structs.replace(record.case.group, limit=None, constraints=constraints)
        grouped.setdefault(common, []).append(record)
    return [
        Experiment(case, tuple(members), contest(members, view or View()) or Figure(case.main_metric))
        for case, members in grouped.items()
    ]


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
