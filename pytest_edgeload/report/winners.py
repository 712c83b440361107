"""The best policy of a comparison group, its lead, and the policies that may be as good. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_edgeload.report.columns import column
from pytest_edgeload.report.view import View
from pytest_edgeload.results.bootstrap import Interval, Runs
from pytest_edgeload.results.case import REFERENCE
from pytest_edgeload.results.own import optional_metrics
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.statistics import estimate, lacking, ratio, runs_of, value_of
from pytest_edgeload.results.threshold import Figure

_WORDS = {"makespan_s": "makespan", "response_mean_s": "mean response time", "in_time": "share in time"}


@dataclass(frozen=True, slots=True)
class Winner:
    """The best record of a comparison group by a figure, in general the one that its policies are compared by.

    `value` is the figure. `ratio` is relative to that of the reference, round by round; None if there is no reference,
    or if it is the winner. The intervals of the records in `close` overlap the winner's, so that they may be as good.
    """

    record: Record
    figure: Figure
    value: float
    ratio: float | None
    close: tuple[Record, ...]

    @property
    def policy(self) -> str:
        """The name of the policy."""
        return self.record.case.policy

    @property
    def is_quickest(self) -> bool:
        """Whether it won by the time that its policies are compared by."""
        return self.figure.unit == "s" and self.figure == Figure(self.record.case.main_metric)

    @property
    def superlative(self) -> str:
        """The property that won: `highest tokens_per_s`."""
        return f"{'highest' if self.figure.is_higher_better else 'lowest'} {in_words(self.figure)}"


def winner(records: Sequence[Record], figure: Figure | None = None) -> Winner | None:
    """Return the winner among the records of a comparison group; None for a single record, or if no run was ok.

    Without a figure, it is the median of the metric that the policies are compared by.
    """
    if len(records) < 2:  # noqa: PLR2004
        return None
    figure = figure or Figure(records[0].case.main_metric)
    ordered = best_first(records, figure)
    values = [value for record in ordered if (value := value_in(records, record, figure)) is not None]
    if not values:
        return None
    best, *others = ordered[: len(values)]
    reference = next((r for r in others if r.case.policy == REFERENCE and figure.reference is None), None)
    return Winner(
        best,
        figure,
        values[0],
        None if reference is None else ratio(best, reference, figure.metric),
        tuple(record for record in others if _may_be_as_good(records, best, record, figure)),
    )


def contest(records: Sequence[Record], view: View) -> Figure | None:
    """Return the figure that orders the rows of a view, if one value of it is better than another.

    Otherwise return None: the policies are compared by their main metric.
    """
    figure = column(view.sort, optional_metrics(records)).figure if view.sort not in {"", "name"} else None
    if figure is None or figure.kind.better == "neither":
        return None
    return figure if any(value_in(records, record, figure) is not None for record in records) else None


def best_first(records: Sequence[Record], figure: Figure) -> list[Record]:
    """Return the records in the order of a figure, those without it last."""

    def place(record: Record) -> tuple[bool, float]:
        value = value_in(records, record, figure)
        return value is None, 0.0 if value is None else -value if figure.is_higher_better else value

    return sorted(records, key=place)


def value_in(records: Sequence[Record], record: Record, figure: Figure) -> float | None:
    """Return the figure of one of `records`, which are a comparison group; None without enough samples."""
    runs = _runs(records, record, figure)
    return None if lacking(runs, figure.stat) else value_of(runs, figure.stat)


def in_words(figure: Figure) -> str:
    """Return the name of a figure in a sentence."""
    return _WORDS.get(figure.metric, str(figure)) if figure.stat == "median" and not figure.reference else str(figure)


def _runs(records: Sequence[Record], record: Record, figure: Figure) -> Runs:
    return runs_of(record, figure, next((r for r in records if r.case.policy == figure.reference), None))


def interval_in(records: Sequence[Record], record: Record, figure: Figure) -> Interval | None:
    """Return the 95 % interval of the figure; None for a single run."""
    main = estimate(_runs(records, record, figure), figure.stat)
    return None if main is None else main.interval


def _may_be_as_good(records: Sequence[Record], best: Record, other: Record, figure: Figure) -> bool:
    """Return whether the intervals of two records overlap. Two simulations differ unless their figures are equal."""
    if best.case.is_simulated:
        return value_in(records, best, figure) == value_in(records, other, figure)
    return _overlap(interval_in(records, best, figure), interval_in(records, other, figure))


def _overlap(one: Interval | None, other: Interval | None) -> bool:
    """Return whether two intervals overlap; a single round has no interval and may overlap anything."""
    return one is None or other is None or (one.low <= other.high and other.low <= one.high)
