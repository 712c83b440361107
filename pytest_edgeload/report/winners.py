"""The quickest policy of a comparison group, its lead, and the policies that may be as quick. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_edgeload.results.bootstrap import Interval
from pytest_edgeload.results.case import REFERENCE
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import estimate, ratio, runs_of, spread
from pytest_edgeload.results.threshold import Figure


@dataclass(frozen=True, slots=True)
class Winner:
    """The quickest record of a comparison group, by the median of the metric that its policies are compared by.

    `ratio` is its time relative to that of the reference, round by round; None if there is no reference, or if it is
    the winner. The intervals of the records in `close` overlap the winner's, so that they may be as quick.
    """

    record: Record
    median_s: float
    ratio: float | None
    close: tuple[Record, ...]

    @property
    def policy(self) -> str:
        """The name of the policy."""
        return self.record.case.policy


def winner(records: Sequence[Record]) -> Winner | None:
    """Return the winner among the records of a comparison group; None for a single record, or if no run was ok."""
    metric = records[0].case.main_metric if records else ""
    times = {i: times.median for i, record in enumerate(records) if (times := spread(record, metric)) is not None}
    if len(records) == 1 or not times:
        return None
    first, *others = sorted(times, key=times.__getitem__)
    best = records[first]
    reference = next((records[i] for i in others if records[i].case.policy == REFERENCE), None)
    return Winner(
        best,
        times[first],
        None if reference is None else ratio(best, reference, metric),
        tuple(records[i] for i in others if _overlap(_interval(best), _interval(records[i]))),
    )


def _interval(record: Record) -> Interval | None:
    main = estimate(runs_of(record, Figure(record.case.main_metric)))
    return None if main is None else main.interval


def _overlap(one: Interval | None, other: Interval | None) -> bool:
    """Return whether two intervals overlap; a single round has no interval and may overlap anything."""
    return one is None or other is None or (one.low <= other.high and other.low <= one.high)
