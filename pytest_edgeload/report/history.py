"""The history of a figure over the saved sessions: one line per case with a small drawing, or one row per session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pytest_edgeload.base.text import printable
from pytest_edgeload.report.comparison import label, limit_of
from pytest_edgeload.report.grid import text_table
from pytest_edgeload.results.history import Series, SessionValue
from pytest_edgeload.results.threshold import Figure

BLOCKS = "▁▂▃▄▅▆▇█"
"""The levels of a drawing."""

ASCII = "_.-:=+*#"
"""The levels of a drawing for encodings without blocks."""

_NONE = "-"
_MAX_LISTED = 3
_LINES = ("policy", "workload", "limit", "reader", "history", "first", "last", "change")
_ROWS = ("saved", "commit", "when", "value", "95% interval")


def lines(all_series: Sequence[Series], figure: Figure, levels: str = BLOCKS) -> str:
    """Return a row for each case: the drawing, the first and the last value, and their difference."""
    rows = [_line(series, figure, levels) for series in all_series if series.points]
    return text_table(_LINES, rows, texts=range(5)) if rows else ""


def details(all_series: Sequence[Series], figure: Figure) -> str:
    """Return a table for each case with a row for each session."""
    return "\n\n".join(
        f"{label(series.case)}\n{text_table(_ROWS, [_row(point, figure) for point in series.points], texts=range(3))}"
        for series in all_series
        if series.points
    )


def left_out(all_series: Sequence[Series], unreadable: Sequence[str]) -> str:
    """Return a line on each unreadable session, and on each reason why cases of other sessions were left out."""
    titles: dict[str, Counter[str]] = {}
    for series in all_series:
        for title, reason in series.left_out.items():
            titles.setdefault(reason, Counter())[title] += 1
    reasons = [f"{reason} ({_listed(counts)})" for reason, counts in titles.items()]
    return "\n".join(printable(f"left out: {line}") for line in (*unreadable, *reasons))


def _listed(counts: Counter[str]) -> str:
    """Return the first sessions, each with the number of its cases."""
    words = [f"{title}, {count} case{'s' if count > 1 else ''}" for title, count in counts.items()]
    rest = len(words) - _MAX_LISTED
    return "; ".join(words[:_MAX_LISTED]) + (f"; and {rest} more" if rest > 0 else "")


def sparkline(values: Sequence[float], levels: str = BLOCKS) -> str:
    """Return a character for each value, scaled from minimum to maximum; the middle one if all are equal."""
    low, high = min(values), max(values)
    if low == high:
        return levels[len(levels) // 2 - 1] * len(values)
    return "".join(levels[round((value - low) / (high - low) * (len(levels) - 1))] for value in values)


def _line(series: Series, figure: Figure, levels: str) -> list[str]:
    values = [point.estimate.value for point in series.points]
    case, first, last = series.case, values[0], values[-1]
    change = f"{(last - first) / abs(first):+.1%}" if first else _NONE
    drawn = sparkline(values, levels)
    coordinates = [case.policy, case.workload, limit_of(case), case.reader]
    return [*coordinates, drawn, figure.show(first), figure.show(last), change]


def _row(point: SessionValue, figure: Figure) -> list[str]:
    commit, estimate = point.saved.document.commit, point.estimate
    version = _NONE if commit is None else commit.id[:12] + (" and changes" if commit.is_dirty else "")
    ends = estimate.interval
    interval = _NONE if ends is None else f"{figure.show(ends.low)} to {figure.show(ends.high)}"
    return [point.saved.title, version, point.saved.document.created, figure.show(estimate.value), interval]
